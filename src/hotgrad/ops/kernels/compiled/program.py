"""What a program is, and the formats in which it reads and writes numbers."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from hotgrad.ops.kernels.compiled.code import Code, Place
from hotgrad.ops.kernels.compiled.values import F16, F32, I16, I32, I64, Value

TILE = 1024
"""Elements that are worked on at once: they stay in the nearest cache."""
LEAST = -3.4028234663852886e38
"""No score that counts is less; finite, so that a row of -inf alone makes no NaN of itself."""


class Number(enum.Enum):
    """A format of numbers in memory; all are float32 while they are computed with."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"

    @property
    def element(self) -> Any:
        """The type that is read and written."""
        return {Number.FLOAT32: F32, Number.BFLOAT16: I16, Number.FLOAT16: F16}[self]

    def at(self, code: Code, array: Value, index: Value) -> Value:
        """The place of a number in an array."""
        return code.at(array, self.element, index)

    def load(self, place: Place, array: Value, padding: float) -> Value:
        """The vector at a place, in float32."""
        if self is Number.FLOAT32:
            return place.load(array, F32, padding)
        if self is Number.FLOAT16:
            return place.load(array, F16, padding).to("fpext", F32)
        raw = place.load(array, I16, _bfloat16_bits(padding))
        return (raw.to("zext", I32) << 16).bits(F32)

    def store(self, place: Place, value: Value, array: Value) -> None:
        """Write a float32 vector at a place."""
        place.store(self._rounded(value), array)

    def store_one(self, code: Code, value: Value, array: Value, index: Value) -> None:
        """Write one float32 number."""
        code.store(self._rounded(value), self.at(code, array, index))

    def _rounded(self, value: Value) -> Value:
        if self is Number.FLOAT32:
            return value
        if self is Number.FLOAT16:
            return value.to("fptrunc", F16)
        bits = value.bits(I32)
        # to the nearest, to the even one of two
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).to("trunc", I16)


def _bfloat16_bits(number: float) -> int:
    return {0.0: 0, float("-inf"): 0xFF80}[number]


class Program(ABC):
    """A function of machine code: what it takes, and how it is written."""

    arguments: ClassVar[tuple[Any, ...]]

    @abstractmethod
    def write(self, code_of: Any) -> None:
        """Write a function `main` of these arguments, with `code_of(name, arguments)`."""


def inverse_of(code: Code, inverses: Value, inverse: Value, row: Value) -> Value:
    """The inverse temperature of a row, in all lanes."""
    own = code.array(F32, 1)
    code.store(inverse, own)
    nowhere = inverses.to("ptrtoint", I64).compare("==", 0)
    place = nowhere.choose(own, code.at(inverses, F32, row))
    return code.load(place, F32).spread()


def first_largest(best: Value, where: Value) -> Value:
    """The number of the largest of what the lanes found best; the first of equals, as argmax's."""
    top = best.fold(Value.max).spread()
    index = best.compare("==", top).choose(where, where.like(2**31 - 1)).fold(Value.min)
    return index.to("sext", I64)
