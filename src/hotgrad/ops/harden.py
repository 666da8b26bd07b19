"""Hard samples, exactly 0 and 1 in every dtype, and the one way to give them a soft gradient."""

import torch
from torch import Tensor


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

    The bracket is exactly 0, so the value is exactly `hard`; (hard + soft) - soft would not be.
    """
    return hard + (soft - soft.detach())
