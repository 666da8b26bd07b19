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
        raise MissingExtraError(
            f"this command needs {error.name}, which isn't installed: "
            f'pip install "hotgrad[{extra}]"'
        ) from error
