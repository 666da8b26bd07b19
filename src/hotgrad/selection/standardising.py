"""Columns at mean 0 and variance 1, by moments that are taken from one block of rows after another.

Whatever can be indexed by rows will do: an array of any numeric type, or a memory-mapped file. The
table itself is never copied; each batch is standardised when its turn comes.
"""

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

BLOCK_VALUES = 2**20
"""Values that are held at a time while moments are taken."""


class ColumnScaler:
    """Shifts and divides columns by the moments of all rows so far.

    A column that never changes is divided by 1.

    Args:
        same_unit: whether to divide all columns by one number, so that the mean of their variances
            is 1, instead of each by its standard deviation.
    """

    def __init__(self, *, same_unit: bool = False) -> None:
        self._moments, self._same_unit = StandardScaler(), same_unit

    def update(self, table: NDArray[Any], rows: Rows) -> Self:
        """Take in these rows of a table."""
        for block in blocks(rows, table.shape[1]):
            self._moments.partial_fit(np.asarray(table[block], dtype=np.float64))
        return self

    @property
    def count(self) -> int:
        """How many rows there were."""
        return int(self._moments.n_samples_seen_)

    @property
    def deviations(self) -> Floats:
        """Each column's standard deviation; 0 where it never changes."""
        deviation: Floats = np.sqrt(self._moments.var_)
        # where the variance is only rounding, scikit-learn's scale is 1 instead
        return np.where(self._moments.scale_ == deviation, deviation, 0.0)

    def check_changes(self) -> None:
        """Raises ValueError if no column changes."""
        deviations = self.deviations
        if not deviations.any():
            raise ValueError(
                f"There is nothing to choose from: each of the {len(deviations)} columns is the "
                "same in every row to learn from. Give columns that change."
            )

    def __call__(self, values: NDArray[Any]) -> Floats:
        """Rows of the table, standardised."""
        scale = self._moments.scale_
        if self._same_unit:
            scale = float(np.sqrt(np.square(self.deviations).mean())) or 1.0
        standardised = np.array(values, dtype=np.float64)
        standardised -= self._moments.mean_
        standardised /= scale
        return standardised


def blocks(rows: Rows, columns: int) -> Iterator[Rows]:
    """The rows in order, as many at a time as make a block of the table."""
    size = max(1, BLOCK_VALUES // max(columns, 1))
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
