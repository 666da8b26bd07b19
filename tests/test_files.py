"""Files appear whole or not at all, with the permissions that the user's umask asks for."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hotgrad.files import check_new_file, locked, new_folder, written_whole

# One process that has imported the library forks one for each thing to be held.
HOLDING = """
import os, signal, sys, time
from pathlib import Path
from hotgrad.files import locked, new_folder, written_whole

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for what in sys.stdin:
    if os.fork() == 0:
        with eval(what):
            print(os.getpid(), flush=True)
            time.sleep(60)
"""


@pytest.fixture(scope="module")
def forking() -> Iterator[subprocess.Popen[str]]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLDING], text=True, **pipes) as process:
        yield process


@pytest.fixture
def holder(forking: subprocess.Popen[str]) -> Iterator[Callable[[str], int]]:
    """Starts processes that hold something until they are killed, at the latest at the end."""
    started: list[int] = []

    def start(what: str) -> int:
        assert forking.stdin is not None
        assert forking.stdout is not None
        print(what, file=forking.stdin, flush=True)
        started.append(int(forking.stdout.readline()))
        return started[-1]

    yield start
    for process in filter(lives, started):
        kill(process)


def lives(process: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(process, 0)
        return True
    return False


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)
    while lives(process):
        time.sleep(0.001)


def test_a_file_appears_with_its_content_and_nothing_beside_it(tmp_path: Path) -> None:
    with written_whole(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
        assert not (tmp_path / "a.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "new"


def test_the_temporary_file_keeps_the_suffix(tmp_path: Path) -> None:
    with written_whole(tmp_path / "picture.png") as temporary:
        assert temporary.suffix == ".png"
        temporary.touch()


def test_an_exception_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail() -> None:
        with written_whole(target) as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() == "old"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_obey_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        with written_whole(tmp_path / "a.txt") as temporary:
            temporary.write_text("x")
        # a library may write a file for the owner alone, and rename it
        with written_whole(tmp_path / "b.txt") as temporary:
            temporary.unlink()
            temporary.touch(mode=0o600)
    finally:
        os.umask(before)
    for name in ("a.txt", "b.txt"):
        assert (tmp_path / name).stat().st_mode & 0o777 == mode


def test_the_next_writer_removes_what_a_killed_one_left_and_nothing_else(
    tmp_path: Path, holder: Callable[[str], int]
) -> None:
    kept = [".hidden", ".note-to-self.txt", "model.safetensors", ".a-0123456789abcdef"]
    for name in kept:
        (tmp_path / name).write_text("mine")
    dead = holder(f"written_whole(Path({str(tmp_path)!r}) / 'checkpoint.safetensors')")
    alive = holder(f"written_whole(Path({str(tmp_path)!r}) / 'metrics.csv')")
    kill(dead)
    with written_whole(tmp_path / "other.txt") as temporary:
        temporary.write_text("x")
    left = {path.name for path in tmp_path.iterdir()} - {*kept, "other.txt"}
    assert len(left) == 1
    assert left.pop().startswith(".metrics.csv-")
    assert lives(alive)


def test_a_library_s_own_temporary_files_go_with_the_draft(tmp_path: Path) -> None:
    with written_whole(tmp_path / "a.safetensors") as temporary:
        temporary.with_name(".tmpAbCdEf").write_text("half")
        temporary.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def _write(path: Path, error: OSError) -> None:
    with written_whole(path):
        raise error


def test_an_error_names_the_file_that_the_user_knows(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left") as caught:
        _write(target, full)
    assert caught.value.filename == str(target)
    assert list(tmp_path.iterdir()) == []
    # another file's trouble is its own
    with pytest.raises(FileNotFoundError) as other:
        _write(target, FileNotFoundError(errno.ENOENT, "none", "elsewhere.csv"))
    assert other.value.filename == "elsewhere.csv"


def test_a_file_in_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError) as caught:
        _write(tmp_path / "file" / "a.txt", OSError())
    assert caught.value.filename == str(tmp_path / "file" / "a.txt")


def test_a_folder_appears_with_all_its_files(tmp_path: Path) -> None:
    with new_folder(tmp_path / "deep" / "results") as draft:
        (draft / "a.txt").write_text("a")
        assert not (tmp_path / "deep" / "results").exists()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["results"]
    assert [path.name for path in (tmp_path / "deep" / "results").iterdir()] == ["a.txt"]


def test_a_folder_is_replaced_only_when_told_to_and_keeps_what_is_not_replaced(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "a.txt").write_text("old")
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"results exists already.*--out.*--overwrite"):
        new_folder(folder).__enter__()
    with new_folder(folder, overwrite=True) as draft:
        (draft / "a.txt").write_text("new")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "a.txt": "new",
        "mine.txt": "mine",
    }
    with pytest.raises(ValueError, match=r"a\.txt exists already"):
        new_folder(folder / "a.txt", overwrite=True).__enter__()


def _fail(path: Path) -> None:
    with new_folder(path):
        raise RuntimeError("no results")


def test_a_folder_without_results_leaves_no_parents(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        _fail(tmp_path / "runs" / "of" / "mine")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "runs").mkdir()
    with pytest.raises(RuntimeError):
        _fail(tmp_path / "runs" / "of" / "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_a_folder_that_cant_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match=r"Can't make the folder .*file/results"):
        new_folder(tmp_path / "file" / "results").__enter__()


def test_of_two_that_write_one_folder_the_second_is_refused_at_the_start(
    tmp_path: Path, holder: Callable[[str], int]
) -> None:
    first = holder(f"new_folder(Path({str(tmp_path)!r}) / 'results')")
    with pytest.raises(ValueError, match=r"Another process is writing .*results right now"):
        new_folder(tmp_path / "results").__enter__()
    with new_folder(tmp_path / "others"):
        pass
    kill(first)
    with new_folder(tmp_path / "results"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["others", "results"]


def test_a_locked_folder_is_free_again_when_its_process_is_gone(
    tmp_path: Path, holder: Callable[[str], int]
) -> None:
    first = holder(f"locked(Path({str(tmp_path)!r}))")
    with pytest.raises(ValueError, match="Another process is at work"):
        locked(tmp_path).__enter__()
    kill(first)
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_new_files_are_refused_where_they_would_hide_or_replace_something(tmp_path: Path) -> None:
    (tmp_path / "taken.png").write_text("x")
    check_new_file(tmp_path / "free.png", overwrite=False)
    check_new_file(tmp_path / "taken.png", overwrite=True)
    with pytest.raises(ValueError, match=r"taken\.png exists already.*--overwrite"):
        check_new_file(tmp_path / "taken.png", overwrite=False)
    with pytest.raises(ValueError, match="is no folder"):
        check_new_file(tmp_path / "absent" / "a.png", overwrite=True)
    with pytest.raises(ValueError, match="is a folder"):
        check_new_file(tmp_path, overwrite=True)
