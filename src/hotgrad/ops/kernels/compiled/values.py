"""Numbers and vectors of numbers that machine code will hold, with operators that write it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

I1, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 16, 32, 64))
F16, F32, F64 = ir.HalfType(), ir.FloatType(), ir.DoubleType()
FLOATS = ir.HalfType, ir.FloatType, ir.DoubleType
POINTER = ir.IntType(8).as_pointer()


class Writer(ABC):
    """Where a value's operators write their instructions."""

    builder: Any
    lanes: int

    @abstractmethod
    def constant(self, element: Any, number: float, lanes: int = 0) -> Value:
        """A constant; in all lanes if there are some."""

    @abstractmethod
    def call_intrinsic(self, name: str, first: Value, *others: Value | float) -> Value:
        """One of LLVM's own functions of floats, of numbers of one type."""


class Value:
    """A number or a vector that the code will hold, with operators that write instructions.

    The other operand may be a Python number, which is spread over the lanes. Integers are signed,
    but for `>>`.
    """

    def __init__(self, code: Writer, value: Any) -> None:
        self.code = code
        self.value = value
        self.type = value.type

    @property
    def lanes(self) -> int:
        """How many numbers it is; 0 for one that is no vector."""
        return self.type.count if isinstance(self.type, ir.VectorType) else 0

    @property
    def element(self) -> Any:
        """The type of one number."""
        return self.type.element if self.lanes else self.type

    def _other(self, other: Value | float) -> Any:
        return other.value if isinstance(other, Value) else self.like(other).value

    def _write(self, floating: str, integer: str, other: Value | float) -> Value:
        name = floating if isinstance(self.element, FLOATS) else integer
        return Value(self.code, getattr(self.code.builder, name)(self.value, self._other(other)))

    def like(self, number: float) -> Value:
        """A constant of the same type."""
        return self.code.constant(self.element, number, self.lanes)

    def __add__(self, other: Value | float) -> Value:
        return self._write("fadd", "add", other)

    def __sub__(self, other: Value | float) -> Value:
        return self._write("fsub", "sub", other)

    def __rsub__(self, other: float) -> Value:
        return self.like(other) - self

    def __mul__(self, other: Value | float) -> Value:
        return self._write("fmul", "mul", other)

    def __truediv__(self, other: Value | float) -> Value:
        return self._write("fdiv", "sdiv", other)

    def __rtruediv__(self, other: float) -> Value:
        return self.like(other) / self

    def __neg__(self) -> Value:
        return Value(self.code, self.code.builder.fneg(self.value))

    def __and__(self, other: Value | int) -> Value:
        return self._write("", "and_", other)

    def __or__(self, other: Value | int) -> Value:
        return self._write("", "or_", other)

    def __xor__(self, other: Value | int) -> Value:
        return self._write("", "xor", other)

    def __lshift__(self, other: int) -> Value:
        return self._write("", "shl", other)

    def __rshift__(self, other: int) -> Value:
        return self._write("", "lshr", other)

    def compare(self, operator: str, other: Value | float) -> Value:
        """Truth values; false where a floating point number is NaN."""
        builder = self.code.builder
        ordered = isinstance(self.element, FLOATS)
        write = builder.fcmp_ordered if ordered else builder.icmp_signed
        return Value(self.code, write(operator, self.value, self._other(other)))

    def choose(self, yes: Value, no: Value | float) -> Value:
        """`yes` where this holds, else `no`."""
        other = yes._other(no)
        return Value(self.code, self.code.builder.select(self.value, yes.value, other))

    def max(self, other: Value) -> Value:
        """The larger one; the other one where this is NaN."""
        return self.compare(">", other).choose(self, other)

    def min(self, other: Value) -> Value:
        """The smaller one."""
        return self.compare("<", other).choose(self, other)

    def times_plus(self, factor: Value | float, term: Value | float) -> Value:
        """self * factor + term, rounded once."""
        return self.code.call_intrinsic("llvm.fma", self, factor, term)

    def bits(self, element: Any) -> Value:
        """The same bits read as another type."""
        return self._as("bitcast", element)

    def to(self, how: str, element: Any) -> Value:
        """Converted, by the instruction of that name."""
        return self._as(how, element)

    def _as(self, how: str, element: Any) -> Value:
        target = ir.VectorType(element, self.lanes) if self.lanes else element
        return Value(self.code, getattr(self.code.builder, how)(self.value, target))

    def spread(self, lanes: int | None = None) -> Value:
        """One number in all lanes."""
        builder, lanes = self.code.builder, lanes or self.code.lanes
        vector = ir.VectorType(self.type, lanes)
        first = builder.insert_element(
            ir.Constant(vector, ir.Undefined), self.value, ir.Constant(I32, 0)
        )
        return Value(self.code, first).pick([0] * lanes)

    def pick(self, lanes: Sequence[int], other: Value | None = None) -> Value:
        """Lanes by their numbers; those of a second vector come after one's own."""
        mask = ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes))
        second = (other or self).value
        return Value(self.code, self.code.builder.shuffle_vector(self.value, second, mask))

    def fold(self, both: Callable[[Value, Value], Value]) -> Value:
        """One number of all lanes: halves are put together until one lane is left."""
        value = self
        while value.lanes > 1:
            half = value.lanes // 2
            value = both(value.pick(range(half)), value.pick(range(half, 2 * half)))
        return Value(self.code, self.code.builder.extract_element(value.value, ir.Constant(I32, 0)))
