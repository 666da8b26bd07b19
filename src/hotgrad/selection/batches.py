"""Rows of a table as standardised batches; the table itself is never copied.

Whatever can be indexed by rows serves: an array of any numeric type, or a memory-mapped file. The
columns' moments are taken in one pass over blocks of rows, and each batch is standardised by them
when its turn comes.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

BLOCK_VALUES = 2**20
"""Values that are held at a time while moments are taken."""


class Moments:
    """Means and variances of columns, merged from block to block.

    Reference: Updating Formulae and a Pairwise Algorithm for Computing Sample Variances (Chan,
    Golub and LeVeque, 1979), http://i.stanford.edu/pub/cstr/reports/cs/tr/79/773/CS-TR-79-773.pdf
    """

    def __init__(self, columns: int) -> None:
        self.count = 0
        self.mean: Floats = np.zeros(columns)
        self._squares: Floats = np.zeros(columns)

    def update(self, table: NDArray[Any], rows: Rows) -> None:
        """Take in these rows of a table."""
        for block in blocks(rows, table.shape[1]):
            values = np.asarray(table[block], dtype=np.float64)
            mean = values.mean(axis=0)
            values -= mean
            squares = np.square(values, out=values).sum(axis=0)
            total = self.count + len(block)
            gap = mean - self.mean
            self._squares += squares + gap**2 * (self.count * len(block) / total)
            self.mean += gap * (len(block) / total)
            self.count = total

    def deviations(self) -> Floats:
        """Each column's standard deviation; 0 where it never changes."""
        deviation: Floats = np.sqrt(self._squares / max(self.count, 1))
        # equal numbers may deviate from their mean by its rounding
        deviation[deviation <= 1e-12 * np.abs(self.mean)] = 0.0
        return deviation

    def scale(self, same_unit: bool) -> Floats:
        """What to divide each column by: its deviation, or one number for all.

        A column that never changes is divided by 1.
        """
        deviation = self.deviations()
        if same_unit:
            deviation[:] = np.sqrt(np.square(deviation).mean())
        return np.where(deviation > 0, deviation, 1.0)


class Standardised:
    """A table seen through its columns' moments.

    Args:
        table: `(rows, columns)`; only ever indexed by rows.
        moments: of its columns.
        same_unit: whether to divide all columns by one number instead of each by its deviation.
    """

    def __init__(self, table: NDArray[Any], moments: Moments, same_unit: bool) -> None:
        self._table, self._mean = table, moments.mean
        self._scale = moments.scale(same_unit)

    def __getitem__(self, rows: Rows) -> Tensor:
        values = np.asarray(self._table[rows], dtype=np.float64)
        values -= self._mean
        values /= self._scale
        return torch.from_numpy(values.astype(np.float32))


def blocks(rows: Rows, columns: int) -> Iterator[Rows]:
    """The rows in order, as many at a time as make a block of the table."""
    size = max(1, BLOCK_VALUES // max(columns, 1))
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
