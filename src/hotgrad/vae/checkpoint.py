"""Checkpoints: all that training needs to go on, in one file, written whole or not at all."""

from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import nn

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
    except Exception as error:
        # bytes at random make torch's readers fail in any way; all mean the same to the user
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"{path} is damaged or cut short ({reason}). Training can't go on from it; "
            "start again in another folder."
        ) from error
    if not isinstance(checkpoint, dict) or set(checkpoint) != Checkpoint.__required_keys__:
        raise ValueError(
            f"{path} is not a checkpoint of a run: expected a dictionary of "
            f"{', '.join(sorted(Checkpoint.__required_keys__))}. Start again in another folder."
        )
    return checkpoint  # type: ignore[return-value]


def restore(
    checkpoint: Checkpoint, path: Path, trainee: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Put a checkpoint's state back.

    Raises:
        ValueError: it is of another model.
    """
    try:
        trainee.load_state_dict(checkpoint["trainee"])
        optimizer.load_state_dict(checkpoint["optimizer"])
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} doesn't fit the run's configuration: it is of another model. "
            "Start again in another folder."
        ) from error
