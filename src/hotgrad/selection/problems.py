"""The problem to solve: a table's columns, its target and the task, checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hotgrad.ops.checks import check_choice
from hotgrad.selection.column_names import brief, check_column, drop_option
from hotgrad.selection.targets import TASKS, Inferred, infer_task
from hotgrad.selection.validation import check_k

LARGEST = 1e100
"""Squares of larger values overflow."""

Target: TypeAlias = NDArray[np.int64] | NDArray[np.float64]
"""A value for each row: a quantity, or a class as 0, 1, ..."""


@dataclass(frozen=True)
class Problem:
    """Columns to choose from, and the target they are chosen for.

    Args:
        features: the columns, all of them float64; NaN where a value is missing.
        target: a value for each row, None for reconstruction; classes as the numbers 0, 1, ...
        task: classification, regression or reconstruction.
        classes: the classes' names, in the order of their numbers.
        inferred: how the task was inferred, where it wasn't named.
    """

    features: pd.DataFrame
    target: Target | None
    task: str
    classes: tuple[str, ...] = ()
    inferred: Inferred | None = None

    @property
    def missing(self) -> int:
        """How many values are missing."""
        return int(self.features.isna().to_numpy().sum())


def pose(
    frame: pd.DataFrame,
    *,
    k: int,
    target: str | None = None,
    task: str = "auto",
    drop: Sequence[str] = (),
    impute: bool = False,
) -> Problem:
    """Checks that k columns of a table can be chosen for a task.

    Args:
        frame: the table.
        k: how many columns.
        target: the column to predict; without one, the task is to reconstruct all columns.
        task: classification, regression or reconstruction; "auto" takes text, booleans and few
            whole numbers for classes, and other numbers for a quantity: see `infer_task`.
        drop: columns to leave out.
        impute: whether missing values are allowed, to be filled by `hold_out`.

    Raises:
        ValueError: a column isn't in the table; the target is constant, incomplete or doesn't fit
            the task; a column isn't numeric, infinite somewhere or (without `impute`) incomplete;
            k isn't in [1, columns]; too few rows.

    Example:
        >>> frame = pd.DataFrame({"a": range(9), "b": range(9, 0, -1), "y": [0, 1, 2] * 3})
        >>> problem = pose(frame, k=1, target="y")
        >>> problem.task, list(problem.features)
        ('classification', ['a', 'b'])
    """
    for name in [*drop, *([] if target is None else [target])]:
        check_column(name, list(frame.columns))
    if target in drop:
        raise ValueError(
            f"{brief(target)} is both the target and to be dropped. Leave it in one place."
        )
    frame = frame.drop(columns=list(drop))
    check_choice("--task", task, ("auto", *TASKS))
    features = _numbers(frame if target is None else frame.drop(columns=target))
    _check_values(features, impute)
    check_k(k, features.shape[1], len(features), name="--k")
    if target is None:
        if task not in ("auto", "reconstruction"):
            raise ValueError(f"{task} needs a target: name the column with --target.")
        return Problem(features, None, "reconstruction")
    if task == "reconstruction":
        raise ValueError(
            "reconstruction has no target: leave out --target, or drop the column: "
            f"{drop_option([target])}."
        )
    return _with_target(features, frame[target], task)


def _numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """All columns as float64; booleans count as 0 and 1."""
    columns = {name: _as_floats(frame[name]) for name in frame.columns}
    texts = [name for name, column in columns.items() if column is None]
    if texts:
        examples = [
            f"{brief(name)} (such as {brief(_odd_value(frame[name]))})" for name in texts[:8]
        ]
        more = f" and {len(texts) - 8:,} more" if len(texts) > 8 else ""
        raise ValueError(
            f"{len(texts)} of {len(columns)} columns aren't numbers: {', '.join(examples)}{more}. "
            f"Encode them as numbers, or leave them out: {drop_option(texts)}."
        )
    return pd.DataFrame(columns, index=frame.index)


def _as_floats(column: pd.Series) -> "pd.Series[float] | None":
    """Numbers and booleans as float64, NaN where a value is missing; None if it holds others."""
    is_numeric = pd.api.types.is_numeric_dtype(column.dtype)
    # booleans with gaps are objects
    if not is_numeric and not set(column.dropna().map(type)) <= {bool, np.bool_}:
        return None
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return pd.Series(values, index=column.index, name=column.name)


def _odd_value(column: pd.Series) -> object:
    """The first value that is no number: the marker of a gap, if that is all that is wrong."""
    values = column.dropna()
    odd = values[pd.to_numeric(values, errors="coerce").isna()]
    return (odd if len(odd) else values).iloc[0]


def _check_values(features: pd.DataFrame, impute: bool) -> None:
    infinite = (features.abs() > LARGEST).sum()
    if infinite.any():
        raise ValueError(
            f"Values that are infinite, or beyond {LARGEST:g}, in {_counted(infinite)}. Mend or "
            "drop these columns."
        )
    missing = features.isna().sum()
    if missing.any() and not impute:
        raise ValueError(
            f"{missing.sum():,} missing values in {_counted(missing)}. Fill them with the training "
            "part's medians: --impute; or drop these columns."
        )


def _counted(counts: "pd.Series[int]") -> str:
    """Columns with how many of their values are so, the most first."""
    counts = counts[counts > 0].sort_values(ascending=False, kind="stable")
    shown = ", ".join(f"{name} ({count})" for name, count in counts.iloc[:8].items())
    more = f" and {len(counts) - 8:,} more" if len(counts) > 8 else ""
    return f"{len(counts)} column{'s' * (len(counts) > 1)}: {shown}{more}"


def _with_target(features: pd.DataFrame, target: pd.Series, task: str) -> Problem:
    missing = int(target.isna().sum())
    if missing:
        raise ValueError(
            f"The target {brief(target.name)} misses {missing:,} of {len(target):,} values, and "
            "nothing fills a target. Remove those rows."
        )
    numbers = _as_floats(target)
    if numbers is None:
        target = target.astype(str)
    if target.nunique() < 2:
        value = target.iloc[:1].tolist()[0]
        raise ValueError(
            f"The target {brief(target.name)} is {brief(value)} in every row: one class only, or a "
            "constant, can't be learned. Choose another column."
        )
    inferred = None
    if task == "auto":
        inferred = infer_task((target if numbers is None else numbers).to_numpy())
        task = inferred.task
    if task == "classification":
        classes, codes = np.unique(target.to_numpy(), return_inverse=True)
        return Problem(features, codes.astype(np.int64), task, tuple(map(str, classes)), inferred)
    if numbers is None:
        raise ValueError(
            f"regression needs a target of numbers; {brief(target.name)} holds "
            f"{brief(_odd_value(target))}. "
            "Use --task classification."
        )
    values: NDArray[np.float64] = np.asarray(numbers, dtype=np.float64)
    if (np.abs(values) > LARGEST).any():
        raise ValueError(
            f"The target {brief(target.name)} holds values that are infinite, or beyond "
            f"{LARGEST:g}. Remove those rows."
        )
    return Problem(features, values, task, inferred=inferred)
