"""Perturb and MAP: the best state for noisy scores, and two gradients that need nothing but it.

The MAP state is piecewise constant in its scores. One gradient is a finite difference, the state
before and after the scores move downhill; the other weighs the state with the slope of the noise's
density, which is smooth where the state is not.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hotgrad.ops.events import like_event, over_event
from hotgrad.ops.precision import centred
from hotgrad.ops.softmax import softmax

Scores = dict[str, Tensor]
Argmax = Callable[[Scores], Tensor]
"""From scores to the state with the largest score."""
Statistics = Callable[[Tensor], Scores]
"""From a state to what each of the scores is multiplied by in the state's."""


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

    is as right, with a lower variance, and sums to 0 as the exact gradient does.
    """
    fixed = _fixed(logits)
    kept = torch.where(fixed, -torch.inf, -noise)
    slope = 1 - (~fixed).sum(-1, keepdim=True) * softmax(kept)
    return perturbed(centred(logits), noise, slope, scale)


def perturbed_by_logistic(logits: Tensor, noise: Tensor, scale: float = 1.0) -> Perturbed:
    """Logits plus `scale` times standard logistic noise, of slope tanh(noise / 2) / scale."""
    return perturbed(logits, noise, torch.tanh(noise / 2), scale)


def perturbed(logits: Tensor, noise: Tensor, slope: Tensor, scale: float = 1.0) -> Perturbed:
    """Logits plus `scale` times noise whose -log density has this slope at a scale of 1."""
    scores = logits.to(noise.dtype) + scale * noise
    return Perturbed(scores, torch.where(_fixed(logits), 0.0, slope / scale))


def _fixed(logits: Tensor) -> Tensor:
    """Where no noise makes a difference."""
    return logits.detach().isinf()


def map_with_slope(
    scores: Scores, slopes: Scores, argmax: Argmax, reference: Tensor, event_dims: int
) -> Tensor:
    r"""The MAP state z, with the gradient $\langle g, z - z_0 \rangle$ times the slope.

    g is the gradient that arrives and $z_0$ any state that doesn't depend on the noise; it changes
    no mean, since the slope's mean is 0.

    Args:
        scores: by name, each `(..., *its own dimensions)`; the first ones have the state's.
        slopes: of the noise's -log density, in the shapes of the scores.
        argmax: from scores to z.
        reference: z_0, broadcasts against z.
        event_dims: the dimensions of one z, over which the inner product sums.

    Reference: Learning with Differentiable Perturbed Optimizers (Berthet et al., 2020),
    Proposition 3.1, https://arxiv.org/abs/2002.08676
    """
    hard = argmax(scores)
    lead = hard.ndim - event_dims
    moved = []
    for name, score in scores.items():
        finite = torch.where(score.isinf(), 0.0, score)
        # 0, with the gradient of the scores
        moved.append(over_event(slopes[name] * (finite - finite.detach()), lead))
    total = moved[0] if len(moved) == 1 else torch.stack(moved).sum(0)
    return hard + ((hard - reference) * like_event(total, hard)).to(hard.dtype)


def map_with_finite_difference(
    scores: Scores, argmax: Argmax, statistics: Statistics, step: float, event_dims: int
) -> Tensor:
    r"""The MAP state of the scores, whose gradient is a finite difference of such states.

    $$\frac{r}{\lambda} \left( s(\mathrm{MAP}(\theta)) - s(\mathrm{MAP}(\theta - \lambda (g - m) /
    r)) \right),$$

    s the statistics that the scores multiply, the first of which is the state itself; g the
    gradient that arrives, by which the first scores move, and whose entries reach from m - r to m +
    r where those are finite: they move by `step`, $\lambda$, at most. For single bits m is 0.

    Args:
        scores: by name, each `(..., *its own dimensions)`; the first ones have the state's.
        argmax: from scores to the state; where the event has dimensions, one that a common shift
            of the first scores leaves alone.
        statistics: from a state to what each of the scores is multiplied by.
        step: in units of the scores.
        event_dims: the dimensions of one event.
    """
    names = tuple(scores)
    state: Tensor = _MapWithFiniteDifference.apply(  # type: ignore[no-untyped-call]
        (names, argmax, statistics, step, event_dims), *scores.values()
    )
    return state


class _MapWithFiniteDifference(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(settings: tuple[Any, ...], *scores: Tensor) -> Tensor:
        names, argmax, *_ = settings
        return argmax(dict(zip(names, scores, strict=True)))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.settings, *scores = inputs
        ctx.save_for_backward(output, *scores)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        names, argmax, statistics, step, event_dims = ctx.settings
        before, first, *others = ctx.saved_tensors
        gradient = upstream.to(first.dtype)
        middle, reach = _middle_and_reach(gradient, first.isfinite(), _last(event_dims))
        # no gradient, no direction: the difference is 0
        direction = (gradient - middle) / torch.where(reach == 0, 1.0, reach)
        moved = (first - step * direction, *others)
        after = statistics(argmax(dict(zip(names, moved, strict=True))))
        unmoved = statistics(before)
        # the reach of each event, whose dimensions are 1
        size = reach.reshape(reach.shape[: reach.ndim - event_dims]) / step
        slopes = [(unmoved[name] - after[name]).to(first.dtype) for name in names]
        return None, *(slope * like_event(size, slope) for slope in slopes)


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
