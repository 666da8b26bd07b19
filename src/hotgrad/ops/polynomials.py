"""Products of polynomials with batches of coefficients, and their adjoint, differentiable for ever.

Coefficients lie along the first dimension, so that every pass runs along contiguous batches. The
gradient of a product is a correlation, and the gradients of a correlation are a product and a
correlation: the two close under differentiation. All terms of a product of probabilities are
positive, so nothing cancels: each coefficient is right to a relative rounding error.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from hotgrad.ops import checks


def product(a: Tensor, b: Tensor, degree: int) -> Tensor:
    """The coefficients of a(x) b(x) up to x^degree; `(coefficients, *batch)` each."""
    if torch.is_grad_enabled() and not checks.recorded():
        return _Product.apply(a, b, degree)  # type: ignore[no-untyped-call]
    return _product(a, b, degree)


def correlate(c: Tensor, b: Tensor, size: int) -> Tensor:
    """sum_j c[i + j] b[j] for i below `size`: what reaches a when `c` is the gradient of a b.

    The batch of `c` broadcasts against that of `b`.
    """
    if torch.is_grad_enabled() and not checks.recorded():
        return _Correlation.apply(c, b, size)  # type: ignore[no-untyped-call]
    return _correlation(c, b, size)


def add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Add the product's coefficients to those that `total` has; without a gradient."""
    short, long = (a, b) if a.size(0) <= b.size(0) else (b, a)
    add, length, size = _adder(a, b), long.size(0), total.size(0)
    for shift, factor in enumerate(short[:size].unbind()):
        if shift + length <= size:
            add(total[shift : shift + length], long, factor)
        else:
            add(total[shift:], long[: size - shift], factor)


def add_correlation(total: Tensor, c: Tensor, b: Tensor) -> None:
    """Add correlate(c, b, len(total)) to `total`; without a gradient."""
    add, length, size = _adder(c, b), c.size(0), total.size(0)
    for shift, factor in enumerate(b[:length].unbind()):
        if shift + size <= length:
            add(total, c[shift : shift + size], factor)
        else:
            add(total[: length - shift], c[shift:], factor)


def _adder(a: Tensor, b: Tensor) -> Callable[[Tensor, Tensor, Tensor], object]:
    """What adds a product to a tensor in place; vmap goes through addcmul_ row by row."""
    if checks.values_readable(a, b):
        return Tensor.addcmul_
    return lambda total, factor, other: total.add_(factor * other)


def _product(a: Tensor, b: Tensor, degree: int) -> Tensor:
    size = min(a.size(0) + b.size(0) - 1, degree + 1)
    total = _zeros(a, b, size)
    add_product(total, a, b)
    return total


def _correlation(c: Tensor, b: Tensor, size: int) -> Tensor:
    total = _zeros(c, b, size)
    add_correlation(total, c, b)
    return total


def _zeros(a: Tensor, b: Tensor, size: int) -> Tensor:
    """Coefficients to add to; mapped by vmap where one of the factors is."""
    like = b if checks.values_readable(a, b) else a[:1] * b[:1]
    return like.new_zeros((size, *b.shape[1:]))


class _Product(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, b: Tensor, degree: int) -> Tensor:
        return _product(a, b, degree)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        a, b, _ = inputs
        ctx.save_for_backward(a, b)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        a, b = ctx.saved_tensors
        to_a = correlate(upstream, b, len(a)) if ctx.needs_input_grad[0] else None
        to_b = correlate(upstream, a, len(b)) if ctx.needs_input_grad[1] else None
        return to_a, to_b, None


class _Correlation(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(c: Tensor, b: Tensor, size: int) -> Tensor:
        return _correlation(c, b, size)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        c, b, _ = inputs
        ctx.save_for_backward(c, b)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        c, b = ctx.saved_tensors
        to_c = to_b = None
        if ctx.needs_input_grad[0]:
            to_c = product(upstream, b, len(c) - 1)
            shared = [i for i, size in enumerate(c.shape[1:], 1) if size < to_c.shape[i]]
            to_c = to_c.sum(shared, keepdim=True) if shared else to_c
            # coefficients of c that were not read
            to_c = F.pad(to_c, (0, 0) * (c.ndim - 1) + (0, len(c) - len(to_c)))
        if ctx.needs_input_grad[1]:
            to_b = correlate(c.expand(-1, *b.shape[1:]), upstream, len(b))
        return to_c, to_b, None
