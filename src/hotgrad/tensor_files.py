"""Named tensors in one safetensors file, with a digest of all that it holds.

Storage and copying flip bits, and safetensors has no checksum: numbers that changed would load
without a word. The digest covers names, shapes, dtypes, values and the text beside them. Needs
safetensors.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from hotgrad.files import written_whole

ENTRY = "hotgrad"
"""Of the file's metadata, the only one: safetensors writes several in any order, and what is equal
should be so byte for byte."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], text: str = "") -> None:
    """Writes the file, whole or not at all.

    Args:
        path: of the file.
        tensors: on any device; of those that share memory each is written.
        text: kept beside them.

    Raises:
        OSError: it can't be written.
    """
    copies = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in tensors.items()}
    content = safetensors.torch.save(copies, {ENTRY: f"{_digest(copies, text)} {text}"})
    with written_whole(path) as draft:
        draft.write_bytes(content)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors that `write_tensors` wrote, on the CPU, and the text beside them.

    Raises:
        ValueError: there is no such file, it is damaged, or another program wrote it.
        OSError: it can't be read.
    """
    if not path.is_file():
        raise ValueError(f"There is no file {path}.")
    try:
        # opened twice, since safetensors' own error names no file that it may not read
        with path.open("rb"), safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # copies, since the file may be replaced while they are used
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{path} is damaged, cut short, or no safetensors file: {error}."
        ) from error
    digest, _, text = metadata.get(ENTRY, "").partition(" ")
    if not digest:
        raise ValueError(
            f"{path} has no checksum: it is damaged, or this version of hotgrad didn't write it."
        )
    if digest != _digest(tensors, text):
        raise ValueError(
            f"{path} is damaged: its content doesn't agree with its checksum. Use a copy that is "
            "whole, or make it again."
        )
    return tensors, text


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    whole = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        whole.update(f"{name!r} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        # as bytes, which every dtype has; a tensor without elements has no such view
        if tensor.numel():
            whole.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    whole.update(text.encode())
    return whole.hexdigest()
