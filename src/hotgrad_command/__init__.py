"""The `hotgrad` command.

It is outside the package `hotgrad`, since importing that imports torch, which takes a second or
more: help, the version and the shell's completion don't wait for it, and Ctrl-C while a command
does is answered like any other.
"""

import sys

from hotgrad_command.commands import COMMANDS, STOPPED

__all__ = ["main"]


def main() -> None:
    """Run `hotgrad` and exit with its status; errors are one line on the terminal, and status 2."""
    try:
        try:
            from hotgrad_command.app import run
        except ModuleNotFoundError as error:
            if error.name != "typer":
                raise
            called = COMMANDS.get("".join(sys.argv[1:2]))
            extra = (called and called.extra) or "train"
            print(
                f'hotgrad: this command needs typer: pip install "hotgrad[{extra}]"',
                file=sys.stderr,
            )
            sys.exit(2)
        sys.exit(run())
    except KeyboardInterrupt:
        print("\nhotgrad: stopped.", file=sys.stderr)
        sys.exit(STOPPED)
