"""A fit's unknowns one by one, for pictures and tables: marginals with a name and a meaning."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch import distributions as td

from hotgrad.inference.marginals import Marginals


@dataclass(frozen=True, eq=False)
class Unknown:
    """One unknown's marginals.

    Args:
        name: `z` where it has none.
        values: `(*batch, *event)`, in float64 on the CPU.
        is_choice: whether the last dimension counts the categories of one choice; else each value
            is the probability of 1.
    """

    name: str
    values: Tensor
    is_choice: bool


def unknowns_of(law: Any, marginals: Marginals) -> list[Unknown]:
    """The unknowns of a law.

    Args:
        law: a `Joint` or another; it tells what the marginals are of.
        marginals: its own, or of more rows of the same kind.
    """
    laws = law.laws if isinstance(marginals, Mapping) else {"z": law}
    named = marginals if isinstance(marginals, Mapping) else {"z": marginals}
    return [
        Unknown(
            name,
            values.detach().to("cpu", torch.float64),
            isinstance(getattr(laws[name], "law", laws[name]), td.OneHotCategorical),
        )
        for name, values in named.items()
    ]
