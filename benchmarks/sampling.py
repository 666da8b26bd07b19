"""Drawing samples, beside torch's own functions: time, memory, and how often a rare class wins.

Times are medians of turns that candidates take in one process; ratios are of turns of one round.
"Floor" is greedy `argmax`: what reading the logits costs without any randomness.

python -m benchmarks.sampling
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Categorical, RelaxedOneHotCategorical
from torch.profiler import ProfilerActivity, profile

import hotgrad as hg
from benchmarks.timing import interleaved, ratio, write_results
from hotgrad.ops.kernels import fused

SHAPES = (
    (1, 10),
    (32, 10),
    (100, 200),
    (1000, 10),
    (10_000, 100),
    (1024, 1024),
    (64, 50_257),
    (256, 128_256),
)
LARGE = 1 << 24
"""Elements from which on a candidate gets fewer turns."""
RARE_ROUNDS, RARE_ROWS, RARE_PROBABILITY = 100, 2_000_000, 1e-7

Candidate = Callable[[Tensor], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the small shapes, few turns")
    quick = parser.parse_args().quick
    shapes = [shape for shape in SHAPES if not quick or math.prod(shape) < 1 << 21]
    rounds = 5 if quick else 15
    kernels = "compiled" if fused.compiled() else "plain"
    lines = [f"hotgrad's kernels here: {kernels}.", ""]
    for dtype in (torch.float32, torch.bfloat16):
        lines += relaxed_table(shapes, dtype, rounds)
    for dtype in (torch.float32, torch.bfloat16):
        lines += index_table(shapes, dtype, rounds)
    lines += first_call()
    lines += memory() + ([] if quick else rare_class())
    write_results("sampling", "python -m benchmarks.sampling", lines)


def with_backward(draw: Candidate, weight: Tensor) -> Candidate:
    """The draw and its gradient, given what comes from above."""

    def both(leaf: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(draw(leaf), leaf, weight)
        return gradient

    return both


def relaxed_table(shapes: list[tuple[int, int]], dtype: torch.dtype, rounds: int) -> list[str]:
    name = str(dtype).removeprefix("torch.")
    lines = [
        f"## Relaxed samples, {name}",
        "",
        "Nanoseconds an element of `hg.gumbel_softmax(logits)`, and how many times as long the "
        "others take: eager and compiled `F.gumbel_softmax`, and `RelaxedOneHotCategorical`. Then "
        "the same with the backward pass, and the hard sample with its backward pass.",
        "",
        "| shape | ns | eager | compiled | Relaxed | with backward, ns | eager | compiled "
        "| hard, ns | eager |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for shape in shapes:
        torch.compiler.reset()
        compiled = torch.compile(F.gumbel_softmax, dynamic=False)
        logits = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
        weight, leaf = torch.randn(shape).to(dtype), logits.clone().requires_grad_()
        forward: dict[str, Candidate] = {
            "hotgrad": hg.gumbel_softmax,
            "eager": F.gumbel_softmax,
            "compiled": compiled,
            "relaxed": relaxed_distribution,
        }
        hard: dict[str, Candidate] = {
            "hotgrad": lambda x: hg.gumbel_softmax(x, hard=True),
            "eager": lambda x: F.gumbel_softmax(x, hard=True),
        }
        size = logits.numel() / 1e9
        row = [f"{shape[0]} x {shape[1]}"]
        timed = [
            (forward, logits, ("eager", "compiled", "relaxed")),
            (
                {k: with_backward(f, weight) for k, f in forward.items() if k != "relaxed"},
                leaf,
                ("eager", "compiled"),
            ),
            ({k: with_backward(f, weight) for k, f in hard.items()}, leaf, ("eager",)),
        ]
        for candidates, argument, others in timed:
            times = interleaved(
                {k: lambda f=f, x=argument: f(x) for k, f in candidates.items()},
                rounds=5 if logits.numel() > LARGE else rounds,
            )
            row.append(f"{statistics.median(times['hotgrad']) / size:.2f}")
            row += [shown(ratio(times, other, "hotgrad")) for other in others]
        lines.append(f"| {' | '.join(row)} |")
    return [*lines, ""]


def relaxed_distribution(logits: Tensor) -> Tensor:
    temperature = torch.ones((), dtype=logits.dtype)
    q = RelaxedOneHotCategorical(temperature, logits=logits, validate_args=False)
    sample: Tensor = q.rsample()
    return sample


def index_table(shapes: list[tuple[int, int]], dtype: torch.dtype, rounds: int) -> list[str]:
    name = str(dtype).removeprefix("torch.")
    lines = [
        f"## Numbers of categories, {name}",
        "",
        "Nanoseconds an element of `hg.sample_index(logits)`, and how many times as long others "
        "take.",
        "",
        "| shape | ns | argmax (floor) | `Categorical.sample` | `torch.multinomial` |",
        "|---|---|---|---|---|",
    ]
    for shape in shapes:
        logits = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
        times = interleaved(
            {
                "hotgrad": lambda x=logits: hg.sample_index(x),
                "argmax": lambda x=logits: x.argmax(-1),
                "categorical": lambda x=logits: Categorical(logits=x, validate_args=False).sample(),
                "multinomial": lambda x=logits: torch.multinomial(x.softmax(-1), 1),
            },
            rounds=5 if logits.numel() > LARGE else rounds,
        )
        others = [
            shown(ratio(times, o, "hotgrad")) for o in ("argmax", "categorical", "multinomial")
        ]
        own = statistics.median(times["hotgrad"]) / logits.numel() * 1e9
        lines.append(f"| {shape[0]} x {shape[1]} | {own:.2f} | {' | '.join(others)} |")
    return [*lines, ""]


def shown(found: tuple[float, float, float]) -> str:
    middle, low, high = found
    return f"**{middle:.1f}** ({low:.1f} to {high:.1f})"


def first_call() -> list[str]:
    """What the first call of a program costs, which is compiled then."""
    functions = fused.compiled()
    if functions is None:
        return []
    functions._categories.cache_clear()
    began = time.perf_counter()
    hg.gumbel_softmax(torch.zeros(2, 3), 0.7)
    return [
        f"The first call of a kind, which compiles it: {time.perf_counter() - began:.2f} s.",
        "",
    ]


def memory() -> list[str]:
    """The most memory that is held at once, forward and backward, over the size of the logits."""
    lines = [
        "## Memory",
        "",
        "The most that is held at once, forward and backward, in sizes of the logits (the sample "
        "and the gradient are two).",
        "",
        "| 1024 x 4096, float32 | hotgrad | `F.gumbel_softmax` |",
        "|---|---|---|",
    ]
    for label, hard in (("soft", False), ("hard", True)):
        held = [
            peak(lambda x, f=f, hard=hard: f(x, hard=hard))
            for f in (hg.gumbel_softmax, F.gumbel_softmax)
        ]
        lines.append(f"| {label} | {held[0]:.2f} | {held[1]:.2f} |")
    return [*lines, ""]


def peak(draw: Candidate) -> float:
    leaf = torch.randn(1024, 4096, requires_grad=True)
    weight = torch.randn(1024, 4096)
    draw(leaf)
    activities = [ProfilerActivity.CPU]
    with profile(activities=activities, profile_memory=True, acc_events=True) as profiler:
        torch.autograd.grad(draw(leaf), leaf, weight)
    held = most = 0
    events = profiler.profiler.kineto_results.events()  # type: ignore[union-attr]
    for event in sorted(events, key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most / (4 * leaf.numel())


def rare_class() -> list[str]:
    """Wins of a class of small probability, counted over many rows."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.tensor([math.log(RARE_PROBABILITY), math.log1p(-RARE_PROBABILITY)])
    rows = logits.expand(RARE_ROWS, 2).contiguous()
    wins = sum(
        int(hg.gumbel_softmax(rows, hard=True, generator=generator)[:, 0].sum())
        for _ in range(RARE_ROUNDS)
    )
    draws = RARE_ROWS * RARE_ROUNDS
    due = draws * RARE_PROBABILITY
    return [
        f"A class of probability {RARE_PROBABILITY:g} won {wins} of {draws:.0e} draws; "
        f"{due:.0f} +- {due**0.5:.0f} are due."
    ]


if __name__ == "__main__":
    main()
