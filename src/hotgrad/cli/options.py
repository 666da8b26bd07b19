"""An option of a command, in one of the panels of its help."""

from typing import Any

import typer


def option(panel: str, text: str, *names: str, metavar: str | None = None) -> Any:
    """What stands beside the type of a command's argument."""
    return typer.Option(*names, help=text, rich_help_panel=panel, metavar=metavar)
