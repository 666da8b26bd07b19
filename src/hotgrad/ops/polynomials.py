"""Products of polynomials with batches of coefficients, and their adjoint, differentiable for ever.

Coefficients lie along the first dimension, so that every pass runs along contiguous batches. The
gradient of a product is a correlation, and the gradients of a correlation are a product and a
correlation: the two close under differentiation. All terms of a product of probabilities are
positive, so nothing cancels: each coefficient is right to a relative rounding error.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from hotgrad.ops import checks


def product(a: Tensor, b: Tensor, degree: int) -> Tensor:
    """The coefficients of a(x) b(x) up to x^degree; `(coefficients, *batch)` each."""
    if torch.is_grad_enabled():
        return _Product.apply(a, b, degree)  # type: ignore[no-untyped-call]
    return _product(a, b, degree)


def correlate(c: Tensor, b: Tensor, size: int) -> Tensor:
    """sum_j c[i + j] b[j] for i below `size`: what reaches a when `c` is the gradient of a b.

    The batch of `c` broadcasts against that of `b`.
    """
    if torch.is_grad_enabled():
        return _Correlation.apply(c, b, size)  # type: ignore[no-untyped-call]
    return _correlation(c, b, size)


def add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Add the product's coefficients to those that `total` has; without a gradient."""
    short, long = (a, b) if len(a) <= len(b) else (b, a)
    for shift, factor in enumerate(short[: len(total)].unbind()):
        length = min(len(long), len(total) - shift)
        _add(total[shift : shift + length], long[:length], factor)


def add_correlation(total: Tensor, c: Tensor, b: Tensor) -> None:
    """Add correlate(c, b, len(total)) to `total`; without a gradient."""
    for shift, factor in enumerate(b[: len(c)].unbind()):
        length = min(len(total), len(c) - shift)
        _add(total[:length], c[shift : shift + length], factor)


def _add(total: Tensor, a: Tensor, factor: Tensor) -> None:
    if checks.values_readable(a, factor):
        total.addcmul_(a, factor)
    else:  # vmap would go through addcmul_ row by row
        total += a * factor


def _product(a: Tensor, b: Tensor, degree: int) -> Tensor:
    short, long = (a, b) if len(a) <= len(b) else (b, a)
    size = min(len(a) + len(b) - 1, degree + 1)
    total = _padded(long[:size] * short[0], size)
    add_product(total[1:], short[1:], long)
    return total


def _correlation(c: Tensor, b: Tensor, size: int) -> Tensor:
    total = _padded(c[:size] * b[0], size)
    add_correlation(total, c[1:], b[1:])
    return total


def _padded(coefficients: Tensor, size: int) -> Tensor:
    """With zeros for those that are missing."""
    missing = size - len(coefficients)
    if missing == 0:
        return coefficients
    return torch.cat([coefficients, coefficients.new_zeros((missing, *coefficients.shape[1:]))])


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
            # c has coefficients that were not read where it is longer
            to_c = _padded(to_c.sum(shared, keepdim=True) if shared else to_c, len(c))
        if ctx.needs_input_grad[1]:
            to_b = correlate(c.expand(-1, *b.shape[1:]), upstream, len(b))
        return to_c, to_b, None
