"""Where each data set's rows come from, and how they are split: the same way every time.

A source returns float32 arrays, one a split, with the items still in their own shape, and says
which rows of its file they are, so that codes can be joined to whatever else is known of them.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hotgrad.vae.numpy_files import SPLITS, read_numpy
from hotgrad.vae.picture_files import read_amat, read_idx_images, read_idx_labels

_MINIMUM_ROWS = 10
_MNIST_VALID_ROWS = 10_000


class Splits(NamedTuple):
    """Arrays for train, valid and test, each of shape (rows, *item)."""

    name: str
    arrays: Sequence[NDArray[np.float32]]
    source: str
    origin: dict[str, str | None]
    """The settings (data, data_dir, column) that lead to these rows from any working directory."""
    row_numbers: Sequence[NDArray[np.int64]]
    """For each split, the rows of its file or array, counted from 0."""
    labels: Sequence[NDArray[Any]] | None = None
    """For each split, where the source has them."""


def digits() -> Splits:
    """1,797 handwritten digits of 8 x 8 pixels in 17 grey levels."""
    # scikit-learn takes a second to import, and no other data set needs it.
    from sklearn.datasets import load_digits

    source = "the digits bundled with scikit-learn"
    bunch = load_digits()
    rows = np.split(_fixed_order(1797), [1297, 1497])
    pixels = bunch.images.astype(np.float32) / np.float32(16)
    origin = _origin("digits")
    return Splits("digits", _taken(pixels, rows), source, origin, rows, _taken(bunch.target, rows))


def mnist(data_dir: Path | None) -> Splits:
    """MNIST from its idx files; the last 10,000 training images are the validation split."""
    train_path, test_path = _find(
        "mnist",
        data_dir,
        [
            ("train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"),
            ("t10k-images-idx3-ubyte", "t10k-images-idx3-ubyte.gz"),
        ],
    )
    train, test = read_idx_images(train_path), read_idx_images(test_path)
    if len(train) < _MNIST_VALID_ROWS + _MINIMUM_ROWS:
        raise ValueError(
            f"{train_path} holds {len(train):,} images, expected 60,000: the last "
            f"{_MNIST_VALID_ROWS:,} are the validation split. Check the file."
        )
    at = len(train) - _MNIST_VALID_ROWS
    rows = [*np.split(np.arange(len(train)), [at]), np.arange(len(test))]
    known, of_test = _labels_beside(train_path, len(train)), _labels_beside(test_path, len(test))
    # one file's alone would leave rows without
    labels = None if known is None or of_test is None else [known[:at], known[at:], of_test]
    source = str(train_path.parent.resolve())
    return Splits(
        "mnist",
        _as_float32([train[:at], train[at:], test], source),
        source,
        _origin("mnist", data_dir),
        rows,
        labels,
    )


def binarized_mnist(data_dir: Path | None) -> Splits:
    """MNIST with each pixel drawn once as a bit, from its three amat files.

    Reference:
        On the Quantitative Analysis of Deep Belief Networks (Salakhutdinov and Murray, 2008).
    """
    wanted = [(f"binarized_mnist_{split}.amat",) for split in SPLITS]
    paths = _find("binarized-mnist", data_dir, wanted)
    splits = []
    for path in paths:
        bits = read_amat(path)
        if bits.shape[1] != 784:
            raise ValueError(
                f"{path} has {bits.shape[1]} bits a row, expected 784 = 28 x 28. Check the file."
            )
        splits.append(bits.reshape(-1, 28, 28))
    rows = [np.arange(len(split)) for split in splits]
    # The published test split may be sorted by class, and any part of it is then one-sided.
    rows[2] = _fixed_order(len(splits[2]))
    splits[2] = splits[2][rows[2]]
    source = str(paths[0].parent.resolve())
    origin = _origin("binarized-mnist", data_dir)
    return Splits("binarized-mnist", _as_float32(splits, source), source, origin, rows)


def array_file(name: str, data_dir: Path | None, column: str | None) -> Splits:
    """The array or arrays of a .npy or .npz file."""
    given = Path(os.path.expanduser(name))
    # a run remembers its file by its whole path, and data_dir says where the file lies now
    there = [] if data_dir is None else [data_dir / name, data_dir / given.name]
    path = next((candidate for candidate in (given, *there) if candidate.is_file()), None)
    if path is None:
        tried = " or ".join(dict.fromkeys(map(str, (given, *there))))
        raise ValueError(
            f"no file {tried}. Expected an array in a .npy or .npz "
            f"file. Check the path; the working directory is {Path.cwd()}."
        )
    arrays, found = read_numpy(path, column)
    labels: Sequence[NDArray[Any]] | None = found
    for array in arrays:
        if array.ndim < 2 or array.size == 0 or array.dtype.kind not in "biuf":
            raise ValueError(
                f"{path} holds an array of type {array.dtype} and shape {array.shape}, expected "
                "numbers of shape (rows, *item), with at least one feature an item. Reshape or "
                "convert it."
            )
    total = sum(len(array) for array in arrays)
    if total < _MINIMUM_ROWS:
        raise ValueError(
            f"{path} holds {total} rows, expected at least {_MINIMUM_ROWS} so that each split has "
            "some. Add rows."
        )
    source = str(path.resolve()) + ("" if column is None else f", array {column!r}")
    # Converted before the shuffle, so that an error names the file's own row.
    splits = _as_float32(arrays, source)
    rows: Sequence[NDArray[np.int64]] = [np.arange(len(split)) for split in splits]
    if len(splits) == 1:
        tenth = total // 10
        rows = np.split(_fixed_order(total), [total - 2 * tenth, total - tenth])
        splits = _taken(splits[0], rows)
        labels = None if labels is None else _taken(labels[0], rows)
    origin = _origin(str(path.resolve()), column=column)
    return Splits(path.stem, splits, source, origin, rows, labels)


def _origin(
    data: str, data_dir: Path | None = None, column: str | None = None
) -> dict[str, str | None]:
    where = None if data_dir is None else str(data_dir.resolve())
    return {"data": data, "data_dir": where, "column": column}


def _taken(array: NDArray[Any], rows: Sequence[NDArray[np.int64]]) -> list[NDArray[Any]]:
    """The rows of each split."""
    return [array[those] for those in rows]


def _labels_beside(images: Path, count: int) -> NDArray[np.uint8] | None:
    """The labels that lie beside a file of images, if they do."""
    plain = images.name.removesuffix(".gz").replace("images-idx3", "labels-idx1")
    paths = [images.with_name(plain + suffix) for suffix in ("", ".gz")]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return None
    labels = read_idx_labels(path)
    if len(labels) != count:
        raise ValueError(
            f"{path} holds {len(labels):,} labels, expected {count:,}, one for each image of "
            f"{images.name}. Fetch both again, or remove the labels."
        )
    return labels


def _find(name: str, data_dir: Path | None, wanted: Sequence[tuple[str, ...]]) -> list[Path]:
    """The files of a data set, each under the first of its names that is there."""
    described = ", ".join(" or ".join(names) for names in wanted)
    if data_dir is None:
        raise ValueError(
            f"{name} is read from files, but no folder was given. Expected data_dir (--data-dir) "
            f"to be the folder that holds {described}."
        )
    folders = [data_dir / name, data_dir]
    found: list[Path] = []
    for names in wanted:
        candidates = (folder / file for folder in folders for file in names)
        path = next((candidate for candidate in candidates if candidate.is_file()), None)
        if path is None:
            state = "" if data_dir.is_dir() else ", which is no folder"
            raise ValueError(
                f"{name}: no file {' or '.join(names)} in {data_dir}{state}, nor in its folder "
                f"{name}. Expected {described}: put them there, or give data_dir (--data-dir)."
            )
        found.append(path)
    return found


def _as_float32(arrays: Sequence[NDArray[Any]], source: str) -> list[NDArray[np.float32]]:
    kinds = {array.dtype for array in arrays}
    if np.dtype(np.uint8) in kinds and len(kinds) > 1:
        raise ValueError(
            f"{source}: the splits have types {', '.join(sorted(map(str, kinds)))}, expected "
            "uint8 (grey levels) for all or for none. Save them with one type."
        )
    is_grey = np.dtype(np.uint8) in kinds and any(array.max() > 1 for array in arrays)
    converted = []
    for position, array in enumerate(arrays):
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
            values = array.astype(np.float32)
        if is_grey:
            values /= np.float32(255)
        finite = np.isfinite(values) if array.dtype.kind == "f" else np.True_
        if not finite.all():
            row = int(np.argwhere(~finite)[0, 0])
            split = f", {SPLITS[position]}" if len(arrays) > 1 else ""
            raise ValueError(
                f"{source}{split}: {int((~finite).sum()):,} of {values.size:,} values are NaN, "
                f"infinite or too large for float32, the first in row {row} (counted from 0). "
                "Expected finite numbers: fill in or remove those rows."
            )
        converted.append(values)
    return converted


def _fixed_order(rows: int) -> NDArray[np.int64]:
    # RandomState's streams are frozen for good, unlike those of torch or of NumPy's newer
    # generators: the splits stay the same from version to version.
    return np.random.RandomState(0).permutation(rows)
