"""The program that draws the numbers of categories, and nothing of a row's size besides."""

from __future__ import annotations

from typing import Any

from hotgrad.ops.kernels.compiled.code import Code, Place
from hotgrad.ops.kernels.compiled.maths import LOG2_E, exp2, uniform_of_element
from hotgrad.ops.kernels.compiled.program import LEAST, Number, Program
from hotgrad.ops.kernels.compiled.values import F32, F64, I64, POINTER, Value

BLOCK = 64


class Index(Program):
    """Exact categorical draws: a block of categories by the blocks' masses, then one of the block.

    The row is read once; a draw costs one uniform number and one block more. A row that has no
    possible category, or that holds NaN, gets -1.

    Arguments: logits; indices of 64 bits, `(draws, rows)`; scratch for two numbers of 64 bits a
    block; the key; the first row and the one after the last; categories; rows; draws.
    """

    arguments = (*(POINTER,) * 3, *(I64,) * 6)

    def __init__(self, number: Number) -> None:
        self.number = number

    def write(self, code_of: Any) -> None:
        code: Code = code_of("main", self.arguments)
        logits, indices, scratch, key, first, last, size, num_rows, draws = code.arguments
        zero = code.count(0)
        num_blocks = (size + (BLOCK - 1)) / BLOCK
        tops = code.at(scratch, F64, num_blocks)
        rows = code.loop(first, last)
        row = rows.index
        source = self.number.at(code, logits, row * size)

        blocks = code.loop(zero, num_blocks, code.constant(F32, LEAST), step=1)
        own, length = self._block(code, source, size, blocks.index)
        top = self._largest(code, own, length)
        (mass,) = code.sweep(length, self._adds(own, top.spread()), code.vector(F32, 0.0))
        code.store(top, code.at(tops, F32, blocks.index))
        code.store(mass.fold(Value.__add__).to("fpext", F64), code.at(scratch, F64, blocks.index))
        (top,) = blocks.end(top.max(blocks.carried[0]))

        # masses become what they and all before them amount to
        blocks = code.loop(zero, num_blocks, code.constant(F64, 0.0))
        place = code.at(scratch, F64, blocks.index)
        total = blocks.carried[0] + code.load(place, F64) * self._scale(
            code, tops, blocks.index, top
        )
        code.store(total, place)
        (total,) = blocks.end(total)

        draw = code.loop(zero, draws)
        element = draw.index * num_rows + row
        target = uniform_of_element(element, key) * total
        none = code.constant(F64, 0.0)
        blocks = code.loop(zero, num_blocks, zero, zero, none, none)
        block, fallback, before, below = blocks.carried
        cumulative = code.load(code.at(scratch, F64, blocks.index), F64)
        passed = cumulative.compare("<=", target)
        block, fallback, before, below = blocks.end(
            passed.choose(blocks.index + 1, block),
            cumulative.compare(">", before).choose(blocks.index, fallback),
            cumulative,
            passed.choose(cumulative, below),
        )
        # rounding may leave the target at the very end
        block = block.compare("<", num_blocks).choose(block, fallback)
        item = self._item(code, source, size, block, target - below, tops, top)
        possible = total.compare(">", 0.0)
        index = possible.choose(block * BLOCK + item, code.count(-1))
        code.store(index, code.at(indices, I64, element))
        draw.end()
        rows.end()
        code.finish()

    def _block(self, code: Code, source: Value, size: Value, block: Value) -> tuple[Value, Value]:
        begin = block * BLOCK
        return self.number.at(code, source, begin), (size - begin).min(code.count(BLOCK))

    def _largest(self, code: Code, own: Value, length: Value) -> Value:
        def larger(place: Place, top: Value) -> tuple[Value, ...]:
            return (self.number.load(place, own, float("-inf")).max(top),)

        (top,) = code.sweep(length, larger, code.vector(F32, LEAST))
        return top.fold(Value.max)

    def _adds(self, own: Value, top: Value) -> Any:
        def add(place: Place, total: Value) -> tuple[Value, ...]:
            value = exp2(self.number.load(place, own, float("-inf")) - top, LOG2_E)
            return (total + value,)

        return add

    def _scale(self, code: Code, tops: Value, block: Value, top: Value) -> Value:
        distance = code.load(code.at(tops, F32, block), F32) - top
        return exp2(distance, LOG2_E).to("fpext", F64)

    def _item(
        self,
        code: Code,
        source: Value,
        size: Value,
        block: Value,
        target: Value,
        tops: Value,
        top: Value,
    ) -> Value:
        """The first category of a block at which the sum of masses exceeds the target."""
        own, length = self._block(code, source, size, block)
        masses = code.array(F32, BLOCK)
        own_top = code.load(code.at(tops, F32, block), F32).spread()

        def write(place: Place) -> tuple[Value, ...]:
            value = exp2(self.number.load(place, own, float("-inf")) - own_top, LOG2_E)
            place.store_all(value, masses)
            return ()

        code.sweep(length, write)
        zero = code.count(0)
        target = target / self._scale(code, tops, block, top)
        items = code.loop(zero, length, zero, zero, code.constant(F64, 0.0))
        item, fallback, total = items.carried
        mass = code.load(code.at(masses, F32, items.index), F32).to("fpext", F64)
        total = total + mass
        item, fallback, _ = items.end(
            total.compare("<=", target).choose(items.index + 1, item),
            mass.compare(">", 0.0).choose(items.index, fallback),
            total,
        )
        return item.compare("<", length).choose(item, fallback)
