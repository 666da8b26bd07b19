"""Data sets as three whole tensors in memory, from which training takes whole batches.

Data sets this small never need workers or item-by-item collation, which cost more than the model.
Splits and shuffles are fixed, so that every run sees the same test rows.
"""

import difflib
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hotgrad.files import as_path
from hotgrad.ops.checks import as_shape, check_count, check_flag, check_tensor, check_text
from hotgrad.vae import sources
from hotgrad.vae.numpy_files import SPLITS

NAMED_DATASETS = ("digits", "mnist", "binarized-mnist")

IN_MEMORY = "in-memory"
"""What a run's record calls a `Dataset` of one's own, which no name or path leads back to."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows to train on, to choose by, and to report on.

    Args:
        name: what to call it in titles.
        train: float32 of shape (N, D).
        valid: float32 of shape (M, D).
        test: float32 of shape (P, D).
        shape: the shape of one item before it was flattened, with D elements: (28, 28), or (8,).
        binary: whether every value is 0 or 1.
        source: where the rows came from, for a run's records and for error messages.
        origin: the settings of a run (`data`, `data_dir`, `column`) that lead to these rows again;
            `load_dataset` fills it in.
        row_numbers: for each split, which rows of its file they are; filled in likewise.
        labels: for each split, one label a row; filled in where the source has them.

    Raises:
        ValueError: a split is empty, isn't float32, doesn't have D columns, or holds NaN or
            infinite values.
    """

    name: str
    train: Tensor
    valid: Tensor
    test: Tensor
    shape: tuple[int, ...]
    binary: bool
    source: str
    origin: Mapping[str, str | None] = field(
        default_factory=lambda: {"data": IN_MEMORY, "data_dir": None, "column": None}
    )
    row_numbers: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    labels: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_flag(self.binary, "binary")
        for name in ("name", "source"):
            check_text(getattr(self, name), name)
        as_shape(self.shape, "shape", minimum=1)
        width = math.prod(self.shape)
        for split in SPLITS:
            rows: Tensor = getattr(self, split)
            if not isinstance(rows, Tensor):
                raise ValueError(
                    f"{self.source}: {split} must be a tensor, got {type(rows).__name__}. "
                    "Convert it with torch.from_numpy or torch.tensor."
                )
            if rows.dtype != torch.float32 or rows.dim() != 2 or rows.shape[1] != width:
                raise ValueError(
                    f"{self.source}: {split} is {rows.dtype} of shape {tuple(rows.shape)}, "
                    f"expected torch.float32 of shape (rows, {width}), as items of shape "
                    f"{self.shape} have when flattened. Convert and flatten the rows."
                )
            if rows.numel() == 0:
                raise ValueError(
                    f"{self.source}: {split} of shape {tuple(rows.shape)} is empty, "
                    "expected at least one row and one feature. Move some rows into it."
                )
        if not all(map(math.isfinite, self.value_range)):
            self._say_what_is_not_finite()

    @cached_property
    def value_range(self) -> tuple[float, float]:
        """The least and the greatest value in all three splits."""
        extremes = [torch.stack(torch.aminmax(getattr(self, split))) for split in SPLITS]
        # torch's, which keep NaN where Python's min and max may lose it
        least, greatest = torch.stack([pair.cpu() for pair in extremes]).unbind(1)
        return least.min().item(), greatest.max().item()

    def _say_what_is_not_finite(self) -> None:
        for split in SPLITS:
            bad = ~getattr(self, split).isfinite()
            if bad.any():
                raise ValueError(
                    f"{self.source}: {int(bad.sum()):,} of {bad.numel():,} values of {split} are "
                    f"NaN or infinite, the first in row {int(bad.nonzero()[0, 0])} (counted from "
                    "0). Expected finite numbers: fill in or remove those rows."
                )

    @property
    def in_unit_interval(self) -> bool:
        """Whether every value lies in [0, 1], as a Bernoulli likelihood requires."""
        low, high = self.value_range
        return low >= 0.0 and high <= 1.0


def load_dataset(
    name: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    column: str | None = None,
) -> Dataset:
    """Loads a data set by name, or an array from a file.

    | name | rows: train / valid / test | values |
    |---|---|---|
    | `digits` | 1,297 / 200 / 300, bundled with scikit-learn | grey levels / 16 |
    | `mnist` | 50,000 / 10,000 / 10,000, idx files in `data_dir` | grey levels / 255 |
    | `binarized-mnist` | 50,000 / 10,000 / 10,000, amat files in `data_dir` | bits |
    | a path to .npy or .npz | its own splits, or 80 / 10 / 10 % shuffled | see below |

    An array has shape (rows, *item). Type uint8 means grey levels and is divided by 255, unless it
    holds nothing above 1, when it means bits. Other numbers are taken as they are. An .npz file
    holds one array, or `train`, `valid` and `test`, or several of which `column` names one.

    Args:
        name: one of the names above, or a path that ends in .npy or .npz.
        data_dir: the folder of the files, or a folder that holds a folder called as the data set
            is. A relative path to an array is looked up here if it isn't in the working directory.
        column: the name of an array inside an .npz file.

    Returns:
        The three splits, flattened.

    Raises:
        ValueError: the data set is unknown, a file is missing or damaged, or its content is no
            table of finite numbers with at least 10 rows.

    Example:
        >>> dataset = load_dataset("digits")
        >>> dataset.train.shape, dataset.shape, dataset.in_unit_interval
        (torch.Size([1297, 64]), (8, 8), True)
    """
    if not isinstance(name, (str, os.PathLike)):
        raise ValueError(
            f"the data set must be a name or a path, got {type(name).__name__}. Rows in memory "
            "become a Dataset(name, train, valid, test, shape, binary, source)."
        )
    name = os.fspath(name)
    folder = None if data_dir is None else Path(os.path.expanduser(data_dir))
    if name.lower().endswith((".npy", ".npz")):
        as_path(name, "the data set")
        return _assemble(sources.array_file(name, folder, column))
    if name == IN_MEMORY:
        raise ValueError(
            "the run was trained on a Dataset made in Python, which no name leads back to. Give "
            "the same items as a file, --data FILE.npy (or .npz with train, valid and test), or in "
            "Python as dataset=."
        )
    if name not in NAMED_DATASETS:
        guess = difflib.get_close_matches(name.lower(), NAMED_DATASETS, n=1)
        hint = f" Did you mean {guess[0]!r}?" if guess else ""
        raise ValueError(
            f"unknown data set {name!r}.{hint} Expected one of {', '.join(NAMED_DATASETS)}, or a "
            "path that ends in .npy or .npz."
        )
    if column is not None:
        raise ValueError(
            f"column {column!r} was given, but {name} has no named arrays. Columns (--column) are "
            "for .npz files; leave it out."
        )
    if name == "digits":
        return _assemble(sources.digits())
    if name == "mnist":
        return _assemble(sources.mnist(folder))
    return _assemble(sources.binarized_mnist(folder))


def iterate_batches(
    data: Tensor, batch_size: int, *, generator: torch.Generator | None, shuffle: bool
) -> Iterator[Tensor]:
    """Goes once through the rows in whole batches; the last may be smaller.

    The order is drawn in the call, not when the first batch is taken, so the generator's state
    afterwards doesn't depend on how many batches are used.

    Args:
        data: shape (N, ...), on any device.
        batch_size: rows per batch, at least 1.
        generator: where the order is drawn from; None is torch's global one. It may live on
            the CPU while the data don't.
        shuffle: whether to draw an order. If not, batches are views of `data`: don't write to
            them.

    Returns:
        An iterator over tensors of shape (batch_size, ...).

    Raises:
        ValueError: `batch_size` is no positive integer, or there are no rows.

    Example:
        >>> batches = iterate_batches(torch.arange(5), 2, generator=None, shuffle=False)
        >>> [batch.tolist() for batch in batches]
        [[0, 1], [2, 3], [4]]
    """
    check_count(batch_size, "batch_size")
    check_tensor(data, "data")
    if data.dim() == 0 or len(data) == 0:
        raise ValueError(
            f"the data have shape {tuple(data.shape)}, expected (rows, ...) with at least one row. "
            "Check the split that they come from."
        )
    check_flag(shuffle, "shuffle")
    if not shuffle:
        return iter(torch.split(data, batch_size))
    device = data.device if generator is None else generator.device
    order = torch.randperm(len(data), generator=generator, device=device).to(data.device)
    return (data.index_select(0, rows) for rows in torch.split(order, batch_size))


def _assemble(splits: sources.Splits) -> Dataset:
    shapes = [array.shape[1:] for array in splits.arrays]
    if len(set(shapes)) > 1:
        raise ValueError(
            f"{splits.source}: the items of {', '.join(SPLITS)} have shapes "
            f"{', '.join(map(str, shapes))}, expected the same. Reshape them."
        )
    train, valid, test = (
        torch.from_numpy(np.ascontiguousarray(array)).reshape(len(array), -1)
        for array in splits.arrays
    )
    binary = all(bool(((rows == 0) | (rows == 1)).all()) for rows in (test, valid, train))
    labels = {} if splits.labels is None else dict(zip(SPLITS, splits.labels, strict=True))
    return Dataset(
        splits.name,
        train,
        valid,
        test,
        shapes[0],
        binary,
        splits.source,
        origin=splits.origin,
        row_numbers=dict(zip(SPLITS, splits.row_numbers, strict=True)),
        labels=labels,
    )
