"""Each estimator's turn: does it work here, what does it learn, how good and how fast is it.

Those that learn are measured after they did: on this very f and q, which stay the same.
"""

import math
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import nn

from hotgrad.audit.candidates import Candidate
from hotgrad.audit.objective import MAX_ELEMENTS, Objective
from hotgrad.audit.reference import Reference
from hotgrad.audit.statistics import Measured, Tally
from hotgrad.estimators.base import label_of
from hotgrad.estimators.validation import check_pairing
from hotgrad.progress import Report, in_stages

LEARNING_STEPS, LEARNING_RATE = 300, 0.02
LEARNING_REPLICATES, LEARNING_ELEMENTS = 32, 2**14
"""Side by side in each step; fewer where they have more elements of z together."""
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
            return f"learnt for {LEARNING_STEPS} calls first, which aren't counted"
        return ""


def measure(
    objective: Objective,
    candidates: Sequence[Candidate],
    reference: Reference,
    count: int,
    most: float,
    stages: Sequence[Report],
) -> tuple[list[Trial], dict[str, str]]:
    """Measures every candidate, those that work here against the clock too.

    Args:
        objective: f and q.
        candidates: the estimators.
        reference: the exact gradient.
        count: replicates of each.
        most: evaluations of f by a call that doesn't fit into the memory of an audit.
        stages: are told how far it is: one for each candidate, one for the times.

    Returns:
        Those that were measured, and why the others weren't, by name.
    """
    trials: list[Trial] = []
    failed: list[tuple[Candidate, str]] = []
    *each, last = stages
    for candidate, stage in zip(candidates, each, strict=True):
        stage(0, 1)
        try:
            trials.append(_try_out(objective, candidate, reference, count, most, stage))
        # whatever it is, the others go on
        except Exception as error:
            failed.append((candidate, _why(error, candidate)))
    last(0, 1)
    trials = _timed(objective, trials, last)
    last(1, 1)
    return trials, _refused(failed, {trial.candidate.name for trial in trials})


def _try_out(
    objective: Objective,
    candidate: Candidate,
    reference: Reference,
    count: int,
    most: float,
    progress: Report,
) -> Trial:
    """A candidate's figures, but for its time; raises whatever keeps it from working here."""
    estimator, num_samples = candidate.estimator, candidate.num_samples
    check_pairing(estimator, objective.q)
    asked = objective.evaluations(estimator, num_samples)
    if not candidate.draws:
        return Trial(candidate, asked, None, reference.milliseconds)
    if asked > most and asked * objective.elements > MAX_ELEMENTS:
        raise ValueError(
            f"takes {asked:,} evaluations of f a call; measured only where it is asked for by name"
        )
    generator = objective.generator("probe", candidate.label)
    per_call = objective.per_call(estimator, num_samples, generator)
    # learning is half of the work
    *learning, measuring = in_stages(progress, 2) if candidate.learns else [progress]
    if candidate.learns:
        generator = objective.generator("learning", candidate.label)
        estimator = _learnt(objective, estimator, num_samples, per_call, generator, *learning)
        candidate = replace(candidate, estimator=estimator)
    tally = Tally(reference.gradient, count)
    generator = objective.generator("measurement", candidate.label)
    for gradients in objective.run(estimator, num_samples, count, per_call, generator):
        tally.add(gradients)
        measuring(tally.added, count)
    return Trial(candidate, asked, Measured.of(tally, reference.spread, reference.square_error))


def _learnt(
    objective: Objective,
    estimator: nn.Module,
    num_samples: int,
    per_call: int,
    generator: torch.Generator,
    progress: Report,
) -> nn.Module:
    """A copy of the estimator that has learnt on this f and q, in evaluation mode."""
    copy: nn.Module = deepcopy(estimator).train()
    parameters = [p for p in copy.parameters() if p.requires_grad]
    fits = LEARNING_ELEMENTS // max(objective.elements, 1)
    replicates = max(min(LEARNING_REPLICATES, per_call, fits), 1)
    optimizer = torch.optim.Adam(parameters, LEARNING_RATE) if parameters else None
    for step in range(LEARNING_STEPS):
        value, _ = objective.surrogate(copy, num_samples, replicates, generator)
        if optimizer is not None:
            # not backward(), which would leave gradients in f's parameters
            slopes = torch.autograd.grad(value.mean(), parameters, allow_unused=True)
            for parameter, slope in zip(parameters, slopes, strict=True):
                parameter.grad = slope
            optimizer.step()
        progress(step + 1, LEARNING_STEPS)
    copy.zero_grad()
    return copy.eval()


def _why(error: Exception, candidate: Candidate) -> str:
    """Why an estimator doesn't work here, in one line."""
    if not candidate.draws and "budget" in str(error):
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


def _timed(objective: Objective, trials: Sequence[Trial], progress: Report) -> list[Trial]:
    """The trials with their times: the median of rounds in which all take turns.

    But for the sum over all states, whose time is known; at once it may not fit into memory.
    """
    times: dict[int, list[float]] = {i: [] for i, t in enumerate(trials) if t.measured is not None}
    generator = objective.generator("timing")
    begin = time.perf_counter()
    for done in range(ROUNDS):
        if done >= LEAST_ROUNDS and time.perf_counter() - begin > SECONDS:
            break
        for i, its in times.items():
            its.append(_seconds(objective, trials[i].candidate, generator))
        progress(done + 1, ROUNDS)
    return [
        replace(trial, milliseconds=1000 * median(times[i])) if i in times else trial
        for i, trial in enumerate(trials)
    ]


def _seconds(objective: Objective, candidate: Candidate, generator: torch.Generator) -> float:
    device = objective.device
    _wait_for(device)
    begin = time.perf_counter()
    objective.gradients(candidate.estimator, candidate.num_samples, 1, generator)
    _wait_for(device)
    return time.perf_counter() - begin


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
