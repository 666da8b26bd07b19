"""The gradient that estimators are measured by, and how good it is."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hotgrad.audit.table import counted


@dataclass(frozen=True)
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
    def norm(self) -> float:
        """The gradient's length, without what the error adds to it; 0 where it can't be told."""
        square = float(self.gradient.square().sum()) - self.square_error
        length = math.sqrt(max(square, 0.0))
        return 0.0 if length <= 4 * self.rounding or self.error >= length / 2 else length

    @property
    def error(self) -> float:
        """The standard error of the gradient, over all coordinates."""
        return math.sqrt(self.square_error)

    @property
    def text(self) -> str:
        """How it was had and how good it is, in one sentence."""
        if self.states is not None:
            how = f"summed over all {counted(self.states, 'state')}"
            return f"{how}; it is zero" if self.norm == 0 else f"{how}, norm {self.norm:.4g}"
        how = f"estimated by {self.estimator} from {counted(self.evaluations, 'evaluation')} of f"
        if self.norm == 0:
            return f"{how}; it can't be told from zero (standard error {self.error:.2g})"
        return f"{how}, norm {self.norm:.4g}, standard error {100 * self.error / self.norm:.2g} %"

    @property
    def record(self) -> dict[str, Any]:
        """The same as JSON holds it."""
        return {
            "method": "run" if self.states is None else "enumeration",
            "norm": self.norm,
            "error": self.error,
            "relative_error": self.error / self.norm if self.norm else None,
            "states": self.states,
            "estimator": self.estimator,
            "evaluations": self.evaluations,
            "text": self.text,
        }
