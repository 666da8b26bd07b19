"""The course of a fit: every step's estimate, their running mean, and the ELBO at the end."""

import itertools
import math
from collections.abc import Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator
from torch import Tensor

from hotgrad.canvas import GRID, INK, MUTED, PAPER, TICK_SIZE, TRAIN, VALID, quieten
from hotgrad.inference.watch import Trace

_START = 3
"""The first of so many parts may leave the axes, where it's steep."""
_AROUND = 0.08
_TICK_STEPS = [1, 2, 2.5, 5, 10]
_MOST_REDUCTIONS = 6


def draw_bound(axes: Axes, trace: Trace, elbo: float) -> None:
    """Draws it so that the end is readable: a steep start and rare outliers leave the axes.

    Args:
        axes: to draw on.
        trace: of the fit.
        elbo: at the end, drawn as a level if it is finite.
    """
    quieten(axes)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=_TICK_STEPS, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.yaxis.set_major_locator(MaxNLocator(8, steps=_TICK_STEPS))
    axes.yaxis.set_major_formatter(FuncFormatter(_in_full))
    axes.set_xlabel("step")
    bounds = torch.tensor(trace.bounds, dtype=torch.float64)
    if not bool(bounds.isfinite().any()):
        _note(axes, "nothing recorded")
        axes.set(xticks=[], yticks=[])
        return
    window = smoothed_over(trace)
    smooth = bounds.unfold(0, window, 1).mean(-1)
    few = len(bounds) <= 30
    axes.plot(
        trace.steps, bounds, color=TRAIN, alpha=0.3, linewidth=0.6, marker="o" if few else "", ms=2
    )
    # in the middle of what it is the mean of
    at = trace.steps[window // 2 : window // 2 + len(smooth)]
    axes.plot(at, smooth, color=TRAIN, linewidth=1.8)
    axes.set_xlim(0, len(bounds) * 1.01)
    low, high, cut = _limits(bounds, elbo)
    axes.set_ylim(low, high)
    if math.isfinite(elbo):
        axes.axhline(elbo, color=VALID, linewidth=1.1, linestyle=(0, (5, 3)))
    if cut:
        _note(axes, "steep start cut off")
    _mark_reductions(axes, trace.step_sizes)


def smoothed_over(trace: Trace) -> int:
    """The steps in a mean: a fiftieth of all, ten at least, or a third of fewer."""
    steps = len(trace.bounds)
    return max(1, min(steps // 3, max(10, steps // 50)))


def _in_full(value: float, _: object) -> str:
    return f"{value:,.14g}".replace("-", "\N{MINUS SIGN}")


def _limits(bounds: Tensor, elbo: float) -> tuple[float, float, bool]:
    """What the vertical axis shows, and whether it leaves out a steep start."""
    finite = bounds[bounds.isfinite()]
    late = bounds[len(bounds) // _START :]
    late = late[late.isfinite()]
    level = [elbo] if math.isfinite(elbo) else []
    whole, end = _range(finite, level), _range(late if len(late) else finite, level)
    cut = whole[1] - whole[0] > 2 * (end[1] - end[0])
    low, high = end if cut else whole
    margin = _AROUND * (high - low) or max(1e-3, 1e-3 * abs(high))
    return low - margin, high + margin, cut


def _range(values: Tensor, level: Sequence[float]) -> tuple[float, float]:
    """From the first to the 199th of 200 parts of the values, and as far as the level."""
    # not quantile, which takes no more than 2^24 values
    ordered = values.sort().values
    rare = len(values) // 200
    inside = [float(ordered[rare]), float(ordered[len(values) - 1 - rare]), *level]
    return min(inside), max(inside)


def reductions(step_sizes: Sequence[float]) -> list[int]:
    """The first steps of smaller size; none where they are many, by a schedule of the user's."""
    pairs = itertools.pairwise(step_sizes)
    where = [step for step, (before, after) in enumerate(pairs, 2) if after < before]
    return where if len(where) <= _MOST_REDUCTIONS else []


def _mark_reductions(axes: Axes, step_sizes: Sequence[float]) -> None:
    """A line where the step size fell, with what it fell to."""
    before, level = 0, 0
    for step in reductions(step_sizes):
        # numbers that would lie on each other stand above each other
        level = level + 1 if before and step - before < 0.12 * len(step_sizes) else 0
        before = step
        axes.axvline(step, color=MUTED, linewidth=0.7, linestyle=(0, (1, 2)))
        axes.annotate(
            f"{step_sizes[step - 1]:.2g}",
            (step, 0),
            xytext=(-3, 6 + 11 * level),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="right",
            size=TICK_SIZE,
            color=INK,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.0, "alpha": 0.8},
        )


def _note(axes: Axes, text: str) -> None:
    axes.annotate(
        text,
        (0, 1),
        xytext=(6, -4),
        xycoords="axes fraction",
        textcoords="offset points",
        va="top",
        size=TICK_SIZE,
        color=MUTED,
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.5},
    )
