"""Programs of the tests' own: what the kernels are made of, from memory to memory."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("llvmlite")

from hotgrad.ops.kernels.compiled import bits, build, maths
from hotgrad.ops.kernels.compiled.code import Place
from hotgrad.ops.kernels.compiled.program import Program
from hotgrad.ops.kernels.compiled.values import F32, I32, I64, POINTER, Value


class Words(Program):
    """The words of counters. Arguments: where to; the first; how many; the key; the stream."""

    arguments = (POINTER, I64, I64, I64, I64)

    def write(self, code_of: Any) -> None:
        words = maths.write_words(code_of)
        code = code_of("main", self.arguments)
        code.call(words, *code.arguments)
        code.finish()


class Map(Program):
    """A function of each number. Arguments: where from; where to; how many; the fraction."""

    arguments = (POINTER, POINTER, I64, F32)

    def __init__(self, function: Callable[..., Value], *, of_words: bool) -> None:
        self.function, self.of_words = function, of_words

    def write(self, code_of: Any) -> None:
        code = code_of("main", self.arguments)
        source, target, size, fraction = code.arguments

        def body(place: Place) -> tuple[Value, ...]:
            if self.of_words:
                number = maths.signed_uniform(place.load(source, I32, 0), fraction.spread())
            else:
                number = place.load(source, F32, 1.0)
            place.store(self.function(number), target)
            return ()

        code.sweep(size, body)
        code.finish()


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "exponential": maths.exponential_bits,
    "logistic": bits._log2_odds,
    "log2": maths.log2,
    "exp2": maths.exp2,
}


def words(first: int, count: int, key: int, stream: int = 0) -> Tensor:
    """As the reference has them; what the program may write besides is left out."""
    drawn = torch.empty(4 * count + 64, dtype=torch.int32)
    _built("words")(drawn.data_ptr(), first, count, key, stream)
    return drawn[: 4 * count]


def mapped(name: str, numbers: Tensor, fraction: float = 0.0) -> Tensor:
    """A function of numbers, or of random words where they are integers."""
    source, result = numbers.contiguous(), torch.empty(numbers.shape)
    _built(name)(source.data_ptr(), result.data_ptr(), numbers.numel(), fraction)
    return result


_programs: dict[str, Callable[..., None]] = {}


def _built(name: str) -> Callable[..., None]:
    if name not in _programs:
        of_words = name in ("exponential", "logistic")
        program = Words() if name == "words" else Map(FUNCTIONS[name], of_words=of_words)
        _programs[name] = build.build(program)
    return _programs[name]
