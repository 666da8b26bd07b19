"""Gauss-Legendre nodes: exact for polynomials of twice their number, geometric for smooth ones."""

import math
from functools import cache

import torch
from torch import Tensor

from hotgrad.ops.compiler import constant_to_compiler


def gauss_legendre(count: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes and weights on [-1, 1], of the dtype and on the device of `like`."""
    dtype, device = like.dtype, like.device
    nodes, weights = (torch.tensor(x, dtype=dtype, device=device) for x in _constants(count))
    return nodes, weights


# what is compiled has the numbers in it, and not the thousands of steps that lead to them
@constant_to_compiler
def _constants(count: int) -> tuple[list[float], list[float]]:
    return _nodes_and_weights(count)


@cache
def _nodes_and_weights(count: int) -> tuple[list[float], list[float]]:
    """By Newton's steps on the Legendre polynomial, from Chebyshev's nodes."""
    nodes, weights = [], []
    for index in range(count, 0, -1):
        x = math.cos(math.pi * (index - 0.25) / (count + 0.5))
        for _ in range(8):
            before, value = 1.0, x
            for n in range(2, count + 1):
                before, value = value, ((2 * n - 1) * x * value - (n - 1) * before) / n
            slope = count * (x * value - before) / (x * x - 1)
            x -= value / slope
        nodes.append(x)
        weights.append(2 / ((1 - x * x) * slope * slope))
    return nodes, weights
