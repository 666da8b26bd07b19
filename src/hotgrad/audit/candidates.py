"""Which estimators an audit measures: those given, or every one that the library has."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hotgrad.audit.objective import Objective
from hotgrad.distributions import DiscreteDistribution
from hotgrad.estimators import (
    ESTIMATORS,
    LearnedTemperature,
    at_temperature,
    has_temperature,
)
from hotgrad.estimators.base import fitting_num_samples, label_of
from hotgrad.ops.checks import shown
from hotgrad.seeding import seeded_weights

TEMPERATURES = (0.1, 0.3, 1.0, 3.0)
"""Where those with a temperature are measured unless told otherwise."""

Given = Sequence[Any] | Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Candidate:
    """An estimator that is to be measured.

    Args:
        name: the same at all its temperatures.
        estimator: the object.
        num_samples: of one call: as many as asked for, or as few more as it takes.
    """

    name: str
    estimator: Any
    num_samples: int

    @property
    def temperature(self) -> float | None:
        """Its temperature, where that stays as it is while it is measured."""
        if not has_temperature(type(self.estimator)) and not self._at_learned_temperature:
            return None
        value = self.estimator.temperature
        if isinstance(value, torch.Tensor):
            return value.item() if value.numel() == 1 else None
        return float(value)

    @property
    def label(self) -> str:
        """The name, with the temperature where there is one."""
        at = self.temperature
        return self.name + ("" if at is None else f" at temperature {at:g}")

    @property
    def learns(self) -> bool:
        """Whether it has something of its own that makes its gradients better as it learns."""
        module = self.estimator
        # a temperature learns to make f small instead: it is measured where it is
        if not isinstance(module, nn.Module) or self._at_learned_temperature:
            return False
        return any(True for held in (module.parameters(), module.buffers()) for _ in held)

    @property
    def draws(self) -> bool:
        """Whether it draws samples; what doesn't is the sum over all states."""
        return bool(getattr(self.estimator, "draws", True))

    @property
    def _at_learned_temperature(self) -> bool:
        return isinstance(self.estimator, LearnedTemperature)

    @property
    def ready(self) -> Any:
        """The estimator to train with: one that learns goes on learning."""
        return self.estimator.train() if self.learns else self.estimator


def find_candidates(
    given: Given | None,
    objective: Objective,
    temperatures: Sequence[float] | None,
    num_samples: int,
    budget: int,
) -> list[Candidate]:
    """All estimators to measure, each at its temperatures; whether they work with q is seen later.

    Raises:
        ValueError: nothing is given, or something that isn't an estimator.
    """
    if given is None:
        seed = objective.seed("critic")
        pairs = [
            (label_of(estimator), estimator)
            for name in ESTIMATORS
            for estimator in default_estimators(name, objective.q, budget, seed)
        ]
        temperatures = TEMPERATURES if temperatures is None else temperatures
    else:
        pairs = list(_named(given))
        if not pairs:
            raise ValueError("estimators is empty: give one at least, or None for all.")
    candidates = []
    for name, estimator in pairs:
        fits = has_temperature(type(estimator)) and temperatures is not None
        variants = [at_temperature(estimator, t) for t in temperatures or ()] if fits else []
        for variant in variants or [estimator]:
            candidates.append(Candidate(name, variant, fitting_num_samples(variant, num_samples)))
    # at the same temperatures, an estimator that was given at several is one
    return list({(each.name, each.temperature): each for each in candidates}.values())


def default_estimators(name: str, q: DiscreteDistribution, budget: int, seed: int) -> list[Any]:
    """What an audit measures of a class of estimators, unless it is told more.

    Args:
        name: the class's, on the command line.
        q: the distribution of z.
        budget: the most states that may be summed over.
        seed: of a critic's first weights.
    """
    with seeded_weights(seed):
        made: list[Any] = list(ESTIMATORS[name].defaults_for(q, budget=budget))
    return [one.to(q.device) if isinstance(one, nn.Module) else one for one in made]


def unbiased_estimators(objective: Objective) -> Iterator[tuple[str, Any]]:
    """By name: those of the library that draw, work with q and need not learn first."""
    for name, cls in ESTIMATORS.items():
        useful = cls.unbiased and cls.draws and not cls.must_learn
        if useful and not objective.lacks(cls):
            estimator = default_estimators(name, objective.q, 1, 0)[0]
            yield name, estimator.eval() if isinstance(estimator, nn.Module) else estimator


def _named(given: Given) -> Iterator[tuple[str, Any]]:
    if isinstance(given, Mapping):
        for name, estimator in given.items():
            _check(estimator, given)
            yield str(name), estimator
        return
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ValueError(
            "estimators must be a sequence of estimator objects, or a dict from names to them, "
            f"got {shown(given)}."
        )
    for estimator in given:
        _check(estimator, given)
    made = [(label_of(estimator), _settings(estimator)) for estimator in given]
    taken: set[tuple[str, Any]] = set()
    for estimator, (label, settings) in zip(given, made, strict=True):
        others = {its for name, its in made if name == label} - {settings}
        name = f"{label}({settings})" if settings and others else label
        number, temperature = 1, Candidate(name, estimator, 1).temperature
        numbered = name
        while (numbered, temperature) in taken:
            number += 1
            numbered = f"{name} #{number}"
        taken.add((numbered, temperature))
        yield numbered, estimator


def _settings(estimator: Any) -> str:
    """What it was made with, but for its temperature and defaults."""
    if not dataclasses.is_dataclass(estimator):
        return ""
    return ", ".join(
        f"{field.name}={getattr(estimator, field.name)!r}"
        for field in dataclasses.fields(estimator)
        if field.name != "temperature" and getattr(estimator, field.name) != field.default
    )


def _check(estimator: Any, given: Given) -> None:
    if isinstance(estimator, type) or not hasattr(estimator, "surrogate"):
        raise ValueError(
            "estimators must hold estimator objects such as GumbelSoftmax(temperature=0.5), got "
            f"{shown(estimator)}."
        )
