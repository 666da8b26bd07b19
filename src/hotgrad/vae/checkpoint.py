"""Checkpoints: all that training needs to go on, in one file that is written whole or not at all."""

import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypedDict

import torch

from hotgrad.files import written_whole
from hotgrad.vae.run import Row


class Checkpoint(TypedDict):
    """After `epoch` whole epochs. Randomness needs no state: every epoch seeds its own streams."""

    epoch: int
    step: int
    trainee: dict[str, Any]
    optimizer: dict[str, Any]
    rows: list[Row]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file at `path`."""
    with written_whole(path) as temporary:
        torch.save(checkpoint, temporary)


def load_checkpoint(path: Path, device: torch.device) -> Checkpoint:
    """The checkpoint at `path`; only tensors and plain values are read.

    Raises:
        ValueError: it is damaged, cut short or not a checkpoint.
    """
    try:
        checkpoint = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, OSError, EOFError, UnpicklingError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is damaged or cut short ({str(error).splitlines()[0]}). Training can't go on from it; "
            "start again in another folder."
        ) from error
    if not isinstance(checkpoint, dict) or set(checkpoint) != Checkpoint.__required_keys__:
        raise ValueError(f"{path} is not a checkpoint of this program.")
    return checkpoint  # type: ignore[return-value]
