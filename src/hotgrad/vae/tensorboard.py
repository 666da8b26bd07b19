"""TensorBoard's event files, on request."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hotgrad.vae.run import Row


@contextmanager
def event_file(folder: Path) -> Iterator[Callable[[list[Row]], None]]:
    """A function that writes one scalar for each number of each row, under its split.

    Raises:
        ValueError: TensorBoard isn't installed.
        OSError: they can't be written; it names the folder.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError(
            "TensorBoard isn't installed: "
            'pip install "hotgrad[tensorboard]", or leave --tensorboard out.'
        ) from error

    def write(rows: list[Row]) -> None:
        for row in rows:
            for key in ("elbo", "reconstruction", "kl", "temperature"):
                if row[key] != "":
                    writer.add_scalar(f"{key}/{row['split']}", float(row[key]), int(row["step"]))

    try:
        with SummaryWriter(str(folder)) as writer:
            yield write
    except OSError as error:
        # TensorBoard writes in a thread of its own, whose errors name no file
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(folder)) from error
