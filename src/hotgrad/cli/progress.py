"""How far a command's work is: on a terminal a bar, elsewhere a line for each epoch of training."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hotgrad.cli.terminal import console, harmless, say
from hotgrad.progress import Report, bar

if TYPE_CHECKING:  # a command loads one application's packages at most
    from hotgrad.vae import Progress as TrainingProgress


@contextmanager
def training_bar(label: str) -> Iterator["Callable[[TrainingProgress], None]"]:
    """Epoch, bound and temperature."""

    def note(at: "TrainingProgress") -> str:
        temperature = "" if at.temperature is None else f"  temp. {at.temperature:.2f}"
        return f"ELBO {at.elbo:.2f}{temperature}"

    if not console.is_terminal:
        said = 0

        def line(at: "TrainingProgress") -> None:
            nonlocal said
            # the last step of an epoch, also where a resumed run begins late
            if at.step * at.epochs >= (at.epoch + 1) * at.total_steps and at.epoch >= said:
                said = at.epoch + 1
                say(f"{label}: epoch {at.epoch + 1}/{at.epochs}  {note(at)}")

        yield line
        return
    with bar(harmless(label), console=console, transient=False) as report:
        yield lambda at: report(
            at.step, at.total_steps, f"epoch {at.epoch + 1}/{at.epochs}  {note(at)}"
        )


@contextmanager
def counting_bar(label: str, *, shown: bool = True) -> Iterator[Report]:
    """How many are done; nothing where there is no terminal, or nothing shall be shown."""
    if not (shown and console.is_terminal):
        yield lambda done, total, note="", /: None
        return
    with bar(harmless(label), console=console) as report:
        yield report
