"""Temperature schedules: frozen callables from a step to a temperature.

A schedule is a plain function of the step, so a resumed run needs no state for it. Use one as
`hg.GumbelSoftmax(schedule(step))`.
"""

import math
from dataclasses import dataclass

from hotgrad.ops import checks


def check_rate(rate: float, name: str) -> None:
    """The decay a step: a number of at least 0."""
    checks.check_number(rate, name, lambda number: number >= 0, "at least 0 and finite")


def _check_step(step: int) -> None:
    """Refuse a step below 0, where a formula would leave the range between its ends."""
    checks.check_count(step, "step", minimum=0)


@dataclass(frozen=True)
class Constant:
    """The same temperature at every step.

    Example:
        >>> hg.schedules.Constant(0.5)(1000)
        0.5
    """

    value: float

    def __post_init__(self) -> None:
        checks.plain_fields(self)
        checks.check_one_temperature(self.value, "value")

    def __call__(self, step: int) -> float:
        _check_step(step)
        return self.value


@dataclass(frozen=True)
class Exponential:
    """max(floor, initial * exp(-rate * t)), t being the step rounded down to a multiple of `every`.

    Example:
        >>> schedule = hg.schedules.Exponential(rate=1e-4, floor=0.5, every=1000)
        >>> schedule(999), round(schedule(1000), 4), schedule(100_000)
        (1.0, 0.9048, 0.5)

    Reference: Categorical Reparameterization with Gumbel-Softmax (Jang, Gu, Poole, 2016), Section
    4.2: rates 1e-5 and 1e-4, every 500 or 1000 steps, floor 0.5.
    """

    initial: float = 1.0
    rate: float = 1e-4
    floor: float = 0.5
    every: int = 1

    def __post_init__(self) -> None:
        checks.plain_fields(self)
        checks.check_one_temperature(self.initial, "initial")
        checks.check_one_temperature(self.floor, "floor")
        checks.check_count(self.every, "every")
        check_rate(self.rate, "rate")

    def __call__(self, step: int) -> float:
        _check_step(step)
        return max(self.floor, self.initial * math.exp(-self.rate * (step - step % self.every)))


@dataclass(frozen=True)
class _Ramp:
    """From `initial` to `final` over `steps` steps, then exactly `final`."""

    initial: float
    final: float
    steps: int

    def __post_init__(self) -> None:
        checks.plain_fields(self)
        checks.check_one_temperature(self.initial, "initial")
        checks.check_one_temperature(self.final, "final")
        checks.check_count(self.steps, "steps")

    def __call__(self, step: int) -> float:
        _check_step(step)
        if step >= self.steps:
            return self.final  # exact, where the formula rounds
        return self.initial + (self.final - self.initial) * self._covered(step / self.steps)

    def _covered(self, share: float) -> float:
        """How much of the way from `initial` to `final` lies behind after a share of the steps."""
        raise NotImplementedError


class Linear(_Ramp):
    """A straight line from `initial` to `final` over `steps` steps, then `final`.

    Example:
        >>> hg.schedules.Linear(initial=1.0, final=0.5, steps=100)(50)
        0.75
    """

    def _covered(self, share: float) -> float:
        return share


class Cosine(_Ramp):
    """Half a cosine from `initial` to `final` over `steps` steps, then `final`.

    Example:
        >>> hg.schedules.Cosine(initial=1.0, final=0.5, steps=100)(50)
        0.75
    """

    def _covered(self, share: float) -> float:
        return (1 - math.cos(math.pi * share)) / 2
