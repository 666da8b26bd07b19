"""Estimators by name, for command lines and configuration files."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor

from hotgrad.estimators.base import Estimator, missing_methods
from hotgrad.estimators.control_variate import REBAR, RELAX
from hotgrad.estimators.coupled import ARM, DisARM
from hotgrad.estimators.exact import Exact
from hotgrad.estimators.gumbel_straight_through import (
    GappedStraightThrough,
    GumbelRao,
    StraightThroughGumbelSoftmax,
)
from hotgrad.estimators.independent_parts import IndeCateR
from hotgrad.estimators.muprop import MuProp
from hotgrad.estimators.perturb_and_map import IMLE, PerturbedMAP
from hotgrad.estimators.relaxed import GumbelSoftmax, RelaxedTopK
from hotgrad.estimators.score_function import Baseline, ScoreFunction
from hotgrad.estimators.straight_through import ReinMax, StraightThrough
from hotgrad.estimators.unordered_set import UnorderedSet
from hotgrad.ops.checks import check_choice

_CLASSES: tuple[type[Estimator], ...] = (
    GumbelSoftmax,
    StraightThrough,
    StraightThroughGumbelSoftmax,
    GumbelRao,
    GappedStraightThrough,
    ReinMax,
    RelaxedTopK,
    IMLE,
    PerturbedMAP,
    ScoreFunction,
    IndeCateR,
    UnorderedSet,
    ARM,
    DisARM,
    MuProp,
    REBAR,
    RELAX,
    Exact,
)
ESTIMATORS = {cls.name: cls for cls in _CLASSES}
"""Every estimator of the library, by the name that its class gives it."""

_EXAMPLES = {"critic": "Critic(q.event_shape)"}


def make_estimator(
    name: str,
    *,
    temperature: float = 1.0,
    baseline: Baseline | None = None,
    critic: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Estimator:
    """The named estimator; temperature, baseline and critic go to those that have one.

    The temperature is where those start that learn it.

    Raises:
        ValueError: an unknown name, a baseline or a critic for an estimator that has none, or no
            critic for relax.

    Example:
        >>> hg.estimators.make_estimator("gumbel-softmax", temperature=0.5)
        GumbelSoftmax(temperature=0.5)
    """
    check_choice("estimator", name, ESTIMATORS)
    cls: Any = ESTIMATORS[name]
    given = {"baseline": baseline, "critic": critic, "temperature": temperature}
    given = {argument: value for argument, value in given.items() if value is not None}
    for argument in given:
        if argument not in cls.arguments and argument != "temperature":
            having = [other for other, one in ESTIMATORS.items() if argument in one.arguments]
            do = "does" if len(having) == 1 else "do"
            raise ValueError(f"{name} has no {argument}; only {' and '.join(having)} {do}.")
    parameters = inspect.signature(cls).parameters
    for argument in cls.arguments:
        if argument not in given and parameters[argument].default is inspect.Parameter.empty:
            raise ValueError(f"{name} needs a {argument}, such as {_EXAMPLES[argument]}.")
    made: Estimator = cls(**{a: value for a, value in given.items() if a in cls.arguments})
    return made


def row_wise_estimators(*distributions: type) -> list[str]:
    """Names of those with which each sample may have an f of its own, such as a row's loss.

    Args:
        distributions: on one of which, at least, they work.
    """
    return [
        name
        for name, cls in ESTIMATORS.items()
        if cls.row_wise
        and not all(missing_methods(cls, distribution) for distribution in distributions)
    ]


def at_temperature(estimator: Estimator, temperature: float) -> Estimator:
    """A copy at another temperature, or the estimator itself where it has none."""
    if has_temperature(type(estimator)):
        return dataclasses.replace(estimator, temperature=temperature)  # type: ignore[type-var]
    return estimator


def has_temperature(cls: type[Estimator]) -> bool:
    """Whether the estimator is a configuration with a temperature."""
    return "temperature" in getattr(cls, "__dataclass_fields__", {})


def has_baseline(cls: type[Estimator]) -> bool:
    """Whether the estimator is made with a baseline."""
    return "baseline" in cls.arguments
