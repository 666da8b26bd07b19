"""Relaxed one-hot vectors: softmax((logits + Gumbel noise) / temperature), and what goes with them.

All functions take

- logits: any shape; -inf masks a category;
- temperature: a number, or a tensor that broadcasts against the logits;
- sample_shape: of the samples, in front of the logits' own shape;
- generator: the source of randomness; torch's global one if None;
- dim: the dimension of the categories;
- small: whether the logits are known to be `plain`; else they are looked at.
"""

import torch
from torch import Tensor

from hotgrad.ops.harden import one_hot_argmax
from hotgrad.ops.noise import added, draw_gumbel
from hotgrad.ops.precision import plain
from hotgrad.ops.relax import Temperature, before_noise, tempered
from hotgrad.ops.softmax import log_softmax, softmax


def relaxed_categories(
    logits: Tensor,
    temperature: Temperature,
    sample_shape: tuple[int, ...] = (),
    generator: torch.Generator | None = None,
    dim: int = -1,
    small: bool | None = None,
) -> Tensor:
    """Relaxed one-hot vectors in the logits' dtype."""
    scores = _perturbed(logits, temperature, sample_shape, generator, dim, small)
    return softmax(tempered(scores, temperature), dim).to(logits.dtype)


def hard_and_relaxed_categories(
    logits: Tensor,
    temperature: Temperature,
    sample_shape: tuple[int, ...] = (),
    generator: torch.Generator | None = None,
    dim: int = -1,
    small: bool | None = None,
) -> tuple[Tensor, Tensor]:
    """Exact one-hot vectors, and the relaxed ones of the same noise."""
    scores = _perturbed(logits, temperature, sample_shape, generator, dim, small)
    soft = softmax(tempered(scores, temperature), dim).to(logits.dtype)
    return one_hot_argmax(scores, logits.dtype, dim), soft


def relaxed_categories_with_log(
    logits: Tensor,
    temperature: Temperature,
    sample_shape: tuple[int, ...] = (),
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Relaxed one-hot vectors and their logarithm, in at least float32.

    The logarithm is finite where the sample itself underflows to 0; -inf at masked categories
    alone.
    """
    scores = _perturbed(logits, temperature, sample_shape, generator)
    log_value = log_softmax(tempered(scores, temperature))
    return log_value.exp().to(logits.dtype), log_value


def _perturbed(
    logits: Tensor,
    temperature: Temperature,
    sample_shape: tuple[int, ...],
    generator: torch.Generator | None,
    dim: int = -1,
    small: bool | None = None,
) -> Tensor:
    """Logits, less what would round the noise away, plus noise; in at least float32."""
    noise = draw_gumbel(
        (*sample_shape, *logits.shape),
        dtype=logits.dtype,
        device=logits.device,
        generator=generator,
    )
    if small is None:
        small = plain(logits)
    return added(noise, logits if small else before_noise(logits, temperature, dim))
