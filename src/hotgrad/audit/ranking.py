"""Which estimator has the least error for an equal number of evaluations of f, and by how much."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from hotgrad.audit.measurement import Trial
from hotgrad.audit.reference import Reference
from hotgrad.audit.statistics import STUDENT, deviation_of_log_ratio
from hotgrad.audit.table import NEGLIGIBLE, Figures, Row, counted, percent, significant


@dataclass(frozen=True)
class Ranking:
    """Trials by what they are worth for so many evaluations of f a step.

    A step is as many whole calls as they pay for, averaged.

    Args:
        trials: all that were measured.
        reference: what they were measured by.
        evaluations: of f, for each batch element.
    """

    trials: Sequence[Trial]
    reference: Reference
    evaluations: int

    def error(self, trial: Trial) -> float | None:
        """The root mean square error of a step; None where it isn't finite or can't be paid."""
        return self._errors[trial]

    @cached_property
    def _errors(self) -> dict[Trial, float | None]:
        return {trial: self._error(trial) for trial in self.trials}

    def _error(self, trial: Trial) -> float | None:
        calls = self.evaluations // trial.evaluations
        if calls == 0 or trial.non_finite:
            return None
        if trial.measured is None:
            return 0.0
        return math.sqrt(max(trial.measured.errors(calls).positive, 0.0))

    @cached_property
    def ranked(self) -> list[Trial]:
        """The least error first; of those without one, the cheapest."""
        errors = self._errors.items()
        payable = [(self._seen(error), trial) for trial, error in errors if error is not None]
        payable.sort(key=lambda pair: (pair[0], pair[1].evaluations))
        return [trial for _, trial in payable]

    @property
    def in_order(self) -> list[Trial]:
        """All trials: the ranked ones, then those that no step pays for, then those not finite."""
        ranked = self.ranked
        rest = [trial for trial in self.trials if trial not in ranked]
        finite = sorted((t for t in rest if not t.non_finite), key=lambda trial: trial.error)
        return ranked + finite + [trial for trial in rest if trial.non_finite]

    @property
    def best(self) -> Trial | None:
        """The first of them."""
        return next(iter(self.ranked), None)

    @property
    def verdict(self) -> str:
        """One sentence: the best, by how much, and whether that is more than noise."""
        best, step = self.best, f"{counted(self.evaluations, 'evaluation')} of f"
        if not self.trials:
            return "No verdict: no estimator could be measured."
        if best is None:
            return f"No verdict: no estimator has finite gradients with {step} or fewer a step."
        others = (t for t in self.ranked if t.candidate.name != best.candidate.name)
        second = next(others, None)
        begin = f"For {step} a step"
        label = best.candidate.label
        if best.measured is None:
            begin += f", {label} is exact, z having {counted(best.evaluations, 'state')}"
            return f"{begin}{self._next(second)}."
        error = self.error(best) or 0.0
        if self._seen(error) == 0:
            return f"{begin}, {label} has no error but rounding{self._next(second)}."
        begin += f", {label} has the least error, {self._share(error)}"
        if second is None or second.measured is None:
            return f"{begin}; nothing else was measured that takes so few."
        if self._seen((self.error(second) or 0.0) - error) == 0:
            return f"{begin}; {second.candidate.label} errs no more."
        first, next_best = (
            measured.errors(self.evaluations // trial.evaluations)
            for trial, measured in ((best, best.measured), (second, second.measured))
        )
        factor = (self.error(second) or 0.0) / error
        # more than e^50 is said as well by e^50
        spread = math.exp(min(STUDENT * deviation_of_log_ratio(first, next_best), 50.0))
        noise = "a difference larger than" if factor > spread else "but that is within"
        return (
            f"{begin}, {significant(factor)} times less than {second.candidate.label}, {noise} the "
            f"noise (95 % interval of the factor: {significant(factor / spread)} to "
            f"{significant(factor * spread)})."
        )

    def _next(self, second: Trial | None) -> str:
        """What comes after a best one that has no error."""
        if second is None:
            return ""
        error, label = self.error(second) or 0.0, second.candidate.label
        if self._seen(error) == 0:
            return f"; {label} errs no more"
        return f"; next is {label} with {self._share(error)}"

    def _seen(self, error: float) -> float:
        """0 for what rounding alone may do."""
        rounding = max(self.reference.rounding, NEGLIGIBLE * self.reference.norm)
        return 0.0 if error <= rounding else error

    def _share(self, error: float) -> str:
        reference = self.reference
        if reference.zero is None:
            return f"{percent(error / reference.norm)} % of the gradient"
        known = f"the exact gradient {reference.zero}"
        if reference.states is None:
            known += f", {reference.doubt}: more replicates tell"
        return f"{significant(error)} ({known})"

    def rows(self, replicates: int) -> list[Row]:
        """All trials in order, as figures."""
        return [self._row(trial, replicates) for trial in self.in_order]

    def _row(self, trial: Trial, replicates: int) -> Row:
        candidate, norm = trial.candidate, self.reference.norm
        figures = self._figures(trial)
        exact, estimator = trial.measured is None, candidate.estimator
        cosine = 1.0 if trial.measured is None else trial.measured.cosine

        def share(value: float | None, power: int = 1) -> float | None:
            return None if value is None or not norm else value / norm**power

        return {
            "estimator": candidate.name,
            "temperature": candidate.temperature,
            "num_samples": trial.evaluations if exact else candidate.num_samples,
            "unbiased": bool(getattr(estimator, "unbiased", False)),
            "relaxes_f": bool(getattr(estimator, "relaxes_f", False)),
            "differentiates_f": bool(getattr(estimator, "differentiates_f", False)),
            "evaluations": trial.evaluations,
            "milliseconds": trial.milliseconds,
            "bias": share(figures.bias),
            "bias_low": share(figures.bias_low),
            "bias_high": share(figures.bias_high),
            "variance": share(figures.variance, 2),
            "rmse": share(figures.rmse),
            "error_at_budget": share(figures.error_at_budget),
            "cosine": cosine if norm and not trial.non_finite else None,
            "absolute_bias": figures.bias,
            "absolute_bias_low": figures.bias_low,
            "absolute_bias_high": figures.bias_high,
            "absolute_variance": figures.variance,
            "absolute_rmse": figures.rmse,
            "absolute_error_at_budget": figures.error_at_budget,
            "replicates": replicates,
            "non_finite": trial.non_finite,
            "note": trial.note,
        }

    def _figures(self, trial: Trial) -> Figures:
        """Absolute ones."""
        measured, error = trial.measured, self.error(trial)
        if trial.non_finite:
            return Figures(None, None, None, None, None, None)
        if measured is None:
            return Figures(0.0, 0.0, 0.0, 0.0, 0.0, error)
        bias, interval = math.sqrt(max(measured.bias_square, 0.0)), measured.bias_interval()
        return Figures(bias, *interval, measured.variance, trial.error, error)
