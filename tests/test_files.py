"""Files appear whole or not at all, with the permissions that the user's umask asks for."""

import os
import re
from pathlib import Path

import pytest

from hotgrad.files import remove_leftovers, written_whole


def test_a_file_appears_with_its_content_and_nothing_beside_it(tmp_path: Path) -> None:
    with written_whole(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
        assert not (tmp_path / "a.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "new"


def test_the_temporary_file_keeps_the_suffix(tmp_path: Path) -> None:
    with written_whole(tmp_path / "picture.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path


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


def test_only_leftovers_are_removed(tmp_path: Path) -> None:
    kept = [".hidden", ".note-to-self.txt", "model.safetensors", ".a-0123456789abcdef.csv"]
    for name in kept:
        (tmp_path / name).write_text("mine")
    with written_whole(tmp_path / "checkpoint.pt") as temporary:
        leftover = temporary.read_bytes(), temporary.name
        temporary.write_text("x")
    assert re.fullmatch(r"\.checkpoint-[0-9a-f]{32}\.pt", leftover[1])
    (tmp_path / leftover[1]).write_bytes(leftover[0])
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*kept, "checkpoint.pt"])
