"""What a picture shows of an audit: a point an estimator, its temperatures as a trail.

Figures are per cent of the exact gradient's norm, or absolute where that is zero or can't be told
from it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

NEGLIGIBLE = 1e-4
"""Noise and bias below this share of the gradient, or of the greatest noise, aren't drawn."""


class Drawable(Protocol):
    """What is drawn: an `Audit`."""

    @property
    def rows(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def refused(self) -> Mapping[str, str]: ...
    @property
    def reference(self) -> Mapping[str, Any]: ...
    @property
    def verdict(self) -> str: ...
    @property
    def evaluations(self) -> int: ...


@dataclass(frozen=True)
class Point:
    """An estimator at one temperature."""

    name: str
    temperature: float | None
    unbiased: bool
    evaluations: int
    bias: float
    bias_low: float
    bias_high: float
    noise: float
    """Standard deviation of one call."""
    error: float | None
    """At the budget; None where one call takes more."""
    negligible: float

    @property
    def label(self) -> str:
        """The name, with the temperature where there is one."""
        at = "" if self.temperature is None else f"  τ={self.temperature:g}"
        return self.name + at + ("" if self.is_noisy else "  (no noise)")

    @property
    def shows_bias(self) -> bool:
        """Whether the interval of its bias leaves out 0."""
        return self.bias_low > 0 and self.bias > self.negligible

    @property
    def is_noisy(self) -> bool:
        """Whether two calls differ by enough to be drawn."""
        return self.noise > self.negligible


@dataclass(frozen=True)
class Points:
    """What can be drawn, and the names of what can't."""

    shown: Sequence[Point]
    """One for each estimator, at its best temperature; the best first."""
    trails: Sequence[Sequence[Point]]
    """All temperatures of those that have several, from the coldest up."""
    left_out: Sequence[str]
    """Whose gradients aren't all finite."""
    relative: bool
    """Whether the figures are shares of the exact gradient."""

    @property
    def best(self) -> Point | None:
        """The one with the least error at the budget, if any keeps within it."""
        first = next(iter(self.shown), None)
        return None if first is None or first.error is None else first


def points_of(audit: Drawable) -> Points:
    """The points of an audit's rows, which come in the order of their error."""
    relative = bool(audit.reference["norm"])
    finite = [row for row in audit.rows if not row["non_finite"]]
    left_out = [
        row["estimator"] + ("" if row["temperature"] is None else f" at {row['temperature']:g}")
        for row in audit.rows
        if row["non_finite"]
    ]
    least = 100 * NEGLIGIBLE
    if not relative:
        largest = max((row["absolute_variance"] for row in finite), default=0.0)
        least = NEGLIGIBLE * math.sqrt(largest)
    families: dict[str, list[Point]] = {}
    for row in finite:
        families.setdefault(row["estimator"], []).append(_point(row, relative, least))
    trails = [
        sorted(family, key=lambda point: point.temperature or 0.0)
        for family in families.values()
        if len(family) > 1
    ]
    return Points([family[0] for family in families.values()], trails, left_out, relative)


def _point(row: Mapping[str, Any], relative: bool, negligible: float) -> Point:
    prefix, scale = ("", 100.0) if relative else ("absolute_", 1.0)
    error = row[f"{prefix}error_at_budget"]
    bias, low, high = (row[prefix + name] * scale for name in ("bias", "bias_low", "bias_high"))
    return Point(
        name=row["estimator"],
        temperature=row["temperature"],
        unbiased=row["unbiased"],
        evaluations=row["evaluations"],
        bias=bias,
        bias_low=low,
        bias_high=high,
        noise=math.sqrt(row[f"{prefix}variance"]) * scale,
        error=None if error is None else error * scale,
        negligible=negligible,
    )
