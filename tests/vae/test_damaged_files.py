"""What each kind of damaged idx or amat file is told, and that no damage does more."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from data_files import (
    idx,
    matlab,
    write_binarized,
    write_mnist,
)

from hotgrad.vae.data import load_dataset
from hotgrad.vae.matlab_files import parse_matlab
from hotgrad.vae.numpy_files import read_numpy
from hotgrad.vae.picture_files import read_amat, read_idx_images

# Damaged idx files.


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(np.zeros((4, 2, 2), np.uint8))[:-3], r"cut short: .* 4 x 2 x 2 = 16 bytes.* 13 follo"),
        (
            idx(np.zeros((4, 2, 2), np.uint8)) + b"\0",
            r"longer than it should be: .* and at least 17 follow",
        ),
        (b"\x00\x00\x08\x01" + bytes(20), r"no idx file of images: it starts with 0x00000801"),
        (b"\x00\x00\x08\x03\x00", r"starts with 0x00000803.* a header of 16 bytes"),
        (b"", r"it starts with 0x, expected 0x00000803"),
        (idx(np.zeros((0, 28, 28), np.uint8)), r"holds no images: its header announces 0 x 28"),
        (gzip.compress(idx(np.zeros((4, 9, 9), np.uint8)), mtime=0)[:-9], r"can't be decompressed"),
        (b"\x1f\x8b" + bytes(30), r"can't be decompressed"),
        (gzip.compress(bytes(64), mtime=0)[:12] + b"\xff\xff" + bytes(9), r"can't be decompressed"),
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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"test.amat is empty"),
        (b"0 1 1\n0 1", r"line 2: 3 characters, but the first line has 5"),
        (b"0 1 1\n\n0 2 1\n", r"line 3 starts with b'0 2 1'"),
        (b"0110\n", r"line 1 starts with b'0110'. Expected either a MATLAB v5 file or text"),
        (b"0,1,0\n", r"line 1 starts with b'0,1,0'"),
        (b"\x89HDF\r\n\x1a\n", r"is in MATLAB's format 7.3 \(HDF5\), which isn't read. Expected"),
        (b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n", r"format 7.3 \(HDF5\).*-v7"),
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
