"""How many states a support may have, and how much memory a list of them may take."""

import math

import torch
from torch import Tensor

from hotgrad.ops import checks

MAX_STATES = 2**20
"""The most states that `enumerate_support` lists unless told otherwise."""
MAX_BYTES = 2**30
"""The most memory of one list of states."""


def check_budget(states: int, budget: int, what: str, *, state_bytes: int = 0) -> None:
    """Refuse to list a support that is too large.

    Args:
        states: how many.
        budget: the most.
        what: they belong to.
        state_bytes: what one of them takes.
    """
    checks.check_count(budget, "budget")
    advice = "make the event smaller, or use an estimator that samples."
    if states > budget:
        raise ValueError(
            f"The support of {what} has {counted(states)} states, more than the budget of "
            f"{counted(budget)}. Raise the budget, {advice}"
        )
    if states * state_bytes > MAX_BYTES:
        raise ValueError(
            f"The support of {what} has {counted(states)} states, a list of which takes "
            f"{states * state_bytes / 2**30:,.1f} GiB, more than the {MAX_BYTES / 2**30:.0f} GiB "
            f"allowed: {advice}"
        )


def spread(states: Tensor, shape: torch.Size, expand: bool) -> Tensor:
    """A list of states, each of a shape `(*batch, *event)`, or as it is, with dimensions of 1."""
    checks.check_flag(expand, "expand")
    return states.expand((states.shape[0], *shape)) if expand else states


def counted(number: int) -> str:
    """A number in full, or about which power of ten it is where nobody would read that."""
    # by the logarithm: Python doesn't write out numbers of more than 4,300 digits
    return f"{number:,}" if number < 10**15 else f"about 10^{math.log10(number):.0f}"


def subsets(n: int, k: int) -> int:
    """n choose k, or an estimate where it has more than 300 digits, which take seconds to count."""
    log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    digits = log / math.log(10)
    return math.comb(n, k) if digits < 300 else 10 ** round(digits)
