"""Where a picture's labels go: each as near its mark as it can, over no mark and no other label.

Geometry alone, in pixels. The labels are placed one after another, so the first get the best
places. One that finds no room beside its mark moves away from it, and a line leads back; one that
finds none at all goes first in the next attempt.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_GAP = 7.0
_LEADER_FROM = 26.0
_ATTEMPTS = 6
_STEPS = (0.0, 8.0, 18.0, 30.0, 45.0, 62.0, 82.0, 105.0, 135.0, 170.0, 210.0, 260.0, 320.0, 400.0)
_SIDES = {0: (1,), 12: (1,)}
_ANGLES = [sign * turn * math.pi / 12 for turn in range(13) for sign in _SIDES.get(turn, (1, -1))]
"""To the right first, then above before below."""


@dataclass(frozen=True)
class Box:
    """An upright rectangle; y goes up."""

    left: float
    low: float
    right: float
    high: float

    def overlaps(self, other: "Box") -> bool:
        """Whether they share an inside."""
        across = self.left < other.right and other.left < self.right
        return across and self.low < other.high and other.low < self.high

    def within(self, frame: "Box") -> bool:
        """Whether nothing of it is outside the frame."""
        across = frame.left <= self.left and self.right <= frame.right
        return across and frame.low <= self.low and self.high <= frame.high

    def grown(self, by: float) -> "Box":
        """The same with a margin on every side."""
        return Box(self.left - by, self.low - by, self.right + by, self.high + by)

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """Its point that is nearest to a point."""
        return min(max(x, self.left), self.right), min(max(y, self.low), self.high)

    def is_crossed(self, line: "Line") -> bool:
        """Whether a line passes through its inside: Liang and Barsky's clipping."""
        begin, end = 0.0, 1.0
        for start, stop, low, high in (
            (line.x, line.to_x, self.left, self.right),
            (line.y, line.to_y, self.low, self.high),
        ):
            length = stop - start
            if length == 0:
                if not low < start < high:
                    return False
                continue
            first, last = sorted(((low - start) / length, (high - start) / length))
            begin, end = max(begin, first), min(end, last)
        return begin < end


@dataclass(frozen=True)
class Line:
    """From a label to its mark."""

    x: float
    y: float
    to_x: float
    to_y: float


@dataclass(frozen=True)
class Mark:
    """A disc that has a label of this width and height."""

    x: float
    y: float
    radius: float
    width: float
    height: float
    frame: Box
    """Where its label may lie."""

    @property
    def box(self) -> Box:
        return Box(self.x, self.y, self.x, self.y).grown(self.radius)


@dataclass(frozen=True)
class Place:
    """Where a label lies, and the line that leads to its mark where it lies far from it."""

    box: Box
    leader: Line | None


def place_labels(
    marks: Sequence[Mark], others: Sequence[Box] = (), lines: Sequence[Line] = ()
) -> list[Place | None]:
    """A place for each mark's label, or None where there is no room at all.

    Args:
        marks: the first get the best places.
        others: what no label may cover either.
        lines: what no label may lie on; leaders may cross them.
    """
    order = list(range(len(marks)))
    best: dict[int, Place] = {}
    for _ in range(_ATTEMPTS):
        found = _place_in_order(marks, order, others, lines)
        if len(found) >= len(best):
            best = found
        homeless = [i for i in order if i not in found]
        if not homeless:
            break
        # who found no room chooses first the next time
        order = homeless + [i for i in order if i in found]
    return [best.get(i) for i in range(len(marks))]


def _place_in_order(
    marks: Sequence[Mark], order: Sequence[int], others: Sequence[Box], lines: Sequence[Line]
) -> dict[int, Place]:
    discs = [mark.box for mark in marks] + list(others)
    names: list[Box] = []
    leaders = list(lines)
    places: dict[int, Place] = {}
    for i in order:
        found = _first_free(marks[i], discs, names, leaders)
        if found is not None:
            places[i] = found
            names.append(found.box)
            leaders.extend([found.leader] if found.leader else [])
    return places


def _first_free(
    mark: Mark, discs: Sequence[Box], names: Sequence[Box], leaders: Sequence[Line]
) -> Place | None:
    """The nearest place over nothing else, whose leader crosses no name and no other mark."""
    for place in _candidates(mark):
        box, leader = place.box.grown(2.0), place.leader
        if any(box.overlaps(other) for other in discs):
            continue
        if any(box.overlaps(other) for other in names) or any(map(box.is_crossed, leaders)):
            continue
        if leader is None:
            return place
        # its own mark, and those that lie on it, can't be helped
        end = Box(leader.to_x, leader.to_y, leader.to_x, leader.to_y).grown(2.0)
        if any(name.grown(4.0).is_crossed(leader) for name in names):
            continue
        if not any(disc.is_crossed(leader) and not disc.overlaps(end) for disc in discs):
            return place
    return None


def _candidates(mark: Mark) -> Iterator[Place]:
    """Nearer ones first."""
    for step in _STEPS:
        distance = mark.radius + _GAP + step
        for angle in _ANGLES:
            x = mark.x + distance * math.cos(angle)
            y = mark.y + distance * math.sin(angle)
            # the label's side or corner that looks at the mark is at that distance
            left = x - mark.width * (1 - math.cos(angle)) / 2
            low = y - mark.height * (1 - math.sin(angle)) / 2
            box = Box(left, low, left + mark.width, low + mark.height)
            if not box.within(mark.frame):
                continue
            near_x, near_y = box.nearest(mark.x, mark.y)
            away = math.hypot(near_x - mark.x, near_y - mark.y)
            leader = None
            if away > mark.radius + _LEADER_FROM:
                inward = mark.radius / away
                leader = Line(
                    near_x,
                    near_y,
                    mark.x + inward * (near_x - mark.x),
                    mark.y + inward * (near_y - mark.y),
                )
            yield Place(box, leader)


def spread(wished: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """Heights in ascending order at least so far apart, near those that are wished for.

    Heights that crowd together are spread evenly around their middle; where all of them can't
    stand between `low` and `high`, they go on above.

    Example:
        >>> from hotgrad.audit.picture.labels import spread
        >>> spread([10, 10, 50], 4, 0, 100)
        [8.0, 12.0, 50.0]
    """
    groups: list[tuple[float, int]] = []
    """(middle, how many), merged from below as long as two of them touch"""
    for wish in wished:
        middle, size = float(wish), 1
        while groups:
            before, its = groups[-1]
            if before + (its - 1) / 2 * apart + apart <= middle - (size - 1) / 2 * apart:
                break
            groups.pop()
            middle, size = (before * its + middle * size) / (its + size), its + size
        groups.append((middle, size))
    heights = [
        middle + (i - (size - 1) / 2) * apart for middle, size in groups for i in range(size)
    ]
    for i in range(len(heights) - 1, -1, -1):
        top = high if i == len(heights) - 1 else heights[i + 1] - apart
        heights[i] = min(heights[i], top)
    for i in range(len(heights)):
        bottom = low if i == 0 else heights[i - 1] + apart
        heights[i] = max(heights[i], bottom)
    return heights
