"""Estimators by name, for command lines and configuration files."""

import dataclasses
from collections.abc import Callable

from torch import Tensor

from hotgrad.estimators.base import Estimator, Pathwise, missing_methods
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
from hotgrad.estimators.score_function import Baseline, ScoreFunction, WithBaseline
from hotgrad.estimators.straight_through import ReinMax, StraightThrough
from hotgrad.estimators.unordered_set import UnorderedSet
from hotgrad.ops.checks import check_choice

ESTIMATORS: dict[str, type[Estimator]] = {
    "gumbel-softmax": GumbelSoftmax,
    "straight-through": StraightThrough,
    "straight-through-gumbel-softmax": StraightThroughGumbelSoftmax,
    "gumbel-rao": GumbelRao,
    "gapped-straight-through": GappedStraightThrough,
    "reinmax": ReinMax,
    "relaxed-top-k": RelaxedTopK,
    "imle": IMLE,
    "perturbed-map": PerturbedMAP,
    "score-function": ScoreFunction,
    "indecater": IndeCateR,
    "unordered-set": UnorderedSet,
    "arm": ARM,
    "disarm": DisARM,
    "muprop": MuProp,
    "rebar": REBAR,
    "relax": RELAX,
    "exact": Exact,
}


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
    cls = ESTIMATORS[name]
    if baseline is not None and not has_baseline(cls):
        raise ValueError(f"{name} has no baseline; only score-function and muprop do.")
    if (critic is not None) != (cls is RELAX):
        raise ValueError(
            "relax needs a critic, such as Critic(q.event_shape)."
            if cls is RELAX
            else f"{name} has no critic; only relax does."
        )
    if issubclass(cls, WithBaseline):
        return cls(baseline)
    if critic is not None:
        return RELAX(critic, temperature)
    return REBAR(temperature) if cls is REBAR else at_temperature(cls(), temperature)


def row_wise_estimators(*distributions: type) -> list[str]:
    """Names of those with which each sample may have an f of its own, such as a row's loss.

    They ask f about their own samples alone, each once and in order. Others ask about further
    states, or weigh the samples against one another.

    Args:
        distributions: on one of which, at least, they work.
    """
    return [
        name
        for name, cls in ESTIMATORS.items()
        if (issubclass(cls, Pathwise) or cls is ScoreFunction)
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
    return issubclass(cls, WithBaseline)
