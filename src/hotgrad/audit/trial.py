"""One estimator's turn: does it work here, what does it learn, how good and how fast is it."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

import torch

from hotgrad.audit.candidates import Candidate
from hotgrad.audit.learning import STEPS, learnt
from hotgrad.audit.reference import Reference
from hotgrad.audit.replicates import MAX_ELEMENTS, Replicates, evaluations_of
from hotgrad.audit.seeds import Seeds
from hotgrad.audit.statistics import Measured, Tally
from hotgrad.estimators import Exact
from hotgrad.estimators.base import label_of
from hotgrad.estimators.entry import check_pairing

ROUNDS, LEAST_ROUNDS = 15, 3
SECONDS = 2.0
"""For timing all estimators, unless the least number of rounds takes longer."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A candidate, as it was measured.

    Args:
        candidate: the estimator; where it learns, the copy that has learnt.
        evaluations: of f for each batch element, by one call.
        measured: None for the sum over all states, which has no error.
        milliseconds: a call, forward and backward, on q as it is; None where it wasn't timed.
    """

    candidate: Candidate
    evaluations: int
    measured: Measured | None
    milliseconds: float | None = None

    @property
    def non_finite(self) -> int:
        """Replicates with a coordinate that is inf or NaN."""
        return 0 if self.measured is None else self.measured.non_finite

    @property
    def error(self) -> float:
        """The root mean square error of one call."""
        return 0.0 if self.measured is None else math.sqrt(self.measured.mean_square)

    @property
    def note(self) -> str:
        """What a reader of the figures should know."""
        if self.measured is None:
            return ""
        if self.non_finite:
            return f"{self.non_finite} of {self.measured.count} gradients not finite"
        differentiates = getattr(self.candidate.estimator, "differentiates_f", False)
        if differentiates and self.measured.zeros == self.measured.count:
            return "every estimate is exactly zero: does a gradient flow from f to z?"
        if self.candidate.learns:
            return f"learnt for {STEPS} calls first, which aren't counted"
        return ""


def try_out(
    problem: Replicates,
    candidate: Candidate,
    reference: Reference,
    count: int,
    most: float,
    seeds: Seeds,
    progress: Callable[[float], None],
) -> Trial:
    """Measures an estimator.

    Args:
        problem: f and q.
        candidate: the estimator.
        reference: the exact gradient.
        count: replicates.
        most: evaluations of f by a call that doesn't fit into the memory of an audit.
        seeds: for all that is drawn.
        progress: called with the share that is done.

    Raises:
        Exception: whatever keeps it from serving.
    """
    estimator, num_samples = candidate.estimator, candidate.num_samples
    check_pairing(estimator, problem.q)
    asked = evaluations_of(estimator, problem.q, num_samples)
    if isinstance(estimator, Exact):
        return Trial(candidate, asked, None, reference.milliseconds)
    if asked > most and asked * problem.size > MAX_ELEMENTS:
        raise ValueError(
            f"takes {asked:,} evaluations of f a call; measured only where it is asked for by name"
        )
    per_call = problem.per_call(estimator, num_samples, seeds("probe", candidate.label))
    if candidate.learns:
        estimator = learnt(
            problem,
            estimator,
            num_samples,
            per_call,
            seeds("learning", candidate.label),
            lambda share: progress(share / 2),
        )
        candidate = replace(candidate, estimator=estimator)
    begun = 0.5 if candidate.learns else 0.0
    tally = Tally(reference.gradient, count)
    generator = seeds("measurement", candidate.label)
    for gradients in problem.run(estimator, num_samples, count, per_call, generator):
        tally.add(gradients)
        progress(begun + (1 - begun) * tally.added / count)
    measured = Measured.of(tally, reference.spread, reference.square_error)
    return Trial(candidate, asked, measured)


def why(error: Exception, candidate: Candidate) -> str:
    """Why an estimator doesn't serve, in one line."""
    if isinstance(candidate.estimator, Exact) and "budget" in str(error):
        return f"more states than its budget of {candidate.estimator.budget:,}"
    lines = str(error).strip().splitlines()
    kind = type(error).__name__
    if not lines:
        return kind
    first = lines[0].split(". ")[0].rstrip(".")
    if not isinstance(error, (ValueError, NotImplementedError)):
        return f"{kind}: {first}"
    for name in (label_of(candidate.estimator), type(candidate.estimator).__name__):
        first = first.removeprefix(f"{name} ")
    return first


def timed(
    problem: Replicates,
    trials: Sequence[Trial],
    seeds: Seeds,
    progress: Callable[[float], None],
) -> list[Trial]:
    """The trials with their times: the median of rounds in which all take turns.

    But for the sum over all states, whose time is known; at once it may not fit into memory.
    """
    times: dict[int, list[float]] = {i: [] for i, t in enumerate(trials) if t.measured is not None}
    generator = seeds("timing")
    begin = time.perf_counter()
    for done in range(ROUNDS):
        if done >= LEAST_ROUNDS and time.perf_counter() - begin > SECONDS:
            break
        for i, its in times.items():
            its.append(_seconds(problem, trials[i].candidate, generator))
        progress((done + 1) / ROUNDS)
    return [
        replace(trial, milliseconds=1000 * median(times[i])) if i in times else trial
        for i, trial in enumerate(trials)
    ]


def _seconds(problem: Replicates, candidate: Candidate, generator: torch.Generator) -> float:
    device = problem.logits.device
    _wait_for(device)
    begin = time.perf_counter()
    problem.gradients(candidate.estimator, candidate.num_samples, 1, generator)
    _wait_for(device)
    return time.perf_counter() - begin


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
