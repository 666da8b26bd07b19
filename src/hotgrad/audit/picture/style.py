"""What the panels of an audit's picture share: colours, sizes, logarithmic axes, marks, lines."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import IdentityTransform

from hotgrad.audit.picture.points import Point
from hotgrad.canvas import DPI, LABEL_SIZE, MUTED, PAPER, TICK_SIZE, TRAIN, VALID, write

XLABEL = 62
"""How far below the axes their labels stand."""

_SMALLEST, _A_DECADE = 13.0, 10.0
_LEAST_MARGIN = 0.16
_MOST_DECADES = 10


def colour_of(point: Point) -> str:
    """Blue for what has no bias, orange for what has."""
    return TRAIN if point.unbiased else VALID


def paler(colour: str, opacity: float) -> tuple[float, float, float, float]:
    """The colour, a little transparent."""
    return to_rgba(colour, opacity)


def radius_of(evaluations: int) -> float:
    """A mark's radius in pixels: its width grows by as much for every factor of ten."""
    return (_SMALLEST + _A_DECADE * math.log10(max(evaluations, 1))) / 2


def limits(values: Sequence[float]) -> tuple[float, float]:
    """An axis that takes a little more than the values, and a third of a decade at least."""
    low, high = math.log10(min(values, default=0.3)), math.log10(max(values, default=3.0))
    margin = max(0.1 * (high - low), _LEAST_MARGIN)
    return 10 ** (low - margin), 10 ** (high + margin)


def tick_every(axis: Axis) -> None:
    """Ticks at 1, at 1, 2 and 5, or at every digit, as the decades in view allow."""
    low, high = sorted(axis.get_view_interval())
    decades = math.log10(high / low)
    digits = (1,) if decades > 3.2 else (1, 2, 5) if decades > 0.7 else tuple(range(1, 10))
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    step = math.ceil(decades / _MOST_DECADES)
    values = [digit * 10.0**power for power in powers if power % step == 0 for digit in digits]
    axis.set_major_locator(FixedLocator([value for value in values if low <= value <= high]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: _number(value)))


def _number(value: float) -> str:
    return f"{value:.0e}" if value < 1e-4 or value >= 1e6 else f"{value:,.6g}"


def pixels(axes: Axes, x: float, y: float) -> tuple[float, float]:
    """Where a value lies on the figure, from the bottom left."""
    across, up = axes.transData.transform((x, y))
    return float(across), float(up)


def draw_mark(
    figure: Figure, centre: tuple[float, float], radius: float, colour: str, **style: Any
) -> None:
    """A disc, or another marker, at a place in pixels from the bottom left."""
    line = Line2D(
        *([place] for place in centre),
        markersize=2 * radius * 72 / DPI,
        markerfacecolor=paler(colour, 0.82),
        zorder=5,
        transform=IdentityTransform(),
        **{"marker": "o", "markeredgecolor": PAPER, "markeredgewidth": 0.7, **style},
    )
    figure.add_artist(line)


def draw_line(figure: Figure, xs: Sequence[float], ys: Sequence[float]) -> None:
    """A thin line through places in pixels from the bottom left, such as from a name to a mark."""
    line = Line2D(xs, ys, color=MUTED, linewidth=0.6, alpha=0.8, zorder=4)
    line.set_transform(IdentityTransform())
    figure.add_artist(line)


def write_name(figure: Figure, name: str, colour: str, **style: Any) -> Text:
    """A name that stays legible over faint lines; at the figure's corner until it is moved."""
    outline = [withStroke(linewidth=2.5, foreground=PAPER, alpha=0.8)]
    given = {"size": TICK_SIZE, "color": colour, "zorder": 6, "path_effects": outline, **style}
    return write(figure, 0, 0, name, **given)


def write_axis_label(figure: Figure, centre: float, top: float, text: str) -> None:
    """Below an axis, at the same height for all panels."""
    write(figure, centre, top, text, size=LABEL_SIZE, color=MUTED, ha="center", va="top")
