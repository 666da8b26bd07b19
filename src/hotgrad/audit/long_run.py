"""A long run of an unbiased estimator, where the states are too many to be summed over.

Of the unbiased estimators of this library the one with the least variance for an evaluation of f
runs until its error is small; what is left of that is known from groups of the run. An estimator
under audit isn't asked: whether it is unbiased is what the audit finds out.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hotgrad.audit.reference import Reference
from hotgrad.audit.replicates import MAX_ELEMENTS, Replicates, evaluations_of
from hotgrad.audit.seeds import Seeds
from hotgrad.audit.statistics import GROUPS, Tally
from hotgrad.estimators import (
    ESTIMATORS,
    RELAX,
    Exact,
    LeaveOneOut,
    has_baseline,
    missing_methods,
)
from hotgrad.estimators.base import label_of

TARGET = 0.005
"""The relative error that a run aims at."""
PILOT = 100
"""Replicates of each estimator that is tried."""
SAMPLES, MOST_A_CALL = 8, 16
"""Of a call: samples where those take no more evaluations of f, otherwise fewer."""


@dataclass(frozen=True, eq=False)
class Pilot:
    """What a short run of an estimator says.

    Args:
        estimator: an unbiased one.
        num_samples: of a call.
        evaluations: of f, by a call.
        per_call: replicates.
        variance: of one replicate.
        mean: of the gradients.
    """

    estimator: Any
    num_samples: int
    evaluations: int
    per_call: int
    variance: float
    mean: Tensor

    @property
    def square(self) -> float:
        """The gradient's squared length, less what the mean's noise adds to it."""
        return float(self.mean.square().sum()) - self.variance / PILOT


def best_pilot(problem: Replicates, seeds: Seeds) -> Pilot | None:
    """The estimator with the least variance for an evaluation of f, if any serves f and the law."""
    pilots = _pilots(problem, seeds)
    return min(pilots, key=lambda pilot: pilot.variance * pilot.evaluations, default=None)


def long_run(
    problem: Replicates,
    pilot: Pilot,
    limits: tuple[int, int],
    seeds: Seeds,
    progress: Callable[[float], None],
) -> Reference:
    """The mean of as many gradients as the target takes.

    Args:
        problem: f and q.
        pilot: of the estimator that runs.
        limits: the fewest replicates, and the most evaluations of f, which has precedence.
        seeds: of the run.
        progress: called with the share that is done.

    Raises:
        ValueError: gradients that aren't finite.
    """
    least, most = limits
    wanted = pilot.variance / (TARGET**2 * max(pilot.square, 1e-300))
    # no fewer than of the estimators under audit: a pilot may have missed what is rare
    wanted = min(max(wanted, least), most / pilot.evaluations)
    count = GROUPS * max(math.ceil(wanted / GROUPS), 10)
    tally, name = Tally(pilot.mean, count), label_of(pilot.estimator)
    generator = seeds("reference", name)
    run = problem.run(pilot.estimator, pilot.num_samples, count, pilot.per_call, generator)
    for gradients in run:
        tally.add(gradients)
        progress(tally.added / count)
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
        rounding=torch.finfo(problem.logits.dtype).eps * float(gradient.norm()),
        evaluations=count * pilot.evaluations,
        estimator=name,
    )


def _pilots(problem: Replicates, seeds: Seeds) -> Iterator[Pilot]:
    # a call that doesn't fit into the memory of an audit is one of many evaluations, and slow
    most = max(MAX_ELEMENTS // max(problem.size, 1), MOST_A_CALL)
    classes: dict[str, Any] = dict(ESTIMATORS)
    for name, cls in classes.items():
        missing = missing_methods(cls, getattr(problem.q, "law", problem.q))
        if missing or not cls.unbiased or cls in (Exact, RELAX):
            continue
        estimator: Any = cls(LeaveOneOut()) if has_baseline(cls) else cls()
        if isinstance(estimator, nn.Module):
            estimator.eval().to(problem.logits.device)
        if evaluations_of(estimator, problem.q, estimator.least_samples) > most:
            continue
        try:
            pilot = _pilot(problem, estimator, seeds("pilot", name))
        # f may not be what this one needs: differentiable, or fit for relaxed values
        except Exception:
            continue
        if math.isfinite(pilot.variance):
            yield pilot


def _pilot(problem: Replicates, estimator: Any, generator: torch.Generator) -> Pilot:
    num_samples = SAMPLES
    while num_samples > estimator.least_samples and (
        evaluations_of(estimator, problem.q, num_samples) > MOST_A_CALL
    ):
        num_samples //= 2
    per_call = problem.per_call(estimator, num_samples, generator)
    tally = Tally(problem.logits.new_zeros(problem.size, dtype=torch.float64), PILOT)
    for gradients in problem.run(estimator, num_samples, PILOT, per_call, generator):
        tally.add(gradients)
    asked = evaluations_of(estimator, problem.q, num_samples)
    return Pilot(estimator, num_samples, asked, per_call, tally.variance, tally.means.mean(0))
