"""How a run's settings are declared: each once, for the configuration and for the command line."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hotgrad.ops.checks import check_number, check_text

DATA, MODEL, GRADIENT, TRAINING = "Data", "Model", "Gradient", "Training"


@dataclass(frozen=True)
class Setting:
    """What there is to know of a field of `Config` beside its name, type and default.

    The command line makes its options from these.
    """

    group: str
    text: str = ""
    """One sentence for the help; the choices are added to it."""
    check: Callable[[Any, str], object] | None = None
    """Refuses a bad value; called with the value and the name."""
    choices: tuple[str, ...] = ()
    placeholder: str | None = None
    """Stands for a value in the help; None is NAME for choices, the type's for others."""


def setting(default: Any, *about: Any, **more: Any) -> Any:
    """A field of `Config`: its default, and the rest as `Setting` takes it."""
    return field(default=default, metadata={"setting": Setting(*about, **more)})


def setting_of(declared: "dataclasses.Field[Any]") -> Setting:
    """Of a field of `Config`."""
    found: Setting = declared.metadata["setting"]
    return found


def check_optional_text(value: object, name: str) -> None:
    """A string, or None."""
    if value is not None:
        check_text(value, name)


def check_level(level: float, name: str = "level") -> None:
    """A share of values, or a standard deviation, in (0, 1]."""
    check_number(level, name, lambda number: 0 < number <= 1, "above 0 and at most 1")


class ChosenName(str):
    """A choice that was left open: `dataclasses.replace` hands it on, and it is made anew."""

    __slots__ = ()


class ChosenSize(int):
    """A choice that was left open: `dataclasses.replace` hands it on, and it is made anew."""

    __slots__ = ()
