"""The exact posterior by enumeration, and how far a fit is from it.

Where every state of z can be listed, p(z | x) = p(x, z) / p(x) is a sum away, and nothing about the
fit needs to be guessed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hotgrad.distributions import as_law
from hotgrad.inference.marginals import (
    Marginals,
    WeightedMean,
    Worst,
    furthest,
    joined_rows,
    joined_worst,
    mean_of,
)
from hotgrad.inference.states import States
from hotgrad.inference.weights import LogJoint, rows_at_once, scored
from hotgrad.ops import checks, like_event, widened

BUDGET = 2**16
"""The most states that are summed over unless told otherwise."""


@dataclass(frozen=True, eq=False)
class ExactPosterior:
    """The posterior p(z | x) of every row of the batch, and a law q beside it.

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


def exact_posterior(law: Any, log_joint: LogJoint, *, budget: int = BUDGET) -> ExactPosterior:
    r"""Sums p(x, z) over all states of a law.

    $$p(z \mid x) = \frac{p(x, z)}{\sum_{z'} p(x, z')}, \quad
    \mathrm{KL}(q \| p) = \sum_z q(z) \log \frac{q(z)}{p(z \mid x)}.$$

    Exact but for rounding, at the cost of one evaluation of log_joint for each state and row; it
    is asked in pieces, so that memory doesn't grow with the number of states. A state that a mask
    of the law rules out (a logit of -inf) is no state: it isn't summed over.

    Args:
        law: q, of batch shape `(*batch,)`: a law of this library, a `Joint`, or torch's.
        log_joint: log p(x, z), `(n, *batch, *event) -> (n, *batch)`; -inf is a z that the model
            rules out.
        budget: the most states of a row.

    Raises:
        TooManyStatesError: more states than the budget.
        ValueError: log_joint isn't a function, or returns another shape, NaN or inf, or -inf at
            every state of a row; the distribution has no mean.
        NotImplementedError: the law can't list its states.

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
    flat = as_law(law)
    states = States(flat, budget)
    named: Callable[[Tensor], Any] = getattr(flat, "unpack", lambda z: z)
    with torch.no_grad():
        mean, mode = mean_of(flat), flat.mode
        moment = WeightedMean(flat.batch_shape, flat.event_shape, mean.device)
        energy = WeightedMean(flat.batch_shape, torch.Size(), mean.device)
        cross = torch.zeros(flat.batch_shape, dtype=torch.float64, device=mean.device)
        most = rows_at_once(flat)
        for start in range(0, states.count, most):
            z = states.between(start, min(start + most, states.count))
            z = z.expand(z.shape[:1] + flat.batch_shape + flat.event_shape)
            log_q = flat.log_prob(widened(z))
            masked = log_q == -torch.inf
            # the model may have no value where z can't be
            z = torch.where(like_event(masked, z), mode, z)
            log_p = scored(log_joint, named(z), log_q.shape, first=start).to(torch.float64)
            log_p, log_q = log_p.masked_fill(masked, -torch.inf), log_q.to(torch.float64)
            moment.add(log_p, z)
            energy.add(log_p, log_p.masked_fill(log_p == -torch.inf, 0.0))
            # 0 log 0 = 0, where q underflows too
            cross += torch.where(log_q.exp() > 0, log_q.exp() * (log_q - log_p), 0.0).sum(0)
    log_evidence = moment.log_total
    _check_possible(log_evidence)
    marginals = moment.mean
    return ExactPosterior(
        states.count,
        log_evidence,
        # rounding may make what is 0 negative
        (log_evidence - energy.mean).clamp(min=0),
        (cross + log_evidence).clamp(min=0),
        named(marginals.to(mean.dtype)),
        furthest(mean.to(torch.float64), marginals, torch.zeros_like(marginals), named),
    )


def _check_possible(log_evidence: Tensor) -> None:
    impossible = log_evidence == -torch.inf
    if bool(impossible.any()):
        first = tuple(impossible.nonzero()[0].tolist())
        raise ValueError(
            f"log_joint is -inf at every state{f' of row {first}' if first else ''}: the data are "
            "impossible under the model, so there is no posterior. Check the model, and that z is "
            "read as it comes (0 and 1, categories last)."
        )


def joined_posteriors(pieces: Sequence[ExactPosterior]) -> ExactPosterior:
    """The posteriors of several pieces of a batch, one below another."""
    if len(pieces) == 1:
        return pieces[0]
    columns: dict[str, Any] = {
        what: torch.cat([getattr(piece, what) for piece in pieces])
        for what in ("log_evidence", "entropy", "kl")
    }
    return replace(
        pieces[0],
        **columns,
        states=max(piece.states for piece in pieces),
        marginals=joined_rows([piece.marginals for piece in pieces]),
        worst=joined_worst([piece.worst for piece in pieces], [len(piece.kl) for piece in pieces]),
    )
