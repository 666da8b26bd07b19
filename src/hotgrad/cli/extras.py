"""Commands that need packages which aren't installed say which extra brings them."""

from collections.abc import Iterator
from contextlib import contextmanager


class MissingExtraError(ValueError):
    """A package of an extra isn't installed."""


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Around imports that an extra brings: what is missing is told with the extra's name."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("hotgrad"):
            raise
        raise MissingExtraError(missing(error.name, extra)) from error


def missing(package: str, extra: str) -> str:
    """One line: what is missing, and what to install."""
    return f'this command needs {package}, which isn\'t installed: pip install "hotgrad[{extra}]"'
