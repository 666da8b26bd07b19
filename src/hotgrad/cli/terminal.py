"""The one place that prints: texts and tables, in which nothing but their letters has an effect.

Names of files and columns come from anywhere. A control character in them could move the cursor or
colour the screen, so it is shown as its escape; rich's markup in them is text like any other.
"""

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

LONGEST = 300
"""Letters of a word that is shown whole, as a file's name is."""

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def harmless(text: str) -> str:
    r"""A text whose control characters are escapes, but for line ends and tabs.

    Example:
        >>> harmless("col\x1b[31mumn")
        'col\\x1b[31mumn'
    """
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class _Console(Console):
    """Every string that rich is about to show passes here, those in cells and titles too."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(harmless(text), **options)


console = _Console(markup=False, highlight=False, emoji=False)


def say(text: str) -> None:
    """Prints a text as it is, in lines as long as they are."""
    console.print(text, soft_wrap=True)


def say_contents(folder: Path) -> None:
    """Prints which files a folder holds."""
    files = sorted(path.name for path in folder.iterdir() if path.is_file())
    say("\n".join([f"{folder} holds", *(f"  {name}" for name in files)]))


def complain(text: str) -> None:
    """Prints one line beside the results, on the error stream; words of hundreds of letters cut."""
    words = (
        word if len(word) <= LONGEST else f"{word[:40]}...{word[-20:]}" for word in text.split()
    )
    print("hotgrad: " + harmless(" ".join(words)), file=sys.stderr)


@contextmanager
def warnings_told() -> Iterator[None]:
    """Warnings are told at once, as errors are, without their place in the source."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: complain(str(message))
        yield
