"""Checkpoints: all that training needs to go on, in one file with a checksum.

Tensors and JSON: nothing is unpickled. What a checkpoint says is compared with what the run's
configuration makes before any of it is used, since torch's optimisers write where a state's shape
tells them to.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hotgrad.tensor_files import read_tensors, write_tensors
from hotgrad.vae.run import METRICS, Row
from hotgrad.vae.validation import check_finite, check_tensors

PREFIX = "trainee."
"""Of the objective's tensors in the file."""


@dataclass(frozen=True)
class Checkpoint:
    """After `epoch` whole epochs. Randomness needs no state: every epoch seeds its own streams."""

    epoch: int
    step: int
    rows: list[Row]
    settings: dict[str, Any]
    """What the run was trained with, which config.json may no longer say."""
    tensors: dict[str, Tensor]
    """`trainee.NAME` of all parameters and buffers, `optimizer.KEY.NAME` of its averages."""

    @property
    def objective(self) -> dict[str, Tensor]:
        """The state of the model and its estimator."""
        return _under(PREFIX, self.tensors)

    @property
    def model(self) -> dict[str, Tensor]:
        """The state of the model alone."""
        return _under("model.", self.objective)


def state_tensors(objective: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of both, as a checkpoint names it."""
    names = [name for name, _ in objective.named_parameters()]
    tensors = {PREFIX + name: tensor for name, tensor in objective.state_dict().items()}
    for index, averages in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{key}.{names[index]}": its for key, its in averages.items()}
    return tensors


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file at `path`."""
    said = {key: getattr(checkpoint, key) for key in ("epoch", "step", "rows", "settings")}
    write_tensors(path, checkpoint.tensors, json.dumps(said))


def load_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint at `path`, on the CPU.

    Raises:
        ValueError: it is damaged, cut short, not a checkpoint, or holds weights that aren't finite.
    """
    tensors, text = read_tensors(path)
    try:
        checkpoint = Checkpoint(**json.loads(text), tensors=tensors)
        sound = _is_sound(checkpoint)
    except (ValueError, TypeError, RecursionError):
        sound = False
    if not sound:
        raise ValueError(
            f"{path} is not a checkpoint of a run: expected its epoch, step, rows and settings "
            "beside the tensors. Start again in another folder."
        )
    check_finite(path, checkpoint.objective)
    return checkpoint


def restore(
    checkpoint: Checkpoint,
    path: Path,
    objective: nn.Module,
    optimizer: torch.optim.Optimizer,
    averages: tuple[str, ...],
) -> None:
    """Put a checkpoint's state back.

    Args:
        checkpoint: as read from `path`.
        path: for messages.
        objective: as its configuration makes it.
        optimizer: of its parameters; its settings stay as they are.
        averages: what it keeps of each parameter: tensors of that shape, and the scalar `step`.

    Raises:
        ValueError: a tensor is missing, or has another name, shape or dtype, or a count of steps is
            impossible; nothing was copied.
    """
    tensors = checkpoint.tensors
    expected = {PREFIX + name: tensor for name, tensor in objective.state_dict().items()}
    scalar = torch.zeros((), dtype=torch.float32)
    state = {}
    for index, (name, parameter) in enumerate(objective.named_parameters()):
        names = {key: f"optimizer.{key}.{name}" for key in averages}
        # a parameter that never had a gradient has no averages
        if tensors.keys().isdisjoint(names.values()):
            continue
        expected |= {at: scalar if key == "step" else parameter for key, at in names.items()}
        state[index] = {key: tensors.get(at) for key, at in names.items()}
    check_tensors(path, tensors, expected)
    for name, count in _under("optimizer.step.", tensors).items():
        if not 0 <= count.item() <= checkpoint.step:
            raise ValueError(
                f"{path} counts {count.item():g} steps of {name}, expected at most "
                f"{checkpoint.step}. Start again in another folder."
            )
    objective.load_state_dict(checkpoint.objective)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _under(start: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(start) :]: its for name, its in tensors.items() if name.startswith(start)}


def _is_sound(checkpoint: Checkpoint) -> bool:
    """Whether what stands beside the tensors has the right types and fits together."""
    return (
        all(type(count) is int and count > 0 for count in (checkpoint.epoch, checkpoint.step))
        and isinstance(checkpoint.settings, dict)
        and isinstance(checkpoint.rows, list)
        and len(checkpoint.rows) == 2 * checkpoint.epoch
        and all(isinstance(row, dict) and _is_row(row) for row in checkpoint.rows)
    )


def _is_row(row: Mapping[str, Any]) -> bool:
    values = dict(row)
    if values.get("temperature") == "":
        values["temperature"] = 0.0
    return (
        tuple(row) == METRICS
        and values.pop("split") in ("train", "valid")
        and all(
            type(value) is float or (type(value) is int and abs(value) <= sys.maxsize)
            for value in values.values()
        )
    )
