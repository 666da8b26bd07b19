"""The `hotgrad` command's entry point.

It is outside the package because importing the package imports torch, which takes a second; Ctrl-C
in that second is answered like any other.
"""

import sys

STOPPED = 130


def main() -> None:
    """Run `hotgrad`."""
    try:
        from hotgrad.cli import main as run

        run()
    except KeyboardInterrupt:
        print("\nhotgrad: stopped.", file=sys.stderr)
        sys.exit(STOPPED)
