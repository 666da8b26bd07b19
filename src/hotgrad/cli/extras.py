"""Commands that need packages which aren't installed say which extra brings them."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotgrad import extras


class MissingExtraError(ValueError):
    """A package of an extra isn't installed."""


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Around imports that an extra brings: what is missing is told with the extra's name."""
    try:
        with extras.needing(extra, "this command"):
            yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("hotgrad"):
            raise
        raise MissingExtraError(str(error)) from error
