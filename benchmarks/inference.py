"""How near `fit` comes to the factorised optimum, and how long it takes beside Pyro's SVI.

Quadratic models of random couplings and fields (`benchmarks.inference_models`), where the optimum
is found by coordinate ascent from many starts, and the ELBO of any factorised q is computed
exactly.

OMP_NUM_THREADS=1 python -m benchmarks.inference
"""

import argparse
import itertools
import math
import statistics
import time

import pyro
import torch

from benchmarks.inference_models import Quadratic, boltzmann, mixed
from benchmarks.inference_rivals import (
    FALL,
    FIT,
    FITS,
    RIVALS,
    SAMPLES,
    Contender,
    Run,
)
from benchmarks.timing import ratio, write_results
from hotgrad.inference import fit
from hotgrad.inference.fitting import OWN_STEP

SHARE = 1e-3
"""Of the optimum's ELBO: nearer than that is there."""
STARTS = 30
STEP_SIZES = (0.3, 0.1, 0.03)
TUNING_STEPS, STEPS, ROUNDS = 500, 2000, 5
TIMED = ((20, 1.0), (200, math.sqrt(20 / 200)))
"""Bits, and the spread of couplings that keeps the pull on a bit the same."""
MODELS = [boltzmann(10 + i, seed=i) for i in range(11)] + [
    mixed(6 + i, categories=3 + i % 3, items=5 + i % 2, k=2, seed=100 + i) for i in range(9)
]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    lines = ["## The factorised optimum", "", *optima(), "", "## Time to it, beside Pyro", ""]
    for bits, spread in TIMED:
        lines += race(boltzmann(bits, seed=0, spread=spread), spread, rounds)
    lines.append(
        "A million unknowns in one factorised q: [scaling](scaling.md), by "
        "`python -m benchmarks.scaling`."
    )
    write_results("inference", "OMP_NUM_THREADS=1 python -m benchmarks.inference", lines)


def optima() -> list[str]:
    """`fit` with default settings on every model."""
    rows, gaps = [], []
    for seed, model in enumerate(MODELS):
        generator = torch.Generator().manual_seed(seed)
        began = time.perf_counter()
        result = fit(model.log_joint, model.q, generator=generator)
        seconds = time.perf_counter() - began
        reached = model.elbo(result.posterior.logits)
        own, best, count = highest(model, result.posterior.logits)
        gaps.append(1 - reached / best)
        rows.append(
            f"| {model.label} | {count} | {best:.4f} | {reached:.4f} | {gaps[-1]:.3%} "
            f"| {best - reached:.4f} | {1 - reached / own:.3%} | {len(result.trace.steps):,} "
            f"| {seconds:.2f} |"
        )
        print(rows[-1], flush=True)
    near = sum(gap <= SHARE for gap in gaps)
    return [
        f"Models log p(x, z) = z'Wz / 2 + b'z, couplings and fields from N(0, 1), none inside a "
        "one-hot or k-hot part. The optimum is the best of coordinate ascents, to convergence, "
        f"from {STARTS} random starts and from the end of `fit`; ELBOs are exact, in nats. `fit` "
        "has its default settings and starts from equal odds.",
        "",
        f"**{near} of {len(gaps)}** come within {SHARE:.1%} of the optimum; the median gap is "
        f"{statistics.median(gaps):.3%}, the largest {max(gaps):.3%}.",
        "",
        "| unknowns | optima found | the best one's ELBO | `fit`'s ELBO | gap | gap, nats "
        "| gap to the optimum above it | steps | s |",
        "|---|---|---|---|---|---|---|---|---|",
        *rows,
    ]


def highest(
    model: Quadratic, fitted: torch.Tensor | dict[str, torch.Tensor]
) -> tuple[float, float, int]:
    """The optimum uphill from a fit, the best one, and how many there are."""
    flat = torch.cat(list(fitted.values()), -1) if isinstance(fitted, dict) else fitted
    generator = torch.Generator().manual_seed(0)
    own = model.ascend(flat.detach())
    ends = [own]
    ends += [
        model.ascend(3 * torch.randn(len(model.field), generator=generator)) for _ in range(STARTS)
    ]
    return own, max(ends), len({round(end, 5) for end in ends})


def race(model: Quadratic, spread: float, rounds: int) -> list[str]:
    """Everyone's time until the ELBO is near enough, taking turns."""
    q = model.q
    _, optimum, _ = highest(model, q.logits)

    def go(contender: Contender, steps: int, seed: int) -> Run:
        run = Run(model, optimum, SHARE)
        contender(run, steps, seed)
        return run

    contenders, step_sizes = dict(FITS), dict.fromkeys(FITS, "")
    for name, make in RIVALS.items():
        sizes = itertools.product(STEP_SIZES, (False, True))
        tried = {size: go(make(*size), TUNING_STEPS, 0) for size in sizes}
        best = min(tried, key=lambda size: (tried[size].reached_at or math.inf, tried[size].gap))
        contenders[name] = make(*best)
        step_sizes[name] = f"{best[0]:g}" + (", falling" if best[1] else "")
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for seed in range(1, rounds + 1):
        for name, contender in contenders.items():
            runs[name].append(go(contender, STEPS, seed))
    rows = [row(name, step_sizes[name], runs) for name in runs]
    ends = ", ".join(
        f"{statistics.median(run.seconds for run in runs[name]):.2f} s ({name})" for name in FITS
    )
    return [
        f"{model.label}, couplings from N(0, {spread**2:g}), fields from N(0, 1); the optimum is "
        f"{optimum:.4f}. {SAMPLES} samples a step, Adam, from equal odds. Seconds until the exact "
        "ELBO, which is looked at every 10 steps outside the clock, first comes within "
        f"{SHARE:.1%}: median of those that get there of {rounds} rounds with other seeds, taking "
        f"turns, and the range of the ratios. Pyro {pyro.__version__} has its particles as one "
        f"batch, and the best of the step sizes {', '.join(map(str, STEP_SIZES))}, constant or "
        f"falling by {1 - FALL:.1%} a step, in a round of {TUNING_STEPS:,} steps before; `fit` has "
        f"its default, which falls where the bound stops rising. At most {STEPS:,} steps. A "
        "relaxed guide has a relaxed prior.",
        "",
        "| | step size | rounds that get there | steps | s | times `fit`'s | ms a step "
        "| least gap seen |",
        "|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        f"`fit` ends by itself after {ends}.",
        "",
    ]


def row(name: str, step_size: str, runs: dict[str, list[Run]]) -> str:
    """Steps and seconds of the rounds that got there; the ratio, of those where `fit` did too."""
    own = runs[name]
    there = [run for run in own if run.reached_at is not None]
    both = [
        (run.reached_at, other.reached_at)
        for run, other in zip(own, runs[FIT], strict=True)
        if run.reached_at is not None and other.reached_at is not None
    ]
    lost = sum(run.diverged for run in own)
    count = f"{len(there)} of {len(own)}" + (f", {lost} to NaN" if lost else "")
    cells = ["", "", ""]
    if there:
        cells[0] = f"{statistics.median(run.reached_in for run in there):,.0f}"
        cells[1] = f"{statistics.median(run.reached_at or 0.0 for run in there):.2f}"
    if both:
        middle, low, high = ratio(
            {"own": [mine for mine, _ in both], FIT: [fits for _, fits in both]}, "own", FIT
        )
        cells[2] = f"**{middle:.1f}** ({low:.1f} to {high:.1f})"
    each = statistics.median(1e3 * run.seconds / run.steps for run in own if run.steps)
    gap = statistics.median(run.gap for run in own)
    cells = [name, step_size or f"{OWN_STEP:g}", count, *cells, f"{each:.2f}", f"{gap:.2%}"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
