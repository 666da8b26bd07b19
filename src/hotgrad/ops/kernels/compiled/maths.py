"""Random words from a counter, and the logarithm and the exponential that make samples of them.

The polynomials are least-maximum fits of the relative error, made by iterated weights: 1.7e-7 for
the logarithm, 7.5e-8 for the exponential.
"""

from __future__ import annotations

import struct
from typing import Any

from hotgrad.ops.kernels.compiled.code import Code, Place
from hotgrad.ops.kernels.compiled.values import F32, F64, I32, I64, POINTER, Value

LOG2 = (
    1.4426948045925811,
    -0.7213466229231558,
    0.48096551055859293,
    -0.36078368918818465,
    0.2855819928057485,
    -0.23689229339812432,
    0.24686239239273533,
    -0.221677460746233,
)
EXP2 = (
    1.0000000716558095,
    0.693146967051535,
    0.24022119717700297,
    0.05550713291675259,
    0.009675541682117095,
    0.0013276467199467672,
)
LOG2_E = 1.4426950408889634
LN_2 = 0.6931471805599453

MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10
FRACTION_STREAM = 1
"""The fourth word of the counter where the fraction of a call is drawn; elsewhere it is 0."""


def log2(x: Value, minus_one: Value | None = None, *, sign: int = 1) -> Value:
    """The base-2 logarithm of positive, normal numbers, or its negative.

    Args:
        x: the numbers.
        minus_one: x - 1 in more digits than x has next to 1, where they are known.
        sign: 1 or -1.
    """
    bits = x.bits(I32)
    # x = 2^e (1 + m), with 1 + m in [2/3, 4/3)
    exponent = (bits - 0x3F2AAAAB) & -0x00800000
    m = (bits - exponent).bits(F32) - 1.0
    if minus_one is not None:
        m = exponent.compare("==", 0).choose(minus_one, m)
    even, odd = ([sign * _single(c) for c in LOG2[start::2]] for start in (0, 1))
    square = m * m
    series = _polynomial(square, odd).times_plus(m, _polynomial(square, even)) * m
    return exponent.to("sitofp", F32).times_plus(sign * 2.0**-23, series)


def exp2(x: Value, factor: float = 1.0) -> Value:
    """2^(x * factor) for x * factor <= 126; 0 below 2^-125, also of -inf; NaN of NaN."""
    # adding 1.5 * 2^23 rounds to an integer, which the lowest bits of the sum then hold
    magic = 12582912.0
    shifted = x.times_plus(factor, magic)
    fraction = x.times_plus(factor, magic - shifted)
    low, middle, high = (
        fraction.times_plus(_single(EXP2[i + 1]), _single(EXP2[i])) for i in (0, 2, 4)
    )
    square = fraction * fraction
    series = high.times_plus(square, middle).times_plus(square, low)
    power = (series.bits(I32) + (shifted.bits(I32) << 23)).bits(F32)
    # NaN's lowest bits, added above, would turn it into a number
    return x.compare(">=", -125.0 / factor).choose(power, x.like(0.0).max(x))


def _polynomial(x: Value, coefficients: list[float]) -> Value:
    total = x.like(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total.times_plus(x, coefficient)
    return total


def _single(number: float) -> float:
    """The nearest float32, which LLVM wants its constants to be."""
    rounded: float = struct.unpack("f", struct.pack("f", number))[0]
    return rounded


def write_words(code_of: Any) -> Any:
    """The function `words(buffer, first, count, key, stream)`: random words of Philox 4x32-10.

    Word w of the counter c is element 4 c + w of a call's noise; so element e has its word whatever
    the other elements are. Writes `count` counters' words, four each, and up to a vector more.

    Reference: Parallel Random Numbers: As Easy as 1, 2, 3 (Salmon, Moraes, Dror, Shaw, 2011),
    Section 3.3, https://doi.org/10.1145/2063384.2063405
    """
    code: Code = code_of("words", [POINTER, I64, I64, I64, I64], inner=True)
    buffer, first, count, key, stream = code.arguments
    keys = _key_schedule(key, code.lanes // 2)
    counters = first.spread(code.lanes // 2) + code.numbered(I64, code.lanes // 2)
    loop = code.loop(code.count(0), count, counters, step=code.lanes // 2)
    (counters,) = loop.carried
    streams = stream.spread(code.lanes // 2)
    x0, x1, x2, x3 = _rounds(counters, counters >> 32, counters.like(0), streams, keys)
    low = 0xFFFFFFFF
    pairs = (x0 & low | x1 << 32), (x2 & low | x3 << 32)
    half = code.lanes // 2
    in_order = [lane for j in range(half) for lane in (j, half + j)]
    code.store(pairs[0].pick(in_order, pairs[1]), code.at(buffer, I64, loop.index * 2))
    loop.end(counters + half)
    return code.finish()


class Uniforms:
    """i + s of elements one after another, uniform on (-2^31, 2^31) and fine around 0.

    i is an element's word, s the fraction that a call's elements share, as `hotgrad.ops.noise` has
    it. At most `size` elements are drawn at once.
    """

    def __init__(self, code: Code, words: Any, key: Value, size: int) -> None:
        self._code, self._words, self._key = code, words, key
        # four elements before the first, and what a vector of counters writes beyond the last
        self._buffer = code.array(I32, size + 6 * code.lanes)
        stream = code.count(FRACTION_STREAM)
        code.call(words, self._buffer, code.count(0), code.count(1), key, stream)
        bits = (code.load(self._buffer, I32) >> 9).to("sitofp", F32)
        self._fraction = ((bits + 0.5) * 2.0**-23).spread()

    def draw(self, first: Value, count: Value) -> None:
        """Draw those of `count` elements from `first` on."""
        code, aligned = self._code, first & -4
        counters = (first - aligned + count + 3) >> 2
        code.call(self._words, self._buffer, aligned >> 2, counters, self._key, code.count(0))
        self._own = code.at(self._buffer, I32, first - aligned)

    def at(self, place: Place) -> Value:
        """Those at a place among the elements drawn last."""
        return signed_uniform(place.load_all(self._own, I32), self._fraction)


def uniform_of_element(element: Value, key: Value) -> Value:
    """One number in (0, 1), in 53 bits, for the element of a counter of its own."""
    code = key.code
    half = code.lanes // 2
    counter = element.spread(half)
    zero = counter.like(0)
    low, high, *_ = _rounds(counter, counter >> 32, zero, zero, _key_schedule(key, half))
    word = (low & 0xFFFFFFFF | high << 32).pick([0, 1]).fold(lambda one, _: one)
    # of 54 bits the half would be rounded away
    return ((word >> 12).to("sitofp", F64) + 0.5) * 2.0**-52


def _key_schedule(key: Value, lanes: int) -> list[tuple[Value, Value]]:
    low, high = key & 0xFFFFFFFF, key >> 32
    schedule = []
    for step in range(ROUNDS):
        pair = tuple(
            ((part + step * weyl) & 0xFFFFFFFF).spread(lanes)
            for part, weyl in zip((low, high), WEYL, strict=True)
        )
        schedule.append((pair[0], pair[1]))
    return schedule


def _rounds(
    x0: Value, x1: Value, x2: Value, x3: Value, keys: list[tuple[Value, Value]]
) -> tuple[Value, Value, Value, Value]:
    """Words in the lower halves of 64-bit lanes; what the upper halves hold means nothing."""
    for first, second in keys:
        product0 = (x0 & 0xFFFFFFFF) * MULTIPLIERS[0]
        product1 = (x2 & 0xFFFFFFFF) * MULTIPLIERS[1]
        x0, x1 = (product1 >> 32) ^ x1 ^ first, product1
        x2, x3 = (product0 >> 32) ^ x3 ^ second, product0
    return x0, x1, x2, x3


def signed_uniform(words: Value, fraction: Value) -> Value:
    """i + s of words and a call's fraction."""
    return words.to("sitofp", F32) + fraction


TO_UNIT = 2.0**-31 * (1 - 2.0**-24)
"""What makes |i + s| a number below 1."""


def exponential_bits(i_plus_s: Value) -> Value:
    """An exponential variable over ln 2: -log2(1 - |w|), as fine next to 0 as floats are."""
    minus_w = _absolute(i_plus_s) * -TO_UNIT
    return log2(minus_w + 1.0, minus_w, sign=-1)


def smaller_tail(i_plus_s: Value) -> Value:
    """The smaller one of u and 1 - u, u uniform: |w| / 2. The sign of w says which one it is."""
    return _absolute(i_plus_s) * (TO_UNIT / 2)


def _absolute(x: Value) -> Value:
    return (x.bits(I32) & 0x7FFFFFFF).bits(F32)
