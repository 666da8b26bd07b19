"""The picture of a selection: inclusion probabilities, and every choice's held-out score."""

import os
from bisect import bisect_left
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hotgrad.canvas import (
    DPI,
    GRID,
    HEADER,
    INK,
    LABEL_SIZE,
    MARGIN,
    MUTED,
    TICK_SIZE,
    TRAIN,
    VALID,
    drawable,
    place,
    quieten,
    save,
    sheet,
)

_ROW = 46
_MAX_ROWS = 24
_RUNNERS_UP = 5
_MAX_NAME = 420
_MOST_MEASURED = 400
"""Characters: more never fit, and measuring takes time."""
_BARS_WIDTH, _SCORES_WIDTH, _VALUES_WIDTH = 640, 560, 235
_BESIDE_NAMES = 14
_GAP = 150
_XLABEL = 130
_RUNNER_UP = "#cbc8c0"
_OWN = "hotgrad"


def save_selection(
    path: str | os.PathLike[str],
    columns: Sequence[tuple[str, float, bool]],
    scores: Sequence[tuple[str, float, float | None]],
    *,
    metric: str,
    best: float,
    title: str,
) -> None:
    """Draws the most probable columns' inclusion probabilities, and every choice's held-out score.

    Args:
        path: the PNG to write, whole or not at all.
        columns: (name, inclusion probability, whether it was chosen), the most probable first.
        scores: (who chose, held-out score, its standard error or None), from the top down.
        metric: what the score is.
        best: the best possible score, where its axis ends.
        title: one line above.

    Raises:
        ValueError: the folder doesn't exist.
    """
    chosen = sum(is_chosen for _, _, is_chosen in columns)
    shown = columns[: min(chosen + _RUNNERS_UP, _MAX_ROWS)]
    names, names_width = _fitted([name for name, _, _ in shown])
    rivals, rivals_width = _fitted([name for name, _, _ in scores])
    top, left = HEADER + 60, MARGIN + names_width
    right = left + _BARS_WIDTH + _GAP + rivals_width
    width = right + _SCORES_WIDTH + _VALUES_WIDTH + MARGIN
    figure = sheet(width, top + max(len(shown), len(scores)) * _ROW + _XLABEL, title)
    bars = place(figure, left, top, _BARS_WIDTH, len(shown) * _ROW)
    _name_rows(bars, names, [INK if is_chosen else MUTED for _, _, is_chosen in shown])
    _draw_probabilities(bars, shown, len(columns))
    dots = place(figure, right, top, _SCORES_WIDTH, len(scores) * _ROW)
    _name_rows(dots, rivals, [VALID if name == _OWN else INK for name in rivals])
    _draw_scores(dots, scores, metric, best)
    save(figure, path)


def _draw_probabilities(axes: Axes, shown: Sequence[tuple[str, float, bool]], number: int) -> None:
    colours = [TRAIN if is_chosen else _RUNNER_UP for _, _, is_chosen in shown]
    axes.barh(range(len(shown)), [p for _, p, _ in shown], height=0.66, color=colours)
    axes.set_xlim(0, 1)
    axes.set_xlabel("inclusion probability")
    heading = "Chosen columns" if all(c for *_, c in shown) else "Chosen columns and runners-up"
    left_out = number - len(shown)
    _head(axes, heading + (f" ({left_out:,} more not shown)" if left_out else ""))


def _draw_scores(
    axes: Axes, scores: Sequence[tuple[str, float, float | None]], metric: str, best: float
) -> None:
    for row, (name, value, error) in enumerate(scores):
        own = name == _OWN
        colour = VALID if own else MUTED
        reach = error or 0.0
        axes.plot([value - reach, value + reach], [row, row], color=colour, linewidth=1.4)
        axes.plot([value], [row], marker="o", markersize=5.5, color=colour)
        spread = "" if error is None else f" ± {error:.3f}"
        axes.annotate(
            f"{value:.3f}{spread}".replace("-", "\N{MINUS SIGN}"),
            (1, row),
            xytext=(12, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            size=TICK_SIZE,
            color=VALID if own else INK,
            weight="bold" if own else "normal",
        )
    axes.margins(x=0.08)
    # the axis may go on a little beyond the best score, its numbers may not
    low, high = axes.get_xlim()
    ticks = MaxNLocator(5).tick_values(low, high)
    from_below = best >= max(value for _, value, _ in scores)
    inside = [tick for tick in ticks if (tick <= best if from_below else tick >= best)]
    axes.set_xticks(inside)
    axes.set_xlim(low, high)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel(metric)
    _head(axes, "Score on held-out rows, ± standard error")


def _name_rows(axes: Axes, names: Sequence[str], colours: Sequence[str]) -> None:
    quieten(axes)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    for label, colour in zip(axes.get_yticklabels(), colours, strict=True):
        label.set(color=colour, weight="bold" if colour == VALID else "normal")


def _head(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", size=LABEL_SIZE + 1, color=INK, weight="bold", pad=8)


def _fitted(names: Sequence[str]) -> tuple[list[str], int]:
    """Names that fit beside the axes, long ones without their middle, and the pixels they need."""
    figure = Figure(dpi=DPI)
    FigureCanvasAgg(figure)
    probe = figure.text(0, 0, "", size=TICK_SIZE, weight="bold", parse_math=False)

    def width(text: str) -> float:
        probe.set_text(text)
        return probe.get_window_extent().width

    fitted = []
    for name in names:
        whole = drawable(shortened(" ".join(name.split()), _MOST_MEASURED))
        too_many = bisect_left(
            range(len(whole) + 1), True, key=lambda kept: width(shortened(whole, kept)) > _MAX_NAME
        )
        fitted.append(shortened(whole, too_many - 1))
    return fitted, round(max(map(width, fitted))) + _BESIDE_NAMES


def shortened(text: str, most: int) -> str:
    """A long text without its middle: like names often differ at the end alone."""
    if len(text) <= most:
        return text
    return f"{text[: (most + 1) // 2]}…{text[len(text) - most // 2 :]}"
