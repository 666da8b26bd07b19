"""Readers of the file formats in which public data sets come: idx, amat, npy and npz.

Each reader returns plain arrays as they stand in the file, and turns whatever goes wrong inside a
damaged file into one `ValueError` that names the file. Nothing is ever unpickled.
"""

import gzip
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from hotgrad.vae.matlab import MATLAB_5, parse_matlab

SPLITS = ("train", "valid", "test")

T = TypeVar("T")

_IDX_UBYTE_3D = b"\x00\x00\x08\x03"
_IDX_HEADER = 16
_GZIP = b"\x1f\x8b"


def read_idx_images(path: Path) -> NDArray[np.uint8]:
    """Reads an idx file of images, gzipped or not: told apart by content, not by name.

    Args:
        path: the file.

    Returns:
        Grey levels 0..255 of shape (N, H, W).

    Raises:
        ValueError: the file can't be decompressed, is no idx file of images, or holds fewer or more
            bytes than its header announces.

    Reference:
        The MNIST database of handwritten digits (LeCun, Cortes and Burges, 1998), file formats.
    """
    raw = _read_bytes(path)
    if raw.startswith(_GZIP):
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(
                f"{path} is cut short or damaged: it can't be decompressed ({error}). "
                "Expected a whole gzip file. Fetch it again."
            ) from error
    if len(raw) < _IDX_HEADER or not raw.startswith(_IDX_UBYTE_3D):
        raise ValueError(
            f"{path} is no idx file of images: it starts with 0x{raw[:4].hex()}, expected "
            f"0x{_IDX_UBYTE_3D.hex()} (unsigned bytes, 3 dimensions) and a header of "
            f"{_IDX_HEADER} bytes. Check that it isn't the labels' file."
        )
    shape = tuple(np.frombuffer(raw, dtype=">u4", count=3, offset=4).tolist())
    announced, present = math.prod(shape), len(raw) - _IDX_HEADER
    if announced != present:
        problem = "cut short" if present < announced else "longer than it should be"
        raise ValueError(
            f"{path} is {problem}: its header announces {' x '.join(map(str, shape))} = "
            f"{announced:,} bytes of images, and {present:,} follow. Fetch it again."
        )
    if announced == 0:
        raise ValueError(
            f"{path} holds no images: its header announces {' x '.join(map(str, shape))}, expected "
            "at least one of at least one pixel. Fetch it again."
        )
    return np.frombuffer(raw, dtype=np.uint8, offset=_IDX_HEADER).reshape(shape)


def read_amat(path: Path) -> NDArray[np.uint8]:
    """Reads a matrix of bits: MATLAB v5 with a variable `X`, or text, one row of bits a line.

    Both go by the name `.amat`; the content tells them apart.

    Args:
        path: the file.

    Returns:
        Zeros and ones of shape (N, D).

    Raises:
        ValueError: the file is of neither format, is damaged, or holds anything but bits.
    """
    raw = _read_bytes(path)
    matrix = _matlab_matrix(raw, path) if raw.startswith(MATLAB_5) else _text_bits(raw, path)
    if not ((matrix == 0) | (matrix == 1)).all():
        raise ValueError(
            f"{path} holds values other than 0 and 1, expected bits alone. "
            "Save grey levels as .npy instead, and give that file's path."
        )
    return matrix.astype(np.uint8)


def read_numpy(path: Path, column: str | None) -> tuple[NDArray[Any], ...]:
    """Reads the array of a .npy file, or those of an .npz file that are meant.

    Args:
        path: the file; the content, not the name, tells .npy from .npz.
        column: the name of an array inside an .npz file.

    Returns:
        Three arrays if the file is an .npz with `train`, `valid` and `test` and no column is named;
        otherwise one.

    Raises:
        ValueError: the file is damaged, needs unpickling, or doesn't say which array is meant.
    """
    with _open(path) as file:
        content = _decode(path, lambda: np.load(file, allow_pickle=False))
        if isinstance(content, np.ndarray):
            if column is not None:
                raise ValueError(
                    f"{path} is a .npy file, which holds one array without a name: column "
                    f"{column!r} can't be looked up. Leave the column (--column) out."
                )
            return (content,)
        names = _choose(content.files, column, path)
        arrays = _decode(path, lambda: tuple(content[name] for name in names))
    for name, array in zip(names, arrays, strict=True):
        if not isinstance(array, np.ndarray):
            raise ValueError(
                f"{path}: its member {name!r} is no array. Expected a file that numpy.savez wrote."
            )
    return arrays


def _decode(path: Path, read: Callable[[], T]) -> T:
    # A damaged file makes a decoder fail in any way: EOFError, KeyError, MemoryError, BadZipFile,
    # struct.error, TokenError. All mean the same to whoever named the file.
    try:
        return read()
    except Exception as error:
        # NumPy's only sign that the content is a pickle is its advice to allow it.
        if "allow_pickle" in str(error):
            raise ValueError(
                f"{path} holds Python objects or is no NumPy file, and nothing is ever unpickled. "
                "Expected an array of numbers: save it with numpy.save, as a numeric type."
            ) from error
        raise ValueError(
            f"{path} can't be read: it is cut short, damaged or of another format "
            f"({type(error).__name__}: {error}). Fetch or save it again."
        ) from error


def _choose(names: list[str], column: str | None, path: Path) -> tuple[str, ...]:
    present = ", ".join(names) or "none at all"
    if column is not None:
        if column not in names:
            raise ValueError(
                f"{path} has no array {column!r}: it holds {present}. "
                "Name one of those as the column (--column)."
            )
        return (column,)
    if set(SPLITS) <= set(names):
        return SPLITS
    if len(names) != 1:
        raise ValueError(
            f"{path} holds {len(names)} arrays: {present}. Expected one, or one a split, named "
            f"{', '.join(SPLITS)}. Name the one that is meant as the column (--column)."
        )
    return tuple(names)


def _matlab_matrix(raw: bytes, path: Path) -> NDArray[Any]:
    variables = _decode(path, lambda: parse_matlab(raw))
    matrix = variables.get("X")
    if matrix is None or matrix.ndim != 2 or matrix.size == 0:
        present = ", ".join(variables) or "none"
        raise ValueError(
            f"{path} holds no dense matrix of numbers named X; its variables: {present}. "
            "Expected X of shape (rows, features), with at least one row."
        )
    return matrix


def _text_bits(raw: bytes, path: Path) -> NDArray[np.uint8]:
    # Of the form "0 1 1 0": bits at the even places, single spaces at the odd ones. That makes the
    # whole text one byte matrix, some fifty times faster than parsing 40 million numbers.
    lines = [(number, line.strip()) for number, line in enumerate(raw.split(b"\n"), start=1)]
    lines = [(number, line) for number, line in lines if line]
    if not lines:
        raise ValueError(f"{path} is empty. Expected bits, one row a line. Fetch it again.")
    width = len(lines[0][1])
    for number, line in lines:
        if len(line) != width:
            raise ValueError(
                f"{path}, line {number}: {len(line)} characters, but the first line has {width}. "
                "Expected rows of equally many bits; the file is cut short or damaged."
            )
    characters = np.frombuffer(b"".join(line for _, line in lines), dtype=np.uint8)
    characters = characters.reshape(len(lines), width)
    bits = characters[:, ::2] - np.uint8(ord("0"))
    wrong = (bits > 1).any(axis=1) | (characters[:, 1::2] != ord(" ")).any(axis=1)
    if width % 2 == 0 or wrong.any():
        number, line = lines[int(wrong.argmax())]
        raise ValueError(
            f"{path}, line {number} starts with {line[:12]!r}. Expected either a MATLAB v5 file or "
            "text whose lines are bits with single spaces between them, as in '0 1 1 0'."
        )
    return bits


def _read_bytes(path: Path) -> bytes:
    with _open(path) as file:
        return file.read()


def _open(path: Path) -> BinaryIO:
    # NumPy leaves a file that it opened itself open when it fails.
    try:
        return path.open("rb")
    except OSError as error:
        raise ValueError(
            f"{path} can't be read ({error.strerror}). Expected a file that you may read."
        ) from error
