"""The command line, and the only place that prints.

`main` is the entry point; without the `train` extra it says what to install.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run `hotgrad`; errors are one line on the terminal and exit status 2."""
    try:
        from hotgrad.cli.app import run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("hotgrad"):
            raise
        print(
            f"hotgrad: the command line needs {error.name}, which isn't installed: "
            'pip install "hotgrad[train]"',
            file=sys.stderr,
        )
        sys.exit(2)
    sys.exit(run())
