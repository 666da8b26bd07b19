"""Relaxed one-hot vectors: softmax((logits + Gumbel noise) / temperature), and what goes with them.

All functions take

- logits: any shape; -inf masks a category;
- temperature: a number, or a tensor that broadcasts against the logits;
- sample_shape: of the samples, in front of the logits' own shape;
- generator: the source of randomness; torch's global one if None;
- dim: the dimension of the categories;
- check: whether to refuse logits that leave a row without a possible category, where that is seen
  at once; else such a row is NaN.
"""

import torch
from torch import Tensor

from hotgrad.ops import parameters
from hotgrad.ops.harden import one_hot_argmax
from hotgrad.ops.kernels import fused, fused_samples
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
    *,
    check: bool = False,
) -> Tensor:
    """Relaxed one-hot vectors in the logits' dtype."""
    return _sample(logits, temperature, sample_shape, generator, dim, check, hard=False)[1]


def hard_and_relaxed_categories(
    logits: Tensor,
    temperature: Temperature,
    sample_shape: tuple[int, ...] = (),
    generator: torch.Generator | None = None,
    dim: int = -1,
    *,
    check: bool = False,
) -> tuple[Tensor, Tensor]:
    """Exact one-hot vectors, and the relaxed ones of the same noise."""
    return _sample(logits, temperature, sample_shape, generator, dim, check, hard=True)


def hard_categories(
    logits: Tensor,
    sample_shape: tuple[int, ...] = (),
    generator: torch.Generator | None = None,
) -> Tensor:
    """Exact one-hot vectors: those of the relaxed samples from a generator in the same state."""
    logits = logits.detach()
    if not fused.usable(logits):
        scores = perturbed(logits, 1.0, sample_shape, generator, -1, plain(logits))
        return one_hot_argmax(scores, logits.dtype)
    key = fused.draw_key(generator)
    index, _ = fused.functions().winners(logits.contiguous(), sample_shape, key)
    return logits.new_zeros((*sample_shape, *logits.shape)).scatter_(-1, index.unsqueeze(-1), 1.0)


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
    scores = perturbed(logits, temperature, sample_shape, generator, -1, plain(logits))
    log_value = log_softmax(tempered(scores, temperature))
    return log_value.exp().to(logits.dtype), log_value


def _sample(
    logits: Tensor,
    temperature: Temperature,
    sample_shape: tuple[int, ...],
    generator: torch.Generator | None,
    dim: int,
    check: bool,
    *,
    hard: bool,
) -> tuple[Tensor, Tensor]:
    last = dim in (-1, logits.ndim - 1)
    # along another dimension torch's own softmax is as fast as along rows
    if last and fused.usable(logits) and fused_samples.takes_temperature(temperature, logits.shape):
        exact, soft, well = fused_samples.relaxed_categories(
            logits, temperature, sample_shape, generator, hard=hard
        )
    else:
        small = plain(logits)
        scores = perturbed(logits, temperature, sample_shape, generator, dim, small)
        exact = soft = softmax(tempered(scores, temperature), dim).to(logits.dtype)
        if hard:
            exact = one_hot_argmax(scores, logits.dtype, dim)
        # bad logits aren't small, and show as NaN in the sample; looking there costs a cheap sum
        well = small or not (check and parameters.seen_as_nan(soft))
    if check and not well:
        parameters.check_categorical_logits(logits, dim)
    return exact, soft


def perturbed(
    logits: Tensor,
    temperature: Temperature,
    sample_shape: tuple[int, ...],
    generator: torch.Generator | None,
    dim: int,
    small: bool,
) -> Tensor:
    """Logits, less what would round the noise away, plus noise; in at least float32."""
    noise = draw_gumbel(
        (*sample_shape, *logits.shape),
        dtype=logits.dtype,
        device=logits.device,
        generator=generator,
    )
    return added(noise, logits if small else before_noise(logits, temperature, dim))
