"""TensorBoard's event files, on request."""

from pathlib import Path
from typing import TYPE_CHECKING

from hotgrad.vae.run import Row

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def open_writer(folder: Path) -> "SummaryWriter":
    """A writer into the folder.

    Raises:
        ValueError: TensorBoard isn't installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError(
            "TensorBoard isn't installed: "
            'pip install "hotgrad[tensorboard]", or leave --tensorboard out.'
        ) from error
    return SummaryWriter(str(folder))


def write_rows(writer: "SummaryWriter", rows: list[Row]) -> None:
    """One scalar for each number of each row, under its split."""
    for row in rows:
        for key in ("elbo", "reconstruction", "kl", "temperature"):
            if row[key] != "":
                writer.add_scalar(f"{key}/{row['split']}", float(row[key]), int(row["step"]))
