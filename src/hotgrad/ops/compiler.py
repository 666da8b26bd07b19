"""What torch's compiler is told, without importing it."""

from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])


def constant_to_compiler(function: F) -> F:
    """A decorator: what the function returns is known when a graph is compiled, and is a constant.

    It does what torch.compiler.assume_constant_result does, which imports the compiler for it.
    """
    setattr(function, "_dynamo_marked_constant", True)  # noqa: B010
    return function
