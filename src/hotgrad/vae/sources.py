"""Where each data set's rows come from, and how they are split: the same way every time.

A source returns float32 arrays, one a split, with the items still in their own shape.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hotgrad.vae.formats import SPLITS, read_amat, read_idx_images, read_numpy

_MINIMUM_ROWS = 10
_MNIST_VALID_ROWS = 10_000


class Splits(NamedTuple):
    """Arrays for train, valid and test, each of shape (rows, *item)."""

    name: str
    arrays: Sequence[NDArray[np.float32]]
    source: str


def digits() -> Splits:
    """1,797 handwritten digits of 8 x 8 pixels in 17 grey levels."""
    # scikit-learn takes a second to import, and no other data set needs it.
    from sklearn.datasets import load_digits

    source = "the digits bundled with scikit-learn"
    pixels = load_digits().images[_fixed_order(1797)].astype(np.float32) / np.float32(16)
    return Splits("digits", [pixels[:1297], pixels[1297:1497], pixels[1497:]], source)


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
    splits = [train[:-_MNIST_VALID_ROWS], train[-_MNIST_VALID_ROWS:], test]
    source = str(train_path.parent.resolve())
    return Splits("mnist", _as_float32(splits, source), source)


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
    # The published test split may be sorted by class, and any part of it is then one-sided.
    splits[2] = splits[2][_fixed_order(len(splits[2]))]
    source = str(paths[0].parent.resolve())
    return Splits("binarized-mnist", _as_float32(splits, source), source)


def array_file(name: str, data_dir: Path | None, column: str | None) -> Splits:
    """The array or arrays of a .npy or .npz file."""
    candidates = [Path(os.path.expanduser(name))] + ([] if data_dir is None else [data_dir / name])
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        raise ValueError(
            f"no file {' or '.join(map(str, candidates))}. Expected an array in a .npy or .npz "
            f"file. Check the path; the working directory is {Path.cwd()}."
        )
    arrays: Sequence[NDArray[Any]] = read_numpy(path, column)
    for array in arrays:
        if array.ndim < 2 or array.size == 0 or array.dtype.kind not in "biuf":
            raise ValueError(
                f"{path} holds an array of type {array.dtype} and shape {array.shape}, expected "
                "numbers of shape (rows, *item), with at least one feature an item. Reshape or "
                "convert it."
            )
    rows = sum(len(array) for array in arrays)
    if rows < _MINIMUM_ROWS:
        raise ValueError(
            f"{path} holds {rows} rows, expected at least {_MINIMUM_ROWS} so that each split has "
            "some. Add rows."
        )
    source = str(path.resolve()) + ("" if column is None else f", array {column!r}")
    # Converted before the shuffle, so that an error names the file's own row.
    splits = _as_float32(arrays, source)
    if len(splits) == 1:
        tenth = rows // 10
        shuffled, held_out = splits[0][_fixed_order(rows)], rows - 2 * tenth
        splits = [shuffled[:held_out], shuffled[held_out:-tenth], shuffled[-tenth:]]
    return Splits(path.stem, splits, source)


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
