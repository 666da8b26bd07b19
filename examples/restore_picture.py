"""Restoring a picture: 160,000 black or white pixels, of which a quarter were flipped.

The prior says that neighbours tend to be alike (Ising), the likelihood that a pixel was flipped
with a known chance. `fit` finds the best independent pixels; a Gibbs sampler, which draws half of
the pixels at once, has the same model and the same time. Both are judged by the pixels they get
wrong, and by how far their probabilities are from those of a longer chain: there independent
pixels are off, since they are too sure.

python examples/restore_picture.py --out FOLDER

It wants `pip install ".[all]"`: scikit-learn has the data.
"""

import argparse
import functools
import itertools
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_sample_image
from torch import Tensor

import hotgrad as hg
from hotgrad import canvas
from hotgrad.inference import fit

FLIPPED, COUPLING, SIDE = 0.25, 0.6, 400
STEPS = (8, 16, 32, 64, 128, 256)
BURN_IN, LONGER = 16, 5
COLOURS = {"fit": canvas.TRAIN, "Gibbs": canvas.VALID}
BINS, DIAGNOSED = 20, 200

Course = list[tuple[float, float]]
"""Seconds, and the share of pixels that are wrong after them."""


@functools.cache
def picture(side: int = SIDE) -> Tensor:
    """A photograph's square, split at its median brightness into 0 and 1, in `side` rows."""
    brightness = torch.from_numpy(load_sample_image("china.jpg")[10:410, 20:420].mean(-1))
    nearest = torch.arange(side) * SIDE // side
    return (brightness > brightness.median()).float()[nearest][:, nearest]


def problem(side: int = SIDE, seed: int = 0) -> tuple[Callable[[Tensor], Tensor], Any]:
    """The log joint, less the prior's unknown constant, and q: each pixel at its own odds."""
    truth = picture(side)
    flips = torch.rand(truth.shape, generator=torch.Generator().manual_seed(seed)) < FLIPPED
    noisy = torch.where(flips, 1 - truth, truth)
    # what a pixel says of itself: log p(x | z = 1) - log p(x | z = 0)
    odds = (2 * noisy - 1) * math.log((1 - FLIPPED) / FLIPPED)

    def log_joint(z: Tensor) -> Tensor:
        spins = 2 * z - 1
        down = (spins[..., 1:, :] * spins[..., :-1, :]).sum((-2, -1))
        across = (spins[..., 1:] * spins[..., :-1]).sum((-2, -1))
        return COUPLING * (down + across) + (z * odds).sum((-2, -1))

    return log_joint, hg.Bernoulli(logits=odds).to_event(2)


def wrong(probs: Tensor) -> float:
    """The share of pixels whose likelier colour isn't the original's."""
    return float(((probs > 0.5) != picture(len(probs)).bool()).float().mean())


def fitted(side: int, steps: tuple[int, ...], seed: int) -> tuple[Any, Course]:
    """The last of several fits, each from the start and longer than the one before.

    The log joint is linear in each pixel alone, and for such f the straight-through gradient isn't
    biased. It tells each pixel what its neighbours say, where a score function would tell
    all pixels one number.
    """
    log_joint, q = problem(side, seed)
    course = []
    for count in (1, *steps):
        began, generator = time.perf_counter(), torch.Generator().manual_seed(seed)
        result = fit(
            log_joint,
            q,
            estimator=hg.StraightThrough(),
            num_samples=1,
            steps=count,
            optimizer=functools.partial(torch.optim.Adam, lr=0.3),
            tolerance=None,
            generator=generator,
        )
        course.append((time.perf_counter() - began, wrong(result.marginals)))
    return result, course[1:]  # the first was to warm up


def gibbs(odds: Tensor, seed: int) -> Iterator[Tensor]:
    """Each pixel's probability given its neighbours, after each sweep.

    The pixels of one colour of a chessboard depend on those of the other alone, so half of them are
    drawn at once. A colour is two strided views, and no pixel's odds are computed in vain. The
    mean of these probabilities has less noise than that of the pixels.
    """
    generator = torch.Generator().manual_seed(seed)
    height, width = odds.shape
    spins = torch.zeros(height + 2, width + 2)  # with a border that pulls nowhere
    spins[1:-1, 1:-1] = odds.sign()
    while True:
        probs = torch.empty_like(odds)
        for i, j in ((0, 0), (1, 1), (0, 1), (1, 0)):
            rows, columns = slice(i + 1, height + 1, 2), slice(j + 1, width + 1, 2)
            neighbours = spins[i:height:2, columns] + spins[i + 2 :: 2, columns]
            neighbours += spins[rows, j:width:2] + spins[rows, j + 2 :: 2]
            given = torch.sigmoid(odds[i::2, j::2] + 2 * COUPLING * neighbours)
            probs[i::2, j::2] = given
            drawn = torch.rand(given.shape, generator=generator) < given
            spins[rows, columns] = 2 * drawn.float() - 1
        yield probs


def sampled(odds: Tensor, seconds: float, seed: int) -> tuple[Tensor, Course]:
    """The marginals by a Gibbs sampler that runs so many seconds, and how they came to be."""
    course: Course = []
    total, spent, sweeps = torch.zeros_like(odds), 0.0, gibbs(odds, seed)
    for sweep in itertools.count(1):
        began = time.perf_counter()
        probs = next(sweeps)
        if sweep > BURN_IN:
            total += probs
            probs = total / (sweep - BURN_IN)
        spent += time.perf_counter() - began
        if spent > seconds or sweep & (sweep - 1) == 0:  # at powers of 2
            course.append((spent, wrong(probs)))
        if spent > seconds:
            break
    return probs, course


def main(
    out: Path, *, side: int = SIDE, steps: tuple[int, ...] = STEPS, seed: int = 0
) -> dict[str, float]:
    """Restores the picture both ways, prints a table, and draws `restored.png` in a folder.

    Args:
        out: the folder.
        side: of the picture, in pixels.
        steps: of the fits, from short to long.
        seed: of all that is drawn.

    Returns:
        The share of pixels that are wrong, by way.
    """
    odds = problem(side, seed)[1].logits
    result, of_fit = fitted(side, steps, seed)
    seconds = of_fit[-1][0]
    chain, of_chain = sampled(odds, seconds, seed)
    right, _ = sampled(odds, LONGER * seconds, seed + 1)
    ways, courses = {"fit": result.marginals, "Gibbs": chain}, {"fit": of_fit, "Gibbs": of_chain}
    shares = {"flipped": wrong(odds.sigmoid()), **{way: wrong(p) for way, p in ways.items()}}
    table = Table(title=f"{side} x {side} pixels, {shares['flipped']:.1%} of them flipped")
    for heading in ("", "seconds", "wrong pixels", "probabilities are off by, in the mean"):
        table.add_column(heading, justify="right" if heading else "left")
    for way, probs in ways.items():
        off = (probs - right).abs().mean()
        table.add_row(way, f"{courses[way][-1][0]:.2f}", f"{shares[way]:.2%}", f"{off:.4f}")
    Console().print(table)
    Console(highlight=False).print(str(result.diagnose(DIAGNOSED)), soft_wrap=True)
    pictures = {"original": picture(side), f"{shares['flipped']:.0%} flipped": (odds > 0).float()}
    pictures |= {f"{way}: {shares[way]:.1%} wrong": probs for way, probs in ways.items()}
    draw(out / "restored.png", pictures, courses, ways, right)
    return shares


def draw(
    path: Path,
    pictures: dict[str, Tensor],
    courses: dict[str, Course],
    ways: dict[str, Tensor],
    right: Tensor,
) -> None:
    """Above the pictures; below the errors over time, and how sure each way is of a pixel."""
    size, gap, half, top = 440, 36, 750, 740
    width = 2 * canvas.MARGIN + 4 * size + 3 * gap
    title = f"Restoring {right.numel():,} pixels: a fit of independent pixels beside Gibbs sampling"
    figure = canvas.sheet(width, 1330, title)
    for position, (name, pixels) in enumerate(pictures.items()):
        axes = panel(figure, canvas.MARGIN + position * (size + gap), 190, size, size, name)
        axes.imshow(pixels.numpy(), cmap=canvas.GREYS, vmin=0, vmax=1, interpolation="nearest")
        axes.set_axis_off()
    curves = panel(figure, canvas.MARGIN + 90, top, half, 460, "Errors over time")
    curves.set_xscale("log")
    curves.xaxis.set_major_formatter("{x:g}")
    left, heading = width - canvas.MARGIN - half, "The fit is too sure of pixels that may be either"
    sure = panel(figure, left, top, half, 460, heading)
    sure.plot([0, 1], [0, 1], color=canvas.MUTED, linewidth=0.8, linestyle="--")
    bin_of = (right * BINS).long().clamp(max=BINS - 1)
    for way, colour in COLOURS.items():
        seconds, shares = zip(*courses[way], strict=True)
        percent = [100 * share for share in shares]
        curves.plot(seconds, percent, color=colour, marker="o", markersize=3.5, label=way)
        found = {(i + 0.5) / BINS: ways[way][bin_of == i] for i in range(BINS)}
        found = {centre: probs for centre, probs in found.items() if len(probs)}
        low, middle, high = (
            [float(p.quantile(a)) for p in found.values()] for a in (0.1, 0.5, 0.9)
        )
        sure.fill_between(list(found), low, high, color=colour, alpha=0.2, linewidth=0)
        sure.plot(list(found), middle, color=colour, linewidth=1.4, label=f"{way}, median")
    curves.set(xlabel="seconds", ylabel="wrong pixels, %", ylim=(0, None))
    unsure = float(((right > 0.1) & (right < 0.9)).float().mean())
    label = f"probability of white by a longer chain; {unsure:.0%} are in 0.1 to 0.9"
    sure.set(xlabel=label, ylabel="by either way, and 80% range")
    for axes in (curves, sure):
        canvas.quieten(axes)
        axes.tick_params(which="minor", color=canvas.GRID)
        axes.legend(frameon=False, fontsize=canvas.TICK_SIZE)
    canvas.save(figure, path)


def panel(figure: Figure, left: int, top: int, width: int, height: int, heading: str) -> Axes:
    """Axes under a heading."""
    axes = canvas.place(figure, left, top, width, height)
    size = canvas.LABEL_SIZE + 0.5
    axes.set_title(heading, loc="left", size=size, color=canvas.INK, weight="bold", pad=8)
    return axes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture")
    main(parser.parse_args().out)
