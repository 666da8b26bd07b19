"""A reader of MATLAB v5 files, for dense real matrices alone.

SciPy reads far more of the format, and a damaged file can end the whole process inside its compiled
parser. This one checks each length before it uses it, and inflates no more than an element
announces, so it can only raise.

Reference:
    MAT-File Format (The MathWorks), Level 5 MAT-Files.
"""

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hotgrad.vae.file_reading import check_memory

MATLAB_5 = b"MATLAB 5.0"

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"}
_STORED |= {12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"}
_CLASSES |= {14: "i8", 15: "u8"}
_COMPLEX = 0x0800


def parse_matlab(raw: bytes) -> dict[str, NDArray[Any] | None]:
    """Parses the content of a MATLAB v5 file.

    Args:
        raw: the whole file.

    Returns:
        Each variable's array by its name, or None where it isn't a dense real matrix of numbers.

    Raises:
        ValueError, KeyError, struct.error, zlib.error: the content is damaged or cut short.
        TooLargeError: it announces more than fits in memory.
    """
    order = {b"IM": "<", b"MI": ">"}[raw[_HEADER - 2 : _HEADER]]
    variables: dict[str, NDArray[Any] | None] = {}
    content, at = memoryview(raw), _HEADER
    while at < len(content):
        kind, data, at = _element(content, at, order)
        if kind == _COMPRESSED:
            kind, data, _ = _element(memoryview(_inflated(data, order)), 0, order)
        if kind == _MATRIX:
            name, matrix = _matrix(data, order)
            variables[name] = matrix
    return variables


def _inflated(data: memoryview, order: str) -> bytes:
    """The one element that a compressed one holds: eight bytes that say how long it is, and it."""
    stream = zlib.decompressobj()
    head = stream.decompress(data, 8)
    _, size = struct.unpack(f"{order}II", head)
    check_memory((size,), itemsize=1)
    # one byte more makes zlib look at its checksum too
    rest = stream.decompress(stream.unconsumed_tail, size + 1)
    if not stream.eof:
        raise ValueError(f"a compressed element holds more or less than the announced {size} bytes")
    return head + rest


def _element(content: memoryview, at: int, order: str) -> tuple[int, memoryview, int]:
    """The type and the data of the element that starts there, and where the next one does."""
    kind, size = struct.unpack_from(f"{order}II", content, at)
    start = at + 8
    if kind >> 16:  # a small element: its size, type and data share eight bytes
        kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
    end = start + size
    if end > len(content):
        raise ValueError(f"an element of {size} bytes ends {end - len(content)} bytes too late")
    padding = 0 if kind == _COMPRESSED else -end % 8
    return kind, content[start:end], end + padding


def _matrix(content: memoryview, order: str) -> tuple[str, NDArray[Any] | None]:
    _, flags, at = _element(content, 0, order)
    (flag_word,) = struct.unpack_from(f"{order}I", flags)
    _, dimensions, at = _element(content, at, order)
    shape = np.frombuffer(dimensions, f"{order}i4").tolist()
    _, encoded, at = _element(content, at, order)
    name = bytes(encoded).decode("latin-1")
    matlab_class = _CLASSES.get(flag_word & 0xFF)
    if matlab_class is None or flag_word & _COMPLEX:
        return name, None
    kind, values, _ = _element(content, at, order)
    if min(shape, default=0) < 0:
        raise ValueError(f"variable {name!r} has shape {shape}")
    # Whole numbers are stored in the smallest type that holds them, whatever the class.
    stored = np.frombuffer(values, order + _STORED[kind])
    check_memory((len(stored),), np.dtype(matlab_class).itemsize)
    return name, stored.astype(matlab_class).reshape(shape, order="F")
