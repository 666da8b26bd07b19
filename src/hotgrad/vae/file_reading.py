"""What the readers of data files share: opening, one error for damage, and bounded memory.

A compressed file of a few megabytes may announce gigabytes. So each reader takes the size from the
header, asks here whether it fits, and never inflates more than that.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

from hotgrad.memory import free_memory

T = TypeVar("T")

# Of one value beside the file's own: as float32, and once more while the rows are shuffled.
_COPIES = 8


class TooLargeError(ValueError):
    """What a file announces doesn't fit in memory."""


def open_file(path: Path) -> BinaryIO:
    """The file, open for reading."""
    try:
        return path.open("rb")
    except OSError as error:
        raise ValueError(
            f"{path} can't be read ({error.strerror}). Expected a file that you may read."
        ) from error


def decode(path: Path, read: Callable[[], T]) -> T:
    """What `read` returns; whatever goes wrong in it becomes one `ValueError` that names the file.

    Raises:
        ValueError: the file is too large, cut short, damaged or of another format.
    """
    # A damaged file makes a decoder fail in any way: EOFError, KeyError, MemoryError, BadZipFile,
    # struct.error, TokenError. All mean the same to whoever named the file.
    try:
        return read()
    except TooLargeError as error:
        raise ValueError(f"{path} {error}") from error
    except Exception as error:
        raise ValueError(
            f"{path} can't be read: it is cut short, damaged or of another format "
            f"({type(error).__name__}: {error}). Fetch or save it again."
        ) from error


def check_memory(shape: Sequence[int], itemsize: int) -> None:
    """Refuse an array that doesn't fit in memory, before anything of it is read.

    Args:
        shape: as the file announces it.
        itemsize: bytes of one value in the file.

    Raises:
        TooLargeError: reading it takes more memory than is free.
    """
    size = itemsize + _COPIES
    for length in shape:
        size *= length
    free = free_memory()
    if size > free:
        announced = " x ".join(f"{length:,}" for length in shape)
        raise TooLargeError(
            f"announces {announced} values, which take {_in_words(size)} to read, and "
            f"{_in_words(free)} of memory are free. Expected an array that fits: take fewer rows, "
            "or fetch the file again if it should be smaller."
        )


def _in_words(size: int) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 10_000:
            return f"{size:,} {unit}"
        size //= 1000
    return "more than 10,000 TB"
