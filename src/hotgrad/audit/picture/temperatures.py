"""The error at the budget over the temperature: a line for each estimator that has several.

Each line bears its name at its end; the dashed one is the best without a temperature.
"""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hotgrad.audit.picture.names import Named, write_column
from hotgrad.audit.picture.points import Point
from hotgrad.audit.picture.style import (
    XLABEL,
    colour_of,
    limits,
    paler,
    pixels,
    tick_every,
    write_axis_label,
)
from hotgrad.canvas import GRID, MUTED, place, quieten

TO_NAME = 34
"""From the axes to the names beside them."""

Trail = Sequence[Point]


def draw_temperatures(
    figure: Figure,
    area: tuple[float, float, float, float],
    trails: Sequence[Trail],
    rival: Point | None,
    unit: str,
) -> Axes:
    """Draws the panel; the names stand to the right of the area.

    Args:
        figure: the figure to draw on.
        area: left, top, width, height in pixels.
        trails: each estimator's points with an error, from the coldest up.
        rival: the best that has no temperature, if there is one.
        unit: of the error.
    """
    axes = place(figure, *area)
    quieten(axes)
    errors = [point.error or 0.0 for trail in trails for point in trail]
    temperatures = [point.temperature or 1.0 for trail in trails for point in trail]
    if rival is not None and rival.error:
        errors.append(rival.error)
    axes.set(xscale="log", yscale="log", ylabel=f"error ({unit})")
    left, top, width, height = area
    write_axis_label(figure, left + width / 2, top + height + XLABEL, "temperature τ")
    axes.set(xlim=limits(temperatures), ylim=limits([error for error in errors if error > 0]))
    tick_every(axes.xaxis)
    tick_every(axes.yaxis)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    names: list[Named] = []
    for trail in trails:
        colour = colour_of(trail[0])
        xs, ys = [p.temperature or 1.0 for p in trail], [p.error or 0.0 for p in trail]
        axes.plot(xs, ys, color=paler(colour, 0.75), linewidth=1.2)
        best = min(range(len(ys)), key=ys.__getitem__)
        axes.plot(xs, ys, linestyle="", marker="o", markersize=2.4, color=colour)
        axes.plot(xs[best], ys[best], marker="o", markersize=4.6, color=colour)
        names.append(Named(trail[0].name, pixels(axes, xs[-1], ys[-1])))
    if rival is not None and rival.error:
        axes.axhline(rival.error, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        end = axes.get_xlim()[1]
        names.append(Named(rival.name, pixels(axes, end, rival.error), MUTED))
    column = (axes.bbox.x1 + TO_NAME, axes.bbox.y0, axes.bbox.y1)
    write_column(figure, names, column)
    return axes
