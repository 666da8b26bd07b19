"""What a command says, and the files that it leaves, for the tests of all commands."""

import csv
from pathlib import Path

import pytest

from hotgrad_command.app import run


def stdout(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a command that works prints."""
    capsys.readouterr()
    assert run([str(argument) for argument in arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What is said of bad input, which is one line."""
    capsys.readouterr()
    assert run([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("hotgrad: ")
    assert captured.err.count("\n") == 1
    assert captured.err.endswith("\n")
    assert "Traceback" not in captured.out + captured.err
    assert captured.out.strip() == ""
    return captured.err


def rows(file: Path) -> list[dict[str, str]]:
    """Of a CSV file."""
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))
