"""A file of tensors gives back what was written, or is refused: no bit of it may change."""

import os
from pathlib import Path

import pytest
import safetensors.torch
import torch
from flips import flips
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


def test_equal_tensors_make_equal_files(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.safetensors" for number in range(8)]
    for path in paths:
        write_tensors(path, {"a": torch.arange(3.0), "b": torch.zeros(2)}, "text")
    assert len({path.read_bytes() for path in paths}) == 1


def test_no_flip_of_a_bit_is_read_as_other_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, _tensors(), "text")
    whole = path.read_bytes()
    written, _ = read_tensors(path)
    accepted, messages = 0, []
    for damaged in flips(whole, 400):
        path.write_bytes(damaged)
        try:
            read, text = read_tensors(path)
        except ValueError as error:
            messages.append(str(error))
            continue
        # blanks of the header's padding mean nothing
        accepted += 1
        assert text == "text"
        assert all(torch.equal(read[name], written[name]) for name in written)
    assert accepted < 20
    assert all(str(path) in message for message in messages)


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


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, {})
    path.chmod(0)
    with pytest.raises(PermissionError) as caught:
        read_tensors(path)
    assert caught.value.filename == str(path)
