"""The commands, gathered; and what happens to an error on its way out."""

import re
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Annotated

import typer

from hotgrad import __version__
from hotgrad.cli.extras import MissingExtraError, needing
from hotgrad.cli.options import Command, naming_options
from hotgrad.cli.terminal import complain
from hotgrad.memory import memory_refused

UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""The command-line parser's own error, wherever this version of typer keeps it."""

STOPPED = 130
"""The exit status after Ctrl-C."""

COMMANDS = {
    "train": "train",
    "evaluate": "train",
    "generate": "train",
    "encode": "train",
    "select": "select",
    "infer": "infer",
    "audit": "audit",
    "draw": "train",
}
"""Each command, in a module of its name, with the extra that it needs."""

app = typer.Typer(
    name="hotgrad",
    invoke_without_command=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def hotgrad(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Gradients through discrete random choices: train, evaluate, look."""
    if version:
        typer.echo(f"hotgrad {__version__}")
        raise typer.Exit


def _register(name: str, extra: str) -> None:
    try:
        with needing(extra):
            command: Callable[..., None] = getattr(import_module(f"hotgrad.cli.{name}"), name)
    except MissingExtraError as error:
        _register_absent(name, extra, error)
    else:
        app.command(name, cls=Command)(command)


def _register_absent(name: str, extra: str, error: MissingExtraError) -> None:
    """A command that takes anything and says what to install."""

    def absent() -> None:
        raise error

    absent.__doc__ = f'Needs `pip install "hotgrad[{extra}]"`.'
    anything = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(name, context_settings=anything)(absent)


for _name, _extra in COMMANDS.items():
    _register(_name, _extra)


def run(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status."""
    began = (sys.argv[1:] if arguments is None else arguments)[:1]
    try:
        status = app(args=arguments, standalone_mode=False) or 0
    except UsageError as error:
        message = error.format_message().rstrip(".")  # type: ignore[attr-defined]
        return _fail(f"{message}. See --help.") if message else 0  # no command: help was shown
    except (ValueError, NotImplementedError) as error:
        return _fail(naming_options(str(error), _options_of(began)))
    except OSError as error:
        name = error.filename2 or error.filename or "a file"
        return _fail(f"{name}: {error.strerror or error}.")
    except MemoryError as error:
        return _fail(f"not enough memory: {error}. Ask for less.")
    except RuntimeError as error:
        if not memory_refused(error):
            raise
        asked = re.search(r"allocate (\d+) bytes", str(error))
        size = f": {int(asked[1]):,} bytes were asked for" if asked else ""
        return _fail(f"not enough memory{size}. Ask for less.")
    except (KeyboardInterrupt, typer.Abort):
        status = STOPPED
    if status == STOPPED:  # some versions of typer turn Ctrl-C into a status
        print(file=sys.stderr)
        complain("stopped." + (" A run goes on with --resume." if began == ["train"] else ""))
    return status


def _options_of(began: list[str]) -> dict[str, str]:
    """How the command that was called spells its arguments."""
    commands = getattr(typer.main.get_command(app), "commands", {})
    params = [param for name in began if name in commands for param in commands[name].params]
    spelt = ((param.name, [o for o in param.opts if o.startswith("--")]) for param in params)
    return {name: options[0] for name, options in spelt if options}


def _fail(message: str) -> int:
    complain(message)
    return 2
