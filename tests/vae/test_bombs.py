"""Small files that unpack to huge ones: no more is unpacked than announced, nor than fits."""

import gzip
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from data_files import idx, write_binarized, write_mnist

from hotgrad.memory import free_memory
from hotgrad.vae import file_reading
from hotgrad.vae.data import load_dataset
from hotgrad.vae.numpy_files import read_numpy
from hotgrad.vae.picture_files import read_amat, read_idx_images

HUGE = 20_000_000
"""Bytes that a bomb unpacks to, from about 20 kB; where none are unpacked, a tenth is not used."""


def header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def npz(path: Path, content: bytes, kind: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("x.npy", content)
    return path


def packed_idx(path: Path) -> None:
    path.write_bytes(gzip.compress(idx(np.zeros((4, 2, 2), np.uint8)) + bytes(HUGE)))


def packed_npz(path: Path) -> None:
    npz(path, header((4, 4)) + bytes(HUGE))


def packed_npz_header(path: Path) -> None:
    npz(path, b"\x93NUMPY\x02\x00" + struct.pack("<I", HUGE) + b" " * HUGE)


def packed_matlab(path: Path) -> None:
    element = zlib.compress(struct.pack("<II", 14, 16) + bytes(HUGE))
    start = b"MATLAB 5.0".ljust(126) + b"IM"
    path.write_bytes(start + struct.pack("<II", 15, len(element)) + element)


LYING: list[tuple[Callable[[Path], None], Callable[[Path], object], str]] = [
    (packed_idx, read_idx_images, r"longer than .*16 bytes of images, and at least 17 follow"),
    (packed_npz, lambda p: read_numpy(p, None), "header announces 16 bytes, and 20,000,000 follow"),
    (packed_npz_header, lambda p: read_numpy(p, None), "header takes 20,000,000 bytes, more than"),
    (packed_matlab, read_amat, "compressed element holds more or less than the announced 16 bytes"),
]


@pytest.mark.parametrize(("write", "read", "message"), LYING)
def test_no_more_is_unpacked_than_announced(
    tmp_path: Path,
    write: Callable[[Path], None],
    read: Callable[[Path], object],
    message: str,
) -> None:
    path = tmp_path / "bomb"
    write(path)
    assert path.stat().st_size < HUGE / 100
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=f"bomb .*{message}"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < HUGE / 10
    finally:
        tracemalloc.stop()


def honest_npy(path: Path) -> None:
    np.save(path, np.zeros((30, 40), np.uint8))


def honest_npz(path: Path) -> None:
    np.savez_compressed(path, x=np.zeros((30, 40), np.uint8))


def honest_idx(path: Path) -> None:
    path.write_bytes(gzip.compress(idx(np.zeros((30, 5, 8), np.uint8))))


def honest_matlab(path: Path) -> None:
    with path.open("wb") as file:
        scipy.io.savemat(file, {"X": np.zeros((30, 40), np.uint8)}, do_compression=True)


HONEST: list[tuple[str, Callable[[Path], None], Callable[[Path], object], str]] = [
    ("a.npy", honest_npy, lambda p: read_numpy(p, None), "30 x 40 values, which take 10 kB"),
    ("a.npz", honest_npz, lambda p: read_numpy(p, None), "30 x 40 values, which take 10 kB"),
    ("a.gz", honest_idx, read_idx_images, "30 x 5 x 8 values, which take 10 kB"),
    ("a.amat", honest_matlab, read_amat, r"[\d,]+ values, which take 1\d kB"),
]


@pytest.mark.parametrize(("name", "write", "read", "message"), HONEST)
def test_what_does_not_fit_in_memory_is_refused_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    write: Callable[[Path], None],
    read: Callable[[Path], object],
    message: str,
) -> None:
    path = tmp_path / name
    write(path)
    read(path)
    monkeypatch.setattr(file_reading, "free_memory", lambda: 9_999)
    with pytest.raises(ValueError, match=rf"{name} announces {message} to read, and 9,999 bytes"):
        read(path)


def test_a_text_that_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_binarized(tmp_path)
    monkeypatch.setattr(file_reading, "free_memory", lambda: 9_999)
    with pytest.raises(ValueError, match=r"test.amat announces 10,990 values, which take 109 kB"):
        read_amat(tmp_path / "binarized_mnist_test.amat")


@pytest.mark.parametrize("shape", [(2**32 - 1, 2**32 - 1, 2**32 - 1), (2**31, 1000, 1000)])
def test_a_header_beyond_any_memory(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    write_mnist(tmp_path)
    start = b"\x00\x00\x08\x03" + struct.pack(">3I", *shape)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(start + bytes(50))
    with pytest.raises(ValueError, match=r"idx3-ubyte announces .* take (more than 10,000|\d+) TB"):
        load_dataset("mnist", data_dir=tmp_path)


def test_a_kind_of_compression_that_cannot_be_bounded(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", header((4, 4)) + bytes(16), zipfile.ZIP_BZIP2)
    with pytest.raises(ValueError, match=r"a.npz can't be read.* as numpy.savez never does"):
        load_dataset(path)


def test_the_free_memory_of_this_machine() -> None:
    assert 2**26 < free_memory() <= 2**63
