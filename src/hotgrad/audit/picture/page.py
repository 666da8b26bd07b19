"""The picture of an audit: noise against bias, and the error over the temperature.

The audit's verdict stands above, what the picture leaves out below.
"""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from hotgrad.audit.picture.names import widest_name
from hotgrad.audit.picture.points import Drawable, Point, Points, points_of
from hotgrad.audit.picture.scatter import draw_scatter
from hotgrad.audit.picture.style import XLABEL, draw_mark, radius_of
from hotgrad.audit.picture.temperatures import TO_NAME, draw_temperatures
from hotgrad.audit.table import counted
from hotgrad.canvas import (
    HEADER,
    INK,
    LABEL_SIZE,
    MARGIN,
    MUTED,
    TICK_SIZE,
    TRAIN,
    VALID,
    save,
    sheet,
    wrapped,
    write,
)

_YLABEL = 120
_SCATTER_WIDTH, _CURVES_WIDTH, _HEIGHT = 1330, 520, 960
_GAP = 200
_LINE = 36
_MANY = 8
_TITLE = "Which gradient to trust"


def draw(audit: Drawable, path: str | os.PathLike[str], *, title: str = _TITLE) -> None:
    """Draws every estimator's noise and bias, and its error at each temperature.

    Args:
        audit: with rows, refused, reference, verdict and evaluations.
        path: the PNG to write, whole or not at all.
        title: one line above.

    Raises:
        ValueError: the folder doesn't exist.
    """
    save(picture_of(audit, title), path)


def picture_of(audit: Drawable, title: str) -> Figure:
    """The figure that `draw` saves."""
    points = points_of(audit)
    errors = [[point for point in trail if point.error] for trail in points.trails]
    curves = [trail for trail in errors if len(trail) > 1]
    rivals = [point for point in points.shown if point.temperature is None and point.error]
    unit = "% of the exact gradient" if points.relative else "absolute"
    left = MARGIN + _YLABEL
    width = left + _SCATTER_WIDTH + MARGIN
    if curves:
        named = [trail[0] for trail in curves] + rivals[:1]
        names = [dataclasses.replace(point, temperature=None) for point in named]
        width += _GAP + _CURVES_WIDTH + TO_NAME + round(widest_name(sheet(100, 100, ""), names))
    verdict = wrapped(audit.verdict, width, LABEL_SIZE + 1)
    notes = wrapped(" ".join(_notes(audit, points)), width, TICK_SIZE)
    top = HEADER + len(verdict) * 42 + 70
    below = top + _HEIGHT + XLABEL + 40
    figure = sheet(width, below + 100 + len(notes) * _LINE + MARGIN // 2, title)
    for i, line in enumerate(verdict):
        write(figure, MARGIN, HEADER - 10 + 42 * i, line, size=LABEL_SIZE + 1, color=INK, va="top")
    area = (left, top, _SCATTER_WIDTH, _HEIGHT)
    unnamed = draw_scatter(figure, area, points.shown, points.trails, points.best, unit)
    _head(figure, left, top, "Noise against bias")
    _colours(figure, left + _SCATTER_WIDTH, top, points.shown)
    _sizes(figure, left, below, points.shown)
    if unnamed:
        said = f"{unnamed} names found no room"
        style: dict[str, Any] = {"size": TICK_SIZE, "color": MUTED, "va": "center", "ha": "right"}
        write(figure, left + _SCATTER_WIDTH, below + 42, said, **style)
    for i, line in enumerate(notes):
        write(figure, MARGIN, below + 100 + _LINE * i, line, size=TICK_SIZE, color=MUTED, va="top")
    if curves:
        beside = left + _SCATTER_WIDTH + _GAP
        area = (beside, top, _CURVES_WIDTH, _HEIGHT)
        draw_temperatures(figure, area, curves, rivals[0] if rivals else None, unit)
        _head(figure, beside, top, f"Error of {_step(audit)}")
    return figure


def _step(audit: Drawable) -> str:
    return f"{counted(audit.evaluations, 'evaluation')} of f"


def _head(figure: Figure, left: float, top: float, text: str) -> None:
    write(
        figure, left, top - 20, text, size=LABEL_SIZE + 1, color=INK, va="baseline", weight="bold"
    )


def _colours(figure: Figure, right: float, top: float, points: Sequence[Point]) -> None:
    """What the colours say, flush right above the panel."""
    for unbiased, text, colour in ((False, "biased", VALID), (True, "unbiased", TRAIN)):
        if any(point.unbiased is unbiased for point in points):
            style: dict[str, Any] = {"size": LABEL_SIZE, "color": colour, "weight": "bold"}
            said = write(figure, right, top - 20, text, va="baseline", ha="right", **style)
            right -= said.get_window_extent().width + 34


def _sizes(figure: Figure, left: float, top: float, points: Sequence[Point]) -> None:
    """What the marks' sizes say: the least, the middle and the greatest cost."""
    costs = sorted({point.evaluations for point in points})
    if not costs:
        return
    chosen = sorted({costs[0], costs[len(costs) // 2], costs[-1]})
    x, y = left, top + 42
    said = write(
        figure, x, y, "evaluations of f in a call:", size=LABEL_SIZE, color=MUTED, va="center"
    )
    x += said.get_window_extent().width
    for cost in chosen:
        radius = radius_of(cost)
        x += 30 + radius
        draw_mark(figure, (x, figure.bbox.height - y), radius, MUTED)
        x += radius + 10
        said = write(figure, x, y, f"{cost:,}", size=LABEL_SIZE, color=MUTED, va="center")
        x += said.get_window_extent().width


def _notes(audit: Drawable, points: Points) -> list[str]:
    """How to read it, and what isn't in it."""
    how = audit.reference["text"]
    notes = [f"Exact gradient: {how}.", "Faint lines: equal error of one call."]
    if points.best is not None:
        notes.append(f"Ringed: the least error of {_step(audit)}.")
    if zero := audit.reference["zero"]:
        notes.append(f"Figures are absolute, since the exact gradient {zero}.")
    if any(not point.shows_bias for point in points.shown):
        notes.append("No bias seen: the 95 % interval of the bias holds 0.")
    if points.trails:
        notes.append("Each estimator is named at its best temperature; small dots are the others.")
    if points.left_out:
        notes.append(
            f"Left out, since not all their gradients are finite: {', '.join(points.left_out)}."
        )
    if audit.refused:
        refused = list(audit.refused)
        more = f" and {len(refused) - _MANY} more" if len(refused) > _MANY else ""
        notes.append(f"Can't serve here: {', '.join(refused[:_MANY])}{more}.")
    return notes
