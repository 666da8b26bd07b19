"""What the chosen columns shall serve: classes, quantities, or all columns of the table.

A target is checked once and becomes tensors batch by batch, as the table's own rows do.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import column_or_1d
from torch import Tensor

from hotgrad.ops.checks import check_choice
from hotgrad.selection.batches import Rows

TASKS = ("classification", "regression", "reconstruction")
MAX_INTEGER_CLASSES = 20
"""Up to so many different whole numbers are taken for classes, more for a quantity."""


def infer_task(task: str, y: NDArray[Any] | None) -> str:
    """The task that is meant; `auto` is told by the target.

    Without a target it is reconstruction. Text, booleans and at most 20 different whole numbers
    are classes; other numbers are quantities.

    Raises:
        ValueError: an unknown task, or one that needs a target where there is none.
    """
    check_choice("task", task, ("auto", *TASKS))
    if task != "auto":
        if y is None and task != "reconstruction":
            raise ValueError(
                f"task={task!r} requires y to be passed, but the target y is None. "
                "Pass y, or use task='reconstruction'."
            )
        return task
    if y is None:
        return "reconstruction"
    return "classification" if _looks_like_classes(y) else "regression"


def _looks_like_classes(y: NDArray[Any]) -> bool:
    if y.ndim == 2 and y.shape[1] > 1:
        return False
    if y.dtype.kind not in "iuf":
        return True
    return are_few_whole_numbers(y)


def are_few_whole_numbers(values: NDArray[Any]) -> bool:
    """Whether numbers look like classes."""
    whole = bool(np.isfinite(values).all() and (values == np.round(values)).all())
    return whole and len(np.unique(values)) <= MAX_INTEGER_CLASSES


class Classes:
    """Class numbers of a target's labels."""

    def __init__(self, y: NDArray[Any], classes: NDArray[Any]) -> None:
        y = column_or_1d(y, warn=True)
        unknown = np.setdiff1d(y, classes)
        if len(unknown):
            raise ValueError(
                f"y holds {unknown[:8].tolist()}, which the classes of the first call lack: "
                f"{classes[:8].tolist()}. Pass all labels as classes= to the first partial_fit."
            )
        self._numbers = np.searchsorted(classes, y)

    def __getitem__(self, rows: Rows) -> Tensor:
        return torch.from_numpy(self._numbers[rows].astype(np.int64))


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
