"""The audit itself: from f and q to what is known of every estimator."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch import distributions as td

from hotgrad.audit.candidates import Candidate, Given, find_candidates
from hotgrad.audit.exact_gradient import find_reference
from hotgrad.audit.replicates import Replicates
from hotgrad.audit.result import Audit
from hotgrad.audit.rows import row_of
from hotgrad.audit.sanity import check_function
from hotgrad.audit.seeds import Seeds
from hotgrad.audit.statistics import GROUPS
from hotgrad.audit.trial import Trial, timed, try_out, why
from hotgrad.audit.verdict import Ranking
from hotgrad.distributions import as_law
from hotgrad.distributions.flattened import Flattened
from hotgrad.estimators.base import Function
from hotgrad.ops import checks
from hotgrad.progress import told

Progress = Callable[[int, int], None]
TICKS = 100


def audit(
    f: Function,
    q: td.Distribution,
    estimators: Given | None = None,
    *,
    num_samples: int = 1,
    replicates: int = 1000,
    temperatures: Sequence[float] | None = None,
    evaluations: int | None = None,
    budget: int = 2**16,
    generator: torch.Generator | None = None,
    progress: Progress | bool | None = None,
) -> Audit:
    r"""Measures how biased, how noisy and how dear each gradient estimator is on this f and q.

    $$\mathrm{bias} = |\mathbb{E}[\hat g] - g|, \quad \mathrm{noise}^2 = \mathrm{tr} \,
    \mathrm{Cov}[\hat g], \quad g = \nabla_\phi \sum_{\mathrm{batch}} \mathbb{E}_q[f(z)],$$

    all coordinates of q's logits taken as one vector. The exact g is the sum over all states of z
    where there are few enough, otherwise a long run of an unbiased estimator whose own error is
    stated. Noise isn't mistaken for bias: the bias is estimated without the part that the mean of
    finitely many replicates has by chance, and comes with a 95 % interval.

    Estimators are ranked by the root mean square error of a step of `evaluations` evaluations of f,
    spent on calls that are averaged: n calls have bias² + noise² / n. Those that learn (`REBAR`,
    `RELAX`, learned baselines) are copied, and learn on this f and q before they are measured.

    f must be a fixed function of z, asked about any number of samples: put modules into evaluation
    mode. Its parameters learn nothing here. What f reads from q itself, such as a log-probability,
    is part of f; the gradient that flows through it isn't looked at.

    Args:
        f: `(num_samples, *batch, *event) -> (num_samples, *batch)`.
        q: the law of z, with any batch shape.
        estimators: objects in a sequence, or in a dict by name; every one of the library by
            default, those that can't serve being listed with the reason.
        num_samples: of each call; more where an estimator needs more.
        replicates: gradients drawn of each estimator, rounded up to a multiple of 20. The interval
            of the bias narrows with their square root. What happens in few of them, or in none, is
            measured badly: raise them where z has rare states that matter.
        temperatures: where estimators with a temperature are measured; by default each at its own,
            or at 0.1, 0.3, 1 and 3 where no estimators are given.
        evaluations: of f a step for each batch element, by which estimators are ranked;
            `12 * num_samples` by default.
        budget: the most joint states of z that are summed over for the exact gradient.
        generator: the source of randomness; torch's global one by default.
        progress: True shows how far it is, on the error stream; a function is called with
            (done, total).

    Returns:
        An `Audit`: `print` it, read its `rows` and `verdict`, `save`, `plot`, train with `best()`.

    Raises:
        ValueError: f isn't finite at hard samples, or isn't a fixed function of z; more states than
            the budget without an unbiased estimator that serves; arguments that aren't what they
            should be. What f itself raises at hard samples comes through.

    Example:
        >>> logits = torch.tensor([0.3, -0.2, 0.5])
        >>> q = hg.Bernoulli(logits=logits).to_event(1)
        >>> f = lambda z: (z.sum(-1) - 1.2).abs() ** 3
        >>> generator = torch.Generator().manual_seed(0)
        >>> found = hg.audit(f, q, [hg.StraightThrough(), hg.DisARM()], generator=generator)
        >>> [(row["estimator"], row["bias_low"] > 0) for row in found.rows]
        [('DisARM', False), ('StraightThrough', True)]
        >>> found.best()
        DisARM()
    """
    num_samples, replicates, budget, steps = _checked_counts(
        num_samples, replicates, evaluations, budget
    )
    checks.check_function(f, "f")
    checks.check_generator(generator)
    temperatures = _checked_temperatures(temperatures)
    law = _with_logits(as_law(q))
    if isinstance(law, Flattened):
        # one vector to the audit, named unknowns to f
        f, law = _of_vector(f, law), law.to_event(0)
    count = GROUPS * math.ceil(replicates / GROUPS)
    seeds = Seeds(generator, law.logits.device)
    candidates = find_candidates(estimators, law, temperatures, num_samples, budget, seeds)
    # what nobody asked for may not take hours
    most = steps if estimators is None else math.inf
    with (
        told(progress, "(done, total)", "auditing", "audit", lambda report: report) as listener,
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        stages = _Stages(listener, len(candidates) + 2)
        problem = Replicates(f, law)
        check_function(problem, num_samples, seeds("sanity"))
        reference = find_reference(problem, budget, count, num_samples, seeds, stages.next())
        trials: list[Trial] = []
        failed: list[tuple[Candidate, str]] = []
        for candidate in candidates:
            ticks = stages.next()
            try:
                trials.append(try_out(problem, candidate, reference, count, most, seeds, ticks))
            # whatever it is, the others go on
            except Exception as error:
                failed.append((candidate, why(error, candidate)))
        trials = timed(problem, trials, seeds, stages.next())
        stages.finish()
    ranking = Ranking(trials, reference, steps)
    best = ranking.best
    return Audit(
        rows=[row_of(trial, ranking, count) for trial in ranking.in_order],
        refused=_refused(failed, {trial.candidate.name for trial in trials}),
        reference=reference.record,
        verdict=ranking.verdict,
        num_samples=num_samples,
        replicates=count,
        evaluations=steps,
        _best=None if best is None else best.candidate.ready,
    )


def _with_logits(q: Any) -> Any:
    """q, all of whose laws have what the gradient is taken to."""
    for part in q.laws.values() if isinstance(q, Flattened) else [q]:
        if not hasattr(part, "logits") or not hasattr(part, "with_logits"):
            name = type(getattr(part, "law", part)).__name__
            raise ValueError(
                f"audit measures the gradient to q's logits: {name} needs `logits` and "
                "`with_logits`."
            )
    return q


def _of_vector(f: Function, law: Flattened) -> Callable[[Tensor], Tensor]:
    return lambda z: f(law.unpack(z))


def _checked_counts(
    num_samples: int, replicates: int, evaluations: int | None, budget: int
) -> tuple[int, int, int, int]:
    """Samples, replicates, budget and the evaluations of a step, all being what they should be."""
    num_samples = checks.check_count(num_samples, "num_samples")
    replicates = checks.check_count(replicates, "replicates", minimum=GROUPS)
    budget = checks.check_count(budget, "budget")
    steps = 12 * num_samples if evaluations is None else evaluations
    return num_samples, replicates, budget, checks.check_count(steps, "evaluations")


def _checked_temperatures(temperatures: Iterable[float] | None) -> list[float] | None:
    """Each once, all being what they should be."""
    if temperatures is None:
        return None
    if isinstance(temperatures, str | bytes) or not hasattr(temperatures, "__iter__"):
        raise ValueError(
            f"temperatures must be a sequence such as (0.1, 1.0), got {checks.shown(temperatures)}."
        )
    given: list[Any] = list(temperatures)
    if not given:
        raise ValueError("temperatures is empty: give one at least, or None for the usual ones.")
    for temperature in given:
        checks.check_temperature(temperature, "a temperature")
        if isinstance(temperature, Tensor) and temperature.numel() != 1:
            raise ValueError(f"a temperature must be one number, got {checks.shown(temperature)}.")
    return list(dict.fromkeys(map(float, given)))


def _refused(failed: Sequence[tuple[Candidate, str]], measured: set[str]) -> dict[str, str]:
    """Reasons by name; with the temperature where some work, or fail for other reasons."""
    reasons: dict[str, set[str]] = {}
    for candidate, reason in failed:
        reasons.setdefault(candidate.name, set()).add(reason)
    return {
        candidate.name
        if len(reasons[candidate.name]) == 1 and candidate.name not in measured
        else candidate.label: reason
        for candidate, reason in failed
    }


class _Stages:
    """Progress over stages of equal weight, each of which says what share of it is done."""

    def __init__(self, progress: Progress | None, count: int) -> None:
        self.progress, self.total, self.begun = progress, TICKS * count, 0

    def next(self) -> Callable[[float], None]:
        """The next stage begins; what is returned is told its share."""
        start, self.begun = self.begun, self.begun + TICKS
        report = self._report
        report(start)
        return lambda share: report(start + min(int(TICKS * share), TICKS))

    def finish(self) -> None:
        """All is done."""
        self._report(self.total)

    def _report(self, done: int) -> None:
        if self.progress is not None:
            self.progress(done, self.total)
