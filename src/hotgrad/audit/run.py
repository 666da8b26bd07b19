"""The audit, from f and q to what is known of every estimator, and the result that it returns.

`import hotgrad` brings this module, so what only an audit needs is imported when there is one.
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from hotgrad.audit.table import WIDTH, Record, ReferenceRecord, Row, as_text
from hotgrad.estimators.base import Function
from hotgrad.extras import needing
from hotgrad.files import file_to_write, written_whole
from hotgrad.ops import checks
from hotgrad.progress import in_stages, told

if TYPE_CHECKING:
    import pandas

Progress = Callable[[int, int], None]


def audit(
    f: Function,
    q: Distribution,
    estimators: Sequence[Any] | Mapping[str, Any] | None = None,
    *,
    num_samples: int = 1,
    replicates: int = 1000,
    temperatures: Sequence[float] | None = None,
    evaluations: int | None = None,
    budget: int = 2**16,
    generator: torch.Generator | None = None,
    progress: Progress | bool | None = None,
) -> "Audit":
    r"""Measures how biased, how noisy and how costly each gradient estimator is on this f and q.

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
        q: the distribution of z, with any batch shape.
        estimators: objects in a sequence, or in a dict by name; every one of the library by
            default, those that don't work with f and q being listed with the reason.
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
            the budget, and no unbiased estimator that works here; arguments that aren't what they
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
    from hotgrad.audit.candidates import find_candidates
    from hotgrad.audit.measurement import measure
    from hotgrad.audit.objective import Objective
    from hotgrad.audit.ranking import Ranking
    from hotgrad.audit.reference import reference_of
    from hotgrad.audit.statistics import GROUPS

    num_samples = checks.check_count(num_samples, "num_samples")
    replicates = checks.check_count(replicates, "replicates", minimum=GROUPS)
    budget = checks.check_count(budget, "budget")
    steps = 12 * num_samples if evaluations is None else evaluations
    steps = checks.check_count(steps, "evaluations")
    checks.check_function(f, "f")
    checks.check_generator(generator)
    temperatures = _checked_temperatures(temperatures)
    objective = Objective(f, q, generator)
    count = GROUPS * math.ceil(replicates / GROUPS)
    candidates = find_candidates(estimators, objective, temperatures, num_samples, budget)
    # what nobody asked for may not take hours
    most = steps if estimators is None else math.inf
    with (
        told(progress, "(done, total)", "auditing", "audit", lambda report: report) as listener,
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        # the exact gradient, each estimator, and the times weigh the same
        first, *others = in_stages(listener or _nobody, len(candidates) + 2)
        first(0, 1)
        objective.check_function(num_samples)
        reference = reference_of(objective, budget, count, num_samples, first)
        trials, refused = measure(objective, candidates, reference, count, most, others)
    ranking = Ranking(trials, reference, steps)
    best = ranking.best
    return Audit(
        rows=ranking.rows(count),
        refused=refused,
        reference=reference.record,
        verdict=ranking.verdict,
        num_samples=num_samples,
        replicates=count,
        evaluations=steps,
        _best=None if best is None else best.candidate.ready,
    )


def _nobody(done: int, total: int, note: str = "", /) -> None:
    """Nobody wants to know how far it is."""


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


@dataclass(frozen=True, repr=False)
class Audit:
    """Every estimator's bias, noise and cost on one f and q; `print` shows it as a table.

    Args:
        rows: one dict for each estimator and temperature, the least error first. `bias`, with its
            95 % interval from `bias_low` to `bias_high`, `rmse` and `error_at_budget` are shares of
            the exact gradient's norm, `variance` of its square; `cosine` is the mean one with the
            exact gradient. They are None where the exact gradient is zero, or can't be told from
            it, and the same keys with `absolute_` in front are not (there is no such cosine). All
            are of one call with `num_samples` samples and `evaluations` of f for each batch
            element, but for `error_at_budget`: of as many calls, averaged, as the audit's
            `evaluations` pay for; None where they don't pay for one. All are None where
            `non_finite` of the `replicates` gradients aren't finite. `milliseconds` are for forward
            and backward. `unbiased`, `relaxes_f` and `differentiates_f` are what the estimator says
            of itself.
        refused: why the others weren't measured, by name.
        reference: how the exact gradient was had: `text`, `norm`, `relative_error`, `zero` (what is
            known of it where the norm is 0), ...
        verdict: one sentence.
        num_samples: asked for.
        replicates: of each estimator.
        evaluations: of f for each batch element, by which estimators are ranked.
    """

    rows: list[Row]
    refused: dict[str, str]
    reference: ReferenceRecord
    verdict: str
    num_samples: int
    replicates: int
    evaluations: int
    _best: Any = field(default=None, compare=False)

    def best(self) -> Any:
        """The estimator that the verdict names, ready to train with.

        One that learns is the copy that has learnt here, in training mode: give its parameters to
        the optimiser.

        Raises:
            ValueError: the verdict names none.
        """
        if self._best is None:
            raise ValueError(f"No estimator is best. {self.verdict}")
        return self._best

    def to_pandas(self) -> "pandas.DataFrame":
        """The rows as a data frame.

        Raises:
            ModuleNotFoundError: pandas isn't installed.
        """
        with needing("audit", "to_pandas"):
            import pandas
        return pandas.DataFrame(self.rows)

    def record(self) -> Record:
        """Everything, as JSON holds it."""
        return {
            "verdict": self.verdict,
            "num_samples": self.num_samples,
            "replicates": self.replicates,
            "evaluations": self.evaluations,
            "reference": self.reference,
            "rows": self.rows,
            "refused": self.refused,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes JSON, whole or not at all.

        Raises:
            ValueError: the folder doesn't exist, or the name announces another kind of file.
        """
        path = file_to_write(path, ".json")
        text = json.dumps(self.record(), indent=2, allow_nan=False)
        with written_whole(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draws every estimator's bias, noise and error, and the error by temperature, as a PNG.

        Raises:
            ValueError: the folder doesn't exist, or the name announces another kind of file.
            ModuleNotFoundError: matplotlib isn't installed.
        """
        with needing("audit", "plot"):
            from hotgrad.audit.picture import draw
        draw(self.record(), file_to_write(path, ".png"))

    def __str__(self) -> str:
        """The table, what was refused, and the verdict."""
        return as_text(self.record(), shutil.get_terminal_size((WIDTH, 0)).columns)

    __repr__ = __str__
