"""The programs for categories in rows of at most a tile: many rows at once."""

from __future__ import annotations

from typing import Any

from hotgrad.ops.kernels.compiled.code import Code, Place
from hotgrad.ops.kernels.compiled.maths import (
    LOG2_E,
    Uniforms,
    exp2,
    exponential_bits,
    log2,
    write_words,
)
from hotgrad.ops.kernels.compiled.program import (
    LEAST,
    TILE,
    Number,
    Program,
    first_largest,
    inverse_of,
)
from hotgrad.ops.kernels.compiled.row_group import Group, write_softmax_gradient
from hotgrad.ops.kernels.compiled.values import F32, I32, I64, POINTER, Value


class ShortRows(Program):
    """`LongRows`, of the same kinds, for at most `TILE` categories."""

    arguments = (*(POINTER,) * 6, F32, *(I64,) * 5)

    def __init__(self, number: Number, kind: str, *, unit: bool) -> None:
        self.number, self.kind, self.unit = number, kind, unit

    def write(self, code_of: Any) -> None:
        words = write_words(code_of)
        code: Code = code_of("main", self.arguments)
        (
            logits, soft, other, inverses, _, bad, inverse, key, first, last, size, repeat,
        ) = code.arguments  # fmt: skip
        scores, spread, scales, given = (code.array(F32, TILE + 2 * code.lanes) for _ in range(4))
        ignored = code.array(I64, 1)
        uniforms = Uniforms(code, words, key, TILE)

        groups = code.loop(first, last)
        row = groups.index
        own_row = row - row / repeat * repeat
        count = (code.count(TILE) / size).min(last - row).min(repeat - own_row)
        group = Group(code, row, row + count, size)
        begin = row * size
        uniforms.draw(begin, group.elements)
        source = self.number.at(code, logits, own_row * size)

        self._copy(group, source, scores, float("-inf"))

        def tops(number: Value, start: Value) -> None:
            group.spread(group.fold(scores, start, Value.max, LEAST), spread, start)
            if not self.unit:
                own = own_row + (number - row)
                group.spread(inverse_of(code, inverses, inverse, own), scales, start)

        group.each_row(tops)

        def perturb(place: Place) -> None:
            distance = place.load_all(scores, F32) - place.load_all(spread, F32)
            exponential = exponential_bits(uniforms.at(place))
            if self.unit:
                score = exp2(distance, LOG2_E) / exponential
            else:
                perturbed = distance.times_plus(LOG2_E, log2(exponential, sign=-1))
                score = perturbed * place.load_all(scales, F32)
            place.store_all(score, scores)

        group.along(perturb)
        if not self.unit:
            self._exponentials(group, scores, spread)

        def sums(_: Value, start: Value) -> None:
            total = group.fold(scores, start, Value.__add__, 0.0)
            # several threads write there, and only ever 1
            code.store(code.count(1), total.compare(">", 0.0).choose(ignored, bad))
            group.spread(1.0 / total, spread, start)

        group.each_row(sums)
        if self.kind == "gradient":
            upstream = self.number.at(code, other, begin)
            self._copy(group, upstream, given, 0.0)
            self._gradient(group, scores, spread, scales, given, soft, begin)
        elif self.kind != "index":
            target = self.number.at(code, soft, begin)
            group.along(
                lambda place: self.number.store(
                    place, place.load_all(scores, F32) * place.load_all(spread, F32), target
                )
            )
        if self.kind in ("hard", "index"):
            self._largest(group, scores, other, begin)
        groups.step = count
        groups.end()
        code.finish()

    def _copy(self, group: Group, source: Value, array: Value, padding: float) -> None:
        group.along(lambda place: place.store_all(self.number.load(place, source, padding), array))

    def _exponentials(self, group: Group, scores: Value, spread: Value) -> None:
        group.each_row(
            lambda _, start: group.spread(
                group.fold(scores, start, Value.max, LEAST), spread, start
            )
        )
        group.along(
            lambda place: place.store_all(
                exp2(place.load_all(scores, F32) - place.load_all(spread, F32)), scores
            )
        )

    def _gradient(
        self,
        group: Group,
        scores: Value,
        spread: Value,
        scales: Value,
        given: Value,
        gradient: Value,
        begin: Value,
    ) -> None:
        group.along(
            lambda place: place.store_all(
                place.load_all(scores, F32) * place.load_all(spread, F32), scores
            )
        )
        write_softmax_gradient(group, scores, given, spread)
        target = self.number.at(group.code, gradient, begin)

        def finish(place: Place) -> None:
            slope = place.load_all(spread, F32)
            value = slope if self.unit else slope * place.load_all(scales, F32)
            self.number.store(place, value, target)

        group.along(finish)

    def _largest(self, group: Group, scores: Value, other: Value, begin: Value) -> None:
        """The number of each row's largest element, or the one-hot vector of it."""
        code = group.code
        target = self.number.at(code, other, begin)
        if self.kind == "hard":
            zero = code.vector(F32, 0.0)
            group.along(lambda place: self.number.store(place, zero, target))

        def write(row: Value, start: Value) -> None:
            def step(
                place: Value, column: Value, inside: Value, best: Value, where: Value
            ) -> tuple[Value, ...]:
                value = code.load(code.at(scores, F32, place), F32, code.lanes)
                value = inside.choose(value, LEAST)
                columns = column.to("trunc", I32).spread() + code.numbered(I32, code.lanes)
                where = value.compare(">", best).choose(columns, where)
                return value.max(best), where

            nothing = code.vector(F32, LEAST), code.vector(I32, 0)
            best, where = group.through(start, step, *nothing)
            index = first_largest(best, where)
            if self.kind == "index":
                code.store(index, code.at(other, I64, row))
            else:
                self.number.store_one(code, code.constant(F32, 1.0), target, start + index)

        group.each_row(write)
