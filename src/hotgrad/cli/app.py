"""The commands, gathered; and what happens to an error on its way out."""

import sys
from typing import Annotated

import typer

from hotgrad import __version__
from hotgrad.cli import draw, encode, evaluate, generate, train

UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""The command-line parser's own error, wherever this version of typer keeps it."""

app = typer.Typer(
    name="hotgrad",
    invoke_without_command=True,
    no_args_is_help=True,
    add_completion=False,
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


app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("generate")(generate.generate)
app.command("encode")(encode.encode)
app.command("draw")(draw.draw)


def run(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status."""
    try:
        return app(args=arguments, standalone_mode=False) or 0
    except UsageError as error:
        message = error.format_message().rstrip(".")  # type: ignore[attr-defined]
        return _fail(f"{message}. See --help.") if message else 0  # no command: help was shown
    except (ValueError, NotImplementedError) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename2 or error.filename or 'a file'}: {error.strerror}.")
    except (KeyboardInterrupt, typer.Abort):
        print("\nhotgrad: stopped. A run goes on with --resume.", file=sys.stderr)
        return 130


def _fail(message: str) -> int:
    print("hotgrad: " + " ".join(message.split()), file=sys.stderr)
    return 2
