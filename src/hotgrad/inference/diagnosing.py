"""`diagnose`: q beside the posterior, by importance weights always, exactly where that can be had.

The weights w = p(x, z) / q(z) at samples of q are all alike if q is the posterior. The fewer
samples carry them, the further it is. All of this is asked after the fact, with all the data.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from hotgrad.estimators.vimco import log_mean
from hotgrad.inference.arviz import import_arviz
from hotgrad.inference.diagnosis import Diagnosis
from hotgrad.inference.exact import BUDGET, LogJoint, TooManyStatesError, exact_posterior, scored
from hotgrad.inference.marginals import (
    Marginals,
    WeightedMean,
    Worst,
    as_unknowns,
    furthest,
    joined,
    mean_of,
    rows_at_once,
)
from hotgrad.inference.readings import FEWEST
from hotgrad.ops import checks, like_event, widened

ROUNDING = 8
"""Units in the last place by which a sum of many terms may be off."""


def diagnose(
    q: Any,
    log_joint: LogJoint,
    *,
    num_samples: int = 1000,
    budget: int = BUDGET,
    generator: torch.Generator | None = None,
) -> Diagnosis:
    r"""Compares q with the posterior that it is meant to be.

    The samples z_s of q have weights $w_s = p(x, z_s) / q(z_s)$. Of these it tells the shape
    k-hat of their tail, the effective sample size $(\sum w)^2 / \sum w^2$, the ELBO and the bound
    $\log \frac{1}{S} \sum w_s$. Where z has few states the exact posterior is summed, too.

    Weights know only what samples of q have seen: a q that keeps to one of several modes may look
    good by them, and only the exact posterior shows it.

    Args:
        q: of batch shape `(*batch,)`: a distribution of this library, a `Joint`, or torch's.
        log_joint: log p(x, z) with all the data, `(n, *batch, *event) -> (n, *batch)`; -inf is a
            z that the model rules out.
        num_samples: S; 25 at least.
        budget: the most states of a row that are enumerated.
        generator: the source of randomness; torch's global one by default.

    Raises:
        ValueError: fewer samples; log_joint isn't a function, or returns another shape, NaN or inf,
            or -inf at every state of a row; the distribution has no mean.
        ModuleNotFoundError: ArviZ isn't installed.

    Example:
        >>> from hotgrad.inference import diagnose
        >>> q = hg.Bernoulli(logits=torch.zeros(2)).to_event(1)
        >>> log_joint = lambda z: torch.log(0.1 + 0.3 * z.prod(-1))        # likelier together
        >>> found = diagnose(q, log_joint, generator=torch.Generator().manual_seed(0))
        >>> found.exact.worst.place, round(found.exact.worst.reference, 4)
        ('z[0]', 0.7143)
        >>> round(found.exact.kl.item(), 4), round(found.effective_samples.item() / 1000, 2)
        (0.213, 0.64)

    Reference: Yes, but Did It Work?: Evaluating Variational Inference (Yao, Vehtari, Simpson,
    Gelman, 2018), https://arxiv.org/abs/1802.02538
    """
    num_samples = checks.check_count(num_samples, "num_samples", minimum=FEWEST)
    checks.check_function(log_joint, "log_joint")
    checks.check_generator(generator)
    log_weights, rounding, marginals, worst = weigh(q, log_joint, num_samples, generator)
    zero = log_weights == -torch.inf
    impossible = zero.to(torch.float64).mean(0)
    spread = log_weights.masked_fill(zero, 0.0).std(0) / math.sqrt(num_samples)
    exact, not_exact = None, ""
    try:
        exact = exact_posterior(q, log_joint, budget=budget)
    except (TooManyStatesError, NotImplementedError) as error:
        not_exact = str(error)
    return Diagnosis(
        num_samples=num_samples,
        elbos=log_weights.mean(0),
        elbo_errors=torch.where(impossible > 0, torch.inf, spread),
        bounds=log_mean(log_weights),
        pareto_k=pareto_k(log_weights, rounding),
        effective_samples=effective_samples(log_weights),
        impossible=impossible,
        weighted_marginals=marginals,
        worst=worst,
        exact=exact,
        not_exact=not_exact,
    )


def diagnose_blocks(
    blocks: Iterable[tuple[Any, LogJoint]],
    *,
    num_samples: int = 1000,
    budget: int = BUDGET,
    generator: torch.Generator | None = None,
) -> Diagnosis:
    """As `diagnose`, of a batch that comes in pieces along its first dimension.

    Args:
        blocks: `(q, log_joint)` of each piece; a single one may have any batch shape.
        num_samples: of every row, as `diagnose` takes it.
        budget: of a row.
        generator: of all pieces.
    """
    found: Diagnosis = joined(
        [
            diagnose(q, log_joint, num_samples=num_samples, budget=budget, generator=generator)
            for q, log_joint in blocks
        ]
    )
    return found


def scored_samples(
    q: Any,
    log_joint: LogJoint,
    num_samples: int,
    generator: torch.Generator | None,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Samples z of q, some at a time, with log p(x, z) and log q(z).

    Raises:
        ValueError: log_joint returns another shape, NaN or inf.
    """
    most = rows_at_once(q)
    for start in range(0, num_samples, most):
        z = q.sample((min(most, num_samples - start),), generator=generator)
        log_q = q.log_prob(widened(z))
        yield z, scored(log_joint, q.named(z), log_q.shape, first=start), log_q


def log_weights_of(
    q: Any, log_joint: LogJoint, num_samples: int, generator: torch.Generator | None
) -> Tensor:
    """log p(x, z) - log q(z) of samples, `(S, *batch)` in float64."""
    samples = scored_samples(as_unknowns(q), log_joint, num_samples, generator)
    return torch.cat([log_p.double() - log_q.double() for _, log_p, log_q in samples])


def weigh(
    q: Any, log_joint: LogJoint, num_samples: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor, Marginals, Worst]:
    """Draws samples of q and weighs them with p(x, z) / q(z).

    Returns:
        The logarithms of the weights, `(S, *batch)` in float64; how far those are off by rounding,
        `(*batch,)`; the marginals of the weighted samples; that of q which is furthest from those.

    Raises:
        ValueError: log_joint returns another shape, NaN or inf.
    """
    q = as_unknowns(q)
    with torch.no_grad():
        mean = mean_of(q).double()
        by_weight, by_square = (
            WeightedMean(q.batch_shape, q.event_shape, mean.device) for _ in range(2)
        )
        pieces, rounding = [], mean.new_zeros(q.batch_shape)
        for z, log_p, log_q in scored_samples(q, log_joint, num_samples, generator):
            log_w = log_p.double() - log_q.double()
            by_weight.add(log_w, z)
            by_square.add(2 * log_w, z)
            pieces.append(log_w)
            for term in (log_p, log_q):
                eps = torch.finfo(term.dtype).eps
                size = term.masked_fill(term.isinf(), 0.0).abs().amax(0).double()
                rounding = rounding.maximum(ROUNDING * eps * size)
    log_weights, found = torch.cat(pieces), by_weight.mean
    share = like_event(1 / effective_samples(log_weights), mean)
    # sum of w^2 (z - mean)^2, z being 0 or 1; and where no sample has a 1, as if q were right
    variance = by_square.mean * (1 - 2 * found) + found.square()
    deviation = (share * variance.maximum(mean * (1 - mean))).clamp(min=0).sqrt()
    # the most of so many normal deviates
    error = deviation * math.sqrt(2 * math.log(20 * max(mean.numel(), 1)))
    worst = furthest(mean, found, error, q.named)
    return log_weights, rounding, q.named(found), worst


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
