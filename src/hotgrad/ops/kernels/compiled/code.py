"""Machine code for the CPU, written in Python: numbers, vectors of them, and loops.

A `Value` stands for a number, or for a vector of `LANES` numbers, that the code will hold when it
runs; the operators between two of them write one instruction each. What is written is LLVM's
intermediate code, which llvmlite, the compiler library below Numba, turns into machine code.

Vectors are written as such, so that nothing depends on a compiler's finding them in a loop; and no
floating point operation is reordered, so that the same numbers come out on every machine that has a
fused multiply-add.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from hotgrad.ops.kernels.compiled.values import F16, F32, F64, FLOATS, I64, POINTER, Value, Writer


class Loop:
    """`for i in range(start, stop, step)`, with values that one turn hands to the next."""

    def __init__(
        self, code: Code, start: Value, stop: Value, step: Value, carried: tuple[Value, ...]
    ) -> None:
        self.code, self.step = code, step  # the step may be set anew in the body
        builder, function = code.builder, code.builder.function
        before = builder.block
        self._head, body, self._after = (
            function.append_basic_block(name) for name in ("head", "body", "after")
        )
        builder.branch(self._head)
        builder.position_at_end(self._head)
        self._phis = []
        for value in (start, *carried):
            phi = builder.phi(value.type)
            phi.add_incoming(value.value, before)
            self._phis.append(phi)
        self.index, *self.carried = (Value(code, phi) for phi in self._phis)
        goes_on = self.index.compare("<", stop)
        builder.cbranch(goes_on.value, body, self._after)
        builder.position_at_end(body)

    def end(self, *carried: Value) -> tuple[Value, ...]:
        """Close the body; what the last turn handed on."""
        builder = self.code.builder
        following = (self.index + self.step, *carried)
        for phi, value in zip(self._phis, following, strict=True):
            phi.add_incoming(value.value, builder.block)
        builder.branch(self._head)
        builder.position_at_end(self._after)
        return tuple(self.carried)


class Code(Writer):
    """A function that is being written."""

    def __init__(
        self, module: ir.Module, name: str, arguments: Sequence[Any], lanes: int, *, inner: bool
    ) -> None:
        self.lanes = lanes
        self.module = module
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), list(arguments)), name)
        if inner:
            self.function.linkage = "internal"
            self.function.attributes.add("noinline")
        self._entry = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.builder = ir.IRBuilder(self.function.append_basic_block("start"))
        self._start = self.builder.block
        self.arguments = [Value(self, argument) for argument in self.function.args]
        self._ragged: dict[str, Any] = {}

    def finish(self) -> Any:
        """Close the function."""
        self.builder.ret_void()
        self._entry.branch(self._start)
        return self.function

    def constant(self, element: Any, number: float, lanes: int = 0) -> Value:
        """A constant; in all lanes if there are some."""
        value = float(number) if isinstance(element, FLOATS) else int(number)
        if not lanes:
            return Value(self, ir.Constant(element, value))
        return Value(self, ir.Constant(ir.VectorType(element, lanes), [value] * lanes))

    def vector(self, element: Any, number: float) -> Value:
        """A constant in all lanes."""
        return self.constant(element, number, self.lanes)

    def count(self, number: int) -> Value:
        """A constant for indices and sizes."""
        return self.constant(I64, number)

    def numbered(self, element: Any, lanes: int) -> Value:
        """0, 1, 2, .. in the lanes."""
        return Value(self, ir.Constant(ir.VectorType(element, lanes), list(range(lanes))))

    def array(self, element: Any, size: int) -> Value:
        """Memory of the function's own, for `size` numbers."""
        memory = self._entry.alloca(element, ir.Constant(I64, size))
        memory.align = 64
        return Value(self, self._entry.bitcast(memory, POINTER))

    def at(self, pointer: Value, element: Any, index: Value) -> Value:
        """The place of a number in an array."""
        typed = self.builder.bitcast(pointer.value, element.as_pointer())
        place = self.builder.gep(typed, [index.value])
        return Value(self, self.builder.bitcast(place, POINTER))

    def load(self, pointer: Value, element: Any, lanes: int = 0) -> Value:
        """A number, or a vector, from memory that need not be aligned to more than one number."""
        kind = ir.VectorType(element, lanes) if lanes else element
        typed = self.builder.bitcast(pointer.value, kind.as_pointer())
        return Value(self, self.builder.load(typed, align=_width(element)))

    def store(self, value: Value, pointer: Value) -> None:
        """Write it."""
        typed = self.builder.bitcast(pointer.value, value.type.as_pointer())
        self.builder.store(value.value, typed, align=_width(value.element))

    def loop(self, start: Value, stop: Value, *carried: Value, step: Value | int = 1) -> Loop:
        """A loop, whose body is written until its `end`."""
        step = step if isinstance(step, Value) else self.count(step)
        return Loop(self, start, stop, step, carried)

    def call(self, function: Any, *arguments: Value) -> None:
        """Call a function of the same module."""
        self.builder.call(function, [argument.value for argument in arguments])

    def call_intrinsic(self, name: str, first: Value, *others: Value | float) -> Value:
        """One of LLVM's own functions of floats, of numbers of one type."""
        full = f"{name}.v{first.lanes}f32" if first.lanes else f"{name}.f32"
        kind = ir.FunctionType(first.type, [first.type] * (1 + len(others)))
        function = self.module.globals.get(full) or ir.Function(self.module, kind, full)
        arguments = [first.value, *(first._other(other) for other in others)]
        return Value(self, self.builder.call(function, arguments))

    def sweep(
        self,
        size: Value,
        body: Callable[..., tuple[Value, ...]],
        *carried: Value,
    ) -> tuple[Value, ...]:
        """Vectors side by side over `size` numbers, and a last one that is not full.

        Args:
            size: how many numbers.
            body: writes what is done with one vector: takes a `Place` and the carried values, and
                returns these anew.
            carried: what one vector hands to the next.
        """
        lanes = self.lanes
        pairs, whole = size & -2 * lanes, size & -lanes
        # two vectors in one turn share the loads of constants
        loop = self.loop(self.count(0), pairs, *carried, step=2 * lanes)
        values = body(Place(self, loop.index, None), *loop.carried)
        carried = loop.end(*body(Place(self, loop.index + lanes, None), *values))
        for start, stop, ragged in ((pairs, whole, False), (whole, size, True)):
            loop = self.loop(start, stop, *carried, step=lanes)
            left = size - loop.index if ragged else None
            carried = loop.end(*body(Place(self, loop.index, left), *loop.carried))
        return carried

    def ragged(self, element: Any) -> Value:
        """Memory for one vector that is not full."""
        key = str(element)
        if key not in self._ragged:
            self._ragged[key] = self.array(element, self.lanes)
        memory: Value = self._ragged[key]
        return memory


class Place:
    """Where in an array a vector stands; the last one of an array may have fewer numbers."""

    def __init__(self, code: Code, index: Value, left: Value | None) -> None:
        self.code, self.index, self.left = code, index, left

    def load(self, pointer: Value, element: Any, padding: float) -> Value:
        """The vector here; lanes beyond the end hold the padding."""
        code = self.code
        place = code.at(pointer, element, self.index)
        if self.left is None:
            return code.load(place, element, code.lanes)
        memory = code.ragged(element)
        code.store(code.vector(element, padding), memory)
        self._copy(self.left, place, memory, element)
        return code.load(memory, element, code.lanes)

    def load_all(self, pointer: Value, element: Any) -> Value:
        """The vector here, from memory that goes on beyond the end."""
        return self.code.load(self.code.at(pointer, element, self.index), element, self.code.lanes)

    def store_all(self, value: Value, pointer: Value) -> None:
        """Write the vector into memory that goes on beyond the end."""
        self.code.store(value, self.code.at(pointer, value.element, self.index))

    def store(self, value: Value, pointer: Value) -> None:
        """Write the vector here, without the lanes beyond the end."""
        code = self.code
        place = code.at(pointer, value.element, self.index)
        if self.left is None:
            code.store(value, place)
            return
        memory = code.ragged(value.element)
        code.store(value, memory)
        self._copy(self.left, memory, place, value.element)

    def _copy(self, left: Value, source: Value, target: Value, element: Any) -> None:
        loop = self.code.loop(self.code.count(0), left)
        number = self.code.load(self.code.at(source, element, loop.index), element)
        self.code.store(number, self.code.at(target, element, loop.index))
        loop.end()


def _width(element: Any) -> int:
    return {F16: 2, F32: 4, F64: 8}.get(element) or element.width // 8
