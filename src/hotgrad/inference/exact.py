"""The exact posterior by enumeration, and how far a fit is from it.

Where every state of z can be listed, p(z | x) = p(x, z) / p(x) is a sum away, and nothing about the
fit needs to be guessed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hotgrad.distributions import DiscreteDistribution
from hotgrad.distributions.capabilities import CanEnumerate, lacking
from hotgrad.estimators.parts import Parts
from hotgrad.estimators.validation import check_logarithms, own_copy
from hotgrad.inference.log_joint import checked_values
from hotgrad.inference.marginals import (
    Marginals,
    WeightedMean,
    Worst,
    as_unknowns,
    furthest,
    mean_of,
    rows_at_once,
)
from hotgrad.ops import checks, like_event, widened

LogJoint = Callable[[Any], Tensor]
"""log p(x, z): `(S, *batch, *event)`, by name for a `Joint`, to `(S, *batch)`."""

BUDGET = 2**16
"""The most states that are summed over unless told otherwise."""


class TooManyStatesError(ValueError):
    """A distribution has more states than are to be summed over."""


@dataclass(frozen=True, eq=False)
class ExactPosterior:
    """The posterior p(z | x) of every row of the batch, and q beside it.

    Args:
        states: how many were summed over, for each row.
        log_evidence: log p(x), `(*batch,)`, in nats as all that follows.
        entropy: of p(z | x), `(*batch,)`.
        kl: KL(q || p), `(*batch,)`; inf where q gives mass to what the model rules out.
        marginals: E[z | x], `(*batch, *event)`; by name for a `Joint`.
        worst: the marginal of q that is furthest off.
    """

    states: int
    log_evidence: Tensor
    entropy: Tensor
    kl: Tensor
    marginals: Marginals
    worst: Worst

    @property
    def elbo(self) -> Tensor:
        """log p(x) - KL(q || p), exactly, `(*batch,)`."""
        return self.log_evidence - self.kl

    @property
    def any_event(self) -> Tensor:
        """No event's probability under q is further off than this, `(*batch,)`.

        The least of two bounds of the total variation by the KL divergence: Pinsker's and that of
        Bretagnolle and Huber.
        """
        return torch.minimum((self.kl / 2).sqrt(), (-torch.expm1(-self.kl)).sqrt())


def exact_posterior(q: Any, log_joint: LogJoint, *, budget: int = BUDGET) -> ExactPosterior:
    r"""Sums p(x, z) over all states of q.

    $$p(z \mid x) = \frac{p(x, z)}{\sum_{z'} p(x, z')}, \quad
    \mathrm{KL}(q \| p) = \sum_z q(z) \log \frac{q(z)}{p(z \mid x)}.$$

    Exact but for rounding, at the cost of one evaluation of log_joint for each state and row; it
    is asked in pieces, so that memory doesn't grow with the number of states. A state that a mask
    of q rules out (a logit of -inf) is no state: it isn't summed over.

    Args:
        q: of batch shape `(*batch,)`: a distribution of this library, a `Joint`, or torch's.
        log_joint: log p(x, z), `(n, *batch, *event) -> (n, *batch)`; -inf is a z that the model
            rules out.
        budget: the most states of a row.

    Raises:
        TooManyStatesError: more states than the budget.
        ValueError: log_joint isn't a function, or returns another shape, NaN or inf, or -inf at
            every state of a row; the distribution has no mean.
        NotImplementedError: q can't list its states.

    Example:
        >>> from hotgrad.inference import exact_posterior
        >>> q = hg.Bernoulli(logits=torch.zeros(2)).to_event(1)
        >>> log_joint = lambda z: torch.log(0.1 + 0.3 * z.prod(-1))        # likelier together
        >>> exact = exact_posterior(q, log_joint)
        >>> exact.marginals, round(exact.log_evidence.exp().item(), 4)
        (tensor([0.7143, 0.7143]), 0.7)
    """
    budget = checks.check_count(budget, "budget")
    checks.check_function(log_joint, "log_joint")
    q = as_unknowns(q)
    parts = _listed_parts(q, budget)
    with torch.no_grad():
        mean, mode = mean_of(q), q.mode
        moment = WeightedMean(q.batch_shape, q.event_shape, mean.device)
        energy = WeightedMean(q.batch_shape, torch.Size(), mean.device)
        cross = torch.zeros(q.batch_shape, dtype=torch.float64, device=mean.device)
        most, ones = rows_at_once(q), (1,) * len(q.batch_shape)
        for start in range(0, parts.joint_states, most):
            stop = min(start + most, parts.joint_states)
            numbers = torch.arange(start, stop, device=mean.device).reshape(-1, *ones)
            z = parts.joined(parts.own_numbers(numbers))
            z = z.expand(z.shape[:1] + q.batch_shape + q.event_shape)
            log_q = q.log_prob(widened(z))
            masked = log_q == -torch.inf
            # the model may have no value where z can't be
            z = torch.where(like_event(masked, z), mode, z)
            log_p = scored(log_joint, q.named(z), log_q.shape, first=start).double()
            log_p, log_q = log_p.masked_fill(masked, -torch.inf), log_q.double()
            moment.add(log_p, z)
            energy.add(log_p, log_p.masked_fill(log_p == -torch.inf, 0.0))
            # 0 log 0 = 0, where q underflows too
            cross += torch.where(log_q.exp() > 0, log_q.exp() * (log_q - log_p), 0.0).sum(0)
    log_evidence = moment.log_total
    _check_possible(log_evidence)
    marginals = moment.mean
    return ExactPosterior(
        parts.joint_states,
        log_evidence,
        # rounding may make what is 0 negative
        (log_evidence - energy.mean).clamp(min=0),
        (cross + log_evidence).clamp(min=0),
        q.named(marginals.to(mean.dtype)),
        furthest(mean.double(), marginals, torch.zeros_like(marginals), q.named),
    )


def _listed_parts(q: DiscreteDistribution, budget: int) -> Parts:
    """The independent parts of q, by which the joint states are asked for by number."""
    for base in q.bases:
        if lacking(base, CanEnumerate):
            raise NotImplementedError(
                f"{q.naming(base)} has no enumerate_support, which lists its states."
            )
    try:
        parts = Parts(q, budget)
    except ValueError as error:
        raise TooManyStatesError(str(error)) from error
    if (count := parts.joint_states) > budget:
        # a million bits have a number of states that nobody wants to read
        shown = f"{count:,}" if count < 10**9 else f"about 10^{math.log10(count):.0f}"
        raise TooManyStatesError(f"z has {shown} states, more than the budget of {budget:,}.")
    return parts


def _check_possible(log_evidence: Tensor) -> None:
    impossible = log_evidence == -torch.inf
    if bool(impossible.any()):
        first = tuple(impossible.nonzero()[0].tolist())
        raise ValueError(
            f"log_joint is -inf at every state{f' of row {first}' if first else ''}: the data are "
            "impossible under the model, so there is no posterior. Check the model, and that z is "
            "read as it comes (0 and 1, categories last)."
        )


def scored(log_joint: LogJoint, z: Any, expected: torch.Size, *, first: int) -> Tensor:
    """log_joint's values at z, `(n, *batch)`; the first of them has this number in messages.

    Raises:
        ValueError: it returns another shape, NaN or inf.
    """
    values = checked_values(log_joint(own_copy(z)), expected, "log_joint")
    after = f" (Samples are counted from number {first}.)" if first else ""
    check_logarithms(values, "log_joint", after)
    return values
