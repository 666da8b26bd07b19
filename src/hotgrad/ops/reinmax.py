"""ReinMax's two passes: the mean's Jacobian at the mean itself and between it and the sample.

The Jacobian of softmax at a probability vector c is diag(c) - c c^T. A *tangent* is a tensor whose
gradient is that Jacobian at a given c; its value means nothing. Writing it so needs no log of c,
hence works with masked classes.
"""

import torch
from torch import Tensor

from hotgrad.ops.harden import straight_through


def categorical_tangent(logits: Tensor, point: Tensor) -> Tensor:
    """A tensor with the gradient diag(point) - point point^T; `point` is a constant."""
    point = point.detach()
    finite = torch.where(logits.isinf(), 0.0, logits)
    return point * (finite - (point * finite).sum(-1, keepdim=True))


def bernoulli_tangent(logits: Tensor, point: Tensor) -> Tensor:
    """A tensor whose gradient to the logits is point (1 - point); `point` is a constant."""
    point = point.detach()
    finite = torch.where(logits.isinf(), 0.0, logits)
    return point * (1 - point) * finite


def reinmax(hard: Tensor, tangent_at_mean: Tensor, tangent_between: Tensor) -> Tensor:
    """`hard`, with the gradient 2 J(between) - J(mean) / 2.

    Bridging Discrete and Backpropagation: Straight-Through and Beyond (Liu et al., 2023),
    Algorithm 2.
    """
    return straight_through(hard, 2 * tangent_between - 0.5 * tangent_at_mean)
