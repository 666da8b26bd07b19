"""Held-out rows, put aside before anything is learned; gaps and scales come from the others."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from hotgrad.selection.column_names import drop_option, quoted
from hotgrad.selection.problems import Problem, Target
from hotgrad.selection.standardising import ColumnScaler, Rows

TEST_SHARE = 0.25


@dataclass(frozen=True)
class Part:
    """Rows of a problem without gaps; each column has mean 0 in training, and the variance 1.

    Where columns share a unit, they keep their scales, and the mean of their variances is 1.
    """

    features: pd.DataFrame
    target: Target | None

    @property
    def values(self) -> NDArray[np.float64]:
        """The features as an array."""
        return self.features.to_numpy(np.float64)


def hold_out(problem: Problem, k: int, seed: int, *, same_unit: bool = False) -> tuple[Part, Part]:
    """A training part and a held-out quarter of the rows, stratified by class.

    Args:
        problem: with gaps or without; they are filled with the training part's medians.
        k: how many columns are to be chosen.
        seed: of the split.
        same_unit: whether to divide all columns by one number instead of each by its deviation.

    Raises:
        ValueError: fewer rows than k are left for training, a class has too few rows to stand in
            both parts, a column has no value in the training part, all columns are constant, or the
            held-out target is.

    Example:
        >>> from hotgrad.selection.problems import pose
        >>> frame = pd.DataFrame({"a": range(8), "b": range(8, 0, -1), "y": [0, 1] * 4})
        >>> train, test = hold_out(pose(frame, k=1, target="y"), k=1, seed=0)
        >>> len(train.features), len(test.features), sorted(test.target.tolist())
        (6, 2, [0, 1])
    """
    train_rows, test_rows = _split_rows(problem, k, seed)
    # in numpy: pandas fills and scales one column after another
    values = problem.features.to_numpy(np.float64)
    train, test = values[train_rows], values[test_rows]
    hopeless = list(problem.features.columns[np.isnan(train).all(axis=0)])
    if hopeless:
        raise ValueError(
            f"No median fills {quoted(hopeless)}: the training part has no value of it. Drop it: "
            f"{drop_option(hopeless)}."
        )
    medians = np.nanmedian(train, axis=0)
    train, test = (np.where(np.isnan(part), medians, part) for part in (train, test))
    scaler = ColumnScaler(same_unit=same_unit).update(train, np.arange(len(train)))
    scaler.check_changes()
    return (
        _part(problem, train_rows, scaler(train)),
        _part(problem, test_rows, scaler(test)),
    )


def _split_rows(problem: Problem, k: int, seed: int) -> tuple[Rows, Rows]:
    rows, counts = len(problem.features), np.zeros(1, dtype=np.int64)
    stratify = problem.target if problem.task == "classification" else None
    if stratify is not None:
        counts = np.bincount(stratify.astype(np.int64))
        if counts.min() < 2:
            alone = [problem.classes[i] for i in np.flatnonzero(counts < 2)]
            raise ValueError(
                f"{len(alone)} of {len(counts)} classes have a single row: {quoted(alone)}. "
                "Expected at least 2 of each, to hold one out; remove or merge them, or say "
                "--task regression if the target is a quantity."
            )
    held = max(round(TEST_SHARE * rows), len(counts))
    if rows - held < max(k, 2, len(counts)):
        raise ValueError(
            f"{rows} rows are too few: with {held} of them held out, {max(rows - held, 0)} are "
            f"left to choose {k} columns from; expected at least {max(k, 2, len(counts))}."
        )
    train_rows, test_rows = train_test_split(
        np.arange(rows), test_size=held, stratify=stratify, random_state=seed
    )
    if problem.task == "regression" and problem.target is not None:
        held_target = problem.target[test_rows]
        if held_target.min() == held_target.max():
            raise ValueError(
                f"The target is {held_target[0]:g} in all {held} held-out rows, so that no score "
                "is defined. Give more rows, or another --seed."
            )
    return train_rows, test_rows


def _part(problem: Problem, rows: Rows, values: NDArray[np.float64]) -> Part:
    index, columns = problem.features.index[rows], problem.features.columns
    target = None if problem.target is None else problem.target[rows]
    return Part(pd.DataFrame(values, index=index, columns=columns), target)
