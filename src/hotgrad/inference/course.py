"""A fit on its way: steps uphill on the bound, until it stops rising, or the steps are used up."""

import math
import statistics
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.linalg import LinAlgError  # type: ignore[attr-defined]  # public all the same
from torch.optim import Optimizer

from hotgrad.inference.objective import Objective
from hotgrad.inference.problem import Problem
from hotgrad.inference.unknowns import OwnLogits
from hotgrad.inference.watch import (
    CONVERGED,
    DIVERGED,
    LEAST_RISE,
    OUT_OF_STEPS,
    REDUCTION,
    REDUCTIONS,
    Ending,
    Trace,
    Watch,
)
from hotgrad.ops import checks
from hotgrad.progress import Report

LOGITS_STEP, OTHER_STEP = 0.1, 0.005
FURTHEST = 1e3
"""No fit moves a logit so far by steps of a sensible size: its slope vanishes long before."""

MakeOptimizer = Callable[[list[Tensor]], Optimizer]
Progress = Callable[[int, int, float], None]


def shown_on(report: Report) -> Progress:
    """Step and smoothed bound on a bar."""
    return lambda step, steps, bound: report(step, steps, f"{step:,}/{steps:,}  bound {bound:.6g}")


class Course:
    """The steps of one fit, and the way back where they lead astray.

    Args:
        problem: whose tensors are changed.
        bound: what is maximised.
        optimizer: as `fit` takes it.

    Raises:
        ValueError: nothing to learn, or something else than a maker of optimisers.
    """

    def __init__(self, problem: Problem, bound: Objective, optimizer: MakeOptimizer | None) -> None:
        self._problem, self._bound = problem, bound
        self._optimizer = _make_optimizer(problem, bound.estimator, optimizer)
        self.trace = Trace(relaxed=bound.relaxed)
        self._good, self._good_step = self._snapshot(), 0

    def run(
        self,
        steps: int,
        watch: Watch,
        generator: torch.Generator | None,
        progress: Progress | None,
    ) -> Ending:
        """Takes the steps."""
        batches, window = self._problem.batches(generator), watch.window
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
            verdict = watch.judge(self.trace.bounds[-window:])
            if verdict == "converged":
                return Ending(
                    CONVERGED,
                    f"converged after {step:,} steps: averaged over {window} steps, the bound no "
                    f"longer rises by {watch.tolerance:g} of its latest rise, more than its noise "
                    f"and {LEAST_RISE:g} nats, at the {REDUCTIONS + 1}th step size, "
                    f"{self._step_size:.2g}",
                )
            if verdict == "fell":
                self.restore()
                biased = not getattr(self._bound.estimator, "unbiased", True)
                return self._diverged(
                    f"the bound fell from {watch.start.mean:.6g} at the start to "
                    f"{statistics.fmean(self.trace.bounds[-window:]):.6g} at step {step:,}"
                    + (", which a biased estimator may do at any step size." if biased else ".")
                )
            if watch.is_best:
                self._good, self._good_step = self._snapshot(), step
            if verdict == "smaller steps":
                for group in self._optimizer.param_groups:
                    group["lr"] *= REDUCTION
        if watch.tolerance is None:
            return Ending(OUT_OF_STEPS, f"took all {steps:,} steps, as tolerance=None asks for")
        return Ending(
            OUT_OF_STEPS,
            f"took all {steps:,} steps before the bound had stopped rising at all step sizes; more "
            "steps may raise it further",
        )

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
        unknowns = self._problem.unknowns
        moved = unknowns.moved() if isinstance(unknowns, OwnLogits) else 0.0
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


def _make_optimizer(problem: Problem, estimator: Any, make: MakeOptimizer | None) -> Optimizer:
    own = list(problem.unknowns.logits.values()) if isinstance(problem.unknowns, OwnLogits) else []
    learned: dict[int, Tensor] = {id(tensor): tensor for tensor in own}
    others = list(problem.state().values())
    if isinstance(estimator, nn.Module):
        others += estimator.parameters()
    learned |= {id(t): t for t in others if t.requires_grad}
    if not learned:
        raise ValueError(
            "There is nothing to learn: q has no parameters, or none that require a gradient. Make "
            "it an nn.Module, or give its tensors as `parameters`."
        )
    if make is None:
        rest = [tensor for tensor in learned.values() if not any(tensor is one for one in own)]
        groups = [{"params": own, "lr": LOGITS_STEP}, {"params": rest, "lr": OTHER_STEP}]
        return torch.optim.Adam([group for group in groups if group["params"]])
    optimizer = make(list(learned.values())) if callable(make) else None
    if not isinstance(optimizer, Optimizer):
        raise ValueError(
            "optimizer must be a function from parameters to a torch optimiser, such as "
            f"functools.partial(torch.optim.Adam, lr=0.05); got {checks.shown(make)}. (One that is "
            "made already doesn't know the copy of q's logits that is learned.)"
        )
    return optimizer
