"""Files and folders that are whole or absent: written as drafts, then renamed into place.

A draft lies in a hidden folder of its own beside its place, with a lock that its process holds for
as long as it lives. So whatever a library leaves beside its file lies there too, a killed process
leaves nothing that can't be told from work in progress, and the next one that writes there removes
it.
"""

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hotgrad.ops.checks import shown

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = ".lock"
_DRAFT = re.compile(r"\.(.+)-[0-9a-f]{32}")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path to write to; on success it is flushed to disk and takes the place of `path`.

    A process that is killed in between leaves the old file, or none, never half a file.

    Raises:
        OSError: it can't be written; the error names `path`, not the temporary file.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with written_whole(folder / "note.txt") as temporary:
        ...     _ = temporary.write_text("all of it")
        >>> (folder / "note.txt").read_text()
        'all of it'
    """
    with _draft_of(path) as draft:
        # not tempfile's, whose files are for the owner alone: a result obeys the umask
        draft.touch()
        mode = draft.stat().st_mode
        yield draft
        # safetensors puts a file of its own in its place, for the owner alone
        draft.chmod(mode)
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(path)


@contextmanager
def new_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A folder to write into that appears under its name whole, or not at all.

    Args:
        path: its place; missing parents are made.
        overwrite: where the folder is there already, put the new files in it, in the place of
            those of the same names. What else it holds stays.

    Raises:
        ValueError: the folder exists already, another process is writing it right now, or it can't
            be made.
        OSError: a file in it can't be written.
    """
    if path.exists() and not (overwrite and path.is_dir()):
        raise ValueError(_there_already(path))
    with _parents_of(path), _draft_of(path) as draft:
        if draft.name in _in_progress(draft.parent.parent, besides=draft.parent):
            raise ValueError(
                f"Another process is writing {path} right now. Wait for it, or choose another "
                "folder with --out."
            )
        draft.mkdir()
        yield draft
        if overwrite and path.is_dir():
            for file in draft.iterdir():
                file.replace(path / file.name)
        else:
            draft.rename(path)


@contextmanager
def _parents_of(path: Path) -> Iterator[None]:
    """Makes the folders that a new one lies in; they go again if nothing comes into them."""
    parents = path.absolute().parents
    made = [folder for folder in parents if not folder.exists()]
    try:
        parents[0].mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise ValueError(f"Can't make the folder {path}: {path.parent} is no folder.") from error
    except OSError as error:
        raise ValueError(f"Can't make the folder {path}: {error.strerror}.") from error
    try:
        yield
    except BaseException:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other processes that ask for the same from a folder, for as long as this one lives.

    Raises:
        ValueError: another process has it.
    """
    with _naming(folder, folder):
        lock = _lock_in(folder)
    if lock is None:
        raise ValueError(
            f"Another process is at work in {folder}. Wait for it to end, or end it first."
        )
    try:
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        lock.release()


def as_path(value: Any, name: str = "path") -> Path:
    """A path of what a user gave, which may lead to nothing yet.

    Raises:
        ValueError: it is no path, or none that a file could have.
    """
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else value
    if not isinstance(text, str) or not text or "\0" in text:
        raise ValueError(f"{name} must be a path, as text or a pathlib.Path, got {shown(value)}.")
    try:
        Path(text).exists()
    except OSError as error:
        raise ValueError(f"{name} can't be used, {error.strerror}: got {shown(value)}.") from error
    return Path(text)


def check_folder(path: Path) -> None:
    """Refuse a path of a file that is a folder, or is in one that doesn't exist.

    Raises:
        ValueError: it is.
    """
    if path.is_dir():
        raise ValueError(f"can't write {path}: it is a folder. Expected a file's name.")
    if not path.parent.is_dir():
        raise ValueError(
            f"can't write {path}: {path.parent} is no folder. Expected one that exists; make it."
        )


def check_new_file(path: Path, *, overwrite: bool) -> None:
    """Refuse a path to write to that is taken, or that lies in a folder that doesn't exist.

    Raises:
        ValueError: it is.
    """
    check_folder(path)
    if path.exists() and not overwrite:
        raise ValueError(_there_already(path))


def file_to_write(value: Any, suffix: str) -> Path:
    """The path of a file that can be written and doesn't hide by its suffix what it holds.

    Raises:
        ValueError: it is no path, a folder, in a folder that doesn't exist, or its name announces
            another kind of file than is written; one without a suffix may.
    """
    path = as_path(value)
    check_folder(path)
    if path.suffix.lower() not in ("", suffix):
        raise ValueError(
            f"can't write {path}: what is written is a {suffix} file, which a name in "
            f"{path.suffix!r} would hide. Use {path.with_suffix(suffix).name}."
        )
    return path


def _there_already(path: Path) -> str:
    return (
        f"{path} exists already. Choose another name with --out, or replace what is there with "
        "--overwrite."
    )


@contextmanager
def _draft_of(path: Path) -> Iterator[Path]:
    """A name for a draft of `path`, in a locked folder of its own that goes in any case."""
    place = path.absolute()
    _in_progress(place.parent, besides=None)
    folder, lock = place, None
    with _naming(path, place.parent):
        # all of it, since Ctrl-C may come anywhere
        try:
            # None where another process took the folder for a leftover, before it was locked
            while lock is None:
                folder = place.with_name(f".{place.name}-{uuid.uuid4().hex}")
                folder.mkdir()
                lock = _lock_in(folder)
            yield folder / path.name
        finally:
            if folder != place:
                shutil.rmtree(folder, ignore_errors=True)
            if lock is not None:
                lock.release()


def _lock_in(folder: Path) -> "BaseFileLock | None":
    """The folder's lock, held; None where another holds it, or the folder is gone."""
    # here, since `import hotgrad` should cost as little as can be
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, timeout=0, is_singleton=False)
    try:
        lock.acquire()
    except (Timeout, FileNotFoundError):
        return None
    return lock


def _in_progress(folder: Path, *, besides: Path | None) -> set[str]:
    """Of which names there are drafts that processes are writing; leftovers are removed."""
    names = set()
    for draft in folder.glob(".*-*"):
        found = _DRAFT.fullmatch(draft.name)
        if draft == besides or not found or not draft.is_dir():
            continue
        lock = _lock_in(draft)
        if lock is None:
            names.add(found[1])
            continue
        shutil.rmtree(draft, ignore_errors=True)
        lock.release()
    return names


@contextmanager
def _naming(path: Path, parent: Path) -> Iterator[None]:
    """Around the writing of a draft: errors name the file that the user knows."""
    try:
        yield
    except OSError as error:
        hidden = error.filename is None or str(error.filename).startswith(str(parent / "."))
        if error.errno is None or not hidden:
            raise
        # a file in a draft of a folder, by the name that it would have had
        inside = Path(error.filename or parent).relative_to(parent).parts[2:]
        place = str(path.joinpath(*inside))
        raise OSError(error.errno, os.strerror(error.errno), place) from error
