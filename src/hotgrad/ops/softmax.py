"""Softmax and its logarithm, with short rows made long; the sum of two in log space.

On a CPU torch vectorises a softmax along its last dimension only where a row fills a vector
register, and is many times slower where it doesn't. Such short rows, 10 categories say, are the
usual latent code; they are transposed, so that the vectors run across rows. The same numbers up to
rounding.
"""

import torch
from torch import Tensor

from hotgrad.ops import checks

VECTOR_BYTES = 64 if "AVX512" in torch.backends.cpu.get_cpu_capability() else 32


def softmax(scores: Tensor, dim: int = -1) -> Tensor:
    """Softmax along `dim`."""
    if _is_short(scores, dim):
        return _rows_last(_rows_first(scores, dim).softmax(0), dim)
    return scores.softmax(dim)


def log_softmax(scores: Tensor, dim: int = -1) -> Tensor:
    """Log-softmax along `dim`."""
    if _is_short(scores, dim):
        return _rows_last(_rows_first(scores, dim).log_softmax(0), dim)
    return scores.log_softmax(dim)


def logaddexp(first: Tensor, second: Tensor) -> Tensor:
    """log(e^first + e^second) of finite terms, with derivatives of any order.

    torch's own overflows in its second derivative where the two are 45 apart, in float32.
    """
    return torch.maximum(first, second) + torch.log1p((-(first - second).abs()).exp())


def _is_short(scores: Tensor, dim: int) -> bool:
    # a compiler vectorises as it sees fit; another dimension than the last is vectorised already
    return (
        scores.device.type == "cpu"
        and not checks.recorded()
        and dim in (-1, scores.ndim - 1)
        and scores.ndim > 1
        and scores.shape[dim] * scores.element_size() < VECTOR_BYTES
    )


def _rows_first(scores: Tensor, dim: int) -> Tensor:
    return scores.movedim(dim, 0).contiguous()


def _rows_last(scores: Tensor, dim: int) -> Tensor:
    return scores.movedim(0, dim).contiguous()
