"""The commands, each imported when it is called; and what happens to an error on its way out."""

import functools
import gc
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module, metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hotgrad_command.commands import COMMANDS, STOPPED

UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""The command-line parser's own error, wherever this version of typer keeps it."""


class Commands(TyperGroup):
    """Commands that are known by name and summary, and imported when one is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and command_called(str(name)), rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        for name, listed in COMMANDS.items():
            if listed.extra is not None and not all(map(_installed, _brought_by(listed.extra))):
                self.commands[name].help = f'Needs `pip install "hotgrad[{listed.extra}]"`.'
        super().format_help(ctx, formatter)


app = typer.Typer(
    name="hotgrad",
    cls=Commands,
    invoke_without_command=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _listed in COMMANDS.items():
    app.command(_name, help=_listed.summary)(lambda: None)


@app.callback()
def hotgrad(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Gradients through discrete random choices: train, evaluate, look."""
    if version:
        typer.echo(f"hotgrad {_version()}")
        raise typer.Exit


@functools.cache
def command_called(name: str) -> Any:
    """The parser's own object for a command, whose function is imported now.

    Raises:
        MissingExtraError: a package that it needs isn't installed.
    """
    with _nothing_collected():
        from hotgrad.cli.extras import needing
        from hotgrad.cli.options import Command

        with needing(COMMANDS[name].extra or "train"):
            function = getattr(import_module(f"hotgrad.cli.{name}"), name)
    alone = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    alone.command(name, cls=Command)(function)
    return typer.main.get_command(alone)


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Around imports, which leave no garbage: a search among all that torch makes takes 0.1 s."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # what stays isn't searched later either
        if was_on:
            gc.enable()


def run(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status."""
    began = (sys.argv[1:] if arguments is None else arguments)[:1]
    try:
        status = app(args=arguments, standalone_mode=False) or 0
    except UsageError as error:
        message = error.format_message().rstrip(".")  # type: ignore[attr-defined]
        end = "" if message.endswith("?") else "."
        return _fail(f"{message}{end} See --help.") if message else 0  # no command: help was shown
    except (ValueError, NotImplementedError) as error:
        return _fail(str(error))
    except OSError as error:
        name = error.filename2 or error.filename or "a file"
        return _fail(f"{name}: {error.strerror or error}.")
    except MemoryError as error:
        return _fail(f"not enough memory: {error}. Ask for less.")
    except RuntimeError as error:
        from hotgrad.memory import memory_refused

        if not memory_refused(error):
            raise
        asked = re.search(r"allocate (\d+) bytes", str(error))
        size = f": {int(asked[1]):,} bytes were asked for" if asked else ""
        return _fail(f"not enough memory{size}. Ask for less.")
    except (KeyboardInterrupt, typer.Abort):
        status = STOPPED
    if status == STOPPED:  # some versions of typer turn Ctrl-C into a status
        # printed from here: what Ctrl-C kept from being imported isn't imported for that
        later = " A run goes on with --resume." if began == ["train"] else ""
        print(f"\nhotgrad: stopped.{later}", file=sys.stderr)
    return status


def _fail(message: str) -> int:
    from hotgrad.cli.terminal import complain

    complain(message)
    return 2


def _version() -> str:
    try:
        return metadata.version("hotgrad")
    except metadata.PackageNotFoundError:  # sources that aren't installed
        from hotgrad import __version__

        return __version__


def _brought_by(extra: str) -> Iterator[str]:
    """The distributions that an extra asks for."""
    try:
        asked = metadata.requires("hotgrad") or []
    except metadata.PackageNotFoundError:
        return
    for text in asked:
        if re.search(rf"""extra == ['"]{extra}['"]""", text):
            yield re.split(r"[^\w.-]", text)[0]


@functools.cache
def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
