"""Training: one loop on Lightning Fabric, which brings devices, precision and several machines.

A run is a function of its configuration. Each epoch draws its order and its noise from streams
seeded by (seed, epoch), and a checkpoint closes each epoch; so a run that was killed goes on to the
very same weights.
"""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import lightning_fabric
import numpy as np
import torch
from torch import Tensor

from hotgrad.files import as_path
from hotgrad.ops.checks import check_flag, check_function, check_instance
from hotgrad.vae.checkpoint import (
    Checkpoint,
    load_checkpoint,
    restore,
    save_checkpoint,
    state_tensors,
)
from hotgrad.vae.config import Config
from hotgrad.vae.data import Dataset, iterate_batches, load_dataset
from hotgrad.vae.evaluation import elbo
from hotgrad.vae.inputs import check_fits, corrupt, located, make_targets
from hotgrad.vae.model import VAE
from hotgrad.vae.objective import AVERAGES, build_objective, check_trainable
from hotgrad.vae.run import Row, RunFolder, run_settings
from hotgrad.vae.start_or_resume import begun, last_checkpoint, make_fabric
from hotgrad.vae.tensorboard import event_file
from hotgrad.vae.validation import not_finite

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
        dataset: in place of the one that `config.data` names. The run's record says so: it names
            the file that `load_dataset` read, or that this is a data set of your own, which later
            commands take as a file (`--data`).
        listener: called after every step.
        tensorboard: write TensorBoard's events too.

    Returns:
        The trained model, in evaluation mode.

    Raises:
        ValueError: the folder exists (or doesn't, with `resume`), the data is missing or doesn't
            fit, or the accelerator isn't there.
        NonFiniteLossError: the loss became NaN or infinite.
    """
    check_instance(config, Config, "config")
    folder_path = as_path(out, "out")
    check_flag(resume, "resume")
    check_flag(tensorboard, "tensorboard")
    check_function(listener, "listener", "a Progress")
    fabric = make_fabric(config)
    fabric.launch()
    if dataset is None:
        dataset = load_dataset(config.data, data_dir=config.data_dir, column=config.column)
    data, config = dataset, located(config, dataset)
    check_fits(data, config)
    check_trainable(config, data.shape)
    with begun(fabric, config, folder_path, data, resume=resume) as folder:
        run = _Run(fabric, config, folder, data)
        wanted = tensorboard and fabric.is_global_zero
        events = event_file(folder.path / "tensorboard") if wanted else nullcontext(_ignore)
        with events as write_events:
            return run.train(listener, write_events)


def _ignore(rows: list[Row]) -> None:
    pass


class _Run:
    """The model, its optimiser and the data, where the last checkpoint left them."""

    def __init__(
        self, fabric: lightning_fabric.Fabric, config: Config, folder: RunFolder, data: Dataset
    ) -> None:
        self.fabric, self.config, self.folder = fabric, config, folder
        self.settings = run_settings(config, data.shape)
        self.batch_size = config.batch_size * fabric.world_size
        # a last batch that has fewer items than there are processes is left out
        steps = (len(data.train) + self.batch_size - fabric.world_size) // self.batch_size
        self.total_steps = steps * config.epochs
        self.rows: list[Row] = []
        self.epoch = self.step = 0
        start = last_checkpoint(folder, self.settings, data, steps)
        self.objective, self.optimizer = fabric.setup(*build_objective(config, data.shape))
        if start is not None:
            averages = AVERAGES[config.optimizer]
            restore(start, folder.checkpoint_file, self.objective.module, self.optimizer, averages)
            self.rows, self.epoch, self.step = start.rows, start.epoch, start.step
        self.schedule = config.make_schedule(self.total_steps)
        dtype = next(self.objective.parameters()).dtype
        self.train_data = data.train.to(fabric.device, dtype)
        self.valid_data = data.valid.to(fabric.device, dtype)

    def train(
        self, listener: Callable[[Progress], None], write_events: Callable[[list[Row]], None]
    ) -> VAE:
        """All epochs that are left; the trained model, in evaluation mode."""
        first = self.fabric.is_global_zero
        if self.rows and first:
            # what a kill may have kept from being written
            self.folder.write_metrics(self.rows)
            write_events(self.rows)
        while self.epoch < self.config.epochs:
            began = time.perf_counter()
            means, temperature = self._train_epoch(listener if first else lambda progress: None)
            checked = self._validated()
            self.epoch += 1
            seconds = time.perf_counter() - began
            for split, terms in (("train", means), ("valid", checked)):
                self.rows.append(_row(self.step, self.epoch, split, terms, temperature, seconds))
            if first:
                self._write_checkpoint()
                write_events(self.rows[-2:])
        model: VAE = self.objective.module.model
        if first:
            self.folder.write_model(model.state_dict(), self.settings)
        self.fabric.barrier()
        return model.eval()

    def _train_epoch(
        self, listener: Callable[[Progress], None]
    ) -> tuple[list[float], float | None]:
        """Mean reconstruction and KL of an epoch's steps, and its last temperature."""
        fabric, config = self.fabric, self.config
        order = _stream("order", config.seed, self.epoch)
        noise = _stream("noise", config.seed, self.epoch, fabric.global_rank, device=fabric.device)
        sums = np.zeros(3)
        temperature = None
        self.objective.train()
        for batch in iterate_batches(
            self.train_data, self.batch_size, generator=order, shuffle=True
        ):
            if len(batch) < fabric.world_size:
                continue
            mine = batch[fabric.global_rank :: fabric.world_size]
            target = make_targets(mine, config.targets, noise)
            visible = corrupt(target, config.corruption, config.corruption_level, noise)
            scheduled = self.schedule(self.step)
            temperature = self.objective.module.temperature(scheduled)
            reconstruction, kl = self.objective(visible, target, scheduled, noise)
            loss = (kl - reconstruction) / len(target)
            if not math.isfinite(bound := -loss.item()):
                raise self._non_finite(f"the loss is {-bound} at step {self.step + 1}")
            self.optimizer.zero_grad()
            fabric.backward(loss)
            self.optimizer.step()
            sums += (reconstruction.item(), kl.item(), len(target))
            self.step += 1
            listener(
                Progress(self.epoch, config.epochs, self.step, self.total_steps, bound, temperature)
            )
        # float32, which every device has
        everywhere = torch.tensor(sums, dtype=torch.float32, device=fabric.device)
        totals = torch.as_tensor(fabric.all_reduce(everywhere, reduce_op="sum"))
        return (totals[:2] / totals[2]).tolist(), temperature

    def _validated(self) -> tuple[float, float]:
        """What validation gives; the weights are fit to be kept."""
        terms = _validate(self.objective.module.model, self.valid_data, self.config)
        if not math.isfinite(sum(terms)):
            raise self._non_finite(f"the validation bound is {sum(terms)} after step {self.step}")
        # such as a critic's, on which the bound doesn't depend
        if bad := not_finite(self.objective.module.state_dict()):
            raise self._non_finite(f"{bad} isn't finite after step {self.step}")
        return terms

    def _write_checkpoint(self) -> None:
        """The checkpoint holds the metrics too: metrics.csv may lag behind it by a kill."""
        tensors = state_tensors(self.objective.module, self.optimizer)
        checkpoint = Checkpoint(self.epoch, self.step, self.rows, self.settings, tensors)
        save_checkpoint(self.folder.checkpoint_file, checkpoint)
        self.folder.write_metrics(self.rows)

    def _non_finite(self, what: str) -> NonFiniteLossError:
        """Leave the last good model behind, and say so."""
        advice = "Lower --learning-rate, raise --min-temperature, or look at the data."
        if not self.folder.checkpoint_file.is_file():
            return NonFiniteLossError(
                f"Training stopped: {what}, in the first epoch; there is no checkpoint yet. "
                f"{advice}"
            )
        checkpoint = load_checkpoint(self.folder.checkpoint_file)
        self.folder.write_model(checkpoint.model, self.settings)
        return NonFiniteLossError(
            f"Training stopped: {what}. The last good checkpoint, after epoch {checkpoint.epoch}, "
            f"is kept and written to {self.folder.model_file}. {advice}"
        )


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
