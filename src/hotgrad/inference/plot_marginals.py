"""The marginals of one unknown: bars of a few, a picture of a grid, a curve of many in order."""

from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from torch import Tensor

from hotgrad.canvas import (
    GREYS,
    GRID,
    INK,
    LABEL_SIZE,
    MUTED,
    PAPER,
    TICK_SIZE,
    TRAIN,
    place,
    quieten,
    write,
)
from hotgrad.inference.marginals import Unknown

Area = tuple[float, float, float, float]
"""Left, top, width and height, in pixels from the top left."""

_BLUES = LinearSegmentedColormap.from_list("from paper to blue", [PAPER, TRAIN, "#12305a"])
_ROW, _LARGEST_ROW, _WITH_VALUE = 24, 70, 28
_PICTURE = 8
"""Fewer rows or columns are a table rather than a picture."""
_LONGEST = 4
"""How many times longer than wide a picture may be."""
_MOST_ROWS, _MOST_COLUMNS = 400, 60
_ON_CURVE = 2000
_LONGEST_NAME = 24
_KEY_WIDTH, _KEY_HEIGHT = 110, 18


def draw_unknown(figure: Figure, unknown: Unknown, area: Area) -> None:
    """Draws it below a heading that says what it is."""
    name, values, rows = _short(unknown.name), unknown.values, area[3] // _ROW
    if values.numel() == 0:
        _head(figure, area, f"{name}: empty")
        return
    if unknown.is_choice:
        table = values.flatten(0, -2) if values.ndim > 1 else values[None]
        if len(table) == 1 and table.numel() <= rows:
            _draw_bars(figure, area, table[0], f"{name}: probability of each category")
        elif 1 < len(table) <= _MOST_ROWS and table.shape[1] <= _MOST_COLUMNS:
            heading = f"{name}: probability of each category"
            _draw_grid(figure, area, table, heading, ("category", "unknown"), _BLUES)
        elif len(table) == 1:
            _draw_curve(figure, area, table[0], f"{name}: probability", "categories")
        else:
            heading = f"{name}: probability of the likeliest category"
            _draw_curve(figure, area, table.amax(-1), heading, "unknowns")
        return
    values = values.squeeze()
    if values.ndim > 1 and _is_picture(values):
        which = f"{name}{[0] * (values.ndim - 2)}" if values.ndim > 2 else name
        values = values.flatten(0, -3)[0] if values.ndim > 2 else values
        _draw_grid(figure, area, values, f"{which}: probability of 1", None, GREYS)
    elif values.numel() <= rows:
        _draw_bars(figure, area, values, f"{name}: probability of 1")
    elif values.ndim == 2 and values.shape[0] <= _MOST_ROWS and values.shape[1] <= _MOST_COLUMNS:
        _draw_grid(figure, area, values, f"{name}: probability of 1", ("unknown", "row"), _BLUES)
    else:
        _draw_curve(figure, area, values.flatten(), f"{name}: probability of 1", "unknowns")


def _short(name: str) -> str:
    """A long name without its middle: like names often differ at the end alone."""
    kept = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[:kept]}…{name[-kept:]}"


def _is_picture(values: Tensor) -> bool:
    short, long = sorted(values.shape[-2:])
    return short >= _PICTURE and long <= _LONGEST * short


def _draw_bars(figure: Figure, area: Area, values: Tensor, heading: str) -> None:
    left, top, width, height = area
    number = values.numel()
    row = min(height / number, _LARGEST_ROW)
    axes = place(figure, left, top, width, row * number)
    quieten(axes)
    axes.barh(range(number), values.flatten().tolist(), height=0.7, color=TRAIN)
    places = torch.ones_like(values).nonzero().tolist()
    axes.set_yticks(range(number), [", ".join(map(str, where)) for where in places])
    axes.set_ylim(number - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 1)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    _head(figure, area, heading)
    if row < _WITH_VALUE:
        return
    for place_of_bar, value in enumerate(values.flatten().tolist()):
        inside = value > 0.8
        axes.annotate(
            f"{value:.3f}",
            (value, place_of_bar),
            xytext=(-4 if inside else 4, 0),
            textcoords="offset points",
            ha="right" if inside else "left",
            va="center",
            size=TICK_SIZE,
            color=PAPER if inside else INK,
        )


def _draw_grid(
    figure: Figure,
    area: Area,
    values: Tensor,
    heading: str,
    labels: tuple[str, str] | None,
    colours: Colormap,
) -> None:
    """Probabilities as colours; a table has labels, a picture has square pixels and none."""
    left, top, width, height = area
    rows, columns = values.shape
    if labels is None:
        scale = min(width / columns, height / rows)
        width, height = columns * scale, rows * scale
    else:
        height = min(height, rows * _LARGEST_ROW)
    axes = place(figure, left, top, width, height)
    # NumPy's own array, since what torch gives warns of its dtype
    axes.imshow(values.numpy(), cmap=colours, vmin=0, vmax=1, aspect="auto")
    quieten(axes)
    axes.spines[["top", "right", "left", "bottom"]].set(visible=True, color=GRID)
    if labels is None:
        axes.set(xticks=[], yticks=[])
    else:
        for axis, label in zip((axes.xaxis, axes.yaxis), labels, strict=True):
            axis.set_major_locator(MaxNLocator(8, integer=True))
            axis.set_label_text(label, color=MUTED, size=LABEL_SIZE)
    _head(figure, area, heading, of=width)
    _draw_key(figure, left + width, top, colours)


def _draw_curve(figure: Figure, area: Area, values: Tensor, heading: str, what: str) -> None:
    """The probabilities from the largest to the smallest."""
    left, top, width, height = area
    number = len(values)
    at = torch.linspace(0, number - 1, min(number, _ON_CURVE)).round().long()
    axes = place(figure, left, top, width, height)
    quieten(axes)
    ordered = values.sort(descending=True).values[at]
    axes.fill_between(at + 1, ordered, color=TRAIN, alpha=0.25, linewidth=0)
    axes.plot(at + 1, ordered, color=TRAIN, linewidth=1.6)
    axes.set_xlim(1, number)
    top_value = float(ordered[0])
    axes.set_ylim(0, 1.02 if top_value > 0.5 else 1.1 * top_value or 1.0)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rank, _: f"{rank:,.0f}"))
    likelier = int((values > 0.5).sum())
    axes.set_xlabel(f"{number:,} {what} in order, {likelier:,} above 1/2")
    _head(figure, area, heading)


def _head(figure: Figure, area: Area, text: str, of: float | None = None) -> None:
    """A heading above the panel, shrunk if it's too long."""
    left, top, width, _ = area
    size = LABEL_SIZE + 1
    said = write(figure, left, top - 20, text, size=size, color=INK, va="baseline", weight="bold")
    room = width if of is None else max(of, width / 2) - _KEY_WIDTH - 90
    said.set_fontsize(size * min(1.0, room / max(said.get_window_extent().width, 1.0)))


def _draw_key(figure: Figure, right: float, top: float, colours: Colormap) -> None:
    """Which colour is 0 and which is 1, flush right above the panel."""
    style: dict[str, Any] = {"size": TICK_SIZE, "color": MUTED, "va": "baseline"}
    write(figure, right, top - 20, "1", ha="right", **style)
    left = right - 24 - _KEY_WIDTH
    axes: Axes = place(figure, left, top - 20 - _KEY_HEIGHT, _KEY_WIDTH, _KEY_HEIGHT)
    axes.imshow(torch.linspace(0, 1, 64)[None].numpy(), cmap=colours, vmin=0, vmax=1, aspect="auto")
    axes.set(xticks=[], yticks=[])
    axes.spines[["top", "right", "left", "bottom"]].set_color(GRID)
    write(figure, left - 10, top - 20, "0", ha="right", **style)
