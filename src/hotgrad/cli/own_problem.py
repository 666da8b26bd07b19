"""A user's own problem for `hotgrad audit`: `module:function`, imported as `python -m` would."""

import sys
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any

from torch.distributions import Distribution

from hotgrad.audit.problems import Problem

EXPECTED = "It takes nothing and returns (f, q): a function of z, and the law of z"


def own_problem(name: str) -> Problem:
    """What the function at `module:function` returns.

    Raises:
        ValueError: there is no such module or function, it fails, or returns something else.
    """
    module_name, _, function_name = name.partition(":")
    if not (module_name and function_name):
        raise ValueError(
            f"A problem of your own is module:function, such as mine:problem for the function "
            f"problem in mine.py; got {name!r}."
        )
    function = _function(_module(module_name), function_name)
    try:
        returned = function()
    except Exception as error:
        raise ValueError(f"{name}() failed: {told(error)}. {EXPECTED}.") from error
    if isinstance(returned, Problem):
        return returned
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise ValueError(f"{name}() returned {_kind(returned)}. {EXPECTED}.")
    f, q = returned
    if not callable(f) or not isinstance(q, Distribution):
        raise ValueError(f"{name}() returned ({_kind(f)}, {_kind(q)}). {EXPECTED}.")
    text = (function.__doc__ or name).strip().splitlines()[0].rstrip(".")
    return Problem(function_name, text, f, q)


def _module(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != missing and not name.startswith(f"{missing}."):
            raise ValueError(f"{name} can't be imported: {told(error)}.") from error
        raise ValueError(
            f"There is no module {name}: neither {name.replace('.', '/')}.py in {here} nor an "
            "installed one."
        ) from error
    except Exception as error:
        raise ValueError(f"{name} can't be imported: {told(error)}.") from error


def _function(module: ModuleType, name: str) -> Callable[[], Any]:
    function = getattr(module, name, None)
    if function is None:
        known = [key for key, value in vars(module).items() if callable(value)]
        close = get_close_matches(name, known, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ValueError(f"{module.__name__} has no function {name}.{hint}")
    if not callable(function):
        raise ValueError(f"{module.__name__}:{name} is {_kind(function)}, not a function.")
    return function


def _kind(value: object) -> str:
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def told(error: Exception) -> str:
    """An error's kind, its first line, and where in the user's files it came about."""
    lines = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
    place = place_of(error)
    return f"{what} ({place})" if place else what


def place_of(error: Exception) -> str | None:
    """The last line of a file in the current folder that an error passed, if it did."""
    here, hotgrad = Path.cwd(), Path(__file__).parents[1]
    for frame in reversed(extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        is_users = file.is_relative_to(here) and not file.is_relative_to(hotgrad)
        if is_users and "site-packages" not in file.parts:
            return f"{file.relative_to(here)}, line {frame.lineno}"
    return None
