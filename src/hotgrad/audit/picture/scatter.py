"""Noise against bias: a mark for each estimator, its size the cost, its colour whether it has bias.

Both axes are logarithmic, so what shows no bias stands in a band of its own at the left, and what
has no noise on the floor. The faint lines take the grid's place: on each the error of one call,
the root of bias² + noise², is the same.
"""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hotgrad.audit.picture.labels import Box, Line
from hotgrad.audit.picture.names import Named, name_marks, widest_name, write_column
from hotgrad.audit.picture.points import Point
from hotgrad.audit.picture.style import (
    XLABEL,
    colour_of,
    draw_mark,
    limits,
    paler,
    pixels,
    radius_of,
    tick_every,
    write_axis_label,
)
from hotgrad.canvas import GRID, INK, MUTED, TICK_SIZE, place, quieten

_BAND = "#f7f6f3"
_NARROWEST, _WIDEST = 330.0, 640.0
_INDENT = 62
_TO_NAMES = 80
_REACH = 2.0
_FLOOR = 34

Trail = Sequence[Point]
Centre = tuple[float, float]


def draw_scatter(
    figure: Figure,
    area: tuple[float, float, float, float],
    points: Sequence[Point],
    trails: Sequence[Trail],
    best: Point | None,
    unit: str,
) -> int:
    """Draws the panel and returns how many estimators found no room for their name.

    Args:
        figure: the figure to draw on.
        area: left, top, width, height in pixels.
        points: one for each estimator, whose names matter most first.
        trails: all temperatures of an estimator, in order, for those that have several.
        best: the one to set off.
        unit: of both axes.
    """
    if not points:
        axes = place(figure, *area)
        axes.set_axis_off()
        axes.text(0, 1, "nothing to draw", size=TICK_SIZE, color=MUTED, va="top")
        return 0
    left, top, width, height = area
    hidden = [point for point in points if not point.shows_bias]
    seen = [point for point in points if point.shows_bias]
    band_width = _band_width(figure, hidden, width) if seen else width
    near = [*points, *_within_reach(points, trails)]
    noises = limits([point.noise for point in near if point.is_noisy])
    if not all(point.is_noisy for point in points):
        noises = noises[0] / (noises[1] / noises[0]) ** 0.1, noises[1]
    panels: list[Axes] = []
    centres: dict[Point, Centre] = {}
    bars: list[Line] = []
    if hidden:
        band = _panel(figure, (left, top, band_width, height), noises)
        band.set(facecolor=_BAND, xlim=(0, 1), xticks=[])
        for level in band.get_yticks():
            band.axhline(level, color=GRID, linewidth=0.7, zorder=0)
        write_axis_label(figure, left + band_width / 2, top + height + XLABEL, "no bias seen")
        across = left + _INDENT
        centres |= {point: (across, _up(band, point)) for point in hidden}
        panels.append(band)
    else:
        band_width = 0.0
    if seen:
        main = _panel(figure, (left + band_width, top, width - band_width, height), noises)
        biases = _biases([point for point in near if point.shows_bias], noises[0])
        main.set(xscale="log", xlim=biases)
        tick_every(main.xaxis)
        _draw_equal_errors(main)
        for trail in trails:
            _draw_trail(main, trail)
        centres |= {point: (pixels(main, point.bias, 1.0)[0], _up(main, point)) for point in seen}
        bars = [bar for point in seen for bar in _draw_interval(main, point, centres[point])]
        middle = left + (band_width + width) / 2
        write_axis_label(figure, middle, top + height + XLABEL, f"bias ({unit})")
        if panels:
            main.spines["left"].set_visible(False)
            main.tick_params(axis="y", length=0, labelleft=False)
        panels.append(main)
    panels[0].set_ylabel(f"noise of one call ({unit})")
    for point, centre in sorted(centres.items(), key=lambda item: _depth(item[0], best)):
        ring = {"markeredgecolor": INK, "markeredgewidth": 1.3} if point is best else {}
        shape = "o" if point.is_noisy else "v"
        radius = radius_of(point.evaluations)
        draw_mark(figure, centre, radius, colour_of(point), marker=shape, **ring)
    floor = figure.bbox.height - top - height
    column = (left + _INDENT + _TO_NAMES, floor + 20, floor + height - 20)
    ends = [Named(p.label, _right_of(p, centres[p]), is_bold=p is best) for p in hidden]
    unnamed = write_column(figure, ends, column)
    frame = Box(left + band_width, floor, left + width, floor + height).grown(-8)
    return unnamed + name_marks(figure, {p: centres[p] for p in seen}, frame, bars, best)


def _depth(point: Point, best: Point | None) -> tuple[bool, int]:
    """Large marks are drawn first, the best one last."""
    return point is best, -point.evaluations


def _right_of(point: Point, centre: Centre) -> Centre:
    return centre[0] + radius_of(point.evaluations) + 3, centre[1]


def _panel(
    figure: Figure, area: tuple[float, float, float, float], noises: tuple[float, float]
) -> Axes:
    axes = place(figure, *area)
    quieten(axes)
    axes.set(yscale="log", ylim=noises)
    tick_every(axes.yaxis)
    return axes


def _band_width(figure: Figure, hidden: Sequence[Point], width: float) -> float:
    widest = widest_name(figure, hidden) + _INDENT + _TO_NAMES + 30 if hidden else 0.0
    return min(max(widest, _NARROWEST), _WIDEST, width / 2)


def _within_reach(points: Sequence[Point], trails: Sequence[Trail]) -> list[Point]:
    """The temperatures that need little more room than the best ones; the others may leave it."""
    noises = [point.noise for point in points if point.is_noisy]
    biases = [point.bias for point in points if point.shows_bias]
    return [
        point
        for trail in trails
        for point in trail
        if _is_near(point.noise, noises) and _is_near(point.bias, biases)
    ]


def _is_near(value: float, others: Sequence[float]) -> bool:
    return bool(others) and min(others) / _REACH <= value <= max(others) * _REACH


def _biases(points: Sequence[Point], least_noise: float) -> tuple[float, float]:
    """The axis of the bias, from where it adds little to the noise if that isn't far away."""
    low, high = limits([end for point in points for end in (point.bias, point.bias_high)])
    return min(low, max(low / 3, least_noise / 3)), high


def _draw_equal_errors(axes: Axes) -> None:
    """Arcs through the noise's ticks, and through those of the bias that are above all noise."""
    (left, _), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for level in {*axes.get_yticks(), *(tick for tick in axes.get_xticks() if tick > top)}:
        # on logarithmic axes: along the bias in even steps at first, down the noise in the end
        corner = level / math.sqrt(2)
        xs = _between(min(left, corner), corner)
        ys = [math.sqrt(level**2 - x**2) for x in xs]
        falling = _between(corner, min(bottom, corner))
        xs += [math.sqrt(level**2 - y**2) for y in falling]
        ys += falling
        axes.plot(xs, ys, color=GRID, linewidth=0.7, zorder=0, scalex=False, scaley=False)


def _between(start: float, stop: float) -> list[float]:
    return [start * (stop / start) ** (i / 200) for i in range(201)]


def _draw_trail(axes: Axes, trail: Trail) -> None:
    seen = [point for point in trail if point.shows_bias and point.is_noisy]
    if len(seen) > 1:
        axes.plot(
            [point.bias for point in seen],
            [point.noise for point in seen],
            color=paler(colour_of(seen[0]), 0.3),
            linewidth=1.0,
            marker="o",
            markersize=2.4,
            markeredgewidth=0,
            zorder=1,
        )


def _draw_interval(axes: Axes, point: Point, centre: Centre) -> list[Line]:
    """The bar of the bias's interval, where it is longer than the mark is wide."""
    if not point.is_noisy:
        return []
    left, right = axes.get_xlim()
    low, high = max(point.bias_low, left), min(point.bias_high, right)
    start, stop = (pixels(axes, end, 1.0)[0] for end in (low, high))
    if stop - start < 2 * radius_of(point.evaluations):
        return []
    style: dict[str, Any] = {"color": paler(colour_of(point), 0.5), "linewidth": 1.1, "zorder": 2}
    axes.plot([low, high], [point.noise, point.noise], scalex=False, scaley=False, **style)
    return [Line(start, centre[1], stop, centre[1])]


def _up(axes: Axes, point: Point) -> float:
    if not point.is_noisy:
        return axes.bbox.y0 + _FLOOR
    return pixels(axes, 1.0, point.noise)[1]
