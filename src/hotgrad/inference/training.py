"""The steps of a fit: uphill on the bound, until it stops rising, or the steps are used up.

Whether it still rises is seen in its means over windows of steps.
"""

import math
import statistics
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined]  # public all the same
from torch.optim import Optimizer

from hotgrad.inference.objective import Objective
from hotgrad.inference.problem import OwnParameters, Problem
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
FURTHEST = 1e3
"""No fit moves a logit so far by steps of a sensible size: its slope vanishes long before."""

Progress = Callable[[int, int, float], None]

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


class Convergence:
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

    def ending(self, step: int, steps: int, step_size: float, *, converged: bool) -> Ending:
        """How a fit ended that didn't diverge, after so many of its steps."""
        if converged:
            return Ending(
                CONVERGED,
                f"converged after {step:,} steps: averaged over {self.window} steps, the bound no "
                f"longer rises by {self.tolerance:g} of its latest rise, more than its noise and "
                f"{LEAST_RISE:g} nats, at the {REDUCTIONS + 1}th step size, {step_size:.2g}",
            )
        if self.tolerance is None:
            return Ending(OUT_OF_STEPS, f"took all {steps:,} steps, as tolerance=None asks for")
        return Ending(
            OUT_OF_STEPS,
            f"took all {steps:,} steps before the bound had stopped rising at all step sizes; more "
            "steps may raise it further",
        )

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


class Training:
    """The steps of one fit, and the way back where they lead astray.

    Args:
        problem: whose tensors are changed.
        bound: what is maximised.
        optimizer: of all that is learned.
    """

    def __init__(self, problem: Problem, bound: Objective, optimizer: Optimizer) -> None:
        self._problem, self._bound, self._optimizer = problem, bound, optimizer
        self.trace = Trace(relaxed=bound.relaxed)
        self._good, self._good_step = self._snapshot(), 0

    def run(
        self,
        steps: int,
        convergence: Convergence,
        generator: torch.Generator | None,
        progress: Progress | None,
    ) -> Ending:
        """Takes the steps."""
        batches, window = self._problem.batches(generator), convergence.window
        for step in range(1, steps + 1):
            rows = next(batches)
            try:
                self._step(rows, generator)
            except (ValueError, LinAlgError) as error:
                if step == 1:
                    raise
                self.restore()
                if not isinstance(error, checks.NotFiniteError):
                    # raises again, unless what was learned since is to blame
                    self._bound(rows, generator)
                return self._diverged(f"step {step:,} failed. {error}")
            if progress is not None:
                progress(step, steps, statistics.fmean(self.trace.bounds[-window:]))
            if step % window and step < steps:
                continue
            if (astray := self._astray(step)) is not None:
                self.restore()
                return self._diverged(astray)
            if step % window:
                break
            verdict = convergence.judge(self.trace.bounds[-window:])
            if verdict == "converged":
                return convergence.ending(step, steps, self._step_size, converged=True)
            if verdict == "fell":
                self.restore()
                biased = not getattr(self._bound.estimator, "unbiased", True)
                return self._diverged(
                    f"the bound fell from {convergence.start.mean:.6g} at the start to "
                    f"{statistics.fmean(self.trace.bounds[-window:]):.6g} at step {step:,}"
                    + (", which a biased estimator may do at any step size." if biased else ".")
                )
            if convergence.is_best:
                self._good, self._good_step = self._snapshot(), step
            if verdict == "smaller steps":
                for group in self._optimizer.param_groups:
                    group["lr"] *= REDUCTION
        return convergence.ending(steps, steps, self._step_size, converged=False)

    def restore(self) -> None:
        """Back to the last good state."""
        with torch.no_grad():
            for name, tensor in self._problem.state().items():
                tensor.copy_(self._good[name])

    @property
    def _step_size(self) -> float:
        return float(self._optimizer.param_groups[0]["lr"])

    def _step(self, rows: Tensor | slice, generator: torch.Generator | None) -> None:
        bound = self._bound(rows, generator)
        value = bound.item()
        if not math.isfinite(value):
            raise checks.NotFiniteError(f"The bound is {value}.")
        if not bound.requires_grad:
            raise ValueError(
                "There is nothing to learn: the bound has no gradient to any tensor. q is made of "
                "tensors that are frozen, detached, or none of `parameters`."
            )
        self._optimizer.zero_grad()
        (-bound).backward()
        self._optimizer.step()
        self.trace.bounds.append(value)
        self.trace.step_sizes.append(self._step_size)

    def _astray(self, step: int) -> str | None:
        """What is wrong with what was learned, though its bound may not show it yet."""
        groups = self._optimizer.param_groups
        if any(bool(tensor.isnan().any()) for group in groups for tensor in group["params"]):
            return f"by step {step:,} a tensor that is learned had turned NaN."
        variational = self._problem.variational
        moved = variational.moved() if isinstance(variational, OwnParameters) else 0.0
        if moved <= FURTHEST:
            return None
        return (
            f"by step {step:,} a logit of q had moved by {moved:.3g}, where 20 make a state "
            "certain."
        )

    def _snapshot(self) -> dict[str, Tensor]:
        return {name: t.detach().clone() for name, t in self._problem.state().items()}

    def _diverged(self, why: str) -> Ending:
        """Warns."""
        reason = (
            f"diverged: {why} The state of step {self._good_step:,} is kept. If the model is right "
            f"there, try a smaller step size than {self._step_size:.2g}"
        )
        # the command line has an option for it
        how = "optimizer=functools.partial(torch.optim.Adam, lr=...)"
        warnings.warn(f"{reason}: {how}", stacklevel=4)
        return Ending(DIVERGED, reason)
