"""What the commands that take a finished run share: its model with its data."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from torch import Tensor

from hotgrad import vae

RunArgument = Annotated[
    Path, typer.Argument(help="Folder that `hotgrad train` made.", metavar="RUN")
]
SeedOption = Annotated[int, typer.Option(help="Of the random draws.", min=0, max=2**63 - 1)]
SplitOption = Annotated[str, typer.Option(help="train, valid or test.", metavar="NAME")]


@dataclass(frozen=True)
class OpenRun:
    """A trained model with the data it was trained on."""

    folder: vae.RunFolder
    config: vae.Config
    model: vae.VAE
    dataset: vae.Dataset


def open_run(run: Path, *, data: str | None = None, data_dir: str | None = None) -> OpenRun:
    """The model, and its own data or other data of the same shape."""
    folder = vae.RunFolder.open(run)
    config, shape = folder.read_config()
    model = vae.load(run)
    if data is not None:
        config = replace(config, data=data, column=None)
    dataset = vae.load_dataset(
        config.data, data_dir=data_dir or config.data_dir, column=config.column
    )
    if dataset.shape != shape:
        raise ValueError(
            f"{config.data} has items of shape {dataset.shape}; the model in {run} takes {shape}."
        )
    vae.check_fits(dataset, config)
    return OpenRun(folder, config, model, dataset)


def split_of(dataset: vae.Dataset, name: str) -> Tensor:
    """One of the three splits."""
    if name not in ("train", "valid", "test"):
        raise ValueError(f"--split is train, valid or test, got {name!r}.")
    items: Tensor = getattr(dataset, name)
    return items
