"""Pictures of items: what the model draws, and what it makes of real ones."""

import math
import os
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from hotgrad.canvas import (
    GREYS,
    HEADER,
    INK,
    LABEL_SIZE,
    MARGIN,
    MUTED,
    SIGNED,
    place,
    quieten,
    save,
    sheet,
    write,
)

_CONTENT_WIDTH = 1400
_MINIMUM_WIDTH = 1000
_TILE = 360
_ITEMS_A_LINE = 12
_LABEL_WIDTH = 215
_XLABEL = 130


def save_samples(path: str | os.PathLike[str], images: Tensor, *, title: str) -> None:
    """Draws items in a grid, or as the rows of a heat map where an item is one-dimensional.

    Args:
        path: the PNG to write, whole or not at all.
        images: shape (n, *shape), on any device. Items of shape (H, W), (C, H, W) and (H, W, C)
            with 1 or 3 channels are pictures, (D,) and any other are rows of D values. Values in
            [0, 1] are drawn black to white, others from the least to the greatest of them; rows
            with values on both sides of 0 in two colours that meet there.
        title: one line above.

    Raises:
        ValueError: there are no items, or the folder doesn't exist.
    """
    items = _items(images, "images")
    scale = _scale(items)
    if items.ndim == 2:
        _save_heat_maps(path, [("", items)], scale, title)
        return
    columns = _columns(len(items), items.shape[2] / items.shape[1])
    zoom = _zoom(items, columns)
    lines = [items[start : start + columns] for start in range(0, len(items), columns)]
    picture = _stack([_line(line, columns, zoom, scale) for line in lines], _gap(items, zoom))
    width = max(_MINIMUM_WIDTH, picture.shape[1] + 2 * MARGIN)
    figure = sheet(width, HEADER + picture.shape[0] + MARGIN, title)
    _show(figure, MARGIN, HEADER, picture)
    save(figure, path)


def save_reconstructions(
    path: str | os.PathLike[str],
    originals: Tensor,
    reconstructions: Tensor,
    *,
    title: str,
    corrupted: Tensor | None = None,
) -> None:
    """Draws each original above what the model saw of it, if corrupted, and its reconstruction.

    Args:
        path: the PNG to write, whole or not at all.
        originals: shape (n, *shape), drawn as by `save_samples`; all on one scale.
        reconstructions: the same shape.
        title: one line above.
        corrupted: what the model was given in a denoising run, the same shape.

    Raises:
        ValueError: the shapes differ, there are no items, or the folder doesn't exist.
    """
    given = {"original": originals, "corrupted": corrupted, "reconstruction": reconstructions}
    shapes = {name: tuple(items.shape) for name, items in given.items() if items is not None}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"expected items of one shape, got {listed}. Unflatten them first.")
    kinds = [(name, _items(items, name)) for name, items in given.items() if items is not None]
    scale = _scale(np.concatenate([items for _, items in kinds]))
    first = kinds[0][1]
    if first.ndim == 2:
        _save_heat_maps(path, kinds, scale, title)
        return
    columns = min(len(first), _ITEMS_A_LINE)
    zoom = _zoom(first, columns)
    gap = _gap(first, zoom)
    step = first.shape[1] * zoom + gap
    blocks = range(0, len(first), columns)
    block_height = len(kinds) * step + 4 * gap
    picture_width = columns * (first.shape[2] * zoom + gap) - gap
    width = max(_MINIMUM_WIDTH, _LABEL_WIDTH + picture_width + 2 * MARGIN)
    figure = sheet(width, HEADER + len(blocks) * block_height - 5 * gap + MARGIN, title)
    for block, start in enumerate(blocks):
        for row, (name, items) in enumerate(kinds):
            top = HEADER + block * block_height + row * step
            line = _line(items[start : start + columns], columns, zoom, scale)
            _show(figure, MARGIN + _LABEL_WIDTH, top, line)
            middle = top + line.shape[0] / 2
            style = {"size": LABEL_SIZE, "color": MUTED, "va": "center_baseline"}
            write(figure, MARGIN, middle, name, **style)
    save(figure, path)


def _items(images: Tensor, name: str) -> NDArray[np.float32]:
    """The items as (n, H, W), (n, H, W, 3) or, where they are no pictures, (n, D)."""
    if images.dim() < 2 or images.numel() == 0:
        raise ValueError(
            f"{name} has shape {tuple(images.shape)}, expected (n, *shape) with at least one item "
            "of at least one value."
        )
    items = images.detach().to("cpu", torch.float32).numpy()
    if items.ndim == 4 and items.shape[1] in (1, 3) and items.shape[3] not in (1, 3):
        items = np.moveaxis(items, 1, -1)
    if items.ndim == 4 and items.shape[3] == 1:
        items = items[..., 0]
    is_picture = items.ndim == 3 or (items.ndim == 4 and items.shape[3] == 3)
    return items if is_picture else items.reshape(len(items), -1)


def _scale(items: NDArray[np.float32]) -> tuple[float, float]:
    finite = items[np.isfinite(items)]
    if finite.size == 0 or (finite.min() >= 0 and finite.max() <= 1):
        return 0.0, 1.0
    return float(finite.min()), float(finite.max())


def _columns(count: int, aspect: float) -> int:
    """So many columns that the grid is about square and its last line not nearly empty."""

    def ugliness(columns: int) -> float:
        rows = math.ceil(count / columns)
        return abs(math.log(columns * aspect / (rows * 1.1))) + (columns * rows - count) / count

    return min(range(1, count + 1), key=ugliness)


def _zoom(items: NDArray[np.float32], columns: int) -> int:
    """Screen pixels a pixel, so that a line fills the page but a few items don't fill it."""
    height, width = int(items.shape[1]), int(items.shape[2])
    return max(1, min(_CONTENT_WIDTH // (columns * width), _TILE // max(height, width)))


def _gap(items: NDArray[np.float32], zoom: int) -> int:
    return max(4, int(items.shape[2]) * zoom // 20)


def _line(
    items: NDArray[np.float32], columns: int, zoom: int, scale: tuple[float, float]
) -> NDArray[np.float64]:
    """Items side by side as RGBA, each pixel a square of `zoom`; missing ones are transparent."""
    low, high = scale
    values = (items - low) / (high - low)
    if items.ndim == 3:
        tiles = GREYS(np.ma.masked_invalid(values))
    else:
        tiles = np.ones((*items.shape[:3], 4))
        tiles[..., :3] = np.nan_to_num(values).clip(0, 1)
    tiles = tiles.repeat(zoom, axis=1).repeat(zoom, axis=2)
    gap = _gap(items, zoom)
    line = np.zeros((tiles.shape[1], columns * (tiles.shape[2] + gap) - gap, 4))
    for column, tile in enumerate(tiles):
        left = column * (tiles.shape[2] + gap)
        line[:, left : left + tiles.shape[2]] = tile
    return line


def _stack(lines: Sequence[NDArray[np.float64]], gap: int) -> NDArray[np.float64]:
    between = np.zeros((gap, *lines[0].shape[1:]))
    return np.concatenate([part for line in lines for part in (line, between)][:-1])


def _show(figure: Figure, left: int, top: int, picture: NDArray[np.float64]) -> None:
    axes = place(figure, left, top, picture.shape[1], picture.shape[0])
    axes.imshow(picture, interpolation="nearest", aspect="auto")
    axes.set_axis_off()


def _save_heat_maps(
    path: str | os.PathLike[str],
    panels: Sequence[tuple[str, NDArray[np.float32]]],
    scale: tuple[float, float],
    title: str,
) -> None:
    """One panel a kind, side by side on one scale: a row an item, a column a value."""
    count, values = panels[0][1].shape
    panel_width = (_CONTENT_WIDTH - 80 * (len(panels) - 1)) // len(panels)
    height = int(np.clip(40 * count, 240, 1200))
    low, high = scale
    colours = GREYS
    if low < 0 < high:
        colours, high = SIGNED, max(-low, high)
        low = -high
    top, left = HEADER + (50 if panels[0][0] else 0), MARGIN + 110
    figure = sheet(left + _CONTENT_WIDTH + 200, top + height + _XLABEL, title)
    for position, (name, items) in enumerate(panels):
        axes = place(figure, left + position * (panel_width + 80), top, panel_width, height)
        mesh = axes.imshow(
            items, cmap=colours, vmin=low, vmax=high, aspect="auto", interpolation="nearest"
        )
        axes.set_title(name, loc="left", size=LABEL_SIZE, color=INK, pad=6)
        axes.set_xlabel("feature")
        axes.set_ylabel("item" if position == 0 else "")
        _count_from_one(axes, values, count)
        quieten(axes)
        axes.spines[:].set_visible(False)
    bar_axes = place(figure, left + _CONTENT_WIDTH + 36, top, 24, height)
    bar = figure.colorbar(mesh, cax=bar_axes)
    bar.outline.set_visible(False)
    bar_axes.set_ylabel("value")
    bar_axes.tick_params(length=0)
    quieten(bar_axes)
    save(figure, path)


def _count_from_one(axes: Axes, values: int, count: int) -> None:
    for axis, size in ((axes.xaxis, values), (axes.yaxis, count)):
        axis.set_major_locator(MaxNLocator(8, integer=True))
        axis.set_major_formatter(FuncFormatter(partial(_ordinal, size)))


def _ordinal(size: int, place: float, _: int | None) -> str:
    return f"{place + 1:.0f}" if 0 <= place < size else ""
