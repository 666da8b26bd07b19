"""Checkpoints: what comes back is what was written, for this very run, or it is refused."""

import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from flips import flips
from torch import Tensor
from toy_runs import toy_config, toy_dataset, train_toy

from hotgrad import vae
from hotgrad.tensor_files import read_tensors, write_tensors
from hotgrad.vae.checkpoint import load_checkpoint

FILE = "checkpoint.safetensors"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with one epoch of two."""

    class Stop(Exception):
        pass

    def stop(progress: vae.Progress) -> None:
        if progress.epoch == 1:
            raise Stop

    with pytest.raises(Stop):
        vae.train(toy_config(epochs=2), tmp_path / "run", dataset=toy_dataset(), listener=stop)
    return tmp_path / "run"


def resume(run: Path, dataset: vae.Dataset | None = None) -> vae.VAE:
    """As the command does it, with the settings that the folder holds."""
    config, _ = vae.RunFolder.open(run).read_config()
    return vae.train(config, run, dataset=dataset or toy_dataset(), resume=True)


def rewrite(
    run: Path,
    *,
    tensors: Callable[[dict[str, Tensor]], object] = lambda its: None,
    said: Callable[[dict[str, Any]], object] = lambda its: None,
) -> None:
    """Another checkpoint with a checksum that is right."""
    its, text = read_tensors(run / FILE)
    record = json.loads(text)
    tensors(its)
    said(record)
    write_tensors(run / FILE, its, json.dumps(record))


def refused(run: Path, message: str) -> str:
    """The refusal; nothing in the folder has changed."""
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(ValueError, match=message) as caught:
        resume(run)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, vae.NonFiniteLossError)
    return str(caught.value)


# Damage.


@pytest.mark.parametrize("length", [0, 1, 7, 8, 100, 0.25, 0.5, 0.9, -200, -1])
def test_a_checkpoint_cut_short(run: Path, length: float) -> None:
    whole = (run / FILE).read_bytes()
    keep = int(length * len(whole)) if 0 < length < 1 else int(length)
    (run / FILE).write_bytes(whole[:keep])
    refused(run, r"checkpoint\.safetensors is damaged, cut short, or no safetensors file")


def test_a_checkpoint_of_noise(run: Path) -> None:
    for seed in range(20):
        (run / FILE).write_bytes(random.Random(seed).randbytes(300))
        with pytest.raises(ValueError, match="is damaged, cut short"):
            load_checkpoint(run / FILE)


def test_no_flip_of_a_bit_is_trained_on(run: Path) -> None:
    file = run / FILE
    whole, written = file.read_bytes(), load_checkpoint(file)
    accepted, messages = 0, []
    for damaged in flips(whole, 400):
        file.write_bytes(damaged)
        try:
            read = load_checkpoint(file)
        except ValueError as error:
            messages.append(str(error))
            continue
        # blanks of the header's padding mean nothing
        accepted += 1
        assert (read.epoch, read.step, read.rows, read.settings) == (
            *(written.epoch, written.step),
            *(written.rows, written.settings),
        )
        torch.testing.assert_close(read.tensors, written.tensors, rtol=0, atol=0)
    assert accepted < 20
    assert all(FILE in message for message in messages)


class Malicious:
    """Unpickling it makes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def test_nothing_is_unpickled(run: Path, tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    torch.save({"epoch": Malicious(trace)}, run / FILE)
    refused(run, "is damaged, cut short, or no safetensors file")
    for name in (FILE, "model.safetensors"):
        (run / name).write_bytes(pickle.dumps(Malicious(trace)))
    refused(run, "is damaged, cut short, or no safetensors file")
    with pytest.raises(ValueError, match="is damaged, cut short"):
        vae.load(run)
    assert not trace.exists()
    # the mutant: a plain unpickling would have
    pickle.loads((run / FILE).read_bytes())
    assert trace.exists()


# Whole, and not what this run can go on from.

MOMENT = "optimizer.exp_avg.model.encoder.0.weight"
STEPS = "optimizer.step.model.encoder.0.weight"
WEIGHT = "trainee.model.encoder.0.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # torch's fused Adam would write past the end of these
        (lambda its: its.update({MOMENT: torch.zeros(1)}), rf"{MOMENT} is .*\(1,\), expected .*16"),
        (lambda its: its.update({STEPS: torch.zeros(1)}), rf"{STEPS} is .*\(1,\), expected .*\(\)"),
        (lambda its: its.update({MOMENT: its[MOMENT].double()}), f"{MOMENT} is float64 of shape"),
        (lambda its: its.update({STEPS: its[STEPS].long()}), f"{STEPS} is int64 of shape"),
        (lambda its: its.update({WEIGHT: its[WEIGHT].half()}), f"{WEIGHT} is float16 of shape"),
        (lambda its: its.update({WEIGHT: its[WEIGHT].T}), rf"{WEIGHT} is .*\(16, 8\), expected"),
        (lambda its: its.pop(MOMENT), f"{MOMENT} is absent"),
        (lambda its: its.pop(WEIGHT), f"{WEIGHT} is absent"),
        (lambda its: its.update(stranger=torch.zeros(2)), "stranger is .*, expected absent"),
        (lambda its: its[STEPS].fill_(-1), "counts -1 steps of .*, expected at most 2"),
        (lambda its: its[STEPS].fill_(9), "counts 9 steps of .*, expected at most 2"),
        (lambda its: its[STEPS].fill_(torch.nan), "counts nan steps"),
        (lambda its: its[WEIGHT].fill_(torch.nan), "aren't finite, the first in model.encoder.0.w"),
        (lambda its: its[WEIGHT].fill_(-torch.inf), "aren't finite"),
    ],
)
def test_other_tensors(
    run: Path, change: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    rewrite(run, tensors=change)
    said = refused(run, rf"checkpoint\.safetensors .*{message}")
    assert "learning" not in said


@pytest.mark.parametrize(
    "changes", [{"hidden": (9,)}, {"optimizer": "sgd"}, {"learning_rate": 1.0}]
)
def test_a_checkpoint_of_another_run(run: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    train_toy(tmp_path / "other", epochs=2, **changes)
    (tmp_path / "other" / FILE).replace(run / FILE)
    name = next(iter(changes))
    refused(run, rf"config\.json says {name}=.*, but checkpoint\.safetensors was made with {name}")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("epoch", ["1", 1.0, 0, -1, 10**400, None, True]),
        ("step", ["2", 0, None, []]),
        ("rows", ["abc", [], {}, [1, 2], [{}, {}], [{"elbo": "x"}] * 2, None]),
        ("settings", ["abc", [], None]),
        ("stranger", [1]),
    ],
)
def test_other_fields(run: Path, name: str, values: list[Any]) -> None:
    whole = (run / FILE).read_bytes()
    for value in values:
        (run / FILE).write_bytes(whole)
        rewrite(run, said=lambda its, value=value: its.update({name: value}))
        refused(run, r"checkpoint\.safetensors is not a checkpoint of a run: expected its epoch")


@pytest.mark.parametrize(
    ("name", "value"), [("step", "2"), ("elbo", None), ("split", "x"), ("kl", 10**400), ("kl", "")]
)
def test_other_rows(run: Path, name: str, value: Any) -> None:
    rewrite(run, said=lambda its: its["rows"][0].update({name: value}))
    refused(run, "is not a checkpoint of a run")


def test_a_text_that_is_none(run: Path) -> None:
    tensors, _ = read_tensors(run / FILE)
    for text in ("", "{", "5", "[]", "[" * 10_000, "{}"):
        write_tensors(run / FILE, tensors, text)
        refused(run, "is not a checkpoint of a run")


def test_more_epochs_than_the_run_has(run: Path) -> None:
    def later(its: dict[str, Any]) -> None:
        its.update(epoch=10, step=20, rows=its["rows"] * 10)

    rewrite(run, said=later)
    refused(run, "stands after 20 steps in 10 epochs, expected at most 2 epochs of 2 steps")


# config.json, edited.


def edit_config(run: Path, **changes: Any) -> None:
    record = json.loads((run / "config.json").read_text())
    record["config"].update(changes)
    (run / "config.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    "changes",
    [{"learning_rate": 0.5}, {"epochs": 3}, {"targets": "dynamic"}, {"num_latents": 4}],
    ids=lambda changes: next(iter(changes)),
)
def test_settings_edited_since(run: Path, changes: dict[str, Any]) -> None:
    ((name, value),) = changes.items()
    edit_config(run, **changes)
    refused(run, rf"config\.json says {name}={value!r}, but .* was made with {name}=.*Put it back")


def test_data_that_were_moved_may_be_edited(run: Path, tmp_path: Path) -> None:
    train_toy(tmp_path / "peaceful", epochs=2)
    edit_config(run, data_dir="elsewhere")
    resume(run)
    models = [path / "model.safetensors" for path in (run, tmp_path / "peaceful")]
    assert models[0].read_bytes() == models[1].read_bytes()


# The number of threads.


def test_the_number_of_threads_is_recorded_and_another_is_told(run: Path) -> None:
    record = json.loads((run / "config.json").read_text())
    assert record["threads"] == torch.get_num_threads()
    record["threads"] += 1
    (run / "config.json").write_text(json.dumps(record))
    before, now = record["threads"], record["threads"] - 1
    told = f"started with {before} threads and goes on with {now}.*Set OMP_NUM_THREADS={before}"
    with pytest.warns(UserWarning, match=told) as caught:
        resume(run)
    # at the caller's line
    assert caught[0].filename == __file__


@pytest.mark.parametrize("threads", [None, "four"])
def test_a_run_that_doesn_t_say_its_threads_goes_on(run: Path, threads: Any) -> None:
    record = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**record, "threads": threads}))
    resume(run)
