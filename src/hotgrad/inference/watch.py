"""Watching the bound: smoothed over windows of steps, does it still rise, and has it fallen?"""

import math
import statistics
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from hotgrad.ops import checks

REDUCTION = 0.3
"""What the step size is multiplied by when the bound has stopped rising."""
REDUCTIONS = 3
"""So often, before a fit has converged."""
ROUNDING = 1e-6
"""Relative error of a float32 sum."""
LEAST_RISE = 1e-3
"""Nats. A noise-free bound rises for ever, by less and less; nobody sees less than this in q."""
LEAST_WINDOW = 50
PATIENCE, LATER_PATIENCE = 5, 2
"""Windows in a row that don't rise before the bound has stopped rising: at the first step size,
which may yet find its way off a saddle, and at the smaller ones."""


CONVERGED, DIVERGED, OUT_OF_STEPS = OUTCOMES = ("converged", "diverged", "out of steps")


class Ending(NamedTuple):
    """How a fit ended."""

    outcome: str
    """One of `OUTCOMES`."""
    reason: str
    """Why it stopped, in words."""


@dataclass
class Trace:
    """What a fit did, one entry a step."""

    bounds: list[float] = field(default_factory=list)
    """The estimated bound before the step."""
    step_sizes: list[float] = field(default_factory=list)
    """The optimiser's step size, of its first group of parameters."""

    relaxed: bool = False
    """Whether the estimates are of relaxed samples, which makes them no bound of anything."""

    @property
    def steps(self) -> list[int]:
        """Their numbers, from 1."""
        return list(range(1, len(self.bounds) + 1))

    @property
    def latest(self) -> float:
        """The mean of the last estimates; NaN without any."""
        return statistics.fmean(self.bounds[-LEAST_WINDOW:] or [math.nan])


class Mean(NamedTuple):
    """Of several estimates of the bound."""

    mean: float
    error: float
    """Its standard error."""

    @classmethod
    def of(cls, estimates: list[float]) -> Self:
        """Of two or more."""
        error = statistics.stdev(estimates) / math.sqrt(len(estimates))
        return cls(statistics.fmean(estimates), error)


class Watch:
    """Judges each window of the bound's estimates.

    A window rises if its mean is above the best one so far by more than a share of what the bound
    has risen in the latter half of the steps, by more than the noise in both, and by more than
    `LEAST_RISE`. Not a share of the bound itself, to which any constant may be added, nor of the
    whole rise, which a bad start makes large.

    Args:
        steps: at most; a window has a fiftieth of them, 50 at least.
        tolerance: the share; None never stops.
        start: the bound before the first step.
    """

    def __init__(self, steps: int, tolerance: float | None, start: Mean) -> None:
        if tolerance is not None:
            tolerance = checks.check_positive(tolerance, "tolerance")
        self.window = max(LEAST_WINDOW, steps // 50)
        self.tolerance = tolerance
        self.start = self._best = start
        self.is_best = False
        """Whether the latest window is the best one so far, and above the start."""
        self._means = [start.mean]
        self._still = 0
        self._reductions = 0

    def judge(self, bounds: list[float]) -> str:
        """What follows from the latest window: "go on", "smaller steps", "converged", "fell"."""
        latest, best = Mean.of(bounds), self._best
        risen = max(0.0, best.mean - self._means[len(self._means) // 2])
        least = max((self.tolerance or 0.0) * risen, ROUNDING * abs(latest.mean), LEAST_RISE)
        rises = latest.mean - best.mean > max(least, math.hypot(latest.error, best.error))
        self._means.append(latest.mean)
        self.is_best = latest.mean > best.mean
        if self.is_best:
            self._best = latest
        if rises:
            self._still = 0
            return "go on"
        self._still += 1
        if self._still < (LATER_PATIENCE if self._reductions else PATIENCE):
            return "go on"
        if latest.mean < self.start.mean - 3 * math.hypot(latest.error, self.start.error):
            return "fell"
        if self.tolerance is None:
            return "go on"
        self._still = 0
        self._reductions += 1
        return "converged" if self._reductions > REDUCTIONS else "smaller steps"
