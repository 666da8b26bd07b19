"""A user's own problem for `hotgrad audit`."""

from torch.distributions import Distribution

from hotgrad.audit.problems import Problem
from hotgrad.cli.own_function import call_own, kind

EXPECTED = "It takes nothing and returns (f, q): a function of z, and the distribution of z"


def own_problem(name: str) -> Problem:
    """What the function at `module:function` or `file.py:function` returns.

    Raises:
        ValueError: there is no such function, it fails, or returns something else.
    """
    returned, function_name, text = call_own(name, EXPECTED)
    if isinstance(returned, Problem):
        return returned
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise ValueError(f"{name}() returned {kind(returned)}. {EXPECTED}.")
    f, q = returned
    if not callable(f) or not isinstance(q, Distribution):
        raise ValueError(f"{name}() returned ({kind(f)}, {kind(q)}). {EXPECTED}.")
    return Problem(function_name, text, f, q)
