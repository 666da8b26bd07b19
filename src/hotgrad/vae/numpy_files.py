"""Reader of NumPy's files, .npy and .npz: which arrays are meant, and never more than announced.

`numpy.load` inflates whatever a member of an .npz holds. Here the header is read first, and must
agree with the size that the file has, or that the archive states. Nothing is ever unpickled.
"""

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hotgrad.vae.file_reading import check_memory, decode, open_file

SPLITS = ("train", "valid", "test")

_NPY, _ZIP = b"\x93NUMPY", b"PK"
# NumPy's own limit; a longer header may be a bomb too.
_LONGEST_HEADER = 10_000
# What numpy.savez writes. Python can't inflate the other kinds piece by piece.
_KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_HEADERS = {
    1: np.lib.format.read_array_header_1_0,
    2: np.lib.format.read_array_header_2_0,
}
_SPARSE = {"format", "shape", "data"}


class NumpyArrays(NamedTuple):
    """Three arrays, one a split, or one; and their labels, where the file has them."""

    arrays: tuple[NDArray[Any], ...]
    labels: tuple[NDArray[Any], ...] | None


class _ObjectsError(Exception):
    """The content is a pickle, or an array of Python objects."""


def read_numpy(path: Path, column: str | None) -> NumpyArrays:
    """Reads the array of a .npy file, or those of an .npz file that are meant.

    Labels are the arrays `labels`, or `train_labels`, `valid_labels` and `test_labels` beside
    three splits, where they hold one number or text for each row; anything else is left alone.

    Args:
        path: the file; the content, not the name, tells .npy from .npz.
        column: the name of an array inside an .npz file.

    Returns:
        Three arrays if the file is an .npz with `train`, `valid` and `test` and no column is named;
        otherwise one.

    Raises:
        ValueError: the file is damaged, needs unpickling, announces more than fits in memory, or
            doesn't say which array is meant.
    """
    with open_file(path) as file:
        start = decode(path, lambda: file.read(len(_NPY)))
        file.seek(0)
        if not start.startswith(_ZIP):
            array = _read(path, lambda: _array(file, path.stat().st_size))
            if column is not None:
                raise ValueError(
                    f"{path} is a .npy file, which holds one array without a name: column "
                    f"{column!r} can't be looked up. Leave the column (--column) out."
                )
            return NumpyArrays((array,), None)
        with decode(path, lambda: zipfile.ZipFile(file)) as archive:
            return _from_archive(archive, column, path)


def _from_archive(archive: zipfile.ZipFile, column: str | None, path: Path) -> NumpyArrays:
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}

    def array(name: str) -> NDArray[Any]:
        return _read(path, lambda: _member(archive, members[name]))

    names = _choose(members, column, path)
    arrays = tuple(array(name) for name in names)
    of_labels = [f"{name}_labels" for name in names] if names == SPLITS else ["labels"]
    if not set(of_labels) <= set(members) - set(names):
        return NumpyArrays(arrays, None)
    try:
        labels = tuple(_member(archive, members[name]) for name in of_labels)
    except Exception:  # objects, or anything that isn't needed
        return NumpyArrays(arrays, None)
    fits = all(
        found.shape == array.shape[:1] and found.dtype.kind in "biufUS"
        for found, array in zip(labels, arrays, strict=True)
    )
    return NumpyArrays(arrays, labels if fits else None)


def _choose(
    members: Mapping[str, zipfile.ZipInfo], column: str | None, path: Path
) -> tuple[str, ...]:
    present = ", ".join(members) or "none at all"
    if set(members) >= _SPARSE:
        raise ValueError(
            f"{path} holds a sparse matrix of SciPy, expected a dense array. Save it as one: "
            "numpy.savez(file, x=matrix.toarray())."
        )
    if column is not None:
        if column not in members:
            raise ValueError(
                f"{path} has no array {column!r}: it holds {present}. "
                "Name one of those as the column (--column)."
            )
        return (column,)
    if set(SPLITS) <= set(members):
        return SPLITS
    names = tuple(name for name in members if name != "labels") or tuple(members)
    if len(names) != 1:
        raise ValueError(
            f"{path} holds {len(members)} arrays: {present}. Expected one, or one a split, named "
            f"{', '.join(SPLITS)}. Name the one that is meant as the column (--column)."
        )
    return names


def _read(path: Path, read: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    def careful() -> NDArray[Any] | None:
        try:
            return read()
        except _ObjectsError:
            return None

    array = decode(path, careful)
    if array is None:
        raise ValueError(
            f"{path} holds Python objects or is no NumPy file, and nothing is ever unpickled. "
            "Expected an array of numbers: save it with numpy.save, as a numeric type."
        )
    return array


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    if info.compress_type not in _KINDS:
        raise ValueError(f"{info.filename!r} is compressed as numpy.savez never does")
    with archive.open(info) as stream:
        if not info.filename.endswith(".npy"):
            raise ValueError(f"its member {info.filename!r} is no array")
        return _array(stream, info.file_size)


def _array(stream: IO[bytes], size: int) -> NDArray[Any]:
    """The array in the stream, whose whole content takes `size` bytes."""
    start = stream.read(8)
    if not start:
        raise EOFError("it is empty")
    if not start.startswith(_NPY):
        raise _ObjectsError
    width = 2 if start[6] == 1 else 4
    field = stream.read(width)
    length = int.from_bytes(field, "little")
    if length > _LONGEST_HEADER:
        raise ValueError(f"its header takes {length:,} bytes, more than {_LONGEST_HEADER:,}")
    header = io.BytesIO(field + stream.read(length))
    shape, is_fortran, dtype = _HEADERS[start[6]](header)
    if dtype.hasobject:
        raise _ObjectsError
    announced = dtype.itemsize
    for extent in shape:
        announced *= extent
    present = size - 8 - width - length
    if announced != present:
        raise ValueError(f"its header announces {announced:,} bytes, and {present:,} follow")
    check_memory(shape, dtype.itemsize)
    values = stream.read(announced)
    return np.ndarray(shape, dtype, values, order="F" if is_fortran else "C")
