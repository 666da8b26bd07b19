"""Names on the figure: in a column beside what they name, or wherever there is room near it.

Marks that fall together share a block of names.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.text import Text

from hotgrad.audit.picture.labels import Box, Line, Mark, place_labels, spread
from hotgrad.audit.picture.points import Point
from hotgrad.audit.picture.style import draw_line, radius_of, write_name
from hotgrad.canvas import INK

_TOGETHER = 9.0
_BETWEEN = 3.0
_APART = 29.0
_BEND = 30.0

Centre = tuple[float, float]


@dataclass(frozen=True)
class Named:
    """A name for the column, and the place in pixels that a line leads to."""

    text: str
    end: Centre
    colour: str = INK
    is_bold: bool = False


def write_column(figure: Figure, names: Sequence[Named], column: tuple[float, float, float]) -> int:
    """Names flush left below each other, at the heights of what they name if they can be.

    Args:
        figure: the figure to write on.
        names: those that matter most first, in case that there are too many.
        column: its left side, its foot and its top.

    Returns:
        How many found no room.
    """
    left, low, high = column
    kept = list(reversed(names[: int((high - low) // _APART) + 1]))
    kept.sort(key=lambda name: name.end[1])
    heights = spread([name.end[1] for name in kept], _APART, low, high)
    for name, height in zip(kept, heights, strict=True):
        weight = "bold" if name.is_bold else "normal"
        text = write_name(figure, name.text, name.colour, weight=weight, va="center_baseline")
        text.set_position((left / figure.bbox.width, height / figure.bbox.height))
        x, y = name.end
        bend = max(x, left - _BEND)
        draw_line(figure, [x, bend, left - 5], [y, y, height])
    return len(names) - len(kept)


def widest_name(figure: Figure, points: Sequence[Point]) -> float:
    """In pixels, were they all bold."""
    probe = write_name(figure, "", INK, weight="bold")
    widths = []
    for point in points:
        probe.set_text(point.label)
        widths.append(probe.get_window_extent().width)
    probe.remove()
    return max(widths, default=0.0)


def name_marks(
    figure: Figure,
    centres: Mapping[Point, Centre],
    frame: Box,
    bars: Sequence[Line],
    best: Point | None,
) -> int:
    """Writes each name where there is room, and returns how many found none.

    Args:
        figure: the figure to write on.
        centres: of the marks, in pixels, whose names matter most first.
        frame: where they must stay.
        bars: what a name shouldn't lie on.
        best: whose name is bold.
    """
    blocks = _blocks(centres)
    texts = [
        [
            write_name(figure, p.label, INK, va="bottom", weight="bold" if p is best else "normal")
            for p in block
        ]
        for block in blocks
    ]
    marks = []
    for block, lines in zip(blocks, texts, strict=True):
        sizes = [line.get_window_extent() for line in lines]
        height = sum(size.height for size in sizes) + _BETWEEN * (len(lines) - 1)
        width = max(size.width for size in sizes)
        radius = radius_of(block[0].evaluations)
        marks.append(Mark(*centres[block[0]], radius, width, height, frame))
    others = [
        Box(*centre, *centre).grown(radius_of(point.evaluations))
        for point, centre in centres.items()
    ]
    places = place_labels(marks, others, bars)
    if None in places:
        places = place_labels(marks, others)
    for lines, mark, found in zip(texts, marks, places, strict=True):
        if found is None:
            for line in lines:
                line.remove()
            continue
        _write_block(figure, lines, found.box, to_right=found.box.right <= mark.x)
        if found.leader is not None:
            leader = found.leader
            draw_line(figure, [leader.x, leader.to_x], [leader.y, leader.to_y])
    return sum(len(block) for block, found in zip(blocks, places, strict=True) if found is None)


def _blocks(centres: Mapping[Point, Centre]) -> list[list[Point]]:
    """Marks that lie on each other."""
    blocks: list[list[Point]] = []
    for point, centre in centres.items():
        near = (b for b in blocks if math.dist(centre, centres[b[0]]) < _TOGETHER)
        block = next(near, None)
        if block is None:
            blocks.append([point])
        else:
            block.append(point)
    return blocks


def _write_block(figure: Figure, lines: Sequence[Text], box: Box, *, to_right: bool) -> None:
    """Line by line from the top, flush on the side that looks at the mark."""
    top = box.high
    for line in lines:
        size = line.get_window_extent()
        left = box.right - size.width if to_right else box.left
        line.set_position((left / figure.bbox.width, (top - size.height) / figure.bbox.height))
        top -= size.height + _BETWEEN
