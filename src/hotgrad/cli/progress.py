"""What commands say on the terminal: texts, and bars of training, choosing, fitting, counting."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:  # a command loads one application's packages at most
    from hotgrad.selection import Progress as SelectionProgress
    from hotgrad.vae import Progress as TrainingProgress

console = Console()


def say(text: str) -> None:
    """Prints a text as it is: no line is broken, and nothing in it is markup."""
    console.print(text, soft_wrap=True, markup=False, highlight=False)


def say_contents(folder: Path) -> None:
    """Prints which files a folder holds."""
    files = sorted(path.name for path in folder.iterdir() if path.is_file())
    say("\n".join([f"{folder} holds", *(f"  {name}" for name in files)]))


REDRAW_EVERY = 20
"""Steps between updates of the bar: a step may be shorter than drawing it."""


class Counter(Protocol):
    """Called with (done, total)."""

    def __call__(self, done: int, total: int, /) -> None: ...


@contextmanager
def training_bar(label: str) -> Iterator["Callable[[TrainingProgress], None]"]:
    """A bar with epoch, bound, temperature and the time that is left; it fits 80 columns."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
        TextColumn("[bold]ELBO {task.fields[elbo]:.2f}[/bold]"),
        TextColumn("{task.fields[temperature]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
    ) as bar:
        # added at the first step, so that a run that is refused leaves no empty bar behind
        tasks: list[TaskID] = []

        def update(at: "TrainingProgress") -> None:
            if tasks and at.step % REDRAW_EVERY and at.step != at.total_steps:
                return
            fields: dict[str, Any] = {
                "epoch": at.epoch + 1,
                "epochs": at.epochs,
                "elbo": at.elbo,
                "temperature": "" if at.temperature is None else f"temp. {at.temperature:.2f}",
            }
            if not tasks:
                tasks.append(bar.add_task(label, total=at.total_steps, **fields))
            bar.update(tasks[0], completed=at.step, **fields)

        yield update


@contextmanager
def selection_bar(
    label: str, *, shown: bool = True
) -> Iterator["Callable[[SelectionProgress], None]"]:
    """A bar with epoch, loss and how certain the choice is; it leaves nothing behind."""
    if not (shown and console.is_terminal):
        yield lambda at: None
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TextColumn("certainty {task.fields[certainty]:.2f}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as bar:
        tasks: list[TaskID] = []

        def update(at: "SelectionProgress") -> None:
            fields: dict[str, Any] = {"loss": at.loss, "certainty": at.certainty}
            if not tasks:
                tasks.append(bar.add_task(label, total=at.epochs, **fields))
            bar.update(tasks[0], completed=at.epoch, **fields)

        yield update


@contextmanager
def fitting_bar(label: str, *, shown: bool = True) -> Iterator[Callable[[int, int, float], None]]:
    """A bar with the step and the smoothed bound; it leaves nothing behind."""
    if not (shown and console.is_terminal):
        yield lambda step, steps, bound: None
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TextColumn("bound {task.fields[bound]:.6g}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as bar:
        tasks: list[TaskID] = []

        def update(step: int, steps: int, bound: float) -> None:
            if not tasks:
                tasks.append(bar.add_task(label, total=steps, bound=bound))
            if step % REDRAW_EVERY == 0 or step == steps:
                bar.update(tasks[0], completed=step, bound=bound)

        yield update


@contextmanager
def counting_bar(label: str, *, shown: bool = True) -> Iterator[Counter]:
    """A bar that counts items; it leaves nothing behind."""
    if not (shown and console.is_terminal):
        yield lambda done, total: None
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as bar:
        task = bar.add_task(label, total=None)

        def update(done: int, total: int, /) -> None:
            bar.update(task, completed=done, total=total)

        yield update
