"""Gauss-Legendre nodes: exact for polynomials of twice their number, geometric for smooth ones."""

from functools import cache

import torch
from torch import Tensor


def gauss_legendre(count: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes and weights on [-1, 1], of the dtype and on the device of `like`."""
    nodes, weights = _on_cpu(count)
    return nodes.to(like), weights.to(like)


@cache
# kept for the whole process: tensors of inference mode would be of no use to training later
@torch.inference_mode(False)
def _on_cpu(count: int) -> tuple[Tensor, Tensor]:
    """By Newton's steps on the Legendre polynomial, from Chebyshev's nodes."""
    index = torch.arange(count, 0, -1, dtype=torch.float64, device="cpu")
    x = torch.cos(torch.pi * (index - 0.25) / (count + 0.5))
    for _ in range(8):
        before, value = torch.ones_like(x), x.clone()
        for n in range(2, count + 1):
            before, value = value, ((2 * n - 1) * x * value - (n - 1) * before) / n
        slope = count * (x * value - before) / (x.square() - 1)
        x = x - value / slope
    return x, 2 / ((1 - x.square()) * slope.square())
