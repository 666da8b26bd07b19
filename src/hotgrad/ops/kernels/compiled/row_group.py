"""Rows that are short enough to be worked on together.

What every element needs alone, noise and exponentials, is worked out along the array, across rows;
what belongs to a row, its largest element or its sum, is found row by row and spread over the row's
elements in an array of its own. So a row of ten costs hardly more than ten elements of a long one.
"""

from __future__ import annotations

from collections.abc import Callable

from hotgrad.ops.kernels.compiled.code import Code, Place
from hotgrad.ops.kernels.compiled.values import F32, I32, Value


class Group:
    """Some rows of an array in the cache, with the means to go along it and through its rows."""

    def __init__(self, code: Code, first: Value, stop: Value, size: Value) -> None:
        self.code, self.first, self.stop, self.size = code, first, stop, size
        self.elements = (stop - first) * size
        self._tail = (size - 1) & -code.lanes
        left = (size - self._tail).to("trunc", I32).spread()
        self._inside = code.numbered(I32, code.lanes).compare("<", left)

    def along(self, body: Callable[[Place], None]) -> None:
        """Vector by vector, across rows."""

        def do(place: Place) -> tuple[Value, ...]:
            body(place)
            return ()

        self.code.sweep(self.elements, do)

    def each_row(self, body: Callable[[Value, Value], None]) -> None:
        """Row by row: a body takes the row's number and the place of its first element."""
        rows = self.code.loop(self.first, self.stop)
        body(rows.index, (rows.index - self.first) * self.size)
        rows.end()

    def through(
        self, start: Value, body: Callable[..., tuple[Value, ...]], *carried: Value
    ) -> tuple[Value, ...]:
        """Through a row: a body takes a place, the lanes inside the row, and what is carried."""
        code = self.code
        everywhere = self._inside.like(1)
        loop = code.loop(code.count(0), self._tail, *carried, step=code.lanes)
        carried = loop.end(*body(start + loop.index, loop.index, everywhere, *loop.carried))
        return body(start + self._tail, self._tail, self._inside, *carried)

    def fold(
        self,
        array: Value,
        start: Value,
        both: Callable[[Value, Value], Value],
        nothing: float,
    ) -> Value:
        """One number of a row's elements."""
        code = self.code

        def step(place: Value, _: Value, inside: Value, total: Value) -> tuple[Value, ...]:
            value = code.load(code.at(array, F32, place), F32, code.lanes)
            return (both(inside.choose(value, nothing), total),)

        (total,) = self.through(start, step, code.vector(F32, nothing))
        return total.fold(both)

    def spread(self, number: Value, array: Value, start: Value) -> None:
        """Write a number to all elements of a row; a vector's rest is overwritten by the next."""
        code, spread = self.code, number if number.lanes else number.spread()
        loop = code.loop(code.count(0), self.size, step=code.lanes)
        code.store(spread, code.at(array, F32, start + loop.index))
        loop.end()


def write_softmax_gradient(group: Group, values: Value, given: Value, result: Value) -> None:
    """result = (given - the row's sum of given * values) * values."""
    code = group.code

    def means(_: Value, start: Value) -> None:
        def step(place: Value, _: Value, inside: Value, total: Value) -> tuple[Value, ...]:
            one, other = (
                code.load(code.at(array, F32, place), F32, code.lanes) for array in (values, given)
            )
            return (inside.choose(one * other, 0.0) + total,)

        (total,) = group.through(start, step, code.vector(F32, 0.0))
        group.spread(total.fold(Value.__add__), result, start)

    group.each_row(means)
    group.along(
        lambda place: place.store_all(
            (place.load_all(given, F32) - place.load_all(result, F32))
            * place.load_all(values, F32),
            result,
        )
    )
