"""Relaxed bits: sigmoid((log-odds + logistic noise) / temperature), and what goes with them.

The arguments are those of the categories' functions.
"""

import torch
from torch import Tensor

from hotgrad.ops.harden import threshold
from hotgrad.ops.kernels import fused, fused_samples
from hotgrad.ops.noise import added, draw_logistic
from hotgrad.ops.precision import widened
from hotgrad.ops.relax import Temperature, tempered


def relaxed_bits(
    logits: Tensor,
    temperature: Temperature,
    sample_shape: tuple[int, ...] = (),
    generator: torch.Generator | None = None,
) -> Tensor:
    """Relaxed bits in the logits' dtype."""
    return _sample(logits, temperature, sample_shape, generator, hard=False)[1]


def hard_and_relaxed_bits(
    logits: Tensor,
    temperature: Temperature,
    sample_shape: tuple[int, ...] = (),
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Exact bits, and the relaxed ones of the same noise."""
    return _sample(logits, temperature, sample_shape, generator, hard=True)


def hard_bits(
    logits: Tensor,
    sample_shape: tuple[int, ...] = (),
    generator: torch.Generator | None = None,
) -> Tensor:
    """Exact bits: those of the relaxed samples from a generator in the same state."""
    logits = logits.detach()
    if not fused.usable(logits):
        return threshold(_perturbed(logits, sample_shape, generator), logits.dtype)
    key = fused.draw_key(generator)
    drawn: Tensor = fused.functions().bits(logits.contiguous(), sample_shape, key)
    return drawn


def relaxed_bits_with_logit(
    logits: Tensor,
    temperature: Temperature,
    sample_shape: tuple[int, ...] = (),
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Relaxed bits and their log-odds, in at least float32, which don't round to 0 and 1."""
    logit = tempered(_perturbed(logits, sample_shape, generator), temperature)
    return logit.sigmoid().to(logits.dtype), logit


def _sample(
    logits: Tensor,
    temperature: Temperature,
    sample_shape: tuple[int, ...],
    generator: torch.Generator | None,
    *,
    hard: bool,
) -> tuple[Tensor, Tensor]:
    if not isinstance(temperature, Tensor) and fused.usable(logits):
        return fused_samples.relaxed_bits(logits, temperature, sample_shape, generator, hard=hard)
    scores = _perturbed(logits, sample_shape, generator)
    soft = tempered(scores, temperature).sigmoid().to(logits.dtype)
    return threshold(scores, logits.dtype) if hard else soft, soft


def _perturbed(
    logits: Tensor, sample_shape: tuple[int, ...], generator: torch.Generator | None
) -> Tensor:
    """Log-odds plus noise, in at least float32."""
    noise = draw_logistic(
        (*sample_shape, *logits.shape),
        dtype=logits.dtype,
        device=logits.device,
        generator=generator,
    )
    return added(noise, widened(logits))
