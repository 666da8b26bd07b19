"""What an extra brings is imported where it is asked for; what is missing is told by its name."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Around imports that an extra brings.

    Args:
        extra: its name.
        what: what needs it, for the message.

    Raises:
        ModuleNotFoundError: one of them isn't installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "hotgrad":
            raise
        raise ModuleNotFoundError(
            f'{what} needs {error.name}: pip install "hotgrad[{extra}]"', name=error.name
        ) from error
