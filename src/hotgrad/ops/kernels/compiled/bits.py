"""Programs for bits, relaxed and hard, and for the noise alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hotgrad.ops.kernels.compiled.code import Code, Place
from hotgrad.ops.kernels.compiled.maths import (
    LN_2,
    LOG2_E,
    Uniforms,
    exp2,
    exponential_bits,
    log2,
    smaller_tail,
    write_words,
)
from hotgrad.ops.kernels.compiled.program import TILE, Number, Program
from hotgrad.ops.kernels.compiled.values import F32, I32, I64, POINTER, Value

LN_LN_2 = -0.36651292058166435
MOST = 125.0
"""Beyond odds of 2^125 to 1 a relaxed bit is 0 or 1."""


class Noise(Program):
    """Gumbel or logistic noise in float32.

    Arguments: the noise; the key; the first element and the one after the last.
    """

    arguments = (POINTER, I64, I64, I64)

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def write(self, code_of: Any) -> None:
        words = write_words(code_of)
        code: Code = code_of("main", self.arguments)
        noise, key, first, last = code.arguments

        def write(place: Place, uniform: Value, start: Value, _: Value) -> None:
            if self.kind == "gumbel":
                logarithm = log2(exponential_bits(uniform))
                value = logarithm.times_plus(-LN_2, -LN_LN_2)
            else:
                value = _log2_odds(uniform) * LN_2
            place.store(value, code.at(noise, F32, start))

        _for_each_element(code, words, key, first, last, last, write)
        code.finish()


class RelaxedBits(Program):
    """sigmoid((logits + logistic noise) / temperature), and what is made of it.

    With temperature 1 it needs no logarithm: the odds are exp(l) u / (1 - u), u uniform. The hard
    bits alone need not even a division.

    Kinds: "soft"; "hard", the bits alone; "both"; "gradient" writes the soft bits' gradient, given
    what comes from above.

    Arguments: logits; the soft bits, or the gradient; the hard ones, or what comes from above; the
    inverse temperature; the key; the first element and the one after the last; how many logits,
    after which they begin anew.
    """

    arguments = (*(POINTER,) * 3, F32, *(I64,) * 4)

    def __init__(self, number: Number, kind: str, *, unit: bool) -> None:
        self.number, self.kind, self.unit = number, kind, unit

    def write(self, code_of: Any) -> None:
        words = write_words(code_of)
        code: Code = code_of("main", self.arguments)
        logits, soft, other, inverse, key, first, last, repeat = code.arguments
        scale = inverse.spread()
        number = self.number

        def write(place: Place, uniform: Value, start: Value, column: Value) -> None:
            logit = number.load(place, number.at(code, logits, column), 0.0) * LOG2_E
            if self.unit:
                relaxed, certain, positive = _of_odds(logit, uniform)
            else:
                score = logit + _log2_odds(uniform)
                relaxed, certain = _sigmoid(score * scale)
                positive = score.compare(">", 0.0)
            relaxed = certain.choose(relaxed.like(0.0), relaxed)
            target = number.at(code, soft, start)
            if self.kind == "gradient":
                given = number.load(place, number.at(code, other, start), 0.0)
                number.store(place, given * (relaxed * (1.0 - relaxed)) * scale, target)
            elif self.kind != "hard":
                number.store(place, relaxed, target)
            if self.kind in ("hard", "both"):
                bits = positive.choose(relaxed.like(1.0), 0.0)
                number.store(place, bits, number.at(code, other, start))

        _for_each_element(code, words, key, first, last, repeat, write)
        code.finish()


def _of_odds(logit: Value, uniform: Value) -> tuple[Value, Value, Value]:
    """u / (u + exp(-l) (1 - u)), where it is certainly 0, and whether it is more than a half."""
    tail = smaller_tail(uniform)
    rest = 1.0 - tail
    up = uniform.compare(">", 0.0)
    u, other = up.choose(rest, tail), up.choose(tail, rest)
    # NaN goes through, as the second operand of a comparison that fails
    power = exp2(logit.like(MOST).min(0.0 - logit))
    against = power * other
    return u / (u + against), logit.compare("<", -MOST), u.compare(">", against)


def _sigmoid(score: Value) -> tuple[Value, Value]:
    """1 / (1 + 2^-score), and where it is certainly 0."""
    power = exp2(score.like(MOST).min(0.0 - score))
    return 1.0 / (power + 1.0), score.compare("<", -MOST)


def _log2_odds(uniform: Value) -> Value:
    """log2(u / (1 - u)): logistic noise over ln 2."""
    tail = smaller_tail(uniform)
    size = log2(tail / (1.0 - tail), sign=-1)
    sign = uniform.bits(I32) & -0x80000000
    return (size.bits(I32) | sign).bits(F32)


def _for_each_element(
    code: Code,
    words: Any,
    key: Value,
    first: Value,
    last: Value,
    repeat: Value,
    write: Callable[[Place, Value, Value, Value], None],
) -> None:
    """Write a loop over elements, `first` to `last`, in tiles.

    Args:
        code: the function.
        words: the function that draws the words.
        key: of the call.
        first: element.
        last: the one after it.
        repeat: columns, after which they begin anew.
        write: takes a place in the tile, i + s of the elements there, and the element and the
            column with which the tile begins.
    """
    uniforms = Uniforms(code, words, key, TILE)
    tiles = code.loop(first, last)
    start = tiles.index
    column = start - start / repeat * repeat
    length = (last - start).min(code.count(TILE)).min(repeat - column)
    uniforms.draw(start, length)

    def body(place: Place) -> tuple[Value, ...]:
        write(place, uniforms.at(place), start, column)
        return ()

    code.sweep(length, body)
    tiles.step = length
    tiles.end()
