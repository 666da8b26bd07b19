"""Training: one loop on Lightning Fabric, which brings devices, precision and several machines.

A run is a function of its configuration. Each epoch draws its order and its noise from streams
seeded by (seed, epoch), and a checkpoint closes each epoch; so a run that was killed goes on to the
very same weights.
"""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import lightning_fabric
import numpy as np
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from hotgrad.vae.bound import elbo
from hotgrad.vae.checkpoint import Checkpoint, load_checkpoint, restore, save_checkpoint
from hotgrad.vae.config import Config
from hotgrad.vae.data import Dataset, iterate_batches, load_dataset
from hotgrad.vae.events import open_writer, write_rows
from hotgrad.vae.inputs import check_fits, corrupt, make_targets
from hotgrad.vae.model import VAE
from hotgrad.vae.run import Row, RunFolder
from hotgrad.vae.trainee import build_trainee

VALIDATION_BATCH = 1000


class Progress(NamedTuple):
    """Where training stands, given to a listener after every step."""

    epoch: int
    epochs: int
    step: int
    total_steps: int
    elbo: float
    temperature: float | None
    """The estimator's, scheduled or learnt; None where it has none."""


class NonFiniteLossError(ValueError):
    """The loss became NaN or infinite; the run's last good checkpoint is kept."""


def train(
    config: Config,
    out: str | Path,
    *,
    resume: bool = False,
    dataset: Dataset | None = None,
    listener: Callable[[Progress], None] = lambda progress: None,
    tensorboard: bool = False,
) -> VAE:
    """Train the autoencoder that `config` describes and leave the run in the folder `out`.

    Args:
        config: the run; with `resume` it must be the one that the folder holds.
        out: a folder that doesn't exist yet, or an unfinished run with `resume`.
        resume: go on from the folder's last checkpoint.
        dataset: in place of the one that `config.data` names.
        listener: called after every step.
        tensorboard: write TensorBoard's events too.

    Returns:
        The trained model, in evaluation mode.

    Raises:
        ValueError: the folder exists (or doesn't, with `resume`), the data is missing or doesn't
            fit, or the accelerator isn't there.
        NonFiniteLossError: the loss became NaN or infinite.
    """
    fabric = _make_fabric(config)
    fabric.launch()
    data = dataset or load_dataset(config.data, data_dir=config.data_dir, column=config.column)
    check_fits(data, config)
    trainee, optimizer = fabric.setup(*build_trainee(config, data.shape))
    folder = _open_folder(fabric, config, Path(out), data.shape, resume)
    start = Checkpoint(epoch=0, step=0, trainee={}, optimizer={}, rows=[])
    if folder.checkpoint_file.is_file():
        start = load_checkpoint(folder.checkpoint_file, fabric.device)
        restore(start, folder.checkpoint_file, trainee, optimizer)
    rows, step = start["rows"], start["step"]
    batch_size = config.batch_size * fabric.world_size
    # a last batch that has fewer items than there are processes is left out
    total_steps = (len(data.train) + batch_size - fabric.world_size) // batch_size * config.epochs
    schedule = config.make_schedule(total_steps)
    dtype = next(trainee.parameters()).dtype
    train_data, valid_data = (part.to(fabric.device, dtype) for part in (data.train, data.valid))
    writer = (
        open_writer(folder.path / "tensorboard") if tensorboard and fabric.is_global_zero else None
    )
    if rows and fabric.is_global_zero:
        # what a kill may have kept from being written
        folder.write_metrics(rows)
        if writer is not None:
            write_rows(writer, rows)

    for epoch in range(start["epoch"], config.epochs):
        began = time.perf_counter()
        order = _stream("order", config.seed, epoch)
        noise = _stream("noise", config.seed, epoch, fabric.global_rank, device=fabric.device)
        sums = np.zeros(3)
        trainee.train()
        for batch in iterate_batches(train_data, batch_size, generator=order, shuffle=True):
            if len(batch) < fabric.world_size:
                continue
            mine = batch[fabric.global_rank :: fabric.world_size]
            target = make_targets(mine, config.targets, noise)
            visible = corrupt(target, config.corruption, config.corruption_level, noise)
            scheduled = schedule(step)
            temperature = trainee.module.temperature(scheduled)
            reconstruction, kl = trainee(visible, target, scheduled, noise)
            loss = (kl - reconstruction) / len(target)
            if not math.isfinite(bound := -loss.item()):
                what = f"the loss is {-bound} at step {step + 1}"
                raise _non_finite(folder, config, data.shape, what)
            optimizer.zero_grad()
            fabric.backward(loss)
            optimizer.step()
            sums += (reconstruction.item(), kl.item(), len(target))
            step += 1
            if fabric.is_global_zero:
                listener(Progress(epoch, config.epochs, step, total_steps, bound, temperature))
        # float32, which every device has
        everywhere = torch.tensor(sums, dtype=torch.float32, device=fabric.device)
        totals = torch.as_tensor(fabric.all_reduce(everywhere, reduce_op="sum"))
        means = (totals[:2] / totals[2]).tolist()
        checked = _validate(trainee.module.model, valid_data, config)
        if not math.isfinite(sum(checked)):
            what = f"the validation bound is {sum(checked)} after step {step}"
            raise _non_finite(folder, config, data.shape, what)
        seconds = time.perf_counter() - began
        for split, terms_of_split in (("train", means), ("valid", checked)):
            rows.append(_row(step, epoch + 1, split, terms_of_split, temperature, seconds))
        if fabric.is_global_zero:
            _close_epoch(folder, trainee, optimizer, rows, epoch + 1, step)
        if writer is not None:
            write_rows(writer, rows[-2:])

    if writer is not None:
        writer.close()
    model: VAE = trainee.module.model
    if fabric.is_global_zero:
        folder.write_model(model)
    fabric.barrier()
    return model.eval()


def _make_fabric(config: Config) -> lightning_fabric.Fabric:
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


def _open_folder(
    fabric: lightning_fabric.Fabric,
    config: Config,
    path: Path,
    shape: tuple[int, ...],
    resume: bool,
) -> RunFolder:
    """A new folder, or the one to go on with; made by one process, for all."""
    if not resume:
        folder = RunFolder.create(path, config, shape) if fabric.is_global_zero else RunFolder(path)
        fabric.barrier()
        return folder
    folder = RunFolder.open(path)
    stored, stored_shape = folder.read_config()
    if stored != config:
        changed = [key for key, value in stored.to_dict().items() if value != config.to_dict()[key]]
        raise ValueError(
            f"{path} was started with other settings ({', '.join(changed)}); "
            "a resumed run keeps those it was started with. Leave them out, or start a new run."
        )
    if stored_shape != shape:
        raise ValueError(
            f"{path} was trained on items of shape {stored_shape}, the data has {shape}."
        )
    return folder


def _stream(purpose: str, *numbers: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose seed depends on nothing but these words."""
    digest = hashlib.blake2b(repr((purpose, numbers)).encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest) >> 1)


@torch.no_grad()
def _validate(model: VAE, data: Tensor, config: Config) -> tuple[float, float]:
    """Mean reconstruction and KL with hard samples; always the same noise, so epochs compare."""
    model.eval()
    noise = _stream("validation", config.seed, device=data.device)
    sums = torch.zeros(2, dtype=torch.float64)
    for x in iterate_batches(data, VALIDATION_BATCH, generator=None, shuffle=False):
        target = make_targets(x, config.targets, noise)
        terms = elbo(model, target, generator=noise)
        sums += torch.stack([terms.reconstruction.sum(), terms.kl.sum()]).cpu().double()
    reconstruction, kl = (sums / len(data)).tolist()
    return reconstruction, kl


def _row(
    step: int,
    epoch: int,
    split: str,
    terms: Sequence[float],
    temperature: float | None,
    seconds: float,
) -> Row:
    reconstruction, kl = terms
    return {
        "step": step,
        "epoch": epoch,
        "split": split,
        "elbo": reconstruction - kl,
        "reconstruction": reconstruction,
        "kl": kl,
        "temperature": "" if temperature is None else temperature,
        "seconds": round(seconds, 3),
    }


def _close_epoch(
    folder: RunFolder,
    trainee: nn.Module,
    optimizer: torch.optim.Optimizer,
    rows: list[Row],
    epoch: int,
    step: int,
) -> None:
    """The checkpoint holds the metrics too: metrics.csv may lag behind it by a kill."""
    checkpoint = Checkpoint(
        epoch=epoch,
        step=step,
        trainee=trainee.state_dict(),
        optimizer=optimizer.state_dict(),
        rows=rows,
    )
    save_checkpoint(folder.checkpoint_file, checkpoint)
    folder.write_metrics(rows)


def _non_finite(
    folder: RunFolder, config: Config, shape: tuple[int, ...], what: str
) -> NonFiniteLossError:
    """Leave the last good model behind, and say so."""
    advice = "Lower --learning-rate, raise --min-temperature, or look at the data."
    if not folder.checkpoint_file.is_file():
        return NonFiniteLossError(
            f"Training stopped: {what}, in the first epoch; there is no checkpoint yet. {advice}"
        )
    checkpoint = load_checkpoint(folder.checkpoint_file, torch.device("cpu"))
    trainee, _ = build_trainee(config, shape)
    trainee.load_state_dict(checkpoint["trainee"])
    folder.write_model(trainee.model)
    return NonFiniteLossError(
        f"Training stopped: {what}. The last good checkpoint, after epoch {checkpoint['epoch']}, "
        f"is kept and written to {folder.model_file}. {advice}"
    )
