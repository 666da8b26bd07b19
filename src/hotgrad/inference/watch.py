"""Watching the bound: smoothed over windows of steps, does it still rise, and has it fallen?"""

import math
import statistics
from dataclasses import dataclass, field

from hotgrad.ops import checks

REDUCTION = 0.3
"""What the step size is multiplied by when the bound has stopped rising."""
REDUCTIONS = 3
"""So often, before a fit has converged."""
ROUNDING = 1e-6
"""Relative error of a float32 sum."""
LEAST_WINDOW = 50
PATIENCE = 2
"""Windows in a row that don't rise before the bound has stopped rising."""


@dataclass
class Trace:
    """What a fit did, one entry a step."""

    bounds: list[float] = field(default_factory=list)
    """The estimated bound before the step. Where the estimator relaxes z it is that of relaxed
    samples, which is no bound of anything."""
    step_sizes: list[float] = field(default_factory=list)
    """The optimiser's step size, of its first group of parameters."""

    @property
    def steps(self) -> list[int]:
        """Their numbers, from 1."""
        return list(range(1, len(self.bounds) + 1))


class Watch:
    """Judges each window of the bound's estimates.

    A window rises if its mean is above the best one so far by more than a share of all that the
    bound has risen since the start, and by more than the noise in both. Not a share of the bound
    itself, to which any constant may be added.

    Args:
        steps: at most; a window has a fiftieth of them, 50 at least.
        tolerance: the share; None never stops.
    """

    def __init__(self, steps: int, tolerance: float | None) -> None:
        if tolerance is not None:
            checks.check_positive(tolerance, "tolerance")
        self.window = max(LEAST_WINDOW, steps // 50)
        self.tolerance = tolerance
        self.best = -math.inf
        self.is_best = False
        """Whether the latest window is the best one so far, and above the start."""
        self._best_error = 0.0
        self._start: float | None = None
        self._still = 0
        self._reductions = 0

    def judge(self, bounds: list[float]) -> str:
        """What follows from the latest window: "go on", "smaller steps", "converged", "fell"."""
        mean = statistics.fmean(bounds)
        spread = statistics.stdev(bounds)
        error = spread / math.sqrt(len(bounds))
        if self._start is None:
            self._start = self.best = bounds[0]
        noise = math.hypot(error, self._best_error)
        least = max((self.tolerance or 0.0) * (self.best - self._start), ROUNDING * abs(mean))
        rises = mean - self.best > max(least, noise)
        self.is_best = mean > self.best
        if self.is_best:
            self.best, self._best_error = mean, error
        if rises:
            self._still = 0
            return "go on"
        self._still += 1
        if self._still < PATIENCE:
            return "go on"
        if mean < self._start - 3 * math.hypot(spread, error):
            return "fell"
        if self.tolerance is None:
            return "go on"
        self._still = 0
        self._reductions += 1
        return "converged" if self._reductions > REDUCTIONS else "smaller steps"

    @property
    def start(self) -> float:
        """The bound's first estimate."""
        return math.nan if self._start is None else self._start
