"""Estimators by name, for command lines and configuration files."""

import dataclasses

from hotgrad.estimators.base import Estimator
from hotgrad.estimators.exact import Exact
from hotgrad.estimators.perturb_and_map import IMLE, PerturbedMAP
from hotgrad.estimators.relaxed import GumbelSoftmax, RelaxedTopK
from hotgrad.estimators.score_function import Baseline, ScoreFunction
from hotgrad.estimators.straight_through import (
    ReinMax,
    StraightThrough,
    StraightThroughGumbelSoftmax,
)
from hotgrad.ops.checks import check_choice

ESTIMATORS: dict[str, type[Estimator]] = {
    "gumbel-softmax": GumbelSoftmax,
    "straight-through": StraightThrough,
    "straight-through-gumbel-softmax": StraightThroughGumbelSoftmax,
    "reinmax": ReinMax,
    "relaxed-top-k": RelaxedTopK,
    "imle": IMLE,
    "perturbed-map": PerturbedMAP,
    "score-function": ScoreFunction,
    "exact": Exact,
}


def make_estimator(
    name: str, *, temperature: float = 1.0, baseline: Baseline | None = None
) -> Estimator:
    """The named estimator; the temperature and the baseline go to those that have one.

    Raises:
        ValueError: an unknown name, or a baseline for an estimator that has none.

    Example:
        >>> hg.estimators.make_estimator("gumbel-softmax", temperature=0.5)
        GumbelSoftmax(temperature=0.5)
    """
    check_choice("estimator", name, ESTIMATORS)
    cls = ESTIMATORS[name]
    if cls is ScoreFunction:
        return ScoreFunction(baseline)
    if baseline is not None:
        raise ValueError(f"{name} has no baseline; only score-function does.")
    return at_temperature(cls(), temperature)


def at_temperature(estimator: Estimator, temperature: float) -> Estimator:
    """A copy at another temperature, or the estimator itself where it has none."""
    if has_temperature(type(estimator)):
        return dataclasses.replace(estimator, temperature=temperature)  # type: ignore[type-var]
    return estimator


def has_temperature(cls: type[Estimator]) -> bool:
    """Whether the estimator is a configuration with a temperature."""
    return "temperature" in getattr(cls, "__dataclass_fields__", {})
