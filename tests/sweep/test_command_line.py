"""Every command with every kind of bad input: one line that says what came, and nothing left."""

import re
from pathlib import Path

import pytest
from sweep.command_cases import argument_cases, option_cases, write_files

from hotgrad_command.app import run

CASES = [*option_cases(), *argument_cases()]

RAW = re.compile(
    "Traceback|has no attribute|unsupported operand|not subscriptable|NoneType"
    "|size of tensor|enforce fail|must be Tensor|Expected all tensors|INTERNAL ASSERT|not callable"
)
"""What Python and torch say to programmers."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained run and all files that the cases name."""
    folder = tmp_path_factory.mktemp("sweep")
    small = ["--epochs", "1", "--hidden", "8", "--num-latents", "4", "--accelerator", "cpu"]
    assert run(["train", *small, "--out", str(folder / "run")]) == 0
    write_files(folder)
    return folder


def state(folder: Path) -> dict[Path, int]:
    """When each file was written; of folders only that they are there."""
    return {path: path.stat().st_mtime_ns if path.is_file() else 0 for path in folder.rglob("*")}


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 500


@pytest.mark.parametrize("arguments", CASES, ids=lambda case: ascii(" ".join(case))[:90])
def test_bad_input_is_one_clear_line(
    arguments: list[str],
    files: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(files)
    before = state(files)
    capsys.readouterr()
    status = run(arguments)
    captured = capsys.readouterr()
    assert status == 2, captured.out
    assert re.fullmatch(r"hotgrad: [^\n]+\n", captured.err), captured.err
    assert captured.out.strip() == ""
    assert not RAW.search(captured.err), captured.err
    assert len(captured.err) <= 700, captured.err
    assert captured.err.isprintable() or captured.err[:-1].isprintable()
    assert state(files) == before
