"""A run's folder: what lies in it, how it is made, and how a trained model is opened again."""

import csv
import json
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from hotgrad import __version__
from hotgrad.files import new_folder, written_whole
from hotgrad.ops.checks import check_count
from hotgrad.vae.config import Config
from hotgrad.vae.model import VAE, build_model

Row = dict[str, float | str]
"""One line of metrics.csv."""

METRICS = ("step", "epoch", "split", "elbo", "reconstruction", "kl", "temperature", "seconds")
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
        return self.path / "checkpoint.pt"

    @property
    def model_file(self) -> Path:
        return self.path / "model.safetensors"

    @classmethod
    def create(cls, path: Path, config: Config, shape: tuple[int, ...]) -> "RunFolder":
        """A new folder with the run's configuration.

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
            "item_shape": list(shape),
            "seed": config.seed,
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
        folder = cls(Path(path))
        if not folder.config_file.is_file():
            raise ValueError(
                f"{path} is not a run: it holds no config.json. A run is the folder that "
                "`hotgrad train --out` made."
            )
        return folder

    def read_config(self) -> tuple[Config, tuple[int, ...]]:
        """The configuration and the shape of an item."""
        try:
            record: dict[str, Any] = json.loads(self.config_file.read_text())
            shape = tuple(record["item_shape"])
            for size in shape:
                check_count(size, "a size in item_shape")
            return Config.from_dict(record["config"]), shape
        except KeyError as error:
            raise ValueError(f"{self.config_file} lacks {error}.") from error
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{self.config_file} can't be read as a run's configuration: {error}"
            ) from error

    def write_metrics(self, rows: list[Row]) -> None:
        """metrics.csv, whole."""
        with written_whole(self.metrics_file) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, METRICS)
            writer.writeheader()
            writer.writerows(rows)

    def write_model(self, model: VAE) -> None:
        """model.safetensors, whole."""
        tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
        with written_whole(self.model_file) as temporary:
            safetensors.torch.save_file(tensors, temporary)


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
    try:
        tensors = safetensors.torch.load_file(folder.model_file)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{folder.model_file} is damaged or cut short: {error}.") from error
    model = build_model(config, shape)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if expected != found:
        name = min(set(expected.items()) ^ set(found.items()))[0]
        raise ValueError(
            f"{folder.model_file} doesn't fit {folder.config_file.name}: {name} is "
            f"{found.get(name, 'absent')}, expected {expected.get(name, 'absent')}."
        )
    model.load_state_dict(tensors)
    return model.to(device).eval()


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
