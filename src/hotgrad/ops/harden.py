"""Hard samples, exactly 0 and 1 in every dtype, and the one way to give them a soft gradient."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from hotgrad.ops import checks


def one_hot_argmax(scores: Tensor, dtype: torch.dtype, dim: int = -1) -> Tensor:
    """The one-hot vector of the largest score along `dim`."""
    # faster than argmax, for the same index
    index = scores.detach().max(dim, keepdim=True).indices
    return torch.zeros_like(scores, dtype=dtype, requires_grad=False).scatter(dim, index, 1.0)


def threshold(scores: Tensor, dtype: torch.dtype) -> Tensor:
    """1 where the score is positive, else 0."""
    return (scores.detach() > 0).to(dtype)


def k_hot(scores: Tensor, k: int, dtype: torch.dtype) -> Tensor:
    """The k-hot vector of the k largest scores along the last dimension."""
    index = scores.detach().topk(k, sorted=False).indices
    return torch.zeros_like(scores, dtype=dtype, requires_grad=False).scatter(-1, index, 1.0)


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of `hard`, the gradient of `soft`.

    `hard` is the caller's own to give away: what is returned may be the same tensor.
    """
    # sizes come last: a compiler would make a condition of what is asked of them
    plain = checks.values_readable(hard, soft) and forward_ad._current_level < 0
    owned = plain and not hard.requires_grad and hard.dtype == soft.dtype
    if owned and hard.numel() >= max(LARGE, soft.numel()):
        given: Tensor = _StraightThrough.apply(hard, soft)  # type: ignore[no-untyped-call]
        return given
    # the bracket is exactly 0, so the value is exactly `hard`; (hard + soft) - soft would not be
    return hard + (soft - soft.detach())


LARGE = 1 << 14
"""Elements from which on three passes over the memory cost more than a function of Python's."""


class _StraightThrough(torch.autograd.Function):
    """The same without an operation on the numbers."""

    @staticmethod
    def forward(ctx: Any, hard: Tensor, soft: Tensor) -> Tensor:
        ctx.shape = soft.shape
        ctx.mark_dirty(hard)
        return hard

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[None, Tensor]:
        return None, upstream.sum_to_size(ctx.shape)
