"""All states of a law, listed piece by piece, so that millions need no memory of their own."""

import math
from typing import Any

import torch
from torch import Tensor

from hotgrad.distributions import Independent
from hotgrad.distributions.flattened import Flattened
from hotgrad.estimators import Exact, missing_methods


class TooManyStatesError(ValueError):
    """A law has more states than are to be summed over."""


class States:
    """The states of a law; a state's number is written in mixed radix, a digit for each part.

    Args:
        law: of this library, a `Joint` flattened.
        budget: the most states.

    Raises:
        TooManyStatesError: there are more.
        NotImplementedError: the law can't list its states.
    """

    def __init__(self, law: Any, budget: int) -> None:
        laws = list(law.laws.values()) if isinstance(law, Flattened) else [law]
        own = [_of_a_part(one, budget) for one in laws]
        digits = sum(count * math.log10(len(states)) for states, count in own)
        # by the logarithm: a million bits have a number of states that nobody wants to write out
        if digits > math.log10(budget) + 1e-9:
            shown = f"{10**digits:,.0f}" if digits < 9 else f"about 10^{digits:.0f}"
            raise TooManyStatesError(f"z has {shown} states, more than the budget of {budget:,}.")
        self._event, self._ones = law.event_shape, (1,) * len(law.batch_shape)
        self._parts = [states for states, count in own for _ in range(count)]
        self.count = math.prod(len(part) for part in self._parts)

    def between(self, start: int, stop: int) -> Tensor:
        """States `(n, *ones, *event)`; the last part changes fastest."""
        number = torch.arange(start, stop, device=self._parts[0].device)
        chosen = []
        for part in reversed(self._parts):
            chosen.append(part[number % len(part)])
            number = number // len(part)
        return torch.cat(chosen[::-1], -1).reshape(stop - start, *self._ones, *self._event)


def _of_a_part(law: Any, budget: int) -> tuple[Tensor, int]:
    """The states `(states, entries)` of an independent part of a law, and the number of parts."""
    inner = law.law if isinstance(law, Independent) else law
    if missing_methods(Exact, inner):
        raise NotImplementedError(
            f"{type(inner).__name__} has no enumerate_support, which lists its states."
        )
    try:
        own: Tensor = inner.enumerate_support(expand=False, budget=budget)
    except ValueError as error:
        raise TooManyStatesError(str(error)) from error
    size = inner.event_shape.numel()
    return own.reshape(-1, size), law.event_shape.numel() // size
