"""Readers of the file formats in which public pictures come: idx, and matrices of bits.

Each reader returns plain arrays as they stand in the file, and turns whatever goes wrong inside a
damaged file into one `ValueError` that names the file.
"""

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hotgrad.vae.file_reading import check_memory, decode, open_file
from hotgrad.vae.matlab_files import MATLAB_5, parse_matlab

_GZIP = b"\x1f\x8b"
# MATLAB's own newest format is HDF5 behind a block of its own.
_MATLAB_7_3, _HDF5 = b"MATLAB 7.3", b"\x89HDF\r\n\x1a\n"


def read_idx_images(path: Path) -> NDArray[np.uint8]:
    """Reads an idx file of images, gzipped or not: told apart by content, not by name.

    Args:
        path: the file.

    Returns:
        Grey levels 0..255 of shape (N, H, W).

    Raises:
        ValueError: the file can't be decompressed, is no idx file of images, holds fewer or more
            bytes than its header announces, or announces more than fits in memory.

    Reference:
        The MNIST database of handwritten digits (LeCun, Cortes and Burges, 1998), file formats.
    """
    return _read_idx(path, 3, "images", "labels")


def read_idx_labels(path: Path) -> NDArray[np.uint8]:
    """Reads an idx file of labels, as `read_idx_images` does; shape (N,)."""
    return _read_idx(path, 1, "labels", "images")


def _read_idx(path: Path, dimensions: int, what: str, others: str) -> NDArray[np.uint8]:
    with open_file(path) as file:
        packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        stream = gzip.GzipFile(fileobj=file) if packed else file

        def read(size: int) -> bytes:
            try:
                return stream.read(size)
            except (OSError, EOFError, zlib.error) as error:
                raise ValueError(
                    f"{path} is cut short or damaged: it can't be decompressed ({error}). "
                    "Expected a whole gzip file. Fetch it again."
                ) from error

        magic, length = bytes((0, 0, 8, dimensions)), 4 + 4 * dimensions
        header = read(length)
        if len(header) < length or not header.startswith(magic):
            raise ValueError(
                f"{path} is no idx file of {what}: it starts with 0x{header[:4].hex()}, expected "
                f"0x{magic.hex()} (unsigned bytes, {dimensions} dimensions) and a header of "
                f"{length} bytes. Check that it isn't the {others}' file."
            )
        shape = tuple(np.frombuffer(header, dtype=">u4", offset=4).tolist())
        decode(path, lambda: check_memory(shape, itemsize=1))
        announced, described = math.prod(shape), " x ".join(map(str, shape))
        # one byte more than announced shows that more follow, however many those are
        content = read(announced + 1)
    if len(content) != announced:
        problem = "cut short" if len(content) < announced else "longer than it should be"
        raise ValueError(
            f"{path} is {problem}: its header announces {described} = {announced:,} bytes of "
            f"{what}, and {'at least ' * (len(content) > announced)}{len(content):,} follow. "
            "Fetch it again."
        )
    if announced == 0:
        raise ValueError(
            f"{path} holds no {what}: its header announces {described}. Fetch it again."
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def read_amat(path: Path) -> NDArray[np.uint8]:
    """Reads a matrix of bits: MATLAB v5 with a variable `X`, or text, one row of bits a line.

    Both go by the name `.amat`; the content tells them apart.

    Args:
        path: the file.

    Returns:
        Zeros and ones of shape (N, D).

    Raises:
        ValueError: the file is of neither format, is damaged, announces more than fits in memory,
            or holds anything but bits.
    """
    with open_file(path) as file:
        # a bit of text and the space behind it are two bytes
        decode(path, lambda: check_memory((path.stat().st_size // 2,), itemsize=2))
        raw = file.read()
    if raw.startswith((_MATLAB_7_3, _HDF5)):
        raise ValueError(
            f"{path} is in MATLAB's format 7.3 (HDF5), which isn't read. Expected MATLAB v5 or "
            "text: save it with save(file, 'X', '-v7'), or as .npy and give that file's path."
        )
    matrix = _matlab_matrix(raw, path) if raw.startswith(MATLAB_5) else _text_bits(raw, path)
    if not ((matrix == 0) | (matrix == 1)).all():
        raise ValueError(
            f"{path} holds values other than 0 and 1, expected bits alone. "
            "Save grey levels as .npy instead, and give that file's path."
        )
    return matrix.astype(np.uint8)


def _matlab_matrix(raw: bytes, path: Path) -> NDArray[Any]:
    variables = decode(path, lambda: parse_matlab(raw))
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
