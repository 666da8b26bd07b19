"""A user's own function for a command: `module:function`, imported as `python -m` would.

Or `file.py:function`, a file anywhere, loaded as `python file.py` would.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any, NamedTuple

from hotgrad.memory import memory_refused
from hotgrad.ops.checks import shown

FAILURES = (Exception, SystemExit)
"""What a user's code may raise; that it wants to end the process is a failure, too."""


class Returned(NamedTuple):
    """What a user's function returned."""

    value: Any
    name: str
    """The function's."""
    text: str
    """The first line of its docstring, or what the user typed."""


def call_own(name: str, expected: str) -> Returned:
    """Calls the function at `module:function` or `file.py:function`.

    Args:
        name: what the user typed.
        expected: one sentence for messages, what it takes and returns.

    Raises:
        ValueError: there is no such module, file or function, or it fails.
    """
    place, _, function_name = name.rpartition(":")
    if not (place and function_name):
        raise ValueError(
            "A problem of your own is module:function, or file.py:function, such as mine:problem "
            f"for the function problem in mine.py; got {name!r}."
        )
    module = _file(Path(place)) if place.endswith(".py") else _module(place)
    function = _function(module, place, function_name)
    try:
        value = function()
    except FAILURES as error:
        raise ValueError(f"{name}() failed: {told(error)}. {expected}.") from error
    text = (function.__doc__ or name).strip().splitlines()[0].rstrip(".")
    return Returned(value, function_name, text)


def is_own(name: str) -> bool:
    """Whether a problem's name is that of a user's own function.

    Raises:
        ValueError: the name of a file alone.
    """
    if name.endswith(".py"):
        raise ValueError(f"{name} is a file: name the function in it too, such as {name}:problem.")
    return ":" in name


def _module(name: str) -> ModuleType:
    _search(Path.cwd())
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != missing and not name.startswith(f"{missing}."):
            raise ValueError(f"{name} can't be imported: {told(error)}.") from error
        raise ValueError(
            f"There is no module {name}: neither {name.replace('.', '/')}.py in {Path.cwd()} nor "
            "an installed one."
        ) from error
    except FAILURES as error:
        raise ValueError(f"{name} can't be imported: {told(error)}.") from error


def _file(path: Path) -> ModuleType:
    # a name of its own, since the file may be called as an installed module is; and not by runpy,
    # which promises nothing of functions that are called after it has returned
    spec = spec_from_file_location(f"hotgrad_own_{path.stem}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ValueError(f"There is no file {path}.")
    _search(path.resolve().parent)
    module = module_from_spec(spec)
    # dataclasses look there for the module that they stand in
    sys.modules[module.__name__] = module
    try:
        spec.loader.exec_module(module)
    except FAILURES as error:
        del sys.modules[module.__name__]
        raise ValueError(f"{path} can't be imported: {told(error)}.") from error
    return module


def _search(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _function(module: ModuleType, place: str, name: str) -> Callable[[], Any]:
    function = getattr(module, name, None)
    if function is None:
        known = [key for key, value in vars(module).items() if callable(value)]
        close = get_close_matches(name, known, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ValueError(f"{place} has no function {name}.{hint}")
    if not callable(function):
        raise ValueError(f"{place}:{name} is {kind(function)}, not a function.")
    return function


def kind(value: object) -> str:
    """A value's type in words."""
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


@contextmanager
def failing(name: str) -> Iterator[None]:
    """Around calls of a user's functions, whose errors are told with their place.

    Args:
        name: what failed.

    Raises:
        ValueError: an error of their code, in one line; the library's own come through.
    """
    try:
        yield
    except FAILURES as error:
        if is_ours(error):
            raise
        raise ValueError(f"{name} failed: {told(error)}.") from error


def told(error: BaseException) -> str:
    """An error's kind, its first line, and where in the user's files it came about."""
    lines = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
    if isinstance(error, SystemExit):
        what = f"it called sys.exit({shown(error.code)})"
    place = place_of(error)
    return f"{what} ({place})" if place else what


def is_ours(error: BaseException) -> bool:
    """Whether an error is a message of this library, rather than of the user's own code.

    Of memory and files it is, too, if no line of the user's was passed.
    """
    kinds = ValueError | NotImplementedError | OSError
    return (isinstance(error, kinds) or memory_refused(error)) and not place_of(error)


def place_of(error: BaseException) -> str | None:
    """The last line of a file in the current folder that an error passed, if it did."""
    here, hotgrad = Path.cwd(), Path(__file__).parents[1]
    for frame in reversed(extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        is_users = file.is_relative_to(here) and not file.is_relative_to(hotgrad)
        if is_users and "site-packages" not in file.parts:
            return f"{file.relative_to(here)}, line {frame.lineno}"
    return None
