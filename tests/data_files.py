"""Data files to read, small and made on the spot, and the folder of the real ones."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

REAL_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


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


def matlab(folder: Path, **variables: np.ndarray) -> bytes:
    scipy.io.savemat(folder / "scratch", variables, appendmat=False)
    return (folder / "scratch").read_bytes()
