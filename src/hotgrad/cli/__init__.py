"""The command line, and the only place that prints.

`main` is the entry point; where an extra is missing it says what to install.
"""

import sys

from hotgrad.cli.extras import MissingExtraError, needing

__all__ = ["main"]


def main() -> None:
    """Run `hotgrad`; errors are one line on the terminal and exit status 2."""
    try:
        command = "".join(sys.argv[1:2])
        with needing(command if command in ("select", "infer", "audit") else "train"):
            from hotgrad.cli.app import run
    except MissingExtraError as error:
        print(f"hotgrad: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(run())
