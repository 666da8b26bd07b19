"""How options are shown, named in messages, and refused where they would change nothing."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import typer
from cli.said import refused, stdout
from toy_runs import train_toy

from hotgrad import __version__
from hotgrad.cli import generate as generating
from hotgrad.cli.options import naming_options
from hotgrad_command.app import command_called, run
from hotgrad_command.commands import COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_80_columns_and_names_no_types_of_flags(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = stdout(capsys, command, "--help")
    assert "--seed" in text or command == "encode"
    assert "<bool>" not in text.replace("--help  -h      <bool>", "").replace("--help", "")
    assert "<=x<=" not in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(command: str) -> None:
    assert COMMANDS[command].summary == command_called(command).help.splitlines()[0]


@pytest.mark.parametrize("seed", ["-1", str(2**63), "x"])
def test_a_seed_out_of_range_is_told_with_the_range(
    seed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "draw", "--probs", "0.5,0.5", "--seed", seed)
    assert "--seed" in said
    assert seed == "x" or seed in said


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("num_samples must be even. Use num_samples=4.", "--s must be even. Use --s 4."),
        ("kl=concrete needs more", "--kl concrete needs more"),
        ("temperature must be positive", "--temp must be positive"),
        ("Rows whose temperature is high", "Rows whose temperature is high"),
        ("/data/kl=3/num_samples.csv is damaged", "/data/kl=3/num_samples.csv is damaged"),
    ],
)
def test_messages_name_options(message: str, expected: str) -> None:
    options = {"num_samples": "--s", "kl": "--kl", "temperature": "--temp"}
    assert naming_options(message, options) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "--min-temperature", "0"], "--min-temperature must be positive"),
        (["train", "--schedule", "exponential", "--anneal-rate", "-1"], "--anneal-rate must"),
        (["train", "--estimator", "arm"], "--estimator arm doesn't work with --latent categorical"),
        (["train", "--latent", "bernoulli", "--estimator", "arm"], "--num-samples"),
        (["draw", "--probs", "0.5,0.5", "--temperature", "0"], "Leave it out for hard samples"),
        (["train", "--corruption-level", "0.5"], "needs --corruption"),
        (["train", "--estimator", "gumbel-softmax", "--baseline", "none"], "--baseline changes"),
        (["train", "--estimator", "score-function", "--num-samples", "2", "--temperature", "1"],
         "--temperature changes nothing"),
        (["train", "--min-temperature", "2"], "--min-temperature"),
        (["train", "--anneal-rate", "0.1"], "needs --schedule exponential"),
        (["train", "--subset-size", "2"], "needs --latent k-subset"),
        (["train", "--latent", "bernoulli", "--num-categories", "3"], "--num-categories changes"),
        (["train", "--network", "linear", "--hidden", "3"], "needs --network mlp"),
        (["train", "--data-dir", "."], "needs --data mnist"),
        (["train", "--column", "x"], "needs --data FILE.npz"),
        (["train", "--prior-temperature", "1"], "needs --kl concrete"),
        (["audit", "subset", "--power", "2"], "--power changes nothing here"),
        (["audit", "subset", "--items", "2"], "--items changes nothing here"),
        (["audit", "subset", "--data-dir", "."], "--data-dir changes nothing here"),
    ],
)  # fmt: skip
def test_options_are_refused_by_their_own_names(
    arguments: list[str],
    expected: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refused(capsys, *arguments)
    assert expected in said
    assert "hard=True" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError("Unable to allocate 8 TiB"), "not enough memory: Unable to allocate 8 TiB."),
        (OSError(28, "No space left on device", "out.png"), "out.png: No space left on device."),
        (typer.BadParameter("no"), "no. See --help."),
    ],
)
def test_errors_of_the_machine_are_one_line(
    error: Exception,
    expected: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(generating, "check_count", fail)
    assert expected in refused(capsys, "generate", "anywhere")


def test_memory_that_torch_can_t_have_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generating, "check_count", lambda *_: torch.empty(2**58))
    said = refused(capsys, "generate", "anywhere")
    assert "not enough memory: " in said
    assert f"{4 * 2**58:,} bytes" in said


LIGHT = """
import json, os, sys
from hotgrad_command import main

def called(*arguments):
    sys.argv = ["hotgrad", *arguments]
    try:
        main()
    except SystemExit as done:
        assert not done.code
    sys.stdout.flush()
    assert not {"torch", "hotgrad", "numpy"} & set(sys.modules), arguments

called("--version")
called("--help")
called()
os.environ |= {"_HOTGRAD_COMPLETE": "complete_bash", "COMP_WORDS": "hotgrad e", "COMP_CWORD": "1"}
called()
"""


def test_version_help_and_completion_wait_for_no_torch() -> None:
    found = subprocess.run(
        [sys.executable, "-c", LIGHT], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    version, *pages = found.stdout.splitlines()
    assert version == f"hotgrad {__version__}"
    assert pages[-2:] == ["evaluate", "encode"]
    assert all(found.stdout.count(f" {command} ") >= 2 for command in COMMANDS)


INTERRUPTED = """
import signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)

class Slow:
    def find_spec(self, name, *_):
        if name == "torch":
            print("importing", flush=True)
            while True:
                signal.pause()

sys.meta_path.insert(0, Slow())
sys.argv = ["hotgrad", "draw"]
from hotgrad_command import main
main()
"""


def test_ctrl_c_while_the_library_is_imported_is_one_line() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "importing\n"
            process.send_signal(signal.SIGINT)
            _, said = process.communicate()
        finally:
            process.kill()
    assert process.returncode == 130
    assert said == "\nhotgrad: stopped.\n"


def test_what_is_there_is_replaced_only_when_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    train_toy(folder)
    assert "exists already" in refused(capsys, "train", "--out", folder)
    stdout(capsys, "generate", folder)
    said = refused(capsys, "generate", folder)
    assert "generated.png exists already" in said
    assert "--overwrite" in said
    before = (folder / "generated.png").stat().st_mtime_ns
    time.sleep(0.01)
    stdout(capsys, "generate", folder, "--overwrite")
    assert (folder / "generated.png").stat().st_mtime_ns > before
    out = ["--out", tmp_path / "audit"]
    quick = ["audit", "subset", "--estimators", "straight-through", "--replicates", "20", *out]
    stdout(capsys, *quick)
    assert "audit exists already" in refused(capsys, *quick)
    stdout(capsys, *quick, "--overwrite")
    assert run(["audit", "subset", "--overwrite", "--out", str(folder / "config.json")]) == 2
