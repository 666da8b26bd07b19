"""The exact gradient that estimators are measured by, and how good it is.

It is the sum over all states of z where these are few enough. Elsewhere the unbiased estimator of
this library with the least variance for an evaluation of f runs until its error is small; what is
left of that is known from groups of the run. An estimator under audit isn't asked: whether it is
unbiased is what the audit finds out.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hotgrad.audit.candidates import unbiased_estimators
from hotgrad.audit.objective import MAX_ELEMENTS, MAX_ROWS, Objective
from hotgrad.audit.statistics import GROUPS, Tally
from hotgrad.audit.table import ReferenceRecord, counted
from hotgrad.estimators import Exact
from hotgrad.estimators.base import label_of
from hotgrad.ops import like_event
from hotgrad.progress import Report

TARGET = 0.005
"""The relative error that a run aims at."""
LENGTH = 100
"""The most evaluations of f of a run, in units of one call for all replicates."""
PILOT = 100
"""Replicates of each estimator that is tried."""
SAMPLES, MOST_A_CALL = 8, 16
"""Of a call of a run: samples where those take no more evaluations of f, otherwise fewer."""


@dataclass(frozen=True, eq=False)
class Reference:
    """The exact gradient, or what comes nearest.

    Args:
        gradient: `(coordinates,)` in float64.
        spread: deviations of the mean gradient in each group of a long run, `(GROUPS,
            coordinates)`; `(0, coordinates)` for a sum over the states.
        square_error: expected, of a long run; 0 for a sum.
        rounding: how far f's own rounding may move the gradient.
        evaluations: of f for each batch element.
        states: of z, where they were summed over.
        estimator: which one ran, where they weren't.
        milliseconds: that the sum took.
    """

    gradient: Tensor
    spread: Tensor
    square_error: float
    rounding: float
    evaluations: int
    states: int | None = None
    estimator: str | None = None
    milliseconds: float | None = None

    @property
    def length(self) -> float:
        """The gradient's length, without what the error adds to it."""
        square = float(self.gradient.square().sum()) - self.square_error
        return math.sqrt(max(square, 0.0))

    @property
    def norm(self) -> float:
        """The length; 0 where it can't be told from zero, and figures aren't shares of it."""
        length = self.length
        return 0.0 if length <= 4 * self.rounding or self.error >= length / 2 else length

    @property
    def zero(self) -> str | None:
        """What is known of a gradient whose norm is 0."""
        if self.norm:
            return None
        if self.states is None:
            return "can't be told from zero"
        return "is zero to within rounding" if self.length else "is zero"

    @property
    def error(self) -> float:
        """The standard error of the gradient, over all coordinates."""
        return math.sqrt(self.square_error)

    @property
    def text(self) -> str:
        """How it was had and how good it is, in one sentence."""
        if self.states is not None:
            how = f"summed over all {counted(self.states, 'state')}"
            return f"{how}; it {self.zero}" if self.zero else f"{how}, norm {self.norm:.4g}"
        how = f"estimated by {self.estimator} from {counted(self.evaluations, 'evaluation')} of f"
        if self.zero:
            return f"{how}; it {self.zero} ({self.doubt})"
        return f"{how}, norm {self.norm:.4g}, standard error {100 * self.error / self.norm:.2g} %"

    @property
    def doubt(self) -> str:
        """How large a long run's gradient may be that can't be told from zero."""
        return f"norm {self.length:.2g}, standard error {self.error:.2g}"

    @property
    def record(self) -> ReferenceRecord:
        """The same as JSON holds it."""
        return {
            "method": "run" if self.states is None else "enumeration",
            "norm": self.norm,
            "zero": self.zero,
            "error": self.error,
            "relative_error": self.error / self.norm if self.norm else None,
            "states": self.states,
            "estimator": self.estimator,
            "evaluations": self.evaluations,
            "text": self.text,
        }


def reference_of(
    objective: Objective, budget: int, replicates: int, num_samples: int, progress: Report
) -> Reference:
    """The sum over the states, or a long run where they are more than the budget.

    Raises:
        ValueError: neither is possible; f isn't finite.
    """
    summed = sum_over_states(objective, budget, progress)
    reference = summed or long_run(objective, replicates, num_samples, progress)
    if reference is None:
        raise ValueError(
            f"q has a support over the budget of {budget:,} states, and no unbiased estimator "
            f"works with {objective.name} and this f to take the sum's place. Raise the budget, "
            "make the event smaller, or give the distribution a `log_prob`, so that "
            "ScoreFunction() works with it."
        )
    return reference


def sum_over_states(objective: Objective, budget: int, progress: Report) -> Reference | None:
    """The exact gradient, or None where there are too many states, or they can't be listed.

    Args:
        objective: f and q.
        budget: the most states that are summed over.
        progress: is told how far it is.

    Raises:
        ValueError: f isn't finite at a state.
    """
    begin = time.perf_counter()
    if objective.lacks(Exact):
        return None
    try:
        states: Tensor = objective.q.enumerate_support(expand=False, budget=budget)
    except ValueError:
        return None
    shape = objective.q.batch_shape + objective.q.event_shape
    q, leaves = objective.at_leaves(dtype=torch.float64)
    total, rounding = (leaves[0].new_zeros(objective.size) for _ in range(2))
    sizes = leaves[0].new_zeros(q.batch_shape)
    rows = min(MAX_ELEMENTS // max(objective.elements, 1), MAX_ROWS // max(sizes.numel(), 1))
    generator = torch.Generator().manual_seed(0)
    # f may be undefined where z can't be: there it is asked about one that was drawn
    drawn: Tensor = objective.q.sample(generator=objective.generator("stand-in"))
    done = 0
    for block in states.split(max(rows, 1)):
        block = block.expand(block.shape[:1] + shape)
        probs = q.log_prob(block.to(torch.float64)).exp()
        with torch.no_grad():
            possible = like_event(probs > 0, block)
            values = objective.ask(torch.where(possible, block, drawn.to(block.dtype)))
        weighed = probs * values.to(torch.float64)
        signs = torch.randint(2, weighed.shape, generator=generator).to(weighed) * 2 - 1
        for sums, terms in ((total, weighed), (rounding, weighed * signs)):
            slopes = torch.autograd.grad(terms.sum(), leaves, retain_graph=sums is total)
            sums += torch.cat([slope.flatten() for slope in slopes])
        sizes += weighed.detach().abs().sum(0)
        eps = torch.finfo(values.dtype).eps
        done += len(block)
        progress(done, len(states))
    return Reference(
        gradient=total,
        spread=total.new_zeros((0, objective.size)),
        square_error=0.0,
        # as if the last digit of each value of f were a coin's, and each score's its own
        rounding=eps * float(rounding.norm())
        + torch.finfo(torch.float64).eps * float(sizes.norm()),
        evaluations=len(states),
        states=len(states),
        milliseconds=1000 * (time.perf_counter() - begin),
    )


def long_run(
    objective: Objective, replicates: int, num_samples: int, progress: Report
) -> Reference | None:
    """The mean of as many gradients as the target takes, or None: no estimator is unbiased here.

    Args:
        objective: f and q.
        replicates: of the audit.
        num_samples: of one of its calls.
        progress: is told how far it is.

    Raises:
        ValueError: gradients that aren't finite.
    """
    pilots = _pilots(objective)
    best = min(pilots, key=lambda pilot: pilot.variance * pilot.evaluations, default=None)
    if best is None:
        return None
    return _run(objective, best, replicates, LENGTH * replicates * num_samples, progress)


@dataclass(frozen=True, eq=False)
class _Pilot:
    """What a short run says of an estimator: how it was called, the variance of one replicate."""

    estimator: Any
    num_samples: int
    evaluations: int
    per_call: int
    variance: float
    mean: Tensor


def _pilots(objective: Objective) -> Iterator[_Pilot]:
    # a call that doesn't fit into the memory of an audit is one of many evaluations, and slow
    most = max(MAX_ELEMENTS // max(objective.elements, 1), MOST_A_CALL)
    for name, estimator in unbiased_estimators(objective):
        if objective.evaluations(estimator, estimator.least_samples) > most:
            continue
        try:
            pilot = _pilot(objective, estimator, objective.generator("pilot", name))
        # f may not be what this one needs: differentiable, or fit for relaxed values
        except Exception:
            continue
        if math.isfinite(pilot.variance):
            yield pilot


def _pilot(objective: Objective, estimator: Any, generator: torch.Generator) -> _Pilot:
    num_samples = SAMPLES
    while num_samples > estimator.least_samples and (
        objective.evaluations(estimator, num_samples) > MOST_A_CALL
    ):
        num_samples //= 2
    per_call = objective.per_call(estimator, num_samples, generator)
    centre = torch.zeros(objective.size, dtype=torch.float64, device=objective.device)
    tally = Tally(centre, PILOT)
    for gradients in objective.run(estimator, num_samples, PILOT, per_call, generator):
        tally.add(gradients)
    asked = objective.evaluations(estimator, num_samples)
    return _Pilot(estimator, num_samples, asked, per_call, tally.variance, tally.means.mean(0))


def _run(objective: Objective, pilot: _Pilot, least: int, most: int, progress: Report) -> Reference:
    """At least so many replicates, unless that takes more than the most evaluations of f."""
    # the gradient's squared length, less what the mean's noise adds to it
    square = float(pilot.mean.square().sum()) - pilot.variance / PILOT
    wanted = pilot.variance / (TARGET**2 * max(square, 1e-300))
    # no fewer than of the estimators under audit: a pilot may have missed what is rare
    wanted = min(max(wanted, least), most / pilot.evaluations)
    count = GROUPS * max(math.ceil(wanted / GROUPS), 10)
    tally, name = Tally(pilot.mean, count), label_of(pilot.estimator)
    generator = objective.generator("reference", name)
    run = objective.run(pilot.estimator, pilot.num_samples, count, pilot.per_call, generator)
    for gradients in run:
        tally.add(gradients)
        progress(tally.added, count)
    if tally.non_finite:
        raise ValueError(
            f"{tally.non_finite} of {count} gradients of {name}, the unbiased reference, are not "
            "finite: is f's own gradient?"
        )
    means = tally.means
    gradient = pilot.mean + means.mean(0)
    return Reference(
        gradient=gradient,
        spread=means - means.mean(0),
        square_error=tally.variance / count,
        rounding=torch.finfo(objective.dtype).eps * float(gradient.norm()),
        evaluations=count * pilot.evaluations,
        estimator=name,
    )
