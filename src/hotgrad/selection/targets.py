"""What the columns are chosen for: which task a target means, and whether it can be learned."""

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import column_or_1d

from hotgrad.ops.checks import check_choice, shown

TASKS = ("classification", "regression", "reconstruction")
MAX_INTEGER_CLASSES = 20
"""Up to so many different whole numbers are rather classes, more are rather a quantity."""
ROWS_OF_A_CLASS = 5
"""Whole numbers that come so often on average could be classes, rarer ones could be a quantity."""


@dataclass(frozen=True)
class Inferred:
    """The task that a target's values mean.

    Args:
        task: classification or regression.
        reason: what in the values says so.
        doubt: what else it could be, where the values don't settle it; otherwise empty.
    """

    task: str
    reason: str
    doubt: str = ""

    def warning(self, target: str, ask: str) -> str:
        """The doubt as a sentence about the target, with a way to settle it."""
        return (
            f"{target} holds {self.reason}: taken for {_MEANINGS[self.task]} ({self.task}), though "
            f"they could be {self.doubt}. Say which: {ask}."
        )


_MEANINGS = {"classification": "classes", "regression": "a quantity"}


def infer_task(y: NDArray[Any]) -> Inferred:
    """Infer from its values whether a target without gaps holds classes or quantities.

    Text and booleans are classes; numbers with fractions, and several columns, are quantities.
    Whole numbers are classes if there are at most 20 different ones that come at least twice on
    average, or if they count from 0 or 1 without a gap and none is rarer than half the average:
    26 letters with 60 rows each are classes, ages from 17 to 90 aren't. In doubt are those of
    at most 20 that are rare, and those of more that are not.
    """
    if y.ndim == 2 and y.shape[1] > 1:
        return Inferred("regression", f"{y.shape[1]} columns")
    values = _as_numbers(y.ravel())
    if values is None:
        kind = "truth values" if y.dtype.kind == "b" else "labels"
        return Inferred("classification", f"{len(set(y.ravel().tolist())):,} different {kind}")
    if not bool((np.isfinite(values) & (values == np.round(values))).all()):
        return Inferred("regression", "numbers with fractions")
    numbers, counts = np.unique(values, return_counts=True)
    low, high, rows_each = numbers[0], numbers[-1], len(values) / len(numbers)
    if len(numbers) <= MAX_INTEGER_CLASSES:
        are_classes = len(numbers) <= 2 or rows_each >= 2
        in_doubt = len(numbers) > 2 and rows_each < ROWS_OF_A_CLASS
    else:
        counting = low in (0, 1) and high - low == len(numbers) - 1
        are_classes = counting and rows_each >= 2 and counts.min() >= rows_each / 2
        in_doubt = are_classes or rows_each >= ROWS_OF_A_CLASS
    task, other = ("classification", "regression")[:: 1 if are_classes else -1]
    reason = (
        f"{len(numbers):,} different whole numbers, from {low:.0f} to {high:.0f}, in "
        f"{len(values):,} rows"
    )
    return Inferred(task, reason, _MEANINGS[other] if in_doubt else "")


def _as_numbers(values: NDArray[Any]) -> NDArray[Any] | None:
    """Numbers, also those that stand in an array of objects; None if they aren't."""
    if values.dtype.kind in "iuf":
        return values
    if values.dtype != object or not all(
        isinstance(value, Real) and not isinstance(value, bool) for value in values
    ):
        return None
    return values.astype(np.float64)


def check_task(task: str, y: NDArray[Any] | None) -> None:
    """Refuses a task that isn't one, or that needs a target where there is none.

    Raises:
        ValueError: it is so.
    """
    check_choice("task", task, ("auto", *TASKS))
    if y is None and task in ("classification", "regression"):
        raise ValueError(
            f"task={task!r} requires y to be passed, but the target y is None. "
            "Pass y, or use task='reconstruction'."
        )


def check_labels(y: Any) -> None:
    """Refuses a target that is no list, has gaps, or several kinds, which can't be sorted.

    Raises:
        ValueError: it is so.
    """
    given = np.asarray(y)
    if given.ndim == 0:
        raise ValueError(f"y must hold one label or number a row, got {shown(y)}.")
    if given.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: y holds dtype {given.dtype}.")
    if given.dtype != object:
        return
    values = given.ravel().tolist()
    gaps = sum(map(_is_gap, values))
    if gaps:
        raise ValueError(
            f"y misses {gaps:,} of {len(values):,} values. Leave those rows out, or give what is "
            "missing a label of its own."
        )
    kinds = {str if isinstance(value, str) else type(value) for value in values}
    if str in kinds and len(kinds) > 1:
        names = sorted(kind.__name__ for kind in kinds)
        raise ValueError(
            f"y mixes {' and '.join(names)}, which have no order. Make them alike, for example "
            "text: y.astype(str)."
        )


def _is_gap(value: Any) -> bool:
    # pandas' own markers by their names: it may not be installed
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or type(value).__name__ in ("NAType", "NaTType")
    )


def class_numbers(y: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int64]:
    """The labels' places among the classes.

    Raises:
        ValueError: a label is not among them.
    """
    y = column_or_1d(y, warn=True)
    unknown = np.setdiff1d(y, classes)
    if len(unknown):
        raise ValueError(
            f"y holds {unknown[:8].tolist()}, which the classes of the first call lack: "
            f"{classes[:8].tolist()}. Pass all labels as classes= to the first partial_fit."
        )
    return np.searchsorted(classes, y).astype(np.int64)


def find_classes(y: NDArray[Any], named: Any = None) -> NDArray[Any]:
    """The sorted labels: those named, or those in the target.

    Raises:
        ValueError: fewer than two.
    """
    labels: NDArray[Any] = np.unique(column_or_1d(y) if named is None else np.asarray(named))
    if len(labels) < 2:
        raise ValueError(
            f"Expected at least 2 classes, got 1 class: {labels.tolist()}. One class only can't be "
            "learned; give rows of the others too."
        )
    return labels


def as_quantities(y: NDArray[Any]) -> NDArray[np.float64]:
    """A target of numbers as `(rows, outputs)`.

    Raises:
        ValueError: the target holds text.
    """
    try:
        values = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"task='regression' needs a numeric y, got {y.dtype} ({error}). "
            "Use task='classification'."
        ) from error
    return values.reshape(len(values), -1)


def check_varies(y: NDArray[np.float64]) -> None:
    """Raises ValueError if a quantity is the same in every row."""
    constant = np.flatnonzero(y.min(axis=0) == y.max(axis=0))
    if len(constant):
        raise ValueError(
            f"The target y is constant ({y[0, constant[0]]:g} in every row"
            + (f", output {constant[0]}" if y.shape[1] > 1 else "")
            + "): nothing can be learned. Check that it is the right column."
        )
