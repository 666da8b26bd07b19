"""The command line, and the only place that prints.

`main` is the entry point; where an extra is missing it says what to install.
"""

import sys

from hotgrad.cli.extras import missing

__all__ = ["main"]


def main() -> None:
    """Run `hotgrad`; errors are one line on the terminal and exit status 2."""
    try:
        from hotgrad.cli.app import run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("hotgrad"):
            raise
        extra = "select" if sys.argv[1:2] == ["select"] else "train"
        print(f"hotgrad: {missing(error.name, extra)}", file=sys.stderr)
        sys.exit(2)
    sys.exit(run())
