"""A file of tensors gives back what was written, or is refused: no bit of it may change."""

import random
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from hotgrad.tensor_files import read_tensors, write_tensors


def _tensors() -> dict[str, Tensor]:
    shared = torch.arange(6.0)
    return {
        "weights": torch.randn(3, 4),
        "half": torch.randn(5, dtype=torch.bfloat16),
        "flags": torch.tensor([True, False]),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
        "empty": torch.empty(0, 3),
        "rows": shared.view(2, 3),
        "transposed": shared.view(2, 3).T,
    }


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    written = _tensors()
    write_tensors(tmp_path / "a.safetensors", written, "a text, né")
    read, text = read_tensors(tmp_path / "a.safetensors")
    assert text == "a text, né"
    assert set(read) == set(written)
    for name, tensor in written.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)


def test_no_flip_of_a_bit_is_read_as_other_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, _tensors(), "text")
    whole = path.read_bytes()
    written, _ = read_tensors(path)
    draws = random.Random(0)
    accepted = unnamed = 0
    for _ in range(400):
        place = draws.randrange(8 * len(whole))
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(bytes(flipped))
        try:
            read, text = read_tensors(path)
        except ValueError as error:
            unnamed += str(path) not in str(error)
            continue
        # blanks of the header's padding mean nothing
        accepted += 1
        assert text == "text"
        assert all(torch.equal(read[name], written[name]) for name in written)
    assert accepted < 20
    assert unnamed == 0


def test_a_file_without_a_checksum_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file({"weights": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=r"a\.safetensors has no checksum"):
        read_tensors(path)
    with pytest.raises(ValueError, match=r"There is no file .*b\.safetensors"):
        read_tensors(tmp_path / "b.safetensors")
    path.write_bytes(b"half")
    with pytest.raises(ValueError, match="damaged, cut short, or no safetensors file"):
        read_tensors(path)
