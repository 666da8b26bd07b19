"""A law's kind as plain values, as a file holds it, and the law that they describe."""

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
    name = description["law"]
    if name == "Joint":
        parts: dict[str, Any] = description["parts"]
        return Joint(**{part: rebuild(parts[part], {"": logits[part]}) for part in parts})
    if name not in ("Independent", *_PLAIN, *_SUBSETS):
        raise ValueError(f"unknown law {name!r}")
    checked = description["checked"]
    if name == "Independent":
        inside = rebuild(description["inside"], logits)
        return Independent(inside, description["dims"], validate_args=checked)
    if name in _PLAIN:
        return _PLAIN[name](logits=logits[""], validate_args=checked)
    return _SUBSETS[name](logits[""], description["k"], validate_args=checked)
