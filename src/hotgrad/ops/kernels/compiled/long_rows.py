"""The programs for categories in rows longer than a tile, tile by tile.

A row is one choice among K categories. Its passes stay in the cache, and only the sample itself
goes back to memory.
"""

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
from hotgrad.ops.kernels.compiled.values import F32, I32, I64, POINTER, Value


class LongRows(Program):
    """softmax((logits + Gumbel noise) / temperature), row by row, and what is made of it.

    With temperature 1, exp(l + g) is exp(l) / E, E an exponential variable: one logarithm less.

    Kinds: "soft"; "hard" writes the one-hot vectors of the largest besides; "index" writes their
    numbers, in 64 bits, and nothing else; "gradient" writes the soft vectors' gradient, given what
    comes from above.

    Arguments: logits; the soft vectors, or the gradient; the hard ones, or the numbers, or what
    comes from above; a row's inverse temperatures, or 0 if all rows have one; scratch of a row's
    size and a vector more; where 1 is written if a row has no possible category; the inverse
    temperature of all rows; the key; the first row and the one after the last; categories; rows of
    logits, after which they begin anew.
    """

    arguments = (*(POINTER,) * 6, F32, *(I64,) * 5)

    def __init__(self, number: Number, kind: str, *, unit: bool) -> None:
        self.number, self.kind, self.unit = number, kind, unit

    def write(self, code_of: Any) -> None:
        words = write_words(code_of)
        code: Code = code_of("main", self.arguments)
        (
            logits, soft, other, inverses, scratch, bad, inverse, key, first, last, size, repeat,
        ) = code.arguments  # fmt: skip
        ignored = code.array(I64, 1)
        uniforms = Uniforms(code, words, key, TILE)
        rows = code.loop(first, last)
        row = rows.index
        own_row = row - row / repeat * repeat
        source = self.number.at(code, logits, own_row * size)
        scale = inverse_of(code, inverses, inverse, own_row)
        top = self._largest(code, source, size)
        tiles = code.loop(code.count(0), size, *self._nothing(code), step=TILE)
        total, best, where = tiles.carried
        length = (size - tiles.index).min(code.count(TILE))
        uniforms.draw(row * size + tiles.index, length)
        own_source = self.number.at(code, source, tiles.index)
        own_scratch = code.at(scratch, F32, tiles.index)

        def perturb(place: Place, total: Value, best: Value, where: Value) -> tuple[Value, ...]:
            distance = self.number.load(place, own_source, float("-inf")) - top
            exponential = exponential_bits(uniforms.at(place))
            if self.unit:
                score = exp2(distance, LOG2_E) / exponential
                total = total + score
            else:
                score = distance.times_plus(LOG2_E, log2(exponential, sign=-1)) * scale
            if self.kind != "index":
                place.store_all(score, own_scratch)
            if self.kind in ("hard", "index"):
                index = (tiles.index + place.index).to("trunc", I32).spread()
                index = index + code.numbered(I32, code.lanes)
                where = score.compare(">", best).choose(index, where)
            compared = self.kind in ("hard", "index") or not self.unit
            return total, score.max(best) if compared else best, where

        part, best, where = code.sweep(length, perturb, self._nothing(code)[0], best, where)
        total, best, where = tiles.end(total + part, best, where)
        if not self.unit:
            total = self._exponentials(code, scratch, size, best.fold(Value.max).spread())
        total = total.fold(Value.__add__)
        possible = total.compare(">", 0.0)
        # several threads write there, and only ever 1
        code.store(code.count(1), possible.choose(ignored, bad))
        if self.kind == "gradient":
            self._gradient(code, scratch, (1.0 / total).spread(), scale, other, soft, row, size)
        elif self.kind != "index":
            self._scale(code, scratch, (1.0 / total).spread(), soft, row, size)
        if self.kind == "hard":
            self._one_hot(code, other, row, size, first_largest(best, where))
        if self.kind == "index":
            code.store(first_largest(best, where), code.at(other, I64, row))
        rows.end()
        code.finish()

    def _nothing(self, code: Code) -> tuple[Value, Value, Value]:
        """No sum yet, no largest score, no place of it."""
        return code.vector(F32, 0.0), code.vector(F32, LEAST), code.vector(I32, 0)

    def _largest(self, code: Code, source: Value, size: Value) -> Value:
        """The largest logit of a row; a finite number if there is nothing but -inf."""

        def larger(place: Place, top: Value) -> tuple[Value, ...]:
            return (self.number.load(place, source, float("-inf")).max(top),)

        (top,) = code.sweep(size, larger, code.vector(F32, LEAST))
        return top.fold(Value.max).spread()

    def _exponentials(self, code: Code, scratch: Value, size: Value, top: Value) -> Value:
        tiles = code.loop(code.count(0), size, code.vector(F32, 0.0), step=TILE)
        own = code.at(scratch, F32, tiles.index)

        def power(place: Place, total: Value) -> tuple[Value, ...]:
            value = exp2(place.load_all(own, F32) - top)
            place.store_all(value, own)
            return (total + value,)

        length = (size - tiles.index).min(code.count(TILE))
        (part,) = code.sweep(length, power, code.vector(F32, 0.0))
        (total,) = tiles.end(tiles.carried[0] + part)
        return total

    def _scale(
        self, code: Code, scratch: Value, scale: Value, soft: Value, row: Value, size: Value
    ) -> None:
        target = self.number.at(code, soft, row * size)

        def finish(place: Place) -> tuple[Value, ...]:
            self.number.store(place, place.load_all(scratch, F32) * scale, target)
            return ()

        code.sweep(size, finish)

    def _gradient(
        self,
        code: Code,
        scratch: Value,
        scale: Value,
        inverse: Value,
        upstream: Value,
        gradient: Value,
        row: Value,
        size: Value,
    ) -> None:
        source, target = (self.number.at(code, a, row * size) for a in (upstream, gradient))

        def product(place: Place, total: Value) -> tuple[Value, ...]:
            given = self.number.load(place, source, 0.0)
            return (given.times_plus(place.load_all(scratch, F32), total),)

        (mean,) = code.sweep(size, product, code.vector(F32, 0.0))
        mean = mean.fold(Value.__add__).spread() * scale

        def finish(place: Place) -> tuple[Value, ...]:
            given = self.number.load(place, source, 0.0)
            value = place.load_all(scratch, F32) * scale
            self.number.store(place, (given - mean) * (value * inverse), target)
            return ()

        code.sweep(size, finish)

    def _one_hot(self, code: Code, hard: Value, row: Value, size: Value, index: Value) -> None:
        target = self.number.at(code, hard, row * size)

        def zero(place: Place) -> tuple[Value, ...]:
            self.number.store(place, code.vector(F32, 0.0), target)
            return ()

        code.sweep(size, zero)
        self.number.store_one(code, code.constant(F32, 1.0), target, index)
