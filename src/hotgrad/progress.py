"""A bar for what takes long, drawn by rich.

On a terminal it is redrawn and leaves nothing behind; elsewhere it is a line for every tenth.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from hotgrad.extras import needing
from hotgrad.ops import checks

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

F = TypeVar("F", bound=Callable[..., None])

LINES = 10
"""How many lines there are at most where there is no terminal."""

REDRAW_AFTER = 0.1
"""Seconds between updates: a step may be shorter than drawing it."""


STAGE = 100
"""Ticks of a stage of several."""


class Report(Protocol):
    """Called with what is done, of how much, and words to show instead of these two numbers."""

    def __call__(self, done: int, total: int, note: str = "", /) -> None: ...


def in_stages(report: Callable[[int, int], None], count: int) -> list[Report]:
    """A report for each of so many stages of equal weight, which together tell one."""

    def of(stage: int) -> Report:
        def tell(done: int, total: int, note: str = "", /) -> None:
            report(STAGE * stage + STAGE * done // max(total, 1), STAGE * count)

        return tell

    return [of(stage) for stage in range(count)]


@contextmanager
def told(
    progress: F | bool | None, of: str, label: str, extra: str, of_report: Callable[[Report], F]
) -> Iterator[F | None]:
    """Whom a function of the library tells how far it is: nobody, a bar, or the caller's function.

    Args:
        progress: what the caller gave.
        of: the arguments of a function of the caller's, for a message.
        label: what is being done.
        extra: brings rich.
        of_report: makes such a function that tells a bar.

    Raises:
        ValueError: `progress` is something else.
        ModuleNotFoundError: rich isn't installed.
    """
    if progress is None or progress is False:
        yield None
    elif progress is True:
        with needing(extra, "progress=True"):
            import rich.progress  # noqa: F401
        with bar(label) as report:
            yield of_report(report)
    else:
        checks.check_function(progress, "progress", of)
        yield progress


@contextmanager
def bar(
    label: str, *, console: "Console | None" = None, transient: bool = True
) -> Iterator[Report]:
    """Shows how far the work in the block is.

    Args:
        label: what is being done.
        console: where; the error stream by default.
        transient: whether the bar goes when the work is done.
    """
    # here, since `import hotgrad` needs torch alone
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = console or Console(stderr=True, markup=False, highlight=False)
    if not console.is_terminal:
        yield _lines(label, console)
        return
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=16),
        TextColumn("{task.fields[note]}", markup=False),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        transient=transient,
    ) as shown:
        # added at the first report, so that work that is refused leaves no empty bar behind
        tasks: list[TaskID] = []
        drawn = -REDRAW_AFTER

        def update(done: int, total: int, note: str = "", /) -> None:
            nonlocal drawn
            now = time.monotonic()
            if done < total and now - drawn < REDRAW_AFTER:
                return
            drawn = now
            text = note or f"{done:,}/{total:,}"
            if not tasks:
                tasks.append(shown.add_task(label, total=total, note=text))
            shown.update(tasks[0], completed=done, total=total, note=text)

        yield update


def _lines(label: str, console: "Console") -> Callable[..., None]:
    began, printed = time.monotonic(), 0

    def update(done: int, total: int, note: str = "", /) -> None:
        nonlocal printed
        part = LINES * done // max(total, 1)
        if part > printed:
            printed = part
            seconds = time.monotonic() - began
            text = note or f"{done:,}/{total:,}"
            console.print(f"{label}: {text}  ({seconds:.0f} s)", soft_wrap=True)

    return update
