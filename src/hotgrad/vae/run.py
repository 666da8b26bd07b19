"""A run's folder: what lies in it, how it is made, and how a trained model is opened again."""

import csv
import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hotgrad import __version__
from hotgrad.files import as_path, new_folder, written_whole
from hotgrad.ops.checks import check_count
from hotgrad.tensor_files import read_tensors, write_tensors
from hotgrad.vae.build import model_without_memory
from hotgrad.vae.config import Config
from hotgrad.vae.data import Dataset
from hotgrad.vae.model import VAE
from hotgrad.vae.numpy_files import SPLITS
from hotgrad.vae.validation import check_finite, check_settings, check_tensors

Row = dict[str, float | str]
"""One line of metrics.csv."""

METRICS = ("step", "epoch", "split", "elbo", "reconstruction", "kl", "temperature", "seconds")
MODEL_SETTINGS = (
    *("latent", "num_latents", "num_categories", "subset_size", "network", "hidden"),
    *("likelihood", "prior", "precision"),
)
"""Those that say what a model's weights mean."""
_PACKAGES = ("lightning-fabric", "numpy", "safetensors", "scikit-learn")


@dataclass(frozen=True)
class RunFolder:
    """The paths of a run, and the small files in it."""

    path: Path

    @property
    def config_file(self) -> Path:
        return self.path / "config.json"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def checkpoint_file(self) -> Path:
        return self.path / "checkpoint.safetensors"

    @property
    def model_file(self) -> Path:
        return self.path / "model.safetensors"

    @classmethod
    def create(cls, path: Path, config: Config, dataset: Dataset) -> "RunFolder":
        """A new folder with the run's configuration, and what tells its data from others.

        It appears with the configuration in it, so a run that was killed can always go on.

        Raises:
            ValueError: the folder exists; nothing in it is touched.
        """
        if path.exists():
            raise ValueError(
                f"{path} exists already. Choose another folder with --out; if it holds a run, "
                "continue that with --resume."
            )
        record = {
            "config": config.to_dict(),
            "item_shape": list(dataset.shape),
            "data": fingerprint(dataset),
            "seed": config.seed,
            "threads": torch.get_num_threads(),
            "versions": _versions(),
        }
        with new_folder(path) as draft, cls(draft).config_file.open("w") as file:
            file.write(json.dumps(record, indent=2) + "\n")
        return cls(path)

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """An existing run.

        Raises:
            ValueError: there is none.
        """
        folder = cls(as_path(path))
        if not folder.config_file.is_file():
            raise ValueError(
                f"{path} is not a run: it holds no config.json. A run is the folder that "
                "`hotgrad train --out` made."
            )
        return folder

    def read_config(self) -> tuple[Config, tuple[int, ...]]:
        """The configuration and the shape of an item."""
        record = self._record()
        try:
            shape = tuple(record["item_shape"])
            for size in shape:
                check_count(size, "a size in item_shape")
            return Config.from_dict(record["config"]), shape
        except KeyError as error:
            raise ValueError(f"{self.config_file} lacks {error}.") from error
        except (ValueError, TypeError, OverflowError) as error:
            raise self._unreadable(error) from error

    def read_threads(self) -> int | None:
        """With how many threads torch computed when the run began, if that is known."""
        threads = self._record().get("threads")
        return threads if isinstance(threads, int) else None

    def _record(self) -> dict[str, Any]:
        try:
            record = json.loads(self.config_file.read_text())
        except (ValueError, RecursionError) as error:
            raise self._unreadable(error) from error
        if not isinstance(record, dict):
            raise self._unreadable(f"expected an object, got {type(record).__name__}")
        return record

    def _unreadable(self, reason: object) -> ValueError:
        return ValueError(f"{self.config_file} can't be read as a run's configuration: {reason}")

    def change_of(self, dataset: Dataset) -> str | None:
        """In words, how data differ from those that the run was trained on.

        None if they don't, or if the run is from before such a record was kept.
        """
        recorded = self._record().get("data")
        return difference(recorded, dataset) if isinstance(recorded, dict) else None

    def write_metrics(self, rows: list[Row]) -> None:
        """metrics.csv, whole."""
        with written_whole(self.metrics_file) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, METRICS)
            writer.writeheader()
            writer.writerows(rows)

    def write_model(self, state: Mapping[str, Tensor], settings: Mapping[str, Any]) -> None:
        """model.safetensors, whole: a model's state, and the settings that give it its meaning."""
        said = {name: settings[name] for name in ("item_shape", *MODEL_SETTINGS)}
        write_tensors(self.model_file, state, json.dumps(said))


def run_settings(config: Config, shape: tuple[int, ...]) -> dict[str, Any]:
    """All that defines a run, as JSON gives it back."""
    return json.loads(json.dumps({**config.to_dict(), "item_shape": shape}))


def load(run: str | Path, *, device: str | torch.device = "cpu") -> VAE:
    """The trained model of a run, in evaluation mode.

    Nothing is unpickled: the weights are a safetensors file, the configuration is JSON.

    Args:
        run: the run's folder.
        device: where the weights go.

    Raises:
        ValueError: no run, an unfinished one, or a model file that is damaged or of another shape.
    """
    folder = RunFolder.open(run)
    config, shape = folder.read_config()
    if not folder.model_file.is_file():
        raise ValueError(
            f"{run} has no model.safetensors: its training hasn't finished. "
            "Continue it with --resume."
        )
    tensors, said = read_tensors(folder.model_file)
    try:
        settings = json.loads(said)
    except (ValueError, RecursionError):
        settings = None
    check_settings(folder.model_file, settings, run_settings(config, shape))
    model = model_without_memory(config, shape)
    if config.precision == "64-true":
        model.double()
    check_tensors(folder.model_file, tensors, model.state_dict())
    check_finite(folder.model_file, tensors)
    model.load_state_dict(tensors, assign=True)
    return model.to(device, torch.float32).eval()


def _versions() -> dict[str, str]:
    found = {
        "hotgrad": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def fingerprint(dataset: Dataset) -> dict[str, Any]:
    """What a run keeps of its data, to tell later whether they are the same, as JSON.

    The items' shape, the number of rows in each split, and a digest of all values.
    """
    digest = hashlib.blake2b(digest_size=16)
    counts = {}
    for split in SPLITS:
        rows: Tensor = getattr(dataset, split)
        counts[split] = len(rows)
        digest.update(rows.detach().cpu().contiguous().numpy().data)
    return {"shape": list(dataset.shape), **counts, "digest": digest.hexdigest()}


def difference(recorded: Mapping[str, Any], dataset: Dataset) -> str | None:
    """In words, how a data set differs from the fingerprint that a run recorded; None if not."""
    found = fingerprint(dataset)
    if recorded == found:
        return None
    sizes = [name for name in found if name != "digest" and recorded.get(name) != found[name]]
    if not sizes:
        return "as many rows, with other values"
    return ", ".join(f"{name} was {recorded.get(name)} and is {found[name]}" for name in sizes)
