"""Perturb and MAP: the best state for noisy scores, and two gradients that need nothing but it.

The MAP state is piecewise constant in its scores. One gradient is a finite difference, the state
before and after the scores move downhill; the other weighs the state with the slope of the noise's
density, which is smooth where the state is not.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hotgrad.ops.precision import centred
from hotgrad.ops.softmax import softmax

Argmax = Callable[[Tensor], Tensor]
"""From scores to the state with the largest inner product with them."""


class Perturbed(NamedTuple):
    """Scores with noise, and the noise's density seen from them."""

    scores: Tensor
    """Logits plus noise, but for a constant where the state is one that no common shift moves; in
    the noise's dtype, differentiable in the logits."""
    slope: Tensor
    """Of -log density at the scores, or its mean given what the state depends on; 0 where a logit
    is infinite."""


def perturbed_by_gumbel(logits: Tensor, noise: Tensor, scale: float = 1.0) -> Perturbed:
    r"""Logits plus `scale` times standard Gumbel noise, for a state that no common shift moves.

    The density's slope is 1 - exp(-noise). Such a state depends on the differences of the
    scores alone, so the slope's mean given those, over the n items that aren't masked,

    $$1 - n \, \mathrm{softmax}(-\mathrm{noise}),$$

    serves as well, with a lower variance, and sums to 0 as the exact gradient does.
    """
    fixed = _fixed(logits)
    kept = torch.where(fixed, -torch.inf, -noise)
    slope = 1 - (~fixed).sum(-1, keepdim=True) * softmax(kept)
    return _perturbed(centred(logits), noise, slope, scale)


def perturbed_by_logistic(logits: Tensor, noise: Tensor, scale: float = 1.0) -> Perturbed:
    """Logits plus `scale` times standard logistic noise, of slope tanh(noise / 2) / scale."""
    return _perturbed(logits, noise, torch.tanh(noise / 2), scale)


def _perturbed(logits: Tensor, noise: Tensor, slope: Tensor, scale: float) -> Perturbed:
    scores = logits.to(noise.dtype) + scale * noise
    return Perturbed(scores, torch.where(_fixed(logits), 0.0, slope / scale))


def _fixed(logits: Tensor) -> Tensor:
    """Where no noise makes a difference."""
    return logits.detach().isinf()


def map_with_slope(
    perturbed: Perturbed, argmax: Argmax, reference: Tensor, event_dims: int
) -> Tensor:
    r"""The MAP state z, with the gradient $\langle g, z - z_0 \rangle$ times the slope.

    g is the gradient that arrives and $z_0$ any state that doesn't depend on the noise; it changes
    no mean, since the slope's mean is 0.

    Args:
        perturbed: scores and slopes, `(..., *event)`.
        argmax: from scores to z.
        reference: z_0, broadcasts against the scores.
        event_dims: how many of the last dimensions the inner product sums over.

    Reference: Learning with Differentiable Perturbed Optimizers (Berthet et al., 2020),
    Proposition 3.1, https://arxiv.org/abs/2002.08676
    """
    hard = argmax(perturbed.scores)
    finite = torch.where(perturbed.scores.isinf(), 0.0, perturbed.scores)
    # 0, with the gradient of the scores
    moved = perturbed.slope * (finite - finite.detach())
    dims = _last(event_dims)
    moved = moved.sum(dims, keepdim=True) if dims else moved
    return hard + ((hard - reference) * moved).to(hard.dtype)


def map_with_finite_difference(
    scores: Tensor, argmax: Argmax, step: float, event_dims: int
) -> Tensor:
    r"""The MAP state of the scores, whose gradient is a finite difference of such states.

    $$\frac{r}{\lambda} \left( \mathrm{MAP}(s) - \mathrm{MAP}(s - \lambda (g - m) / r) \right),$$

    with g the gradient that arrives, whose entries reach from m - r to m + r where the scores are
    finite: scores move by `step`, $\lambda$, at most. For single bits m is 0.

    Args:
        scores: `(..., *event)`.
        argmax: from scores to the state; where the event has dimensions, one that a common shift
            of the scores leaves alone.
        step: in units of the scores.
        event_dims: the dimensions of one event.
    """
    state: Tensor = _MapWithFiniteDifference.apply(  # type: ignore[no-untyped-call]
        scores, argmax, step, event_dims
    )
    return state


class _MapWithFiniteDifference(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(scores: Tensor, argmax: Argmax, step: float, event_dims: int) -> Tensor:
        return argmax(scores)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Argmax, float, int], output: Tensor) -> None:
        scores, ctx.argmax, ctx.step, ctx.event_dims = inputs
        ctx.save_for_backward(scores, output)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        scores, before = ctx.saved_tensors
        gradient = upstream.to(scores.dtype)
        middle, reach = _middle_and_reach(gradient, scores.isfinite(), _last(ctx.event_dims))
        # no gradient, no direction: the difference is 0
        direction = (gradient - middle) / torch.where(reach == 0, 1.0, reach)
        after = ctx.argmax(scores - ctx.step * direction)
        return (before - after).to(scores.dtype) * (reach / ctx.step), None, None, None


def _middle_and_reach(
    values: Tensor, counted: Tensor, dims: tuple[int, ...]
) -> tuple[Tensor | float, Tensor]:
    """m and r with values from m - r to m + r along the dimensions; without any, 0 and the size."""
    if not dims:
        return 0.0, values.abs()
    high = torch.where(counted, values, -torch.inf).amax(dims, keepdim=True)
    low = torch.where(counted, values, torch.inf).amin(dims, keepdim=True)
    return (high + low) / 2, ((high - low) / 2).clamp(min=0)


def _last(count: int) -> tuple[int, ...]:
    """The numbers of the last dimensions."""
    return tuple(range(-count, 0))
