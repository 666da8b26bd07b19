"""What up to a million binary unknowns in one factorised q cost: memory, and time a step.

The picture of `examples/restore_picture.py`, drawn larger: an Ising prior, straight-through, one
sample a step, Adam, the analytic entropy. Beside it a hand-written loop of the same, which takes
turns with `fit` in one process. Memory is measured in a process of its own for each size, so that
none hides in what another has left (Linux).

python -m benchmarks.scaling
"""

import argparse
import gc
import itertools
import json
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import hotgrad as hg
from benchmarks.timing import ratio, write_results
from examples.restore_picture import problem
from hotgrad.inference import fit

SIDES = (100, 316, 1000)
STEPS = {100: 400, 316: 100, 1000: 25}
SKIPPED = 5
ROUNDS = 7


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--memory-of", type=int, help="print the memory of one side as JSON")
    arguments = parser.parse_args()
    if arguments.memory_of:
        print(json.dumps(memory(arguments.memory_of)))
        return
    torch.set_num_threads(1)
    times = take_turns(arguments.rounds)
    lines = [
        "A step of `fit`: sample, log joint, gradient, entropy, Adam. Medians of "
        f"{arguments.rounds} turns, one thread. State is every tensor that is alive between two "
        "steps, but for the picture itself; peaks are what the process grew by, in the steps and "
        "after the last, when `fit` estimates the ELBO.",
        "",
        "| unknowns | ms a step | ns an unknown | over a hand-written loop (range) "
        "| state, MB | bytes an unknown | peak of steps, MB | after them, MB | and seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for side in SIDES:
        count = side**2
        seconds = statistics.median(times[f"fit {side}"])
        middle, low, high = ratio(times, f"fit {side}", f"loop {side}")
        taken = measured_apart(side)
        lines.append(
            f"| {count:,} | {seconds * 1e3:.2f} | {seconds / count * 1e9:.0f} "
            f"| **{middle:.2f}** ({low:.2f} to {high:.2f}) | {taken['state'] / 1e6:.2f} "
            f"| {taken['state'] / count:.1f} | {taken['of steps'] / 1e6:.0f} "
            f"| {taken['afterwards'] / 1e6:.0f} | {taken['seconds afterwards']:.2f} |"
        )
    lines += ["", *growth(times)]
    write_results("scaling", "python -m benchmarks.scaling", lines)


def growth(times: dict[str, list[float]]) -> list[str]:
    """How time grows with size; 1 is linear."""
    sentences = []
    for small, large in itertools.pairwise(SIDES):
        middle, low, high = ratio(times, f"fit {large}", f"fit {small}")
        more = large**2 / small**2
        power, least, most = (math.log(r) / math.log(more) for r in (middle, low, high))
        sentences.append(
            f"From {small**2:,} to {large**2:,} unknowns, {more:.0f} times as many, a step takes "
            f"{middle:.1f} times as long: to the power {power:.2f} ({least:.2f} to {most:.2f})."
        )
    return sentences


def take_turns(rounds: int) -> dict[str, list[float]]:
    """Seconds a step, by way and side."""
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for side in SIDES:
            log_joint, q = problem(side)
            for name, way in (("fit", fit_steps), ("loop", loop_steps)):
                marks = way(log_joint, q, STEPS[side])
                taken = [b - a for a, b in itertools.pairwise(marks[SKIPPED:])]
                times.setdefault(f"{name} {side}", []).append(statistics.median(taken))
    return times


def fit_steps(log_joint: Any, q: Any, steps: int, at_end: Any = None) -> list[float]:
    """When each step of `fit` was done; `at_end` is called after the last."""
    marks: list[float] = []

    def progress(step: int, steps: int, bound: float) -> None:
        marks.append(time.perf_counter())
        if step == steps and at_end is not None:
            at_end()

    fit(
        log_joint,
        q,
        estimator=hg.StraightThrough(),
        num_samples=1,
        steps=steps,
        tolerance=None,
        progress=progress,
    )
    return marks


def loop_steps(log_joint: Any, q: Any, steps: int) -> list[float]:
    """When each step of a plain loop with torch alone was done."""
    logits = q.logits.clone().requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.1)
    marks: list[float] = []
    for _ in range(steps):
        probs = logits.sigmoid()
        z = probs.detach().bernoulli() + (probs - probs.detach())
        entropy = F.binary_cross_entropy_with_logits(logits, probs, reduction="sum")
        bound = log_joint(z) + entropy
        optimizer.zero_grad()
        (-bound).backward()
        optimizer.step()
        bound.item()
        marks.append(time.perf_counter())
    return marks


def measured_apart(side: int) -> dict[str, float]:
    """`memory` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scaling", "--memory-of", str(side)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def memory(side: int) -> dict[str, float]:
    """Bytes of the tensors that a fit keeps between steps, and what the process grew by.

    Beside them the seconds between the last step and the result.
    """
    torch.set_num_threads(1)
    fit_steps(*problem(10), 10)  # what is imported and made at the first use isn't the fit's
    log_joint, q = problem(side)
    own, found, before = alive(), {}, highest(forget=True)

    def at_end() -> None:
        found["of steps"] = highest() - before
        found["state"] = alive() - own
        highest(forget=True)

    marks = fit_steps(log_joint, q, 20, at_end)
    found["afterwards"] = highest() - before
    found["seconds afterwards"] = time.perf_counter() - marks[-1]
    return found


def alive() -> int:
    """Bytes of all tensors, those of gradients included, each storage once."""
    gc.collect()
    found = [thing for thing in gc.get_objects() if issubclass(type(thing), Tensor)]
    found += [t.grad for t in found if t.is_leaf and t.grad is not None]
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in found}
    return sum(storages.values())


def highest(*, forget: bool = False) -> int:
    """The most bytes that this process has had in memory since it was last to be forgotten."""
    if forget:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


if __name__ == "__main__":
    main()
