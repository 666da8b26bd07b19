"""Files that are whole or absent: written under a temporary name, then renamed into place."""

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path to write to; on success it is flushed to disk and takes the place of `path`.

    A process that is killed in between leaves the old file, or none, never half a file.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with written_whole(folder / "note.txt") as temporary:
        ...     _ = temporary.write_text("all of it")
        >>> (folder / "note.txt").read_text()
        'all of it'
    """
    temporary = temporary_path(path)
    # not tempfile's, whose files are for the owner alone: a result obeys the umask
    temporary.touch(exist_ok=False)
    mode = temporary.stat().st_mode
    try:
        yield temporary
        # safetensors puts a file of its own in its place, for the owner alone
        temporary.chmod(mode)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_folder(path: Path) -> None:
    """Refuse a path in a folder that doesn't exist.

    Raises:
        ValueError: there is none.
    """
    if not path.parent.is_dir():
        raise ValueError(
            f"can't write {path}: {path.parent} is no folder. Expected one that exists; make it."
        )


def temporary_path(path: Path) -> Path:
    """A new hidden name beside a path, with its suffix."""
    return path.with_name(f".{path.stem}-{uuid.uuid4().hex}{path.suffix}")


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files in a folder that `written_whole` left there when it was killed."""
    for file in folder.glob(".*-*"):
        if re.fullmatch(r"\..+-[0-9a-f]{32}(\.\w+)?", file.name):
            file.unlink(missing_ok=True)
