"""A run remembers its data: where they are, and what tells them from others."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_files import save
from toy_runs import toy_config, toy_dataset, train_toy

from hotgrad import vae


@pytest.fixture
def array(tmp_path: Path) -> Path:
    """The rows of the toy data in one file."""
    return save(tmp_path / "mine.npy", toy_dataset(90).train.unflatten(-1, (4, 4)).numpy())


def recorded(run: Path) -> dict[str, Any]:
    return json.loads((run / "config.json").read_text())


def resume(run: Path, **changes: Any) -> vae.VAE:
    config, _ = vae.RunFolder.open(run).read_config()
    return vae.train(dataclasses.replace(config, **changes), run, resume=True)


def test_a_relative_path_is_recorded_as_a_whole_one(
    array: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = toy_config(data="mine.npy")
    vae.train(config, "run")
    assert recorded(tmp_path / "run")["config"]["data"] == str(array.resolve())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    resume(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    vae.train(config, "run", resume=True)


def test_a_loaded_data_set_is_recorded_by_its_file(array: Path, tmp_path: Path) -> None:
    """Not by the name in a configuration that it replaces."""
    vae.train(toy_config(), tmp_path / "run", dataset=vae.load_dataset(array))
    assert recorded(tmp_path / "run")["config"]["data"] == str(array.resolve())
    resume(tmp_path / "run")


def test_data_that_moved_are_the_same_data(array: Path, tmp_path: Path) -> None:
    vae.train(toy_config(data=str(array)), tmp_path / "run")
    moved = array.rename(tmp_path / "moved.npy")
    with pytest.raises(ValueError, match=r"no file .*mine\.npy"):
        resume(tmp_path / "run")
    resume(tmp_path / "run", data=str(moved))


def test_data_that_changed_are_refused_on_resume(array: Path, tmp_path: Path) -> None:
    vae.train(toy_config(data=str(array)), tmp_path / "run")
    values = np.load(array)
    values[0, 0, 0] += 1e-3
    save(array, values)
    with pytest.raises(ValueError, match=r"mine\.npy: as many rows, with other v"):
        resume(tmp_path / "run")
    save(array, values[:20])
    with pytest.raises(ValueError, match=r"train was 24 and is 16, valid was 3 and is 2"):
        resume(tmp_path / "run")
    # the mutant: their shape alone, which is as before
    assert vae.RunFolder(tmp_path / "run").read_config()[1] == vae.load_dataset(array).shape


def test_a_data_set_made_in_python_is_asked_for(tmp_path: Path) -> None:
    train_toy(tmp_path / "run")
    assert recorded(tmp_path / "run")["config"]["data"] == "in-memory"
    with pytest.raises(ValueError, match=r"trained on a Dataset made in Python.* dataset="):
        resume(tmp_path / "run")
    with pytest.raises(ValueError, match="was started with other data than those in the tests"):
        vae.train(toy_config(), tmp_path / "run", dataset=toy_dataset(66), resume=True)
    vae.train(toy_config(), tmp_path / "run", dataset=toy_dataset(), resume=True)


def test_a_run_from_before_there_were_fingerprints_goes_on(tmp_path: Path) -> None:
    train_toy(tmp_path / "run")
    record = recorded(tmp_path / "run")
    del record["data"]
    (tmp_path / "run" / "config.json").write_text(json.dumps(record))
    assert vae.RunFolder(tmp_path / "run").change_of(toy_dataset(66)) is None
    vae.train(toy_config(), tmp_path / "run", dataset=toy_dataset(), resume=True)


@pytest.mark.parametrize("dataset", [torch.rand(30, 16), np.zeros((30, 16)), "digits", [1.0]])
def test_what_is_no_data_set_is_refused(tmp_path: Path, dataset: Any) -> None:
    with pytest.raises(ValueError, match=r"dataset must be a Dataset, got .* Make one: Dataset"):
        vae.train(toy_config(), tmp_path / "run", dataset=dataset)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flag", ["resume", "tensorboard"])
def test_flags_are_true_or_false(tmp_path: Path, flag: str) -> None:
    with pytest.raises(ValueError, match=f"{flag} must be True or False, got 'no'"):
        vae.train(toy_config(), tmp_path / "run", dataset=toy_dataset(), **{flag: "no"})  # type: ignore[arg-type]
