"""Data sets: what each source gives, and what each kind of bad file is told."""

import gzip
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from hotgrad.vae.data import Dataset, iterate_batches, load_dataset
from hotgrad.vae.formats import read_amat, read_idx_images, read_numpy
from hotgrad.vae.matlab import parse_matlab

REAL_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def real_data(name: str) -> Path:
    if not (REAL_DATA / name).is_dir():
        pytest.skip(f"no folder {REAL_DATA / name}: put the data set's files there")
    return REAL_DATA


def idx(images: np.ndarray) -> bytes:
    return b"\x00\x00\x08\x03" + struct.pack(">3I", *images.shape) + images.tobytes()


def write_mnist(folder: Path, *, rows: int = 10_012, suffix: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pack = gzip.compress if suffix == ".gz" else bytes
    images = np.random.RandomState(1).randint(0, 256, (rows, 3, 2), dtype=np.uint8)
    images[0, 0, 0] = 255
    (folder / f"train-images-idx3-ubyte{suffix}").write_bytes(pack(idx(images)))
    (folder / f"t10k-images-idx3-ubyte{suffix}").write_bytes(pack(idx(images[:11])))
    return folder


def write_binarized(folder: Path, test: bytes | None = None) -> tuple[Path, np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    bits = np.random.RandomState(2).randint(0, 2, (14, 784)).astype(np.uint8)
    for split in ("train", "valid"):
        path = folder / f"binarized_mnist_{split}.amat"
        scipy.io.savemat(path, {"X": bits}, appendmat=False, do_compression=split == "train")
    text = b"".join(b" ".join(b"%d" % bit for bit in row) + b" \r\n" for row in bits)
    (folder / "binarized_mnist_test.amat").write_bytes(text if test is None else test)
    return folder, bits


def save(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def sorted_rows(rows: torch.Tensor | np.ndarray) -> list[list[float]]:
    return sorted(np.asarray(rows).reshape(len(rows), -1).tolist())


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


# Damaged idx files.


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(np.zeros((4, 2, 2), np.uint8))[:-3], r"cut short: .* 4 x 2 x 2 = 16 bytes.* 13 follo"),
        (idx(np.zeros((4, 2, 2), np.uint8)) + b"\0", r"longer than it should be: .* and 17 follow"),
        (b"\x00\x00\x08\x01" + bytes(20), r"no idx file of images: it starts with 0x00000801"),
        (b"\x00\x00\x08\x03\x00", r"starts with 0x00000803.* a header of 16 bytes"),
        (b"", r"it starts with 0x, expected 0x00000803"),
        (idx(np.zeros((0, 28, 28), np.uint8)), r"holds no images: its header announces 0 x 28"),
        (gzip.compress(bytes(5000))[:-9], r"can't be decompressed"),
        (b"\x1f\x8b" + bytes(30), r"can't be decompressed"),
        (gzip.compress(bytes(64))[:12] + b"\xff\xff" + bytes(9), r"can't be decompressed"),
    ],
)
def test_a_damaged_idx_file(tmp_path: Path, content: bytes, message: str) -> None:
    write_mnist(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_dataset("mnist", data_dir=tmp_path)
    assert "t10k-images-idx3-ubyte" in str(caught.value)


def test_too_few_images_to_hold_some_out(tmp_path: Path) -> None:
    write_mnist(tmp_path, rows=10_009)
    with pytest.raises(ValueError, match=r"holds 10,009 images, expected 60,000: the last 10,000"):
        load_dataset("mnist", data_dir=tmp_path)


# Damaged amat files.


def matlab(folder: Path, **variables: np.ndarray) -> bytes:
    scipy.io.savemat(folder / "scratch", variables, appendmat=False)
    return (folder / "scratch").read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"test.amat is empty"),
        (b"0 1 1\n0 1", r"line 2: 3 characters, but the first line has 5"),
        (b"0 1 1\n\n0 2 1\n", r"line 3 starts with b'0 2 1'"),
        (b"0110\n", r"line 1 starts with b'0110'. Expected either a MATLAB v5 file or text"),
        (b"0,1,0\n", r"line 1 starts with b'0,1,0'"),
        (b"\x89HDF\r\n\x1a\n", r"characters, but the first line has"),
        (b"0 1 1\n0 1 0", r"has 3 bits a row, expected 784 = 28 x 28"),
    ],
)
def test_a_damaged_text_amat_file(tmp_path: Path, content: bytes, message: str) -> None:
    write_binarized(tmp_path, test=content)
    with pytest.raises(ValueError, match=message):
        load_dataset("binarized-mnist", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"Y": np.eye(3), "Z": np.eye(3)}, r"no dense matrix of numbers named X; .*: Y, Z. Expe"),
        ({"X": np.zeros((0, 784))}, r"no dense matrix of numbers named X; its variables: X"),
        ({"X": np.array([["ab"]], dtype=object)}, r"no dense matrix of numbers named X"),
        ({"X": np.full((12, 784), 0.5)}, r"values other than 0 and 1, expected bits"),
    ],
)
def test_a_wrong_matlab_file(
    tmp_path: Path, variables: dict[str, np.ndarray], message: str
) -> None:
    write_binarized(tmp_path, test=matlab(tmp_path, **variables))
    with pytest.raises(ValueError, match=message):
        load_dataset("binarized-mnist", data_dir=tmp_path)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_matlab_files_read_as_scipy_wrote_them(
    tmp_path: Path, dtype: str, compressed: bool
) -> None:
    matrix = np.arange(42).reshape(6, 7).astype(dtype)
    matrices = {"a": matrix, "long_name": matrix[:, :1]}
    variables = {**matrices, "z": matrix + 1j, "text": "text"}
    scipy.io.savemat(tmp_path / "a.mat", variables, do_compression=compressed)
    parsed = parse_matlab((tmp_path / "a.mat").read_bytes())
    assert parsed.keys() == variables.keys()
    assert parsed["z"] is None
    assert parsed["text"] is None
    for name, expected in matrices.items():
        values = parsed[name]
        assert values is not None
        assert values.dtype == matrix.dtype
        assert np.array_equal(values, expected)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("rows", "message"), [(12, None), (-1, "variable 'X' has shape")])
def test_matlab_files_in_either_byte_order(
    tmp_path: Path, order: str, rows: int, message: str | None
) -> None:
    def element(kind: int, data: bytes) -> bytes:
        return struct.pack(f"{order}II", kind, len(data)) + data + bytes(-len(data) % 8)

    parts = element(6, struct.pack(f"{order}II", 6, 0))
    parts += element(5, struct.pack(f"{order}ii", rows, 784)) + element(1, b"X")
    parts += element(4, np.ones(12 * 784, f"{order}u2").tobytes())
    mark = b"IM" if order == "<" else b"MI"
    content = b"MATLAB 5.0".ljust(126) + mark + element(1, b"skipped") + element(14, parts)
    write_binarized(tmp_path, test=content)
    if message is None:
        assert load_dataset("binarized-mnist", data_dir=tmp_path).test.shape == (12, 784)
    else:
        with pytest.raises(ValueError, match=message):
            load_dataset("binarized-mnist", data_dir=tmp_path)


@pytest.mark.parametrize("keep", [20, 127, 130, 180, 900])
def test_a_matlab_file_cut_short(tmp_path: Path, keep: int) -> None:
    write_binarized(tmp_path, test=matlab(tmp_path, X=np.eye(784))[:keep])
    with pytest.raises(ValueError, match=r"test.amat can't be read: it is cut short, damaged or"):
        load_dataset("binarized-mnist", data_dir=tmp_path)


def test_no_damage_does_more_than_raise(tmp_path: Path) -> None:
    """Flipped bytes in each format either pass unseen or raise a ValueError that names the file."""
    random = np.random.RandomState(0)
    array = np.eye(12)
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", x=array)
    scipy.io.savemat(tmp_path / "a.mat", {"X": array})
    (tmp_path / "a.idx").write_bytes(gzip.compress(idx(np.zeros((4, 2, 2), np.uint8))))
    readers: dict[str, Callable[[Path], object]] = {
        "a.npy": lambda path: read_numpy(path, None),
        "a.npz": lambda path: read_numpy(path, None),
        "a.mat": read_amat,
        "a.idx": read_idx_images,
    }
    refused: dict[str, list[str]] = {name: [] for name in readers}
    for name, read in readers.items():
        path, whole = tmp_path / name, (tmp_path / name).read_bytes()
        for _ in range(150):
            damaged = bytearray(whole)
            damaged[random.randint(min(len(whole), 250))] ^= 1 << random.randint(8)
            path.write_bytes(damaged)
            try:
                read(path)
            except ValueError as error:
                refused[name].append(str(error))
    for name, messages in refused.items():
        assert len(messages) > 10
        assert all(name in message for message in messages)


# Bad arrays.


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 4)), r"type float64 and shape \(0, 4\), expected numbers of shape \(rows"),
        (np.zeros((12, 0)), r"shape \(12, 0\)"),
        (np.zeros(12), r"shape \(12,\)"),
        (np.full((12, 2), "a"), r"array of type <U1"),
        (np.zeros((12, 2), dtype=complex), r"array of type complex128"),
        (np.zeros((9, 2)), r"holds 9 rows, expected at least 10"),
        (np.full((12, 2), 1e300), r"24 of 24 values are NaN, infinite or too large for float32"),
    ],
)
def test_an_array_that_is_no_table(tmp_path: Path, array: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_dataset(save(tmp_path / "a.npy", array))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_located(tmp_path: Path, bad: float) -> None:
    array = np.zeros((30, 4))
    array[17, 2] = bad
    with pytest.raises(ValueError, match=r"a.npy: 1 of 120 values are NaN.* first in row 17 "):
        load_dataset(save(tmp_path / "a.npy", array))
    np.savez(tmp_path / "b.npz", train=np.eye(4), valid=array, test=np.eye(4))
    with pytest.raises(ValueError, match=r"b.npz, valid: 1 of 120 values .* first in row 17 "):
        load_dataset(tmp_path / "b.npz")


def test_objects_are_refused_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}] * 12), allow_pickle=True)
    (tmp_path / "b.npy").write_bytes(pickle.dumps([1, 2]))
    np.savez(tmp_path / "c.npz", x=np.array([{}] * 12))
    for name in ("a.npy", "b.npy", "c.npz"):
        with pytest.raises(
            ValueError, match=rf"{name} holds Python objects .* nothing is ever unpickled"
        ):
            load_dataset(tmp_path / name)


@pytest.mark.parametrize("keep", [0, 3, 60, 500])
def test_a_npy_cut_short(tmp_path: Path, keep: int) -> None:
    path = save(tmp_path / "a.npy", np.eye(12))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"a.npy (can't be read: it is cut short|holds Python ob)"):
        load_dataset(path)


def test_an_npz_cut_short(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.eye(12))
    path = tmp_path / "a.npz"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"a.npz can't be read: .*BadZipFile"):
        load_dataset(path)


def test_an_npz_that_leaves_the_choice_open(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train=np.eye(12), test=np.eye(12))
    message = r"holds 2 arrays: train, test. Expected one, or one a split, named train, valid, test"
    with pytest.raises(ValueError, match=message):
        load_dataset(tmp_path / "a.npz")


def test_an_npz_without_the_named_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.eye(12), y=np.eye(12))
    with pytest.raises(ValueError, match=r"a.npz has no array 'z': it holds x, y. Name one"):
        load_dataset(tmp_path / "a.npz", column="z")


def test_an_npz_with_nothing_or_something_else_in_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w"):
        pass
    with pytest.raises(ValueError, match=r"holds 0 arrays: none at all"):
        load_dataset(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(ValueError, match=r"its member 'notes.txt' is no array"):
        load_dataset(tmp_path / "a.npz")


def test_a_column_of_a_npy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is a .npy file, .* column 'x' can't be looked up"):
        load_dataset(save(tmp_path / "a.npy", np.eye(12)), column="x")


def test_splits_that_do_not_belong_together(tmp_path: Path) -> None:
    bits = np.ones((12, 4), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", train=bits, valid=bits / 2, test=bits)
    with pytest.raises(ValueError, match=r"the splits have types float64, uint8, expected uint8"):
        load_dataset(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", train=bits, valid=bits, test=bits[:, :3])
    with pytest.raises(ValueError, match=r"have shapes \(4,\), \(4,\), \(3,\), expected the same"):
        load_dataset(tmp_path / "a.npz")


# A data set made by hand.


@pytest.mark.parametrize(
    ("valid", "message"),
    [
        (torch.zeros(3, 4, dtype=torch.float64), r"mine: valid is torch.float64 of shape \(3, 4\)"),
        (torch.zeros(3, 5), r"shape \(3, 5\), expected torch.float32 of shape \(rows, 4\)"),
        (torch.zeros(3, 2, 2), r"Convert and flatten the rows"),
        (torch.zeros(0, 4), r"mine: valid of shape \(0, 4\) is empty"),
    ],
)
def test_a_data_set_checks_its_splits(valid: torch.Tensor, message: str) -> None:
    good = torch.zeros(3, 4)
    with pytest.raises(ValueError, match=message):
        Dataset("mine", good, valid, good, (2, 2), False, "mine")


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
        (torch.zeros(3, 1), 0, r"batch_size is 0, expected at least 1"),
        (torch.zeros(0, 4), 5, r"shape \(0, 4\), expected \(rows, ...\) with at least one row"),
        (torch.tensor(1.0), 5, r"the data have shape \(\)"),
    ],
)
def test_batches_of_nothing(data: torch.Tensor, batch_size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        iterate_batches(data, batch_size, generator=None, shuffle=True)
