"""The programs of a softmax's gradient, given its value."""

from __future__ import annotations

from typing import Any

from hotgrad.ops.kernels.compiled.code import Code, Place
from hotgrad.ops.kernels.compiled.program import TILE, Number, Program, inverse_of
from hotgrad.ops.kernels.compiled.row_group import Group, write_softmax_gradient
from hotgrad.ops.kernels.compiled.values import F32, I64, POINTER, Value


class LongSoftmaxGradient(Program):
    """(upstream - sum of upstream * value) * value / temperature, row by row.

    Arguments: upstream; value; the gradient; the inverse temperatures, as above; the inverse
    temperature of all rows; the first row and the one after the last; categories; rows of
    temperatures.
    """

    arguments = (*(POINTER,) * 4, F32, *(I64,) * 4)

    def __init__(self, number: Number) -> None:
        self.number = number

    def write(self, code_of: Any) -> None:
        code: Code = code_of("main", self.arguments)
        upstream, value, gradient, inverses, inverse, first, last, size, repeat = code.arguments
        rows = code.loop(first, last)
        row = rows.index
        own = [self.number.at(code, array, row * size) for array in (upstream, value, gradient)]
        inverse = inverse_of(code, inverses, inverse, row - row / repeat * repeat)

        def product(place: Place, total: Value) -> tuple[Value, ...]:
            one, other = (self.number.load(place, array, 0.0) for array in own[:2])
            return (one.times_plus(other, total),)

        (total,) = code.sweep(size, product, code.vector(F32, 0.0))
        mean = total.fold(Value.__add__).spread()

        def finish(place: Place) -> tuple[Value, ...]:
            one, other = (self.number.load(place, array, 0.0) for array in own[:2])
            self.number.store(place, (one - mean) * (other * inverse), own[2])
            return ()

        code.sweep(size, finish)
        rows.end()
        code.finish()


class ShortSoftmaxGradient(Program):
    """`LongSoftmaxGradient` for at most `TILE` categories."""

    arguments = (*(POINTER,) * 4, F32, *(I64,) * 4)

    def __init__(self, number: Number) -> None:
        self.number = number

    def write(self, code_of: Any) -> None:
        code: Code = code_of("main", self.arguments)
        upstream, value, gradient, inverses, inverse, first, last, size, repeat = code.arguments
        values, given, spread, scales = (code.array(F32, TILE + 2 * code.lanes) for _ in range(4))
        groups = code.loop(first, last)
        row = groups.index
        count = (code.count(TILE) / size).min(last - row)
        group = Group(code, row, row + count, size)
        for array, copy in ((value, values), (upstream, given)):
            source = self.number.at(code, array, row * size)
            group.along(
                lambda place, source=source, copy=copy: place.store_all(  # type: ignore[misc]
                    self.number.load(place, source, 0.0), copy
                )
            )
        write_softmax_gradient(group, values, given, spread)

        def scale(number: Value, start: Value) -> None:
            own_row = number - number / repeat * repeat
            group.spread(inverse_of(code, inverses, inverse, own_row), scales, start)

        group.each_row(scale)
        target = self.number.at(code, gradient, row * size)
        group.along(
            lambda place: self.number.store(
                place, place.load_all(spread, F32) * place.load_all(scales, F32), target
            )
        )
        groups.step = count
        groups.end()
        code.finish()
