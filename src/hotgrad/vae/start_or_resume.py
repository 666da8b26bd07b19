"""Where a training run begins: in a new folder, or where its last checkpoint ends."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import lightning_fabric
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException

from hotgrad.files import locked
from hotgrad.vae.checkpoint import Checkpoint, load_checkpoint
from hotgrad.vae.config import Config
from hotgrad.vae.data import Dataset
from hotgrad.vae.run import RunFolder
from hotgrad.vae.validation import check_settings


def make_fabric(config: Config) -> lightning_fabric.Fabric:
    """The devices and the precision that a configuration asks for.

    Raises:
        ValueError: this machine hasn't got them.
    """
    try:
        return lightning_fabric.Fabric(
            accelerator=config.accelerator,
            devices=config.devices,
            precision=config.precision,  # type: ignore[arg-type]  # one of CHOICES
        )
    except (RuntimeError, MisconfigurationException) as error:
        raise ValueError(
            f"accelerator={config.accelerator} with devices={config.devices} isn't available on "
            "this machine. Use accelerator=auto or cpu, and devices=1."
        ) from error


@contextmanager
def begun(
    fabric: lightning_fabric.Fabric,
    config: Config,
    path: Path,
    data: Dataset,
    *,
    resume: bool,
) -> Iterator[RunFolder]:
    """A new folder, or the one to go on with; made and held by one process, for all.

    Raises:
        ValueError: it is there already; with `resume`: it isn't, another process trains in it, or
            it was started with other settings or other data.
    """
    folder = RunFolder(path)
    if resume:
        folder = RunFolder.open(path)
    elif fabric.is_global_zero:
        folder = RunFolder.create(path, config, data)
    with locked(path) if fabric.is_global_zero else nullcontext():
        fabric.barrier()
        if resume:
            _check_same(folder, config, data)
            if fabric.device.type == "cpu":
                _compare_threads(folder)
        yield folder


def last_checkpoint(
    folder: RunFolder, settings: dict[str, Any], data: Dataset, steps: int
) -> Checkpoint | None:
    """Where the run stands; None where no epoch was finished.

    Args:
        folder: of the run.
        settings: of the run, as `run_settings` gives them.
        data: of the run, wherever they are now.
        steps: how many there are in an epoch.

    Raises:
        ValueError: the checkpoint is damaged, or doesn't belong to this run.
    """
    file = folder.checkpoint_file
    if not file.is_file():
        return None
    found = load_checkpoint(file)
    kept = {name: value for name, value in found.settings.items() if name not in data.origin}
    check_settings(file, kept, settings)
    epochs = settings["epochs"]
    if found.epoch > epochs or found.step != found.epoch * steps:
        raise ValueError(
            f"{file} stands after {found.step} steps in {found.epoch} epochs, expected at most "
            f"{epochs} epochs of {steps} steps. Are the data the same, and as many devices?"
        )
    return found


def _check_same(folder: RunFolder, config: Config, data: Dataset) -> None:
    stored, stored_shape = folder.read_config()
    # wherever the data are now, they must be the same
    if changed := [
        name
        for name, value in stored.to_dict().items()
        if value != getattr(config, name) and name not in data.origin
    ]:
        raise ValueError(
            f"{folder.path} was started with other settings ({', '.join(changed)}); "
            "a resumed run keeps those it was started with. Leave them out, or start a new run."
        )
    if stored_shape != data.shape:
        raise ValueError(
            f"{folder.path} was trained on items of shape {stored_shape}, the data has "
            f"{data.shape}."
        )
    if change := folder.change_of(data):
        raise ValueError(
            f"{folder.path} was started with other data than those in {data.source}: {change}. A "
            "resumed run needs the same. Put them back (--data), or start a new run."
        )


def _compare_threads(folder: RunFolder) -> None:
    threads, now = folder.read_threads(), torch.get_num_threads()
    if threads not in (None, now):
        warnings.warn(
            f"{folder.path} was started with {threads} threads and goes on with {now}, which add "
            "up in another order: its weights may differ in the last digits from those of a run "
            f"that wasn't interrupted. Set OMP_NUM_THREADS={threads} to keep them.",
            stacklevel=5,
        )
