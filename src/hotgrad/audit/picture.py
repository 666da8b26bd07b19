"""The picture of an audit: a line for each estimator, with its bias, its noise and its error.

The best stands first. All figures of a line are on one logarithmic axis, so that one sees at once
whether bias or noise makes the error. Where estimators were measured at several temperatures, a
table beside has the error at each. The audit's verdict stands above, what the picture leaves out
below. It needs matplotlib, so nothing imports it before a picture is drawn.
"""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hotgrad.audit.table import (
    NOTHING,
    Figures,
    Record,
    Row,
    best_of_each,
    counted,
    figures_of,
    name_of,
    shortened,
    significant,
)
from hotgrad.canvas import (
    GRID,
    HEADER,
    INK,
    LABEL_SIZE,
    MARGIN,
    MUTED,
    TICK_SIZE,
    TRAIN,
    VALID,
    logarithmic_limits,
    place,
    quieten,
    save,
    sheet,
    tick_logarithmic,
    wrapped,
    write,
)

_ROW, _LINE, _HEADS = 46, 36, 120
_AXES, _EVALUATIONS, _CELL, _GAP = 1000, 210, 96, 60
_MOST_ROWS, _MOST_TEMPERATURES, _MOST_REFUSED = 60, 12, 8
_MOST_OF_A_NAME = 40
_NEGLIGIBLE = 1e-4
"""What is below this share of the gradient, or of the greatest error, isn't drawn."""

_TITLE = "Which gradient to trust"
_HEAD: dict[str, Any] = {"size": LABEL_SIZE + 1, "color": INK, "weight": "bold", "va": "baseline"}
_BIAS: dict[str, Any] = {"marker": "D", "markersize": 4.0, "markeredgewidth": 0}
_NOISE: dict[str, Any] = {"marker": "|", "markersize": 9.0, "markeredgewidth": 1.8}
_ERROR: dict[str, Any] = {"marker": "o", "markersize": 6.5, "markeredgewidth": 1.2}


@dataclass(frozen=True)
class _Line:
    """A row in the picture's unit; what is negligible is 0."""

    row: Row
    bias: float
    """0, as its ends, where its 95 % interval holds 0."""
    bias_low: float
    bias_high: float
    noise: float
    error: float
    is_payable: bool
    """Whether noise and error are those of a step, not of one call that takes more."""


def draw(record: Record, path: str | os.PathLike[str], *, title: str = _TITLE) -> None:
    """Writes a PNG of every estimator's bias, noise and error, and its error at each temperature.

    Raises:
        ValueError: the folder doesn't exist.
    """
    save(picture_of(record, title), path)


def picture_of(record: Record, title: str) -> Figure:
    """The figure that `draw` saves."""
    finite = [row for row in record["rows"] if not row["non_finite"]]
    shown = best_of_each(finite)[:_MOST_ROWS]
    absolute = not record["reference"]["norm"]
    lines = _lines_of(shown, record["evaluations"], absolute=absolute)
    every = _temperatures(finite)
    temperatures = every[:_MOST_TEMPERATURES]
    counts = MARGIN + _widest([_name(row) for row in shown]) + _EVALUATIONS
    left = counts + 30
    table = left + _AXES + _GAP
    width = (table + _CELL * len(temperatures) if temperatures else left + _AXES) + MARGIN
    verdict = wrapped(record["verdict"], width, LABEL_SIZE + 1)
    notes = wrapped(" ".join(_notes(record, lines, len(every))), width, TICK_SIZE)
    top = HEADER + 42 * len(verdict) + _HEADS
    below = top + _ROW * max(len(lines), 1) + 130
    figure = sheet(width, below + _LINE * len(notes) + MARGIN // 2, title)
    for i, text in enumerate(verdict):
        write(figure, MARGIN, HEADER - 10 + 42 * i, text, size=LABEL_SIZE + 1, color=INK, va="top")
    if lines:
        axes = _draw_axes(figure, (left, top, _AXES, _ROW * len(lines)), lines, absolute=absolute)
        for i, line in enumerate(lines):
            _draw_line(axes, i, line)
            _name_line(figure, top + _ROW * (i + 0.5), counts, line, is_best=i == 0)
        _explain_marks(figure, (left, top - 28), left + _AXES, lines, record["evaluations"])
        write(figure, left, top - 72, "Error, and what it is made of", **_HEAD)
        style: dict[str, Any] = {"size": TICK_SIZE, "color": MUTED, "va": "baseline"}
        write(figure, counts, top - 28, "evaluations a call", ha="right", **style)
    if temperatures:
        _draw_table(figure, (table, top), finite, shown, temperatures, absolute=absolute)
    for i, text in enumerate(notes):
        write(figure, MARGIN, below + _LINE * i, text, size=TICK_SIZE, color=MUTED, va="top")
    return figure


def _temperatures(rows: Sequence[Row]) -> list[float]:
    """Those of the table: none where no estimator was measured at several."""
    tempered = [(row["estimator"], t) for row in rows if (t := row["temperature"]) is not None]
    if len({name for name, _ in tempered}) == len(set(tempered)):
        return []
    return sorted({t for _, t in tempered})


def _name(row: Row) -> str:
    return shortened(name_of(row, "  τ="), _MOST_OF_A_NAME)


def _widest(texts: Sequence[str]) -> int:
    """In pixels, were they all bold."""
    figure = sheet(100, 100, "")
    written = [write(figure, 0, 0, text, size=LABEL_SIZE, weight="bold") for text in texts]
    return math.ceil(max((text.get_window_extent().width for text in written), default=0.0))


def _name_line(figure: Figure, height: float, right: int, line: _Line, *, is_best: bool) -> None:
    weight = "bold" if is_best and line.is_payable else "normal"
    colour = INK if line.is_payable else MUTED
    style: dict[str, Any] = {"size": LABEL_SIZE, "va": "center_baseline", "color": colour}
    write(figure, MARGIN, height, _name(line.row), weight=weight, **style)
    write(figure, right, height, f"{line.row['evaluations']:,}", ha="right", **style)


def _draw_table(
    figure: Figure,
    corner: tuple[int, int],
    rows: Sequence[Row],
    shown: Sequence[Row],
    temperatures: Sequence[float],
    *,
    absolute: bool,
) -> None:
    """The error at each temperature, in line with the estimators; the least is bold."""
    left, top = corner
    write(figure, left + 10, top - 72, "Error at temperature τ", **_HEAD)
    place_of = {row["estimator"]: i for i, row in enumerate(shown)}
    style: dict[str, Any] = {"size": TICK_SIZE, "ha": "right"}
    for i, temperature in enumerate(temperatures):
        right = left + _CELL * (i + 1)
        write(figure, right, top - 28, f"{temperature:g}", color=MUTED, va="baseline", **style)
        for row in rows:
            line = place_of.get(row["estimator"])
            if row["temperature"] != temperature or line is None:
                continue
            error = figures_of(row, absolute=absolute).error_at_budget
            text = NOTHING if error is None else significant(error if absolute else 100 * error)
            weight, colour = ("bold", INK) if row is shown[line] else ("normal", MUTED)
            own = {**style, "va": "center_baseline", "weight": weight, "color": colour}
            write(figure, right, top + _ROW * (line + 0.5), text, **own)


def _notes(record: Record, lines: Sequence[_Line], temperatures: int) -> Iterator[str]:
    """How to read it, and what isn't in it."""
    step = counted(record["evaluations"], "evaluation")
    yield f"Exact gradient: {record['reference']['text']}."
    if zero := record["reference"]["zero"]:
        yield f"Figures are absolute, since the exact gradient {zero}."
    if lines:
        yield (
            f"Error: the root of bias² + noise², when {step} of f are spent on calls that are "
            "averaged."
        )
    if not all(line.bias for line in lines):
        yield "No bias is drawn where its 95 % interval holds 0."
    if not all(line.is_payable for line in lines):
        yield "Grey names: one call takes more, and the figures are those of one call."
    finite = [row for row in record["rows"] if not row["non_finite"]]
    if (more := len(best_of_each(finite)) - _MOST_ROWS) > 0:
        yield f"{counted(more, 'more estimator')} had a larger error."
    if (more := temperatures - _MOST_TEMPERATURES) > 0:
        yield f"{counted(more, 'higher temperature')} had no room in the table."
    broken = [name_of(row, " at ") for row in record["rows"] if row["non_finite"]]
    if broken:
        yield f"Left out, since not all their gradients are finite: {', '.join(broken)}."
    if refused := list(record["refused"]):
        rest = len(refused) - _MOST_REFUSED
        others = f" and {rest} more" if rest > 0 else ""
        yield f"Don't work here: {', '.join(refused[:_MOST_REFUSED])}{others}."


def _lines_of(rows: Sequence[Row], evaluations: int, *, absolute: bool) -> list[_Line]:
    """In per cent of the exact gradient, or absolute, for a step of so many evaluations of f."""
    scale = 1.0 if absolute else 100.0
    figures = [figures_of(row, absolute=absolute) for row in rows]
    largest = max((its.rmse or 0.0 for its in figures), default=0.0) if absolute else 1.0

    def seen(value: float | None) -> float:
        return 0.0 if value is None or value <= _NEGLIGIBLE * largest else value * scale

    def line(row: Row, its: Figures) -> _Line:
        calls = evaluations // row["evaluations"]
        error = its.error_at_budget if calls else its.rmse
        noise = math.sqrt((its.variance or 0.0) / max(calls, 1))
        bias, low, high = map(seen, its[:3] if its.bias_low else (0.0, 0.0, 0.0))
        return _Line(row, bias, low, high, seen(noise), seen(error), is_payable=calls > 0)

    return [line(row, its) for row, its in zip(rows, figures, strict=True)]


def _draw_axes(
    figure: Figure, area: tuple[int, int, int, int], lines: Sequence[_Line], *, absolute: bool
) -> Axes:
    """A logarithmic axis for all figures, on which line i is at height i from the top."""
    axes = place(figure, *area)
    quieten(axes)
    axes.spines[["left", "bottom"]].set_visible(False)
    figures = ((line.noise, line.error, line.bias, line.bias_high) for line in lines)
    drawn = [value for its in figures for value in its if value]
    axes.set(xscale="log", xlim=logarithmic_limits(drawn), ylim=(len(lines) - 0.5, -0.5), yticks=[])
    axes.set_xlabel("absolute" if absolute else "% of the exact gradient's norm", labelpad=4)
    tick_logarithmic(axes.xaxis)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    return axes


def _draw_line(axes: Axes, height: int, line: _Line) -> None:
    """A pale bar to the error, which ends in a disc; on it the noise and the bias."""
    start, colour = axes.get_xlim()[0], TRAIN if line.row["unbiased"] else VALID
    if not line.error:
        style: dict[str, Any] = {"size": TICK_SIZE, "color": MUTED, "va": "center_baseline"}
        axes.text(start, height, "  no error but rounding", **style)
        return
    if line.is_payable:
        bar: dict[str, Any] = {"color": to_rgba(colour, 0.18), "solid_capstyle": "butt"}
        axes.plot([start, line.error], [height] * 2, linewidth=7, **bar)
    face = colour if line.is_payable else "white"
    axes.plot(line.error, height, color=colour, markerfacecolor=face, **_ERROR)
    if line.noise:
        axes.plot(line.noise, height, color=colour, **_NOISE)
    if line.bias:
        axes.plot([max(line.bias_low, start), line.bias_high], [height] * 2, color=INK, linewidth=1)
        axes.plot(line.bias, height, color=INK, **_BIAS)


def _explain_marks(
    figure: Figure, corner: tuple[int, int], right: float, lines: Sequence[_Line], evaluations: int
) -> None:
    """The marks and the colours, in one line above the axes."""
    marks: list[tuple[str, str, dict[str, Any]]] = [
        (f"error of {counted(evaluations, 'evaluation')} of f", MUTED, _ERROR),
        ("its noise", MUTED, _NOISE),
        ("its bias (95 % interval)", INK, _BIAS),
    ]
    left, top = corner
    across, down = figure.bbox.width, figure.bbox.height
    x: float = left
    for text, colour, mark in marks:
        at = ([(x + 10) / across], [1 - (top - 9) / down])
        figure.add_artist(Line2D(*at, color=colour, linestyle="", **mark))
        said = write(figure, x + 28, top, text, size=TICK_SIZE, color=MUTED, va="baseline")
        x += 28 + said.get_window_extent().width + 36
    for unbiased, text, colour in ((False, "biased", VALID), (True, "unbiased", TRAIN)):
        if any(line.row["unbiased"] is unbiased for line in lines):
            style: dict[str, Any] = {"size": LABEL_SIZE, "color": colour, "weight": "bold"}
            said = write(figure, right, top - 44, text, va="baseline", ha="right", **style)
            right -= round(said.get_window_extent().width) + 34
