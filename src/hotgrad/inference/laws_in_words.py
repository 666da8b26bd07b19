"""The kind of a distribution as plain values, as a file holds it; and back again."""

from typing import Any

from torch import Tensor

from hotgrad.distributions import (
    Bernoulli,
    Independent,
    Joint,
    KSubset,
    OneHotCategorical,
    PlackettLuceSubset,
)
from hotgrad.ops import checks

_PLAIN: dict[str, type[Any]] = {"Bernoulli": Bernoulli, "OneHotCategorical": OneHotCategorical}
_SUBSETS: dict[str, type[Any]] = {"KSubset": KSubset, "PlackettLuceSubset": PlackettLuceSubset}


def describe(law: Any) -> dict[str, Any] | None:
    """Everything but the logits; None of a law that isn't this library's."""
    if type(law) is Joint:
        parts = {name: describe(part) for name, part in law.laws.items()}
        return None if None in parts.values() else {"law": "Joint", "parts": parts}
    if type(law) is Independent:
        inside = describe(law.law)
        dims = len(law.event_shape) - len(law.law.event_shape)
        checked = bool(law._validate_args)
        return inside and {"law": "Independent", "dims": dims, "inside": inside, "checked": checked}
    name = type(law).__name__
    if type(law) not in (_PLAIN | _SUBSETS).values():
        return None
    described = {"law": name, "checked": bool(law._validate_args)}
    return described | ({"k": law.k} if name in _SUBSETS else {})


def rebuild(description: dict[str, Any], logits: dict[str, Tensor]) -> Any:
    """The law of a description.

    Args:
        description: what `describe` made.
        logits: by name; of a law that is no `Joint` by the empty name.

    Raises:
        KeyError, TypeError, ValueError: no description of a law, or logits that don't fit it.
    """
    if checked_kind(description, "law", dict)["law"] == "Joint":
        parts: dict[str, Any] = checked_kind(description["parts"], "parts", dict)
        return Joint(**{name: _rebuild_part(parts[name], logits[name]) for name in parts})
    return _rebuild_part(description, logits[""])


def _rebuild_part(description: dict[str, Any], logits: Tensor) -> Any:
    checked = checked_kind(description["checked"], "checked", bool)
    if description["law"] != "Independent":
        return _rebuild_inside(description, logits, checked)
    inside = description["inside"]
    dims = checked_kind(description["dims"], "dims", int)
    law = _rebuild_inside(inside, logits, checked_kind(inside["checked"], "checked", bool))
    if not 0 <= dims <= len(law.batch_shape):
        raise ValueError(f"dims is {checks.shown(dims)}, of a batch {tuple(law.batch_shape)}")
    return Independent(law, dims, validate_args=checked)


def _rebuild_inside(description: dict[str, Any], logits: Tensor, checked: bool) -> Any:
    name = checked_kind(description["law"], "law", str)
    if name in _PLAIN:
        return _PLAIN[name](logits=logits, validate_args=checked)
    if name in _SUBSETS:
        k = checked_kind(description["k"], "k", int)
        return _SUBSETS[name](logits, k, validate_args=checked)
    raise ValueError(f"unknown distribution {checks.shown(name)}")


def checked_kind(value: Any, name: str, *kinds: type) -> Any:
    """A value that a file holds, if it is of one of the kinds; True and False are no numbers.

    Raises:
        ValueError: it isn't.
    """
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(f"{name} is {checks.shown(value)}, no {expected}")
    return value
