"""The gradient that estimators are measured by, and how good it is."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hotgrad.audit.table import counted


@dataclass(frozen=True, eq=False)
class Reference:
    """The exact gradient, or what comes nearest.

    Args:
        gradient: `(coordinates,)` in float64.
        spread: deviations of the mean gradient in each group of a long run, `(GROUPS,
            coordinates)`; `(0, coordinates)` for a sum over the states.
        square_error: expected, of a long run; 0 for a sum.
        rounding: how far f's own rounding may move the gradient.
        evaluations: of f for each batch element.
        states: of z, where they were summed over.
        estimator: which one ran, where they weren't.
        milliseconds: that the sum took.
    """

    gradient: Tensor
    spread: Tensor
    square_error: float
    rounding: float
    evaluations: int
    states: int | None = None
    estimator: str | None = None
    milliseconds: float | None = None

    @property
    def length(self) -> float:
        """The gradient's length, without what the error adds to it."""
        square = float(self.gradient.square().sum()) - self.square_error
        return math.sqrt(max(square, 0.0))

    @property
    def norm(self) -> float:
        """The length; 0 where it can't be told from zero, and figures aren't shares of it."""
        length = self.length
        return 0.0 if length <= 4 * self.rounding or self.error >= length / 2 else length

    @property
    def zero(self) -> str | None:
        """What is known of a gradient whose norm is 0."""
        if self.norm:
            return None
        if self.states is None:
            return "can't be told from zero"
        return "is zero to within rounding" if self.length else "is zero"

    @property
    def error(self) -> float:
        """The standard error of the gradient, over all coordinates."""
        return math.sqrt(self.square_error)

    @property
    def text(self) -> str:
        """How it was had and how good it is, in one sentence."""
        if self.states is not None:
            how = f"summed over all {counted(self.states, 'state')}"
            return f"{how}; it {self.zero}" if self.zero else f"{how}, norm {self.norm:.4g}"
        how = f"estimated by {self.estimator} from {counted(self.evaluations, 'evaluation')} of f"
        if self.zero:
            return f"{how}; it {self.zero} ({self.doubt})"
        return f"{how}, norm {self.norm:.4g}, standard error {100 * self.error / self.norm:.2g} %"

    @property
    def doubt(self) -> str:
        """How large a long run's gradient may be that can't be told from zero."""
        return f"norm {self.length:.2g}, standard error {self.error:.2g}"

    @property
    def record(self) -> dict[str, Any]:
        """The same as JSON holds it."""
        return {
            "method": "run" if self.states is None else "enumeration",
            "norm": self.norm,
            "zero": self.zero,
            "error": self.error,
            "relative_error": self.error / self.norm if self.norm else None,
            "states": self.states,
            "estimator": self.estimator,
            "evaluations": self.evaluations,
            "text": self.text,
        }
