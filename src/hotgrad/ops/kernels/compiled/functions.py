"""The programs as functions of tensors: memory, keys, threads."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hotgrad.ops.kernels.compiled import threads
from hotgrad.ops.kernels.compiled.bits import Noise, RelaxedBits
from hotgrad.ops.kernels.compiled.build import build
from hotgrad.ops.kernels.compiled.index import BLOCK, Index
from hotgrad.ops.kernels.compiled.long_rows import LongRows
from hotgrad.ops.kernels.compiled.program import TILE, Number
from hotgrad.ops.kernels.compiled.short_rows import ShortRows
from hotgrad.ops.kernels.compiled.softmax_gradient import (
    LongSoftmaxGradient,
    ShortSoftmaxGradient,
)

NUMBERS = {
    torch.float32: Number.FLOAT32,
    torch.bfloat16: Number.BFLOAT16,
    torch.float16: Number.FLOAT16,
}
FEW = 50
"""Categories up to which a race is faster than the masses of blocks."""
VECTOR = 16
"""Numbers that scratch memory has beyond its end."""

Temperature = float | Tensor


def relaxed_categories(
    logits: Tensor, temperature: Temperature, sample_shape: Sequence[int], key: int, *, hard: bool
) -> tuple[Tensor, Tensor, bool]:
    """Hard one-hot vectors (the soft ones if there are to be none), soft ones, and if all is well.

    Not well is a row without a possible category, or with NaN: its soft vector is NaN.
    """
    soft = _samples_of(logits, sample_shape)
    exact = torch.empty_like(soft) if hard else soft
    kind = "hard" if hard else "soft"
    rows = soft.numel() // soft.shape[-1]
    return exact, soft, _run_categories(kind, logits, soft, exact, temperature, key, rows)


def relaxed_rows(logits: Tensor, temperature: float, key: int, first: int, last: int) -> Tensor:
    """Rows `first` to `last` of the relaxed sample of this key; logits are `(rows, categories)`."""
    soft = logits.new_empty((last - first, logits.shape[-1]))
    _run_categories("soft", logits, soft, soft, temperature, key, last - first, first)
    return soft


def winners(logits: Tensor, sample_shape: Sequence[int], key: int) -> tuple[Tensor, bool]:
    """The largest categories of the sample of this key, as numbers, and if all is well."""
    index = logits.new_empty((*sample_shape, *logits.shape[:-1]), dtype=torch.int64)
    well = _run_categories("index", logits, logits, index, 1.0, key, index.numel())
    return index, well


def relaxed_categories_gradient(
    logits: Tensor, upstream: Tensor, temperature: Temperature, key: int
) -> Tensor:
    """What comes from above through the relaxed sample of this key, to each sample's logits."""
    gradient = torch.empty_like(upstream)
    rows = gradient.numel() // gradient.shape[-1]
    _run_categories("gradient", logits, gradient, upstream, temperature, key, rows)
    return gradient


def _run_categories(
    kind: str,
    logits: Tensor,
    soft: Tensor,
    other: Tensor,
    temperature: Temperature,
    key: int,
    rows: int,
    begin: int = 0,
) -> bool:
    """Run a program for `rows` rows from `begin` on, of which `soft` and `other` hold the first."""
    inverse, _held, inverses = _inverse(temperature)
    size = logits.shape[-1]
    program = _categories(logits.dtype, kind, inverse == 1, size <= TILE)
    bad = ctypes.c_int64()
    # where the sample's own first row would be
    skipped = begin * size * logits.element_size()
    addresses = logits.data_ptr(), soft.data_ptr() - skipped, other.data_ptr() - skipped, inverses
    where, repeat = ctypes.addressof(bad), logits.numel() // size

    def work(first: int, last: int) -> None:
        # short rows have room in the program itself
        scratch = _floats(size + VECTOR) if size > TILE else None
        own = 0 if scratch is None else scratch.data_ptr()
        rows_of_part = begin + first, begin + last
        program(*addresses, own, where, inverse, key, *rows_of_part, size, repeat)

    threads.run(work, rows, size)
    return not bad.value


def softmax_gradient(
    upstream: Tensor, value: Tensor, temperature: Temperature, repeat: int
) -> Tensor:
    """What comes from above through a softmax of this value, to each sample's logits.

    Args:
        upstream: what comes from above.
        value: of the softmax.
        temperature: what the logits were divided by.
        repeat: rows of logits, after which those of the samples begin anew.
    """
    inverse, _held, inverses = _inverse(temperature)
    size = value.shape[-1]
    program = _softmax_gradient(value.dtype, size <= TILE)
    gradient = torch.empty_like(value)
    addresses = upstream.data_ptr(), value.data_ptr(), gradient.data_ptr(), inverses

    def work(first: int, last: int) -> None:
        program(*addresses, inverse, first, last, size, repeat)

    threads.run(work, value.numel() // size, size)
    return gradient


def relaxed_bits(
    logits: Tensor, temperature: float, sample_shape: Sequence[int], key: int, *, hard: bool
) -> tuple[Tensor, Tensor]:
    """Hard bits (the soft ones if there are to be none), and soft ones."""
    soft = _samples_of(logits, sample_shape)
    exact = torch.empty_like(soft) if hard else soft
    _run_bits("both" if hard else "soft", logits, soft, exact, temperature, key)
    return exact, soft


def bits(logits: Tensor, sample_shape: Sequence[int], key: int) -> Tensor:
    """Hard bits alone."""
    exact = _samples_of(logits, sample_shape)
    _run_bits("hard", logits, exact, exact, 1.0, key)
    return exact


def relaxed_bits_gradient(logits: Tensor, upstream: Tensor, temperature: float, key: int) -> Tensor:
    """What comes from above through the relaxed bits of this key, to each sample's logits."""
    gradient = torch.empty_like(upstream)
    _run_bits("gradient", logits, gradient, upstream, temperature, key)
    return gradient


def _run_bits(
    kind: str, logits: Tensor, soft: Tensor, other: Tensor, temperature: float, key: int
) -> None:
    program = _bits(logits.dtype, kind, temperature == 1)
    if logits.numel() < TILE < soft.numel():
        # the program reads them in order, and stops where they begin anew
        logits = logits.flatten().repeat(TILE // logits.numel())
    addresses = logits.data_ptr(), soft.data_ptr(), other.data_ptr()
    repeat, inverse = logits.numel(), 1 / temperature

    def work(first: int, last: int) -> None:
        program(*addresses, inverse, key, first, last, repeat)

    threads.run(work, soft.numel(), unit=1024)


def noise(kind: str, shape: Sequence[int], key: int) -> Tensor:
    """Gumbel or logistic noise in float32."""
    program = _noise(kind)
    drawn = _floats(*shape)
    address = drawn.data_ptr()

    def work(first: int, last: int) -> None:
        program(address, key, first, last)

    threads.run(work, drawn.numel(), unit=1024)
    return drawn


def indices(logits: Tensor, num_samples: int, key: int) -> tuple[Tensor, bool]:
    """Categories' numbers, `(num_samples, *batch)`, and if all is well.

    Not well is a row without a possible category, or with NaN.
    """
    size = logits.shape[-1]
    if size <= FEW:
        return winners(logits, (num_samples,), key)
    program = _index(logits.dtype)
    drawn = logits.new_empty((num_samples, *logits.shape[:-1]), dtype=torch.int64)
    rows = logits.numel() // size
    addresses = logits.data_ptr(), drawn.data_ptr()

    def work(first: int, last: int) -> None:
        scratch = _floats(4 * (size // BLOCK + 1))
        program(*addresses, scratch.data_ptr(), key, first, last, size, rows, num_samples)

    threads.run(work, rows, size)
    return drawn, not bool((drawn < 0).any())


def _floats(*shape: int) -> Tensor:
    """Memory for float32 numbers, whatever torch's default dtype and device are."""
    return torch.empty(shape, dtype=torch.float32, device="cpu")


def _samples_of(logits: Tensor, sample_shape: Sequence[int]) -> Tensor:
    """Memory for samples."""
    if not sample_shape:
        return torch.empty_like(logits)
    return logits.new_empty((*sample_shape, *logits.shape))


def _inverse(temperature: Temperature) -> tuple[float, Tensor | None, int]:
    """The inverse of a temperature, or a tensor of one for each row and its address."""
    if not isinstance(temperature, Tensor):
        return 1 / temperature, None, 0
    if temperature.numel() == 1:
        return 1 / temperature.item(), None, 0
    inverses = temperature.float().reciprocal().contiguous()
    return 0.0, inverses, inverses.data_ptr()


@functools.cache
def _categories(dtype: torch.dtype, kind: str, unit: bool, short: bool) -> Callable[..., None]:
    program = ShortRows if short else LongRows
    return build(program(NUMBERS[dtype], kind, unit=unit))


@functools.cache
def _softmax_gradient(dtype: torch.dtype, short: bool) -> Callable[..., None]:
    program = ShortSoftmaxGradient if short else LongSoftmaxGradient
    return build(program(NUMBERS[dtype]))


@functools.cache
def _bits(dtype: torch.dtype, kind: str, unit: bool) -> Callable[..., None]:
    return build(RelaxedBits(NUMBERS[dtype], kind, unit=unit))


@functools.cache
def _noise(kind: str) -> Callable[..., None]:
    return build(Noise(kind))


@functools.cache
def _index(dtype: torch.dtype) -> Callable[..., None]:
    return build(Index(NUMBERS[dtype]))
