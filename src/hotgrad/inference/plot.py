"""The picture of a fit: the bound over its steps beside the marginals; needs matplotlib."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from torch import Tensor

from hotgrad.canvas import (
    GRID,
    HEADER,
    INK,
    LABEL_SIZE,
    MARGIN,
    MUTED,
    PAPER,
    TICK_SIZE,
    TRAIN,
    VALID,
    place,
    quieten,
    sheet,
    wrapped,
    write,
)
from hotgrad.inference.marginals import Unknown
from hotgrad.inference.plot_marginals import draw_unknown
from hotgrad.inference.training import Trace

_BOUND_WIDTH, _UNKNOWN_WIDTH, _HEIGHT = 1050, 680, 900
_YLABEL, _XLABEL, _GAP, _BETWEEN, _LINE = 160, 130, 170, 190, 36
_MOST_UNKNOWNS, _A_COLUMN = 4, 2
_START = 3
"""The first of so many parts may leave the axes, where it's steep."""
_AROUND = 0.08
_TICK_STEPS = [1, 2, 2.5, 5, 10]
_MOST_REDUCTIONS = 6


class Drawable(Protocol):
    """What is drawn of a fit."""

    label: str
    trace: Trace
    reason: str

    @property
    def elbo(self) -> float: ...

    @property
    def unknowns(self) -> list[Unknown]: ...


def picture_of(fit: Drawable, title: str) -> Figure:
    """The bound over the steps and the marginals of every unknown, below one line of a title."""
    unknowns = fit.unknowns
    shown = unknowns[:_MOST_UNKNOWNS]
    columns = math.ceil(len(shown) / _A_COLUMN)
    top, left = HEADER + 60, MARGIN + _YLABEL
    width = left + _BOUND_WIDTH + columns * (_GAP + _UNKNOWN_WIDTH) + MARGIN
    notes = wrapped(" ".join(_notes(fit, len(unknowns) - len(shown))), width, TICK_SIZE)
    below = top + _HEIGHT + _XLABEL
    figure = sheet(width, below + len(notes) * _LINE + MARGIN // 2, title)
    draw_bound(place(figure, left, top, _BOUND_WIDTH, _HEIGHT), fit.trace, fit.elbo)
    _head(figure, fit, left, top)
    for number, unknown in enumerate(shown):
        column, row = divmod(number, _A_COLUMN)
        in_column = min(_A_COLUMN, len(shown) - column * _A_COLUMN)
        height = (_HEIGHT - _BETWEEN * (in_column - 1)) / in_column
        beside = left + _BOUND_WIDTH + _GAP + column * (_UNKNOWN_WIDTH + _GAP)
        area = (beside, top + row * (height + _BETWEEN), _UNKNOWN_WIDTH, height)
        draw_unknown(figure, unknown, area)
    for line, note in enumerate(notes):
        write(figure, MARGIN, below + line * _LINE, note, size=TICK_SIZE, color=MUTED, va="top")
    return figure


def _head(figure: Figure, fit: Drawable, left: float, top: float) -> None:
    style: dict[str, Any] = {"va": "baseline", "weight": "bold"}
    size = LABEL_SIZE + 1
    write(figure, left, top - 20, "Bound over the steps, nats", size=size, color=INK, **style)
    right = left + _BOUND_WIDTH
    estimate = "of relaxed samples" if fit.trace.relaxed else "estimate"
    colours = ((f"ELBO at the end {_number(fit.elbo)}", VALID), (estimate, TRAIN))
    for text, colour in colours:
        said = write(
            figure, right, top - 20, text, size=LABEL_SIZE, color=colour, ha="right", **style
        )
        right -= said.get_window_extent().width + 30


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "unknown" if math.isnan(value) else "\N{MINUS SIGN}\N{INFINITY}"
    return f"{value:,.6g}".replace("-", "\N{MINUS SIGN}")


def _notes(fit: Drawable, left_out: int) -> list[str]:
    """What was done, how it ended, how to read it, and what isn't in it."""
    notes = [f"Objective: {fit.label}.", f"{fit.reason[:1].upper()}{fit.reason[1:].rstrip('.')}."]
    how = f"Faint: each step's estimate; bold: its mean over {smoothed_over(fit.trace):,} steps"
    fell = reductions(fit.trace.step_sizes)
    notes.append(how + ("; dotted: the step size falls, to the number there." if fell else "."))
    if fit.trace.relaxed:
        notes.append(
            "The trace is of relaxed samples, and bounds nothing; the ELBO at the end is of hard "
            "ones."
        )
    if fit.elbo == -math.inf:
        notes.append("The ELBO is infinite: q proposes what the model rules out.")
    if left_out:
        which = "unknown isn't" if left_out == 1 else "unknowns aren't"
        notes.append(f"{left_out:,} more {which} shown.")
    return notes


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
