"""Learning curves: the bound at large, and beside it the two terms that it is made of."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea
from matplotlib.ticker import FuncFormatter, MaxNLocator, ScalarFormatter
from matplotlib.transforms import ScaledTranslation

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
    save,
    sheet,
)

MetricsRow = Mapping[str, float | str | None]

_COLOURS = {"train": TRAIN, "valid": VALID}
_HEIGHT = 980
_MAIN_WIDTH, _SIDE_WIDTH = 1100, 560
_XLABEL, _YLABEL = 130, 130
_TICK_STEPS = [1, 2, 2.5, 5, 10]


@dataclass(frozen=True)
class _Curve:
    name: str
    colour: str
    steps: list[float]
    values: list[float]


def save_curves(path: str | os.PathLike[str], rows: Sequence[MetricsRow], *, title: str) -> None:
    """Draws the bound, the reconstruction term, the KL and the temperature over the steps.

    Each panel's heading ends in the last value of each curve, in the curve's colour. Where the
    beginning is so steep that it would flatten the rest, the panel leaves it out and says so.

    Args:
        path: the PNG to write, whole or not at all.
        rows: with the keys step, epoch (counted from 1), split ("train" or "valid"), elbo,
            reconstruction, kl (nats) and temperature. Numbers may be missing, None, "" or NaN,
            or text as read from a CSV file. Without any temperature its panel is left out.
        title: one line above.

    Raises:
        ValueError: a value is no number, or the folder doesn't exist.
    """
    side = [("Reconstruction", _by_split(rows, "reconstruction"), "nats")]
    side.append(("KL", _by_split(rows, "kl"), "nats"))
    temperature = _curve(rows, "temperature", "temperature", INK)
    if temperature.values:
        side.append(("Temperature τ", [temperature], ""))

    left, gap, spacing = MARGIN + _YLABEL - 10, 90, 130
    width = left + _MAIN_WIDTH + gap + _YLABEL + _SIDE_WIDTH + MARGIN
    top = HEADER + 50
    figure = sheet(width, top + _HEIGHT + _XLABEL, title)
    main = place(figure, left, top, _MAIN_WIDTH, _HEIGHT)
    _draw(main, "ELBO", _by_split(rows, "elbo"), "nats", named=True)
    height = (_HEIGHT - spacing * (len(side) - 1)) / len(side)
    for position, (heading, curves, unit) in enumerate(side):
        offset = position * (height + spacing)
        axes = place(figure, width - MARGIN - _SIDE_WIDTH, top + offset, _SIDE_WIDTH, height)
        _draw(axes, heading, curves, unit, named=False)
    for axes in (main, figure.axes[-1]):
        axes.set_xlabel(_step_label(rows))
    save(figure, path)


def _by_split(rows: Sequence[MetricsRow], key: str) -> list[_Curve]:
    curves = [
        _curve([row for row in rows if row.get("split") == split], key, split, colour)
        for split, colour in _COLOURS.items()
    ]
    return [curve for curve in curves if curve.values]


def _curve(rows: Sequence[MetricsRow], key: str, name: str, colour: str) -> _Curve:
    points = [(_number(row, "step"), _number(row, key)) for row in rows]
    points = [point for point in points if all(map(math.isfinite, point))]
    return _Curve(name, colour, [step for step, _ in points], [value for _, value in points])


def _number(row: MetricsRow, key: str) -> float:
    value = row.get(key)
    if value is None or value == "":
        return math.nan
    try:
        return float(value)
    except ValueError:
        raise ValueError(
            f"metrics: {key} is {value!r}, expected a number or nothing. Mend that row."
        ) from None


def _draw(axes: Axes, heading: str, curves: Sequence[_Curve], unit: str, *, named: bool) -> None:
    for curve in curves:
        few = len(curve.values) <= 30
        axes.plot(
            curve.steps,
            curve.values,
            color=curve.colour,
            linewidth=1.6 if named else 1.3,
            marker="o" if few else "",
            markersize=3.2 if len(curve.values) > 1 else 5,
            solid_capstyle="round",
        )
    axes.set_title(heading, loc="left", size=LABEL_SIZE + 1, color=INK, weight="bold", pad=8)
    axes.set_ylabel(unit, va="center")
    # The same place in every panel, however wide the numbers between are.
    axes.yaxis.set_label_coords(-_YLABEL * 0.88 / (axes.bbox.width), 0.5)
    quieten(axes)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(6 if named else 4, steps=_TICK_STEPS, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.yaxis.set_major_locator(MaxNLocator(8 if named else 4, steps=_TICK_STEPS))
    axes.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    if not curves:
        _note(axes, "nothing recorded")
        axes.set(xticks=[], yticks=[])
        return
    axes.set_xlim(left=0)
    if _leave_out_start(axes, curves):
        _note(axes, "steep start cut off")
    _last_values(axes, curves, named=named)


def _leave_out_start(axes: Axes, curves: Sequence[_Curve]) -> bool:
    """Fits the vertical axis to all but the first tenth, where that at least doubles the detail."""
    every = [value for curve in curves for value in curve.values]
    last = max(curve.steps[-1] for curve in curves)
    late = [
        value
        for curve in curves
        for step, value in zip(curve.steps, curve.values, strict=True)
        if step > last / 10
    ]
    span, late_span = max(every) - min(every), max(late, default=0) - min(late, default=0)
    if len(late) < 8 or span < 2 * late_span or late_span == 0:
        return False
    axes.set_ylim(min(late) - 0.06 * late_span, max(late) + 0.06 * late_span)
    return True


def _note(axes: Axes, text: str) -> None:
    axes.annotate(
        text,
        (1, 0),
        xytext=(-2, 5),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        size=TICK_SIZE,
        color=MUTED,
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.5},
    )


def _last_values(axes: Axes, curves: Sequence[_Curve], *, named: bool) -> None:
    texts: list[Artist] = [
        TextArea(
            (f"{curve.name} " if named else "")
            + f"{curve.values[-1]:,.2f}".replace("-", "\N{MINUS SIGN}"),
            textprops={"color": curve.colour, "size": LABEL_SIZE, "weight": "bold"},
        )
        for curve in curves
    ]
    # In points above the corner: the figure's scale counts inches.
    up = ScaledTranslation(0, 6 / 72, axes.figure.dpi_scale_trans)
    box = AnchoredOffsetbox(
        loc="lower right",
        child=HPacker(children=texts, pad=0, sep=12, align="baseline"),
        bbox_to_anchor=(1.0, 1.0),
        bbox_transform=axes.transAxes + up,
        frameon=False,
        pad=0,
        borderpad=0,
    )
    axes.add_artist(box)


def _step_label(rows: Sequence[MetricsRow]) -> str:
    epochs = [_number(row, "epoch") for row in rows]
    last = max((epoch for epoch in epochs if math.isfinite(epoch)), default=0.0)
    return f"training step ({last:g} epochs)" if last >= 2 else "training step"
