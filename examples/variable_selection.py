"""Which variables matter? Bayesian variable selection on 442 patients with diabetes.

A model is a set of columns: z_j = 1 keeps column j. Kept columns have normal coefficients (the
slab), left-out ones have none (the spike). Coefficients and noise are integrated out in closed
form, so that log p(y, z) is known for any set. Of 10 columns all 2^10 sets can be added up, beside
five estimators. Of 200, products and shuffled columns among them, they can't: there a long run of a
Gibbs sampler that was made for this one model stands in for the truth.

python examples/variable_selection.py --out FOLDER

It wants `pip install ".[all]"`: scikit-learn has the data.
"""

import argparse
import itertools
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_diabetes
from torch import Tensor

import hotgrad as hg
from hotgrad import canvas
from hotgrad.inference import fit

EXPECTED, SLAB = 5, 1.0
"""How many columns the prior keeps; a coefficient's variance, in units of the noise's."""
BLOOD = slice(4, 8)
"""s1 to s4, which are made of one another: cholesterol, LDL, HDL and their ratio."""
SETS_OF_BLOOD = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)))
ESTIMATORS: dict[str, Callable[[], Any]] = {
    "ScoreFunction": hg.ScoreFunction,
    "IndeCateR": hg.IndeCateR,
    "REBAR": hg.REBAR,
    "GumbelSoftmax": lambda: hg.GumbelSoftmax(0.5),
    "ReinMax": hg.ReinMax,
}
ALONE, GIBBS, PLAIN, WARY = "independent bits", "long Gibbs", "ELBO", "bound of 32"
WEIGHTED_SAMPLES, BURN_IN, SHOWN = 10_000, 100, 10
MARKS: dict[str, dict[str, Any]] = {
    "ScoreFunction": {"color": canvas.TRAIN, "marker": "o"},
    "IndeCateR": {"color": canvas.TRAIN, "marker": "s"},
    "REBAR": {"color": canvas.TRAIN, "marker": "^"},
    "GumbelSoftmax": {"color": canvas.VALID, "marker": "o"},
    "ReinMax": {"color": canvas.VALID, "marker": "s"},
    ALONE: {"color": canvas.INK, "marker": "x"},
    PLAIN: {"color": canvas.INK, "marker": "x"},
    f"{PLAIN}, weighted": {"color": canvas.TRAIN, "marker": "s"},
    WARY: {"color": canvas.INK, "marker": "+"},
    f"{WARY}, weighted": {"color": canvas.TRAIN, "marker": "o"},
}

Kept = dict[str, Tensor]
"""Inclusion probabilities `(p,)` by every way, the right ones first."""


def table(width: int = 10) -> tuple[list[str], Tensor, Tensor]:
    """Names, columns `(442, width)` and target `(442,)`, all of mean 0 and variance 1.

    Beyond the 10 measured columns come their 54 squares and products, then shuffled copies of
    those 64, which know nothing of the target.
    """
    measured, target = load_diabetes(return_X_y=True, as_frame=True)
    names = list(measured.columns)
    columns = list(((measured - measured.mean()) / measured.std()).to_numpy().T)
    for i, j in itertools.combinations_with_replacement(range(10), 2):
        # the square of two values, the sexes, is no new column
        if (i, j) != (1, 1):
            columns.append(columns[i] * columns[j])
            names.append(f"{names[i]}²" if i == j else f"{names[i]} × {names[j]}")
    shuffle = np.random.default_rng(0)
    for i in range(width - len(columns)):
        columns.append(shuffle.permutation(columns[i % 64]))
        names.append(f"shuffled {names[i % 64]}")
    x, y = torch.tensor(np.stack(columns[:width], 1)), torch.tensor(target.to_numpy())
    return names[:width], (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()


def selection_model(x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
    """log p(y, z) up to a constant, `(..., p) -> (...)`, with p(noise variance) ~ 1 / variance."""
    n, p = x.shape
    gram, moments, total = (t.float() for t in (x.T @ x, x.T @ y, y @ y))
    diagonal = gram.diagonal() + 1 / SLAB
    others = gram - gram.diagonal().diag()
    # what keeping a column costs: the prior's odds, and its coefficient's freedom
    costs = math.log(EXPECTED / (p - EXPECTED)) - 0.5 * (SLAB * diagonal).log()

    def log_joint(z: Tensor) -> Tensor:
        # A left-out column's row keeps its diagonal alone. That is exact at 0 and 1 and bends
        # little between them, where estimators that differentiate the model look.
        lu, pivots = torch.linalg.lu_factor(diagonal.diag() + z.unsqueeze(-1) * others)
        fitted = torch.linalg.lu_solve(lu, pivots, (z * moments).unsqueeze(-1)).squeeze(-1)
        shrunk = (lu.diagonal(dim1=-2, dim2=-1).abs() / diagonal).log().sum(-1)
        return z @ costs - shrunk / 2 - (n - 1) / 2 * (total - fitted @ moments).log()

    return log_joint


def in_order(z: dict[str, Tensor]) -> Tensor:
    """Named unknowns as one vector, in the order of the columns."""
    blood, rest = z["blood"] @ SETS_OF_BLOOD, z["rest"]
    return torch.cat([rest[..., : BLOOD.start], blood, rest[..., BLOOD.start :]], -1)


def problem() -> tuple[Callable[[dict[str, Tensor]], Tensor], hg.Joint]:
    """The log joint of 10 columns, and q: one choice among 16 sets of s1 to s4, bits for the rest.

    Independent bits can't say "either s3, or s1 and s2", so those four columns are one unknown.
    """
    log_joint = selection_model(*table()[1:])
    blood = hg.OneHotCategorical(logits=torch.zeros(len(SETS_OF_BLOOD)))
    q = hg.Joint(blood=blood, rest=hg.Bernoulli(logits=torch.zeros(6)).to_event(1))
    return lambda z: log_joint(in_order(z)), q


def bits(width: int) -> tuple[Callable[[Tensor], Tensor], Any]:
    """The log joint of so many columns, and q: independent bits, which start at the prior."""
    odds = torch.full((width,), math.log(EXPECTED / (width - EXPECTED)))
    return selection_model(*table(width)[1:]), hg.Bernoulli(logits=odds).to_event(1)


def ten_columns(steps: int, generator: torch.Generator) -> Kept:
    """By enumeration, by five estimators, and by the best independent bits."""
    fits = {
        name: fit(*problem(), estimator=make(), steps=steps, generator=generator)
        for name, make in ESTIMATORS.items()
    }
    alone = fit(*bits(10), estimator=hg.IndeCateR(), steps=steps, generator=generator)
    exact = fits["ScoreFunction"].diagnose(generator=generator).exact
    kept = {"exact": in_order(exact.marginals).float()}
    kept |= {name: in_order(one.marginals) for name, one in fits.items()}
    return kept | {ALONE: alone.marginals}


def many_columns(
    width: int, steps: int, sweeps: int, generator: torch.Generator, console: Console
) -> Kept:
    """By a long Gibbs run, and by two fits of independent bits, as they are and weighted."""
    start = time.perf_counter()
    states = np.stack(list(itertools.islice(gibbs(*table(width)[1:]), BURN_IN + sweeps)))[BURN_IN:]
    took = time.perf_counter() - start
    halves = torch.tensor(states).float().unflatten(0, (2, -1)).mean(1)
    apart = float((halves[0] - halves[1]).abs().max())
    console.print(f"\n{GIBBS}: {took:.0f} s; its halves differ by {apart:.3f} at most.")
    kept = {GIBBS: halves.mean(0)}
    wary = {"estimator": hg.VIMCO(), "objective": "importance", "num_samples": 32}
    for name, how in ((PLAIN, {}), (WARY, wary)):
        start = time.perf_counter()
        found = fit(*bits(width), steps=steps, generator=generator, **how)
        diagnosis = found.diagnose(WEIGHTED_SAMPLES, generator=generator)
        took = time.perf_counter() - start
        console.print(f"\n{name}: {took:.0f} s. {diagnosis.verdict}", soft_wrap=True)
        kept[name] = found.marginals
        kept[f"{name}, weighted"] = diagnosis.weighted_marginals.float()
    return kept


def gibbs(x: Tensor, y: Tensor, seed: int = 0) -> Iterator[np.ndarray]:
    """The rival: each column anew given all others, sweep after sweep.

    To keep or drop a column is a sweep operation on the matrix of moments, whose pivots are all
    that a column's odds need, so that a whole round costs no more than a few models do.
    """
    n, p = x.shape
    rng = np.random.default_rng(seed)
    joined = torch.cat([x, y.unsqueeze(-1)], -1)
    ridge = torch.full((p + 1,), 1 / SLAB, dtype=x.dtype)
    ridge[p] = 0
    a = (joined.T @ joined + ridge.diag()).numpy()
    prior = math.log(EXPECTED / (p - EXPECTED))
    z = np.zeros(p, dtype=bool)
    while True:
        for j, noise in enumerate(rng.logistic(size=p).tolist()):
            pivot, left, now = a[j, j], a[j, p], a[p, p]
            ratio = (n - 1) / 2 * math.log(now / (now - left * left / pivot))
            gain = -ratio + 0.5 * math.log(-pivot) if z[j] else ratio - 0.5 * math.log(pivot)
            if (prior - 0.5 * math.log(SLAB) + gain > noise) != z[j]:
                column = a[:, j].copy()
                a -= np.outer(column, column / pivot)
                a[:, j] = a[j] = column / abs(pivot)
                a[j, j] = -1 / pivot
                z[j] = not z[j]
        yield z.copy()


def main(
    out: Path, *, width: int = 200, steps: int = 5000, sweeps: int = 20_000, seed: int = 0
) -> dict[str, Kept]:
    """Fits 10 columns and `width` columns, prints both tables and draws `variables.png`.

    Args:
        out: the picture's folder.
        width: of the wide table.
        steps: of each fit, at most.
        sweeps: of the long Gibbs run, an even number.
        seed: of all that is drawn.
    """
    console, generator = Console(highlight=False), torch.Generator().manual_seed(seed)
    found = {f"10 columns, beside all {2**10:,} sets": ten_columns(steps, generator)}
    many = many_columns(width, steps, sweeps, generator, console)
    found[f"The likeliest {SHOWN} of {width} columns, 2^{width} sets"] = many
    title = (
        "Which variables matter in diabetes? Unbiased gradients tell, where q can hold the answer"
    )
    across = 980
    figure = canvas.sheet(2 * canvas.MARGIN + 2 * across, 1310, title)
    for number, (heading, kept) in enumerate(found.items()):
        right, *ways = kept
        names = table(len(kept[right]))[0]
        order = range(10) if number == 0 else kept[right].argsort(descending=True)[:SHOWN].tolist()
        lines = Table("", *kept, title=f"\n{heading}\n", box=None, padding=(0, 1, 0, 0))
        for i in order:
            lines.add_row(names[i], *(f"{of[i]:.3f}" for of in kept.values()))
        worst = {way: float((of - kept[right]).abs().max()) for way, of in kept.items()}
        lines.add_row("worst", *(f"{off:.3f}" for off in worst.values()))
        console.print(lines)

        axes = canvas.place(figure, canvas.MARGIN + number * across + 220, 200, 720, 800)
        rows = np.arange(len(order))
        axes.barh(rows, kept[right][order].numpy(), height=0.84, color="#dcd9d2", label=right)
        for shift, way in zip(np.linspace(-0.28, 0.28, len(ways)), ways, strict=True):
            label = f"{way}: off by {worst[way]:.3f}"
            style = {"s": 15, "linewidths": 1, "zorder": 3, "clip_on": False, "label": label}
            axes.scatter(kept[way][order].numpy(), rows + shift, **style, **MARKS[way])
        axes.set_yticks(rows, [names[i] for i in order])
        axes.set(xlim=(0, 1), ylim=(len(order) - 0.5, -0.5), xlabel="inclusion probability")
        size = canvas.LABEL_SIZE + 0.5
        axes.set_title(heading, loc="left", size=size, color=canvas.INK, weight="bold", pad=8)
        canvas.quieten(axes)
        axes.tick_params(axis="y", length=0)
        below = {"loc": "upper left", "bbox_to_anchor": (-0.27, -0.12), "ncols": 2}
        axes.legend(**below, frameon=False, fontsize=canvas.TICK_SIZE)
    canvas.save(figure, out / "variables.png")
    return dict(zip(("ten", "many"), found.values(), strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture")
    main(parser.parse_args().out)
