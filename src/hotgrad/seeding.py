"""Modules whose first weights depend on a seed alone."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


@contextmanager
def seeded_weights(seed: int) -> Iterator[None]:
    """Around the making of modules on the CPU, whose first weights come from this seed.

    torch's modules draw them from its global generator, which all threads share. In this block,
    and in this thread alone, `torch.nn.init` is handed a generator of its own; the numbers are
    those that the global one gives after `torch.manual_seed(seed)`.

    Example:
        >>> with seeded_weights(3):
        ...     one, other = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
        >>> with seeded_weights(3):
        ...     again = torch.nn.Linear(2, 1)
        >>> torch.equal(one.weight, again.weight), torch.equal(one.weight, other.weight)
        (True, False)
    """
    # a default device that the user has set would ask for a generator there
    with torch.device("cpu"), _Drawing(torch.Generator().manual_seed(seed)):
        yield


class _Drawing(TorchFunctionMode):
    """Whatever is called with `generator=None` draws from the given one instead."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self._generator = generator

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if "generator" in kwargs and kwargs["generator"] is None:
            kwargs["generator"] = self._generator
        return func(*args, **kwargs)
