"""The look that all pictures share, and how one gets onto the disk; needs matplotlib.

Figures are objects on a canvas of their own, never pyplot's: nothing global changes, and any
thread may draw. Places are in pixels from the top left, so a picture's pixels are never resampled.
"""

import math
import os
from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from hotgrad.files import file_to_write, written_whole

INK, MUTED, GRID, PAPER = "#1b2333", "#667085", "#e7e5e0", "#ffffff"
TRAIN, VALID = "#2f6db5", "#e0592a"
# What isn't a number stands out.
_GREYS = LinearSegmentedColormap.from_list("from ink to paper", ["#0d1322", "#fffdf8"])
_SIGNED = LinearSegmentedColormap.from_list("around 0", ["#12406f", PAPER, "#b8391a"])
GREYS, SIGNED = _GREYS.with_extremes(bad=VALID), _SIGNED.with_extremes(bad=MUTED)

DPI = 200
MARGIN = 64
HEADER = 140
MOST_DECADES = 10

TITLE_SIZE, LABEL_SIZE, TICK_SIZE = 11.0, 8.5, 7.5


def sheet(width: int, height: int, title: str) -> Figure:
    """A blank figure of so many pixels, with the title at its top left, shrunk if it's too long."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=PAPER)
    canvas = FigureCanvasAgg(figure)
    text = write(figure, MARGIN, MARGIN, title, size=TITLE_SIZE, color=INK, va="top", weight="bold")
    taken = text.get_window_extent(canvas.get_renderer()).width  # type: ignore[no-untyped-call]
    text.set_fontsize(TITLE_SIZE * min(1.0, (width - 2 * MARGIN) / max(taken, 1.0)))
    return figure


def write(figure: Figure, left: float, top: float, content: str, **style: Any) -> Text:
    """Text at a place in pixels; dollar signs in it are dollar signs."""
    width, height = figure.get_size_inches() * DPI
    place = (left / width, 1 - top / height)
    return figure.text(*place, drawable(content), parse_math=False, **style)


def drawable(text: str) -> str:
    """Text with a box for every character that no font has, of which matplotlib would warn."""
    families = FontProperties().get_family()
    fonts = [
        [get_font(findfont(FontProperties(family=[family], weight=weight))) for family in families]
        for weight in ("normal", "bold")
    ]
    drawn = {
        character
        for character in {*text}
        if all(any(font.get_char_index(ord(character)) for font in group) for group in fonts)
    }
    return "".join(c if c in drawn or c == "\n" else "\N{WHITE SQUARE}" for c in text)


def wrapped(text: str, width: float, size: float) -> list[str]:
    """Text in lines that fit between the margins of a picture of such a width."""
    probe = write(sheet(100, 100, ""), 0, 0, "", size=size)
    lines, line = [], ""
    for word in drawable(text).replace(" %", "\N{NO-BREAK SPACE}%").split(" "):
        longer = f"{line} {word}".strip()
        probe.set_text(longer)
        if line and probe.get_window_extent().width > width - 2 * MARGIN:
            lines.append(line)
            longer = word
        line = longer
    return [*lines, line] if line else lines


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes that cover a rectangle in pixels."""
    across, down = figure.get_size_inches() * DPI
    return figure.add_axes(
        (left / across, 1 - (top + height) / down, width / across, height / down)
    )


def quieten(axes: Axes) -> None:
    """Leaves of the axes what is needed to read off a value."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.tick_params(colors=MUTED, labelsize=TICK_SIZE, length=3, width=0.6)
    labels: tuple[Artist, ...] = (axes.xaxis.label, axes.yaxis.label)
    for label in labels:
        label.set(color=MUTED, fontsize=LABEL_SIZE)


def logarithmic_limits(values: Sequence[float]) -> tuple[float, float]:
    """An axis that takes a little more than the values, all positive."""
    low, high = math.log10(min(values, default=1.0)), math.log10(max(values, default=100.0))
    margin = max(0.06 * (high - low), 0.16)
    return 10 ** (low - margin), 10 ** (high + margin)


def tick_logarithmic(axis: Axis) -> None:
    """Ticks at 1, at 1, 2 and 5, or at every digit, as the decades in view allow."""
    low, high = sorted(axis.get_view_interval())
    decades = math.log10(high / low)
    digits = (1,) if decades > 3.2 else (1, 2, 5) if decades > 0.7 else tuple(range(1, 10))
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    step = math.ceil(decades / MOST_DECADES)
    values = [digit * 10.0**power for power in powers if power % step == 0 for digit in digits]
    axis.set_major_locator(FixedLocator([value for value in values if low <= value <= high]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(
        FuncFormatter(lambda v, _: f"{v:.0e}" if v < 1e-4 or v >= 1e6 else f"{v:,.6g}")
    )


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Writes a PNG beside its final place, then renames it: readers never see half a picture.

    Raises:
        ValueError: the folder doesn't exist, or the name announces another kind of file.
    """
    path = file_to_write(path, ".png")
    with written_whole(path) as draft:
        figure.savefig(draft, format="png", dpi=DPI)
