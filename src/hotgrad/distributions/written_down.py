"""Distributions from what a file holds of them: plain values, and tensors by name."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.distributions import Distribution

from hotgrad.distributions.discrete import DiscreteDistribution
from hotgrad.distributions.independent import Independent
from hotgrad.distributions.joint import Joint
from hotgrad.ops import checks


def from_description(description: Any, params: Mapping[str, Tensor]) -> Distribution:
    """The distribution that `describe` and `params` came from.

    A class of a user's own is found by its name among those that the program has imported.

    Args:
        description: what `q.describe()` returned, or a file gave back.
        params: what `q.params` held.

    Raises:
        ValueError: no description of a distribution, a class that isn't known, or parameters that
            don't fit it.

    Example:
        >>> q = hg.KSubset(torch.zeros(4), k=2)
        >>> hg.distributions.from_description(q.describe(), q.params)
        KSubset(k: 2, logits: torch.Size([4]))
    """
    kind = _field(description, "kind", str)
    if kind == "Joint":
        factors = _field(description, "factors", dict)
        own = {name: _of_factor(params, name) for name in factors}
        return Joint(**{name: from_description(factors[name], own[name]) for name in factors})
    checked = _field(description, "validate_args", bool)
    if kind == "Independent":
        inside = from_description(_field(description, "inside", dict), params)
        ndims = _field(description, "ndims", int)
        return Independent(inside, ndims, validate_args=checked)
    # by where it stands: run again, as a notebook's cell is, a definition takes the former's place
    found = {
        (cls.__module__, cls.__qualname__): cls
        for cls in _below(DiscreteDistribution)
        if cls.__name__ == kind
    }
    if len(found) != 1:
        known = (
            "isn't known here: import the module that defines it"
            if not found
            else "is the name of several classes: rename all but one"
        )
        raise ValueError(f"The distribution {checks.shown(kind)} {known}.")
    try:
        return found.popitem()[1].from_description(description, params)
    except TypeError as error:
        raise ValueError(f"No {kind} can be made of what was given: {error}.") from error


def _of_factor(params: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    split = {key.rpartition("."): value for key, value in params.items()}
    return {param: value for (factor, _, param), value in split.items() if factor == name}


def _below(cls: type[DiscreteDistribution]) -> Iterator[type[DiscreteDistribution]]:
    for child in cls.__subclasses__():
        yield child
        yield from _below(child)


def _field(description: Any, name: str, kind: type) -> Any:
    """What a description says under a name, if that is of a kind; True and False are no numbers."""
    if not isinstance(description, Mapping) or name not in description:
        raise ValueError(f"{checks.shown(description)} is no description of a distribution.")
    value = description[name]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{name} is {checks.shown(value)}, no {kind.__name__}.")
    return value
