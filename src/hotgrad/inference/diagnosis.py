"""How far to trust a fit: by the exact posterior where it can be had, by importance weights always.

A variational fit always ends with some law. Whether that is near the posterior is asked here after
the fact, with all the data.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from hotgrad.inference.diagnosis_record import as_dict, rows_of
from hotgrad.inference.diagnosis_text import as_text, verdict
from hotgrad.inference.exact import BUDGET, exact_posterior, joined_posteriors
from hotgrad.inference.findings import Findings
from hotgrad.inference.marginals import joined_rows, joined_worst
from hotgrad.inference.states import TooManyStatesError
from hotgrad.inference.weights import (
    FEWEST,
    LogJoint,
    effective_samples,
    pareto_k,
    weigh,
)
from hotgrad.ops import checks


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis(Findings):
    """How far a fit may be from the posterior; `print` shows it.

    Rows are the elements of q's batch `(*batch,)`: each has a posterior of its own.

    Args:
        num_samples: S, of every row.
        elbos: mean log weight, `(*batch,)`, in nats; -inf where a sample is impossible.
        elbo_errors: its standard errors.
        bounds: log of the mean weight of all S samples, which rises to log p(x) with S.
        pareto_k: shape of the weights' tail; NaN where the largest are tied, so that there is none.
        effective_samples: how many samples of the posterior itself are worth as much; from 0 to S.
        impossible: the share of samples that the model rules out.
        weighted_marginals: of the samples weighted by p(x, z) / q(z), `(*batch, *event)`, by name
            for a `Joint`: better than q's own where the reading is good or usable.
        worst: the marginal of q that is furthest from those.
        exact: the posterior by enumeration, if it could be had.
        not_exact: why it couldn't, or nothing.
    """

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A plain dict for each row of the batch, None for what isn't finite."""
        return rows_of(self)

    @property
    def verdict(self) -> str:
        """One sentence."""
        return verdict(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the exact marginals, as JSON holds it."""
        return as_dict(self, self.verdict)

    def __str__(self) -> str:
        """The verdict and the figures behind it."""
        return as_text(self)

    __repr__ = __str__


def diagnose(
    law: Any,
    log_joint: LogJoint,
    *,
    num_samples: int = 1000,
    budget: int = BUDGET,
    generator: torch.Generator | None = None,
) -> Diagnosis:
    r"""Compares a law with the posterior that it is meant to be.

    The samples z_s of q have weights $w_s = p(x, z_s) / q(z_s)$. Of these it tells the shape
    k-hat of their tail, the effective sample size $(\sum w)^2 / \sum w^2$, the ELBO and the bound
    $\log \frac{1}{S} \sum w_s$. Where z has few states the exact posterior is summed, too.

    Weights know only what samples of q have seen: a q that keeps to one of several modes may look
    good by them, and only the exact posterior shows it.

    Args:
        law: q, of batch shape `(*batch,)`: a law of this library, a `Joint`, or torch's.
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
    weighed = weigh(law, log_joint, num_samples, generator)
    log_weights = weighed.log_weights
    zero = log_weights == -torch.inf
    impossible = zero.to(torch.float64).mean(0)
    spread = log_weights.masked_fill(zero, 0.0).std(0) / math.sqrt(num_samples)
    exact, not_exact = None, ""
    try:
        exact = exact_posterior(law, log_joint, budget=budget)
    except (TooManyStatesError, NotImplementedError) as error:
        not_exact = str(error)
    return Diagnosis(
        num_samples=num_samples,
        elbos=log_weights.mean(0),
        elbo_errors=torch.where(impossible > 0, torch.inf, spread),
        bounds=log_weights.logsumexp(0) - math.log(num_samples),
        pareto_k=pareto_k(log_weights, weighed.rounding),
        effective_samples=effective_samples(log_weights),
        impossible=impossible,
        weighted_marginals=weighed.marginals,
        worst=weighed.worst,
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
        blocks: `(law, log_joint)` of each piece; a single one may have any batch shape.
        num_samples: of every row, as `diagnose` takes it.
        budget: of a row.
        generator: of all pieces.
    """
    return _joined(
        [
            diagnose(law, log_joint, num_samples=num_samples, budget=budget, generator=generator)
            for law, log_joint in blocks
        ]
    )


def _joined(pieces: Sequence[Diagnosis]) -> Diagnosis:
    first = pieces[0]
    if len(pieces) == 1:
        return first
    posteriors = [piece.exact for piece in pieces if piece.exact is not None]
    lengths = [len(piece.elbos) for piece in pieces]
    columns: dict[str, Any] = {
        what: torch.cat([getattr(piece, what) for piece in pieces]) for what in _OF_ROWS
    }
    return replace(
        first,
        **columns,
        weighted_marginals=joined_rows([piece.weighted_marginals for piece in pieces]),
        worst=joined_worst([piece.worst for piece in pieces], lengths),
        exact=joined_posteriors(posteriors) if len(posteriors) == len(pieces) else None,
        not_exact=next((piece.not_exact for piece in pieces if piece.not_exact), ""),
    )


_OF_ROWS = ("elbos", "elbo_errors", "bounds", "pareto_k", "effective_samples", "impossible")
