"""The picture of a fit: how it came about, and what it says of the unknowns."""

import math
import os
from typing import Any, Protocol

from matplotlib.figure import Figure

from hotgrad.canvas import (
    HEADER,
    INK,
    LABEL_SIZE,
    MARGIN,
    MUTED,
    TICK_SIZE,
    TRAIN,
    VALID,
    place,
    save,
    sheet,
    wrapped,
    write,
)
from hotgrad.inference.parts import Unknown
from hotgrad.inference.picture.bound import draw_bound, reductions, smoothed_over
from hotgrad.inference.picture.marginals import draw_unknown
from hotgrad.inference.watch import Trace

_BOUND_WIDTH, _UNKNOWN_WIDTH, _HEIGHT = 1050, 680, 900
_YLABEL, _XLABEL, _GAP, _BETWEEN, _LINE = 160, 130, 170, 190, 36
_MOST_UNKNOWNS, _A_COLUMN = 4, 2


class Drawable(Protocol):
    """What is drawn of a fit."""

    label: str
    trace: Trace
    reason: str

    @property
    def elbo(self) -> float: ...

    @property
    def unknowns(self) -> list[Unknown]: ...


def draw(fit: Drawable, path: str | os.PathLike[str], *, title: str) -> None:
    """Draws the bound over the steps and the marginals of every unknown.

    Args:
        fit: the fit.
        path: the PNG to write, whole or not at all.
        title: one line above.

    Raises:
        ValueError: the folder doesn't exist.
    """
    save(picture_of(fit, title), path)


def picture_of(fit: Drawable, title: str) -> Figure:
    """The figure that `draw` saves."""
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
