"""What the commands that take a finished run share: its model with its data."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from torch import Tensor

from hotgrad import vae
from hotgrad.cli.options import overwrite_option, seed_option
from hotgrad.cli.terminal import complain
from hotgrad.vae.numpy_files import SPLITS

RunArgument = Annotated[
    Path, typer.Argument(help="Folder that `hotgrad train` made.", metavar="RUN")
]
DataOption = Annotated[
    str | None,
    typer.Option(
        help="Other data of the same shape, or the run's own where they are now: a name or a .npy "
        "or .npz file.",
        metavar="NAME",
    ),
]
ColumnOption = Annotated[
    str | None, typer.Option(help="Array to take from --data, an .npz file.", metavar="NAME")
]
DataDirOption = Annotated[
    str | None,
    typer.Option(help="Folder where the run's data, or those of --data, are now.", metavar="DIR"),
]
SeedOption = Annotated[int, seed_option(None, "Of the random draws.")]
OverwriteOption = Annotated[bool, overwrite_option(None, "the file that is there")]
SplitOption = Annotated[str, typer.Option(help="train, valid or test.", metavar="NAME")]


@dataclass(frozen=True)
class OpenRun:
    """A trained model with its data, or others of their shape."""

    folder: vae.RunFolder
    config: vae.Config
    model: vae.VAE
    dataset: vae.Dataset
    change: str | None
    """In words, how the data differ from those that the run was trained on."""


def open_run(
    run: Path,
    *,
    data: str | None = None,
    column: str | None = None,
    data_dir: str | None = None,
) -> OpenRun:
    """The model, and its own data or other data of the same shape.

    Its own data are compared with what the run remembers of them; a change is said on the error
    stream.
    """
    folder = vae.RunFolder.open(run)
    config, shape = folder.read_config()
    model = vae.load(run)
    if data is not None:
        config = replace(config, data=data, column=column)
    elif column is not None:
        raise ValueError("--column names an array of --data FILE.npz: give both.")
    if data_dir is not None and config.data == "digits":
        raise ValueError("--data-dir changes nothing here: digits come with scikit-learn.")
    dataset = vae.load_dataset(
        config.data, data_dir=data_dir or config.data_dir, column=config.column
    )
    if dataset.shape != shape:
        raise ValueError(
            f"{config.data} has items of shape {dataset.shape}; the model in {run} takes {shape}."
        )
    vae.check_fits(dataset, config)
    change = folder.change_of(dataset)
    if change is not None and data is None:
        complain(
            f"warning: the data in {dataset.source} are not those that {run} was trained on: "
            f"{change}."
        )
    return OpenRun(folder, config, model, dataset, change)


def split_of(dataset: vae.Dataset, name: str) -> Tensor:
    """One of the three splits."""
    if name not in SPLITS:
        raise ValueError(f"--split is train, valid or test, got {name!r}.")
    items: Tensor = getattr(dataset, name)
    return items
