"""Data sets: what each source gives, bad names and folders, and batches."""

import dataclasses
import gzip
import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_files import real_data, save, sorted_rows, write_binarized, write_mnist
from toy_runs import toy_dataset

from hotgrad.vae.data import Dataset, iterate_batches, load_dataset
from hotgrad.vae.numpy_files import SPLITS
from hotgrad.vae.picture_files import read_idx_images
from hotgrad.vae.run import difference, fingerprint

# The named data sets.


def test_digits_are_split_once_and_for_all() -> None:
    dataset = load_dataset("digits")
    assert [len(rows) for rows in (dataset.train, dataset.valid, dataset.test)] == [1297, 200, 300]
    assert dataset.shape == (8, 8)
    assert dataset.train.dtype == torch.float32
    assert dataset.value_range == (0.0, 1.0)
    assert dataset.in_unit_interval
    assert not dataset.binary
    assert "scikit-learn" in dataset.source
    again = load_dataset("digits")
    assert torch.equal(dataset.test, again.test)
    # Another sum means other test rows, and figures that can't be compared with earlier ones.
    assert float((dataset.test.double() * 16).sum()) == 93_605


def test_digits_lose_no_row() -> None:
    from sklearn.datasets import load_digits

    dataset = load_dataset("digits")
    rows = torch.cat([dataset.train, dataset.valid, dataset.test]) * 16
    assert sorted_rows(rows) == sorted_rows(load_digits().data)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("subfolder", ["", "mnist"])
def test_mnist_is_found_and_split(tmp_path: Path, suffix: str, subfolder: str) -> None:
    write_mnist(tmp_path / subfolder, suffix=suffix)
    dataset = load_dataset("mnist", data_dir=tmp_path)
    assert [len(rows) for rows in (dataset.train, dataset.valid, dataset.test)] == [12, 10_000, 11]
    assert dataset.shape == (3, 2)
    assert dataset.train.shape == (12, 6)
    assert dataset.train[0, 0] == 1.0
    assert dataset.in_unit_interval
    assert dataset.name == "mnist"
    assert dataset.source == str((tmp_path / subfolder).resolve())
    assert torch.equal(dataset.train[:11], dataset.test)


def test_binarized_mnist_in_both_formats(tmp_path: Path) -> None:
    folder, bits = write_binarized(tmp_path / "binarized-mnist")
    dataset = load_dataset("binarized-mnist", data_dir=str(tmp_path))
    assert dataset.binary
    assert dataset.shape == (28, 28)
    assert torch.equal(dataset.train, torch.from_numpy(bits).float())
    assert not torch.equal(dataset.test, dataset.train)  # shuffled
    assert sorted_rows(dataset.test) == sorted_rows(bits)
    assert dataset.source == str(folder.resolve())


@pytest.mark.parametrize(("name", "binary"), [("mnist", False), ("binarized-mnist", True)])
def test_the_real_files(name: str, binary: bool) -> None:
    dataset = load_dataset(name, data_dir=real_data(name))
    assert dataset.train.shape == (50_000, 784)
    assert dataset.valid.shape == dataset.test.shape == (10_000, 784)
    assert dataset.shape == (28, 28)
    assert dataset.binary is binary
    assert dataset.value_range == (0.0, 1.0)


# Arrays from files.


def test_one_array_is_split_80_10_10(tmp_path: Path) -> None:
    array = np.arange(35 * 6, dtype=np.float64).reshape(35, 2, 3)
    dataset = load_dataset(save(tmp_path / "faces.npy", array))
    assert [len(rows) for rows in (dataset.train, dataset.valid, dataset.test)] == [29, 3, 3]
    assert dataset.shape == (2, 3)
    assert dataset.name == "faces"
    assert dataset.value_range == (0.0, 209.0)
    assert not dataset.in_unit_interval
    rows = torch.cat([dataset.train, dataset.valid, dataset.test])
    assert sorted_rows(rows) == sorted_rows(array)
    assert torch.equal(dataset.test, load_dataset(tmp_path / "faces.npy").test)


@pytest.mark.parametrize(
    ("array", "top", "binary"),
    [
        (np.full((10, 4), 255, dtype=np.uint8), 1.0, True),
        (np.full((10, 4), 51, dtype=np.uint8), 0.2, False),
        (np.ones((10, 4), dtype=np.uint8), 1.0, True),
        (np.ones((10, 4), dtype=bool), 1.0, True),
        (np.full((10, 4), 7, dtype=np.int64), 7.0, False),
        (np.full((10, 4), 0.5, dtype=">f8"), 0.5, False),
        (np.full((10, 4), 0.5, dtype=np.float16), 0.5, False),
    ],
)
def test_what_becomes_of_each_type(
    tmp_path: Path, array: np.ndarray, top: float, binary: bool
) -> None:
    dataset = load_dataset(save(tmp_path / "a.npy", array))
    assert dataset.value_range[1] == pytest.approx(top)
    assert dataset.binary is binary


def test_an_npz_with_splits_keeps_them(tmp_path: Path) -> None:
    train = np.random.RandomState(0).rand(9, 4).astype(np.float32)
    np.savez(
        tmp_path / "a.npz", train=train, valid=train[:2], test=train[:1], labels=np.array([{}])
    )
    dataset = load_dataset("a.npz", data_dir=tmp_path)
    assert torch.equal(dataset.train, torch.from_numpy(train))
    assert len(dataset.valid) == 2
    assert dataset.shape == (4,)


def test_grey_levels_are_recognised_over_all_splits(tmp_path: Path) -> None:
    grey, dark = np.full((9, 4), 255, dtype=np.uint8), np.ones((3, 4), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", train=grey, valid=dark, test=dark)
    dataset = load_dataset(tmp_path / "a.npz")
    assert float(dataset.train[0, 0]) == 1.0
    assert float(dataset.test[0, 0]) == pytest.approx(1 / 255)


def test_an_npz_with_one_array_or_a_named_one(tmp_path: Path) -> None:
    array = np.eye(20)
    np.savez_compressed(tmp_path / "one.npz", anything=array)
    np.savez(tmp_path / "two.NPZ.npz", x=array, y=array[:, :3])
    assert load_dataset(tmp_path / "one.npz").shape == (20,)
    dataset = load_dataset(tmp_path / "two.NPZ.npz", column="y")
    assert dataset.shape == (3,)
    assert dataset.source.endswith("two.NPZ.npz, array 'y'")


# Which rows of the file they are, and what they are labelled.


@pytest.mark.parametrize("name", ["digits", "mnist", "binarized-mnist"])
def test_row_numbers_lead_back_to_the_file(tmp_path: Path, name: str) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    write_mnist(tmp_path)
    _, bits = write_binarized(tmp_path)
    images = [read_idx_images(tmp_path / f"{part}-images-idx3-ubyte") for part in ("train", "t10k")]
    files = {
        "digits": dict.fromkeys(SPLITS, digits.data / 16),
        "mnist": {split: images[split == "test"].reshape(-1, 6) / 255 for split in SPLITS},
        "binarized-mnist": dict.fromkeys(SPLITS, bits),
    }[name]
    dataset = load_dataset(name, data_dir=tmp_path)
    for split in SPLITS:
        rows = getattr(dataset, split).numpy()
        np.testing.assert_allclose(rows, files[split][dataset.row_numbers[split]], rtol=1e-6)
    if name == "digits":
        for split in SPLITS:
            expected = digits.target[dataset.row_numbers[split]]
            np.testing.assert_array_equal(dataset.labels[split], expected)
    else:
        assert not dataset.labels


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_labels_of_mnist_lie_beside_it(tmp_path: Path, suffix: str) -> None:
    write_mnist(tmp_path)
    labels = {"train": np.arange(10_012) % 10, "t10k": np.arange(11) % 10}
    pack = gzip.compress if suffix else bytes
    for part, values in labels.items():
        content = b"\x00\x00\x08\x01" + struct.pack(">I", len(values)) + bytes(values.tolist())
        (tmp_path / f"{part}-labels-idx1-ubyte{suffix}").write_bytes(pack(content))
    dataset = load_dataset("mnist", data_dir=tmp_path)
    for split in SPLITS:
        np.testing.assert_array_equal(dataset.labels[split], dataset.row_numbers[split] % 10)
    (tmp_path / f"t10k-labels-idx1-ubyte{suffix}").write_bytes(
        pack(content[:7] + b"\x05" + bytes(5))
    )
    with pytest.raises(ValueError, match=r"t10k-labels.* 5 labels, expected 11"):
        load_dataset("mnist", data_dir=tmp_path)


def test_labels_of_an_npz(tmp_path: Path) -> None:
    array, names = np.arange(60.0).reshape(20, 3), np.array(list("abcdefghijklmnopqrst"))
    np.savez(tmp_path / "a.npz", x=array, labels=names)
    dataset = load_dataset(tmp_path / "a.npz")
    for split in SPLITS:
        rows = dataset.row_numbers[split]
        np.testing.assert_array_equal(getattr(dataset, split), array[rows])
        np.testing.assert_array_equal(dataset.labels[split], names[rows])
    parts = {"train": array, "valid": array[:4], "test": array[:3]}
    of_parts = {f"{split}_labels": np.arange(len(part)) for split, part in parts.items()}
    np.savez(tmp_path / "b.npz", **parts, **of_parts)
    dataset = load_dataset(tmp_path / "b.npz")
    for split in SPLITS:
        np.testing.assert_array_equal(dataset.labels[split], dataset.row_numbers[split])


@pytest.mark.parametrize("labels", [np.arange(19), np.eye(20), np.array([{}] * 20)])
def test_what_is_no_label_for_each_row_is_left_alone(tmp_path: Path, labels: np.ndarray) -> None:
    np.savez(tmp_path / "a.npz", x=np.eye(20), labels=labels)
    assert not load_dataset(tmp_path / "a.npz").labels


# Where it is, from anywhere.


def test_the_origin_of_a_relative_path_is_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    save(tmp_path / "a.npy", np.eye(20))
    write_mnist(tmp_path / "mnist")
    monkeypatch.chdir(tmp_path)
    first = [load_dataset("a.npy"), load_dataset("mnist", data_dir=".")]
    assert first[0].origin == {
        "data": str(tmp_path / "a.npy"),
        "data_dir": None,
        "column": None,
    }
    monkeypatch.chdir(tmp_path / "elsewhere")
    for dataset in first:
        settings = dict(dataset.origin)
        again = load_dataset(settings.pop("data") or "", **settings)
        assert fingerprint(again) == fingerprint(dataset)
        assert again.origin == dataset.origin


def test_a_file_that_moved_is_found_in_data_dir(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npy", np.eye(20))
    (tmp_path / "new").mkdir()
    path.rename(tmp_path / "new" / "a.npy")
    assert load_dataset(path, data_dir=tmp_path / "new").shape == (20,)


def test_a_data_set_of_ones_own_has_no_name(tmp_path: Path) -> None:
    assert toy_dataset().origin["data"] == "in-memory"
    with pytest.raises(ValueError, match=r"trained on a Dataset made in Python.*--data FILE.npy"):
        load_dataset("in-memory")


# Fingerprints.


def test_a_fingerprint_sees_each_value_and_each_size() -> None:
    dataset = toy_dataset()
    recorded = json.loads(json.dumps(fingerprint(dataset)))
    assert difference(recorded, toy_dataset()) is None
    other = dataset.test.clone()
    other[-1, -1] += 1e-6
    changed = dataclasses.replace(dataset, test=other)
    assert difference(recorded, changed) == "as many rows, with other values"
    shorter = dataclasses.replace(dataset, train=dataset.train[1:])
    assert difference(recorded, shorter) == "train was 20 and is 19"
    assert difference(recorded, toy_dataset(shape=(2, 8))) == "shape was [4, 4] and is [2, 8]"
    # the mutant: sizes alone
    assert {**recorded, "digest": ""} == {**fingerprint(changed), "digest": ""}


# Bad names and folders.


@pytest.mark.parametrize("name", ["MNIST", "minst"])
def test_an_unknown_data_set_is_guessed(name: str) -> None:
    with pytest.raises(ValueError, match=r"unknown data set '\w+'. Did you mean 'mnist'\?"):
        load_dataset(name)


def test_an_unknown_data_set_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"'q.csv'. Expected one of digits, mnist, binarized-mni"):
        load_dataset("q.csv")


def test_a_column_of_a_named_data_set() -> None:
    with pytest.raises(ValueError, match=r"column 'x' was given, but digits has no named arrays"):
        load_dataset("digits", column="x")


def test_no_folder_is_given() -> None:
    with pytest.raises(ValueError, match=r"no folder was given. Expected data_dir \(--data-dir\)"):
        load_dataset("mnist")


def test_a_folder_without_the_files(tmp_path: Path) -> None:
    message = rf"no file train-images-idx3-ubyte or train-.*\.gz in {tmp_path}, nor in its folder"
    with pytest.raises(ValueError, match=message):
        load_dataset("mnist", data_dir=tmp_path)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"binarized_mnist_train.amat in .*, which is no folder"):
        load_dataset("binarized-mnist", data_dir=tmp_path / "absent")


@pytest.mark.parametrize("data_dir", [None, "elsewhere"])
def test_no_such_array_file(data_dir: str | None) -> None:
    with pytest.raises(ValueError, match=r"no file absent.npy.* Check the path; the working dir"):
        load_dataset("absent.npy", data_dir=data_dir)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = save(tmp_path / "a.npy", np.eye(12))
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ValueError, match=r"a.npy can't be read \(Permission denied\)"):
        load_dataset(path)


# A data set made by hand.


@pytest.mark.parametrize(
    ("valid", "message"),
    [
        (torch.zeros(3, 4, dtype=torch.float64), r"mine: valid is torch.float64 of shape \(3, 4\)"),
        (torch.zeros(3, 5), r"shape \(3, 5\), expected torch.float32 of shape \(rows, 4\)"),
        (torch.zeros(3, 2, 2), r"Convert and flatten the rows"),
        (torch.zeros(0, 4), r"mine: valid of shape \(0, 4\) is empty"),
        (np.zeros((3, 4), np.float32), r"mine: valid must be a tensor, got ndarray. Convert it"),
        (torch.tensor([[0.0] * 4, [math.nan] * 4]), r"4 of 8 values of valid are NaN.* in row 1 "),
        (torch.tensor([[0, 0, 0, -math.inf]]), r"mine: 1 of 4 values of valid are NaN or infinite"),
    ],
)
def test_a_data_set_checks_its_splits(valid: torch.Tensor, message: str) -> None:
    good = torch.zeros(3, 4)
    with pytest.raises(ValueError, match=message):
        Dataset("mine", good, valid, good, (2, 2), False, "mine")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (4, "shape must be a tuple of integers of at least 1, got 4"),
        ((2, 2.0), r"shape must be a tuple of integers of at least 1, got \(2, 2.0\)"),
        ((-2, -2), r"shape must be a tuple of integers of at least 1, got \(-2, -2\)"),
    ],
)
def test_a_data_set_checks_its_shape(shape: Any, message: str) -> None:
    x = torch.zeros(3, 4)
    with pytest.raises(ValueError, match=message):
        Dataset("mine", x, x, x, shape, False, "mine")


def test_flags_are_true_or_false() -> None:
    x = torch.zeros(3, 4)
    with pytest.raises(ValueError, match="binary must be True or False, got 'no'"):
        Dataset("mine", x, x, x, (4,), "no", "mine")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shuffle must be True or False, got 'no'"):
        iterate_batches(x, 2, generator=None, shuffle="no")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [torch.zeros(30, 4), np.zeros((30, 4)), None, 5])
def test_rows_are_no_name(name: Any) -> None:
    with pytest.raises(ValueError, match=r"must be a name or a path, got .* become a Dataset\("):
        load_dataset(name)


# Batches.


def test_batches_in_order_hold_every_row() -> None:
    data = torch.arange(22.0).reshape(11, 2)
    batches = list(iterate_batches(data, 4, generator=None, shuffle=False))
    assert [len(batch) for batch in batches] == [4, 4, 3]
    assert torch.equal(torch.cat(batches), data)


def test_shuffled_batches_hold_every_row_once_and_repeat_with_the_generator() -> None:
    data = torch.arange(22.0).reshape(11, 2)

    def draw(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.cat(list(iterate_batches(data, 4, generator=generator, shuffle=True)))

    assert torch.equal(draw(3), draw(3))
    assert not torch.equal(draw(3), draw(4))
    assert not torch.equal(draw(3), data)
    assert torch.equal(draw(3).sort(dim=0).values, data)


def test_the_order_is_drawn_in_the_call() -> None:
    data = torch.arange(11)
    used, unused = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    list(iterate_batches(data, 4, generator=used, shuffle=True))
    iterate_batches(data, 4, generator=unused, shuffle=True)
    assert torch.equal(used.get_state(), unused.get_state())


def test_the_global_generator_serves_where_none_is_given() -> None:
    batches = iterate_batches(torch.arange(5), 5, generator=None, shuffle=True)
    assert sorted(next(batches).tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("data", "batch_size", "message"),
    [
        (torch.zeros(3, 1), 0, "batch_size must be an integer of at least 1, got 0"),
        (torch.zeros(0, 4), 5, r"shape \(0, 4\), expected \(rows, ...\) with at least one row"),
        (torch.tensor(1.0), 5, r"the data have shape \(\)"),
    ],
)
def test_batches_of_nothing(data: torch.Tensor, batch_size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        iterate_batches(data, batch_size, generator=None, shuffle=True)
