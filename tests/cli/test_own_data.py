"""The commands on data of one's own: found again, told when they changed, joined to their rows."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from cli.said import refused, stdout
from toy_runs import toy_config, toy_dataset, train_toy

from hotgrad import vae
from hotgrad_command.app import run as hotgrad

FEW = ["--num-samples", "2", "--json"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An array x of 60 rows with their labels, another array y, and a run on x."""
    folder = tmp_path_factory.mktemp("own")
    write(folder / "mine.npz")
    vae.train(toy_config(data=str(folder / "mine.npz"), column="x"), folder / "run")
    return folder


def write(path: Path, *, shift: float = 0.0) -> None:
    x = toy_dataset(180).train.unflatten(-1, (4, 4)).numpy()
    np.savez(path, x=np.abs(x - shift), y=1 - x, labels=np.arange(60) % 7)


@pytest.fixture(scope="module")
def in_memory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a data set that was made in Python."""
    run = tmp_path_factory.mktemp("memory") / "run"
    train_toy(run)
    return run


# Data made in Python.


@pytest.mark.parametrize("command", ["evaluate", "encode"])
def test_a_run_on_data_made_in_python_asks_for_them(
    in_memory: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It isn't evaluated on digits, or on anything else."""
    said = refused(capsys, command, in_memory)
    assert "trained on a Dataset made in Python" in said
    assert "--data FILE.npy" in said


def test_a_run_on_data_made_in_python_takes_them_as_a_file(
    in_memory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], no_pictures: None
) -> None:
    dataset = toy_dataset()
    parts = {split: getattr(dataset, split) for split in ("train", "valid", "test")}
    file = tmp_path / "same.npz"
    np.savez(file, **{name: part.unflatten(-1, (4, 4)).numpy() for name, part in parts.items()})
    record = json.loads(stdout(capsys, "evaluate", in_memory, "--data", file, *FEW))
    assert (record["data"], record["items"], record["differs"]) == (str(file), 20, None)
    assert "codes (20 x 3)" in stdout(capsys, "encode", in_memory, "--data", file)
    assert "holds" in stdout(capsys, "train", "--resume", "--out", in_memory, "--data", file)
    assert "4 items" in stdout(capsys, "generate", in_memory, "-n", "4")
    np.save(tmp_path / "other.npy", np.zeros((30, 4, 4), np.float32))
    other = ["--data", tmp_path / "other.npy"]
    assert json.loads(stdout(capsys, "evaluate", in_memory, *other, *FEW))["differs"] == (
        "train was 20 and is 24, valid was 20 and is 3, test was 20 and is 3"
    )
    said = refused(capsys, "train", "--resume", "--out", in_memory, *other)
    assert "was started with other data" in said


# Data in a file.


def test_evaluate_other_data(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "mine.npz"
    first = json.loads(stdout(capsys, "evaluate", folder / "run", *FEW))
    assert (first["data"], first["column"], first["differs"]) == (str(file.resolve()), "x", None)
    again = json.loads(
        stdout(capsys, "evaluate", folder / "run", "--data", file, "--column", "x", *FEW)
    )
    assert again == {**first, "data": str(file)}
    other = json.loads(
        stdout(capsys, "evaluate", folder / "run", "--data", file, "--column", "y", *FEW)
    )
    assert (other["column"], other["differs"]) == ("y", "as many rows, with other values")
    assert other["elbo"] != first["elbo"]
    assert "give both" in refused(capsys, "evaluate", folder / "run", "--column", "y")
    assert "give both" in refused(capsys, "encode", folder / "run", "--column", "y")


def test_a_run_is_found_from_another_folder(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    no_pictures: None,
) -> None:
    monkeypatch.chdir(folder)
    small = ["--epochs", "1", "--hidden", "8", "--num-latents", "2", "--accelerator", "cpu"]
    stdout(
        capsys, "train", "--data", "mine.npz", "--column", "x", *small, "--out", tmp_path / "run"
    )
    monkeypatch.chdir(tmp_path)
    assert json.loads(stdout(capsys, "evaluate", "run", *FEW))["differs"] is None
    stdout(capsys, "train", "--resume", "--out", "run")


def test_data_that_changed_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, run = tmp_path / "mine.npz", tmp_path / "run"
    write(file)
    vae.train(toy_config(data=str(file), column="x"), run)
    write(file, shift=0.01)
    for command in (["evaluate", *FEW], ["encode"]):
        capsys.readouterr()
        assert hotgrad([command[0], str(run), *command[1:]]) == 0
        error = capsys.readouterr().err
        assert error.startswith("hotgrad: warning: the data in ")
        assert "mine.npz, array 'x' are not those that" in error
        assert "as many rows, with other values" in error
        assert error.count("\n") == 1
    record = json.loads((run / "evaluation.json").read_text())
    assert record["differs"] == "as many rows, with other values"
    said = refused(capsys, "train", "--resume", "--out", run)
    assert "was started with other data" in said


# Codes that can be joined to their rows.


def most_probable(run: Path, items: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        x = torch.from_numpy(items.astype(np.float32)).flatten(1)
        return vae.load(run).encode(x).mode.argmax(-1).numpy()


@pytest.mark.parametrize("split", ["train", "valid", "test", "all"])
def test_codes_come_with_rows_splits_and_labels(
    folder: Path, tmp_path: Path, split: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "codes.npz"
    said = stdout(capsys, "encode", folder / "run", "--split", split, "--out", out)
    assert "probs, rows, splits, labels in" in said
    x = np.load(folder / "mine.npz")["x"]
    with np.load(out) as arrays:
        rows, labels, splits = arrays["rows"], arrays["labels"], arrays["splits"]
        np.testing.assert_array_equal(arrays["codes"], most_probable(folder / "run", x[rows]))
        assert len(arrays["probs"]) == len(rows)
    np.testing.assert_array_equal(labels, rows % 7)
    if split == "all":
        np.testing.assert_array_equal(rows, np.arange(60))
        assert sorted(map(tuple, zip(*np.unique(splits, return_counts=True), strict=True))) == [
            ("test", 6),
            ("train", 48),
            ("valid", 6),
        ]
    else:
        assert set(splits) == {split}
        # the mutant: as if splits were the file's own order
        assert rows.tolist() != sorted(rows)


def test_all_splits_of_several_arrays_keep_the_order_of_each(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.load(folder / "mine.npz")["x"]
    np.savez(tmp_path / "three.npz", train=x[:9], valid=x[9:11], test=x[11:14])
    data = ["--data", tmp_path / "three.npz", "--split", "all", "--out", tmp_path / "codes.npz"]
    stdout(capsys, "encode", folder / "run", *data)
    with np.load(tmp_path / "codes.npz") as arrays:
        assert arrays["rows"].tolist() == [*range(9), *range(2), *range(3)]
        assert arrays["splits"].tolist() == ["train"] * 9 + ["valid"] * 2 + ["test"] * 3
        assert "labels" not in arrays
        np.testing.assert_array_equal(arrays["codes"], most_probable(folder / "run", x[:14]))


def test_encode_another_array_of_the_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", folder / "mine.npz", "--column", "y", "--out", tmp_path / "codes.npz"]
    stdout(capsys, "encode", folder / "run", *data, "--split", "all")
    with np.load(tmp_path / "codes.npz") as arrays:
        y = np.load(folder / "mine.npz")["y"]
        np.testing.assert_array_equal(arrays["codes"], most_probable(folder / "run", y))
