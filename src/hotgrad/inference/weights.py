"""What importance weights tell of a fit: how many samples they are worth, how heavy their tail is.

The weights w = p(x, z) / q(z) at samples of q are all alike if q is the posterior. The fewer
samples carry them, the further it is.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hotgrad.distributions import as_law
from hotgrad.estimators import entry
from hotgrad.inference.arviz import import_arviz
from hotgrad.inference.marginals import Marginals, WeightedMean, Worst, furthest, mean_of
from hotgrad.ops import like_event, widened

LogJoint = Callable[[Any], Tensor]
"""log p(x, z): `(S, *batch, *event)`, by name for a `Joint`, to `(S, *batch)`."""

MAX_ELEMENTS = 2**22
"""The most entries of z that log_joint is asked about at once."""
FEWEST = 25
"""Samples whose largest fifth is just enough for a Pareto fit."""
ROUNDING = 8
"""Units in the last place by which a sum of many terms may be off."""
GOOD, RELIABLE, NO_MEAN = 0.5, 0.7, 1.0
"""Thresholds of the tail's shape k, from the reference of `pareto_k`."""


def rows_at_once(law: Any) -> int:
    """How many samples or states of a law, for its whole batch, are held at one time."""
    entries = law.batch_shape.numel() * as_law(law).event_shape.numel()
    return max(MAX_ELEMENTS // max(entries, 1), 1)


def drawn(
    law: Any, num_samples: int, generator: torch.Generator | None
) -> Iterator[tuple[int, Any]]:
    """Samples of a law, some at a time, each time with the number of the first of them."""
    most = rows_at_once(law)
    for start in range(0, num_samples, most):
        yield start, law.sample((min(most, num_samples - start),), generator=generator)


class Weighed(NamedTuple):
    """Importance weights of samples of a law, and what they make of its marginals."""

    log_weights: Tensor
    """`(S, *batch)` in float64."""
    rounding: Tensor
    """How far those are off, `(*batch,)`."""
    marginals: Marginals
    """Of the weighted samples."""
    worst: Worst
    """The law's marginal that is furthest from those."""


def weigh(
    law: Any, log_joint: LogJoint, num_samples: int, generator: torch.Generator | None
) -> Weighed:
    """Draws samples of the law and weighs them with p(x, z) / q(z).

    Raises:
        ValueError: log_joint returns another shape, NaN or inf.
    """
    flat = as_law(law)
    named: Callable[[Tensor], Any] = getattr(flat, "unpack", lambda z: z)
    with torch.no_grad():
        mean = mean_of(flat).to(torch.float64)
        by_weight, by_square = (
            WeightedMean(flat.batch_shape, flat.event_shape, mean.device) for _ in range(2)
        )
        pieces, rounding = [], mean.new_zeros(flat.batch_shape)
        for start, z in drawn(flat, num_samples, generator):
            log_q = flat.log_prob(widened(z))
            log_p = scored(log_joint, named(z), log_q.shape, first=start)
            log_w = log_p.to(torch.float64) - log_q.to(torch.float64)
            by_weight.add(log_w, z)
            by_square.add(2 * log_w, z)
            pieces.append(log_w)
            for term in (log_p, log_q):
                eps = torch.finfo(term.dtype).eps
                size = term.masked_fill(term.isinf(), 0.0).abs().amax(0).to(torch.float64)
                rounding = rounding.maximum(ROUNDING * eps * size)
    log_weights, found = torch.cat(pieces), by_weight.mean
    share = like_event(1 / effective_samples(log_weights), mean)
    # sum of w^2 (z - mean)^2, z being 0 or 1; and where no sample has a 1, as if q were right
    variance = by_square.mean * (1 - 2 * found) + found.square()
    deviation = (share * variance.maximum(mean * (1 - mean))).clamp(min=0).sqrt()
    # the most of so many normal deviates
    error = deviation * math.sqrt(2 * math.log(20 * max(mean.numel(), 1)))
    return Weighed(
        log_weights,
        rounding,
        named(found),
        furthest(mean, found, error, named),
    )


def scored(log_joint: LogJoint, z: Any, expected: torch.Size, *, first: int) -> Tensor:
    """log_joint's values at z, `(n, *batch)`; the first of them has this number in messages.

    Raises:
        ValueError: it returns another shape, NaN or inf.
    """
    values = log_joint(entry.own_copy(z))
    if not isinstance(values, Tensor) or values.shape != expected:
        came = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        shape = values.shape if isinstance(values, Tensor) else ()
        raise ValueError(
            f"log_joint must return a tensor of shape {tuple(expected)} (samples, *batch), "
            f"got {came}.{entry.to_event_advice(shape, expected)}"
        )
    if not values.is_floating_point():
        raise ValueError(
            f"log_joint must return floating point values, got {values.dtype}. Convert with "
            ".to(z.dtype)."
        )
    after = f" (Samples are counted from number {first}.)" if first else ""
    entry.check_logarithms(values, "log_joint", after)
    return values


def effective_samples(log_weights: Tensor) -> Tensor:
    """(sum w)^2 / sum w^2 over the first dimension; 0 where all weights are 0."""
    top = log_weights.amax(0)
    weights = (log_weights - torch.where(top.isfinite(), top, 0.0)).exp()
    return weights.sum(0).square() / weights.square().sum(0).clamp(min=1e-300)


def pareto_k(log_weights: Tensor, rounding: Tensor) -> Tensor:
    """The shape of the weights' upper tail by ArviZ, `(S, *batch)` to `(*batch,)`.

    NaN where there is no tail to fit: at most four weights are above a value that all the others of
    the largest share, or all weights are alike but for rounding. A discrete z gives ties often. How
    many samples the weights are worth tells then whether that is good.

    Args:
        log_weights: `(S, *batch)` in float64, none of them NaN or inf.
        rounding: how far they are off, `(*batch,)`.

    Reference: Pareto Smoothed Importance Sampling (Vehtari, Simpson, Gelman, Yao, Gabry, 2024),
    https://arxiv.org/abs/1507.02646
    """
    alike = log_weights.amax(0) - log_weights.amin(0) <= rounding
    # rows without a tail are replaced by any other: minus infinities have no differences
    fitted = log_weights.masked_fill(alike | (log_weights.amax(0) == -torch.inf), 0.0)
    _, shapes = import_arviz().psislw(fitted.movedim(0, -1).cpu().numpy())
    k = torch.as_tensor(shapes, dtype=torch.float64).to(log_weights.device)
    return torch.where(k.isfinite(), k, torch.nan)


def tail_length(num_samples: int) -> int:
    """How many of the largest weights the Pareto fit looks at."""
    return math.ceil(min(num_samples / 5, 3 * math.sqrt(num_samples)))


def largest_reliable_k(num_samples: int) -> float:
    """min(1 - 1 / log10 S, 0.7): above it so many samples are too few for what they estimate."""
    return min(1 - 1 / math.log10(num_samples), RELIABLE)
