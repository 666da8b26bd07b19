"""A new folder of results, which appears whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hotgrad.files import temporary_path


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to write into that appears under its name whole, or not at all.

    Raises:
        ValueError: the folder exists already, or can't be made.
    """
    if path.exists():
        raise ValueError(f"{path} exists already. Choose another folder with --out.")
    draft = temporary_path(path.absolute())
    try:
        with _making(path):
            draft.mkdir(parents=True)
        yield draft
        with _making(path):
            draft.rename(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _making(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(f"Can't make the folder {path}: {error.strerror}.") from error
