"""Real processes, really killed: a resumed run ends with the very weights of one left in peace."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from processes import ENVIRONMENT, PATIENCE
from toy_runs import toy_config, toy_dataset, train_toy

from hotgrad import vae
from hotgrad.vae.latent import DISTRIBUTIONS

EPOCHS = 20
# a baseline with a state, targets and codes that are drawn, a temperature that falls
OPTIONS = (
    f"train --epochs {EPOCHS} --hidden 16 --num-latents 4 --num-categories 3 --accelerator cpu "
    "--estimator score-function --baseline moving-average --targets dynamic --prior learned "
    "--corruption mask --seed 3 --out"
).split()


def metrics(folder: Path) -> list[dict[str, str]]:
    """All but the seconds, which no two runs share."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [
            {key: value for key, value in row.items() if key != "seconds"}
            for row in csv.DictReader(file)
        ]


def assert_same_run(folder: Path, peaceful: Path) -> None:
    for file in ("model.safetensors", "config.json"):
        assert (folder / file).read_bytes() == (peaceful / file).read_bytes(), file
    assert metrics(folder) == metrics(peaceful)
    assert len(metrics(folder)) == 2 * EPOCHS
    files = [sorted(path.name for path in where.iterdir()) for where in (folder, peaceful)]
    assert files[0] == files[1]


# One process that has imported everything, and forks: thirty starts in the time of one.
KILLING = """
import os, random, re, signal, sys, time
from pathlib import Path
from hotgrad_command.app import run
import hotgrad.cli.train, sklearn.datasets, matplotlib.backends.backend_agg

*options, where = sys.argv[1:]

def begin(folder):
    resume = ["train", "--resume", "--out", str(folder)]
    child = os.fork()
    if child == 0:
        os._exit(run(resume if folder.exists() else [*options, str(folder)]))
    return child

def kill(child):
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)

def finish(child):
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status

def kill_when(child, moment):
    while not moment():
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        time.sleep(0.001)
    assert kill(child)

# left in peace
finish(begin(Path(where, "peaceful")))

# killed as soon as there is a folder, and again after its first checkpoint
folder = Path(where, "twice")
checkpoint = folder / "checkpoint.safetensors"
kill_when(begin(folder), folder.exists)
assert (folder / "config.json").is_file() and not (folder / "model.safetensors").exists()
assert run(["evaluate", str(folder)]) == 2
before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
kill_when(begin(folder), lambda: checkpoint.exists() and checkpoint.stat().st_mtime_ns > before)
finish(begin(folder))

# killed at any moment
folder, moments = Path(where, "often"), random.Random(7)
kills = 0
while kills < 10:
    child = begin(folder)
    time.sleep(moments.uniform(0.0, 0.35))
    if not kill(child):
        break
    kills += 1
else:
    finish(begin(folder))
print("killed", kills)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A folder with runs left in peace, killed twice and killed often; what was printed."""
    folder = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, "-c", KILLING, *OPTIONS, str(folder)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout, done.stderr


def test_killed_twice_and_resumed(killed: tuple[Path, str, str]) -> None:
    folder, _, said = killed
    assert re.search(r"hotgrad: .* has no model\.safetensors: .* --resume\.\n", said)
    assert_same_run(folder / "twice", folder / "peaceful")


def test_killed_again_and_again(killed: tuple[Path, str, str]) -> None:
    folder, printed, _ = killed
    assert int(printed.split()[-1]) >= 3, "the run was too short to be killed"
    assert_same_run(folder / "often", folder / "peaceful")


# What is left to say needs no process of its own.


@pytest.mark.parametrize("latent", DISTRIBUTIONS)
def test_a_run_stopped_between_epochs_ends_as_one_left_in_peace(
    tmp_path: Path, latent: str
) -> None:
    class Stop(Exception):
        pass

    def stop(progress: vae.Progress) -> None:
        if progress.epoch == 2:
            raise Stop

    settings = {"latent": latent, "num_categories": 4, "prior": "learned", "epochs": 4}
    train_toy(tmp_path / "peaceful", **settings)
    with pytest.raises(Stop):
        vae.train(toy_config(**settings), tmp_path / "run", dataset=toy_dataset(), listener=stop)
    assert not (tmp_path / "run" / "model.safetensors").exists()
    vae.train(toy_config(**settings), tmp_path / "run", dataset=toy_dataset(), resume=True)
    weights = [tmp_path / name / "model.safetensors" for name in ("run", "peaceful")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def resume(folder: Path, *, epochs: int = 2) -> vae.VAE:
    return vae.train(toy_config(epochs=epochs), folder, dataset=toy_dataset(), resume=True)


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    trained = train_toy(folder, epochs=2)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = resume(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    torch.testing.assert_close(trained.state_dict(), again.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    "lost", [["metrics.csv"], ["model.safetensors"], ["checkpoint.safetensors"]]
)
def test_what_a_kill_kept_from_being_written_is_written(tmp_path: Path, lost: list[str]) -> None:
    folder = tmp_path / "run"
    train_toy(folder, epochs=2)
    model, rows = (folder / "model.safetensors").read_bytes(), metrics(folder)
    for file in lost:
        (folder / file).unlink()
    resume(folder)
    assert (folder / "model.safetensors").read_bytes() == model
    assert metrics(folder) == rows


def test_leftovers_of_a_kill_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train_toy(folder, epochs=2)
    names = {path.name for path in folder.iterdir()}
    (folder / ".lock").touch()
    draft = folder / f".checkpoint.safetensors-{'0a' * 16}"
    draft.mkdir()
    for name in (".lock", ".tmpXXXXXX", "checkpoint.safetensors"):
        (draft / name).write_bytes(b"half")
    resume(folder)
    assert {path.name for path in folder.iterdir()} == names


def test_a_folder_in_which_another_trains_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train_toy(tmp_path / "peaceful", epochs=2)
    refusals = []

    def disturb(progress: vae.Progress) -> None:
        with pytest.raises(ValueError, match=r"Another process .*run") as caught:
            resume(folder)
        refusals.append(caught)

    vae.train(toy_config(epochs=2), folder, dataset=toy_dataset(), listener=disturb)
    assert len(refusals) == 4
    models = [tmp_path / name / "model.safetensors" for name in ("run", "peaceful")]
    assert models[0].read_bytes() == models[1].read_bytes()
    # a resumed run holds the folder too; afterwards it is free
    (folder / "checkpoint.safetensors").unlink()
    config = toy_config(epochs=2)
    vae.train(config, folder, dataset=toy_dataset(), listener=disturb, resume=True)
    assert len(refusals) == 8
    resume(folder)


def test_a_full_disk_is_told_with_the_file_and_the_run_goes_on_later(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    folder = tmp_path / "run"
    train_toy(tmp_path / "peaceful", epochs=2)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # room for config.json
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            train_toy(folder, epochs=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(folder / "checkpoint.safetensors")
    assert [path.name for path in folder.iterdir()] == ["config.json"]
    resume(folder)
    models = [tmp_path / name / "model.safetensors" for name in ("run", "peaceful")]
    assert models[0].read_bytes() == models[1].read_bytes()


def test_other_settings_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train_toy(folder, epochs=2)
    with pytest.raises(ValueError, match=r"started with other settings \(epochs\)"):
        resume(folder, epochs=3)


def test_data_of_another_shape_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train_toy(folder, epochs=2)
    with pytest.raises(ValueError, match=r"items of shape \(4, 4\), the data has \(2, 8\)"):
        vae.train(toy_config(epochs=2), folder, dataset=toy_dataset(shape=(2, 8)), resume=True)


def test_tensorboard_gets_the_epochs_before_the_kill(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    folder = tmp_path / "run"
    train_toy(folder, epochs=2)
    config = toy_config(epochs=2)
    vae.train(config, folder, dataset=toy_dataset(), resume=True, tensorboard=True)
    events = list((folder / "tensorboard").iterdir())
    assert len(events) == 1
    assert b"elbo/valid" in events[0].read_bytes()
