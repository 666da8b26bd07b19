"""k-subsets and m-hot vectors: what exactness costs in training, and how it grows.

The training step's rivals see the same network and optimiser. Time and peak memory of large
marginals are taken in fresh processes, one for each size (Linux: it reads /proc).

python -m benchmarks.subsets
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import hotgrad as hg
from benchmarks import subset_rivals as rivals
from benchmarks.timing import interleaved, ratio, write_results
from hotgrad import vae
from hotgrad.vae.objective import build_objective

ITEMS, PIXELS, HIDDEN = 100, 784, (512, 256)
VARIABLES, N, K = 20, 20, 10
ROUNDS = 25
LARGE_ROWS = 8
LARGE = [(1000, 100), (3000, 100), (10_000, 100), (30_000, 100), (10_000, 10), (10_000, 1000)]
SURE = 0.999999
M_HOT_ROWS, M_HOT_N, M_HOT_M, TEMPERATURE = 100, 100, 3, 0.1


def main() -> None:
    lines = [*training_step(), "", *marginals(), "", *growth(), "", *m_hot()]
    write_results("subsets", "python -m benchmarks.subsets", lines)


def training_step() -> list[str]:
    x = torch.rand(ITEMS, PIXELS, generator=torch.Generator().manual_seed(0))
    codes = {
        "top-k straight-through, no KL": rivals.top_k_straight_through,
        "top-k straight-through, a softmax's KL": rivals.top_k_with_softmax_kl,
        "exact by a plain dynamic programme, exact KL": rivals.plain_dynamic_programme,
    }
    contenders: dict[str, Callable[[], object]] = {
        label: rivals.hand_written_step(code, x, hidden=HIDDEN, variables=VARIABLES, n=N, k=K)
        for label, code in codes.items()
    }
    times = interleaved({"hotgrad": our_step(x), **contenders}, rounds=ROUNDS, seconds=0.05)
    lines = [
        f"A training step of the k-subset autoencoder, {PIXELS}-{HIDDEN[0]}-{HIDDEN[1]}-"
        f"{VARIABLES} x {N}, k = {K}, and back, batch {ITEMS}, fused Adam; hotgrad's is "
        "`StraightThrough` on `KSubset` with the exact KL. Median and range of "
        f"{ROUNDS} turns.",
        "",
        "| step | ms | hotgrad's ms | hotgrad takes |",
        "|---|---|---|---|",
    ]
    for label in codes:
        middle, low, high = ratio(times, "hotgrad", label)
        lines.append(
            f"| {label} | {milliseconds(times[label])} | {milliseconds(times['hotgrad'])} "
            f"| **{middle:.2f} x** ({low:.2f} to {high:.2f}) |"
        )
    return lines


def our_step(x: Tensor) -> Callable[[], float]:
    """The library's own training step, as in its loop."""
    config = vae.Config(
        latent="k-subset",
        num_latents=VARIABLES,
        num_categories=N,
        subset_size=K,
        hidden=HIDDEN,
        estimator="straight-through",
        learning_rate=5e-4,
    )
    objective, optimizer = build_objective(config, (PIXELS,))
    generator = torch.Generator().manual_seed(0)

    def step() -> float:
        reconstruction, kl = objective(x, x, 1.0, generator)
        loss = (kl - reconstruction) / len(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def marginals() -> list[str]:
    rows = ITEMS * VARIABLES
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(rows, N, generator=generator).requires_grad_()
    weight = torch.randn(rows, N, generator=generator)

    def plain() -> None:
        log_normaliser = rivals.log_table(logits, K)[-1][..., K]
        (rivals.marginals_by_autograd(logits, log_normaliser) * weight).sum().backward()

    times = interleaved(
        {
            "plain": plain,
            "hotgrad": lambda: (k_of_n(logits).mean * weight).sum().backward(),
            "value": lambda: k_of_n(logits.detach()).mean,
            "sample": lambda: k_of_n(logits.detach()).sample(),
        }
    )
    middle, low, high = ratio(times, "plain", "hotgrad")
    return [
        f"Marginals of {rows} rows, n = {N}, k = {K}, forward and backward: "
        f"{milliseconds(times['hotgrad'])} ms, **{middle:.1f}** times faster ({low:.1f} to "
        f"{high:.1f}) than a plain dynamic programme with autograd, "
        f"{milliseconds(times['plain'])} ms. The forward pass alone takes "
        f"{milliseconds(times['value'])} ms, a sample of each row {milliseconds(times['sample'])}.",
    ]


def k_of_n(logits: Tensor) -> hg.KSubset:
    return hg.KSubset(logits, K, validate_args=False)


def growth() -> list[str]:
    lines = [
        f"Marginals of {LARGE_ROWS} rows in float32, logits up to +-50, forward and backward; peak "
        "memory beyond what the process had before.",
        "",
        "| n | k | s | MiB | ns for each of n k |",
        "|---|---|---|---|---|",
    ]
    for n, k in LARGE:
        child = f"from benchmarks.subsets import measure_large; measure_large({n}, {k})"
        done = subprocess.run(
            [sys.executable, "-c", child], check=True, capture_output=True, text=True
        )
        found = json.loads(done.stdout)
        each = found["seconds"] / (LARGE_ROWS * n * k) * 1e9
        lines.append(
            f"| {n:,} | {k:,} | {found['seconds']:.3f} | {found['mebibytes']:.1f} | {each:.1f} |"
        )
    return lines


def measure_large(n: int, k: int) -> None:
    """Print the median seconds of three calls and the first one's peak memory, as JSON."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.empty(LARGE_ROWS, n).uniform_(-50, 50, generator=generator).requires_grad_()
    weight = torch.randn(LARGE_ROWS, n, generator=generator)

    def both(rows: Tensor, size: int) -> float:
        began = time.perf_counter()
        mean = hg.KSubset(rows, size, validate_args=False).mean
        torch.autograd.grad(mean, rows, weight[:, : rows.shape[1]])
        return time.perf_counter() - began

    both(logits[:, :8], 2)  # what the first call of an operation loads
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = peak_kibibytes()
    seconds = [both(logits, k)]
    mebibytes = (peak_kibibytes() - before) / 1024
    seconds += [both(logits, k) for _ in range(2)]
    print(json.dumps({"seconds": statistics.median(seconds), "mebibytes": mebibytes}))


def peak_kibibytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def m_hot() -> list[str]:
    uniform = torch.zeros(M_HOT_ROWS, M_HOT_N)
    rest = (1 - SURE) / (M_HOT_N - 1)
    skewed = torch.tensor([SURE] + [rest] * (M_HOT_N - 1)).log().expand(M_HOT_ROWS, -1).contiguous()
    times = interleaved(
        {
            "skewed": lambda: hg.m_hot(skewed, M_HOT_M, TEMPERATURE),
            "uniform": lambda: hg.m_hot(uniform, M_HOT_M, TEMPERATURE),
            "rejection": lambda: rivals.m_hot_by_rejection(uniform, M_HOT_M, TEMPERATURE),
            "independent": lambda: rivals.independent_columns(uniform, M_HOT_M, TEMPERATURE),
        }
    )
    middle, low, high = ratio(times, "skewed", "uniform")
    rejection, independent = (ratio(times, name, "uniform")[0] for name in times if name[0] in "ri")
    return [
        f"`m_hot` of {M_HOT_ROWS} rows of {M_HOT_N} classes, m = {M_HOT_M}: "
        f"{milliseconds(times['uniform'])} ms for equal probabilities; for p = ({SURE}, rest) "
        f"**{middle:.2f}** times that ({low:.2f} to {high:.2f}), where drawing until a winner is "
        f"new takes {1 / (1 - SURE):.0e} tries for the second column. For equal probabilities, "
        f"where hardly a column is drawn twice, the loop takes {rejection:.1f} times as long as "
        f"`m_hot`, and {M_HOT_M} calls of `F.gumbel_softmax`, whose winners may coincide, "
        f"{independent:.1f} times.",
    ]


def milliseconds(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1e3:.2f}"


if __name__ == "__main__":
    main()
