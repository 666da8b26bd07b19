"""Temperature schedules: frozen callables from a step to a temperature.

A schedule is a plain function of the step, so a resumed run needs no state for it. Use one as
`hg.GumbelSoftmax(schedule(step))`.
"""

import math
from dataclasses import dataclass

from hotgrad.ops import checks


@dataclass(frozen=True)
class Constant:
    """The same temperature at every step.

    Example:
        >>> hg.schedules.Constant(0.5)(1000)
        0.5
    """

    value: float

    def __post_init__(self) -> None:
        checks.check_temperature(self.value, "value")

    def __call__(self, step: int) -> float:
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
        checks.check_temperature(self.initial, "initial")
        checks.check_temperature(self.floor, "floor")
        checks.check_count(self.every, "every")
        if not (self.rate >= 0 and math.isfinite(self.rate)):
            raise ValueError(f"rate must be at least 0 and finite, got {self.rate}.")

    def __call__(self, step: int) -> float:
        return max(self.floor, self.initial * math.exp(-self.rate * (step - step % self.every)))


@dataclass(frozen=True)
class _Ramp:
    """From `initial` to `final` over `steps` steps, then exactly `final`."""

    initial: float
    final: float
    steps: int

    def __post_init__(self) -> None:
        checks.check_temperature(self.initial, "initial")
        checks.check_temperature(self.final, "final")
        checks.check_count(self.steps, "steps")

    def _between(self, step: int, covered: float) -> float:
        """The temperature after a share of the way, exact at the end."""
        if step >= self.steps:
            return self.final
        return self.initial + (self.final - self.initial) * covered


class Linear(_Ramp):
    """A straight line from `initial` to `final` over `steps` steps, then `final`.

    Example:
        >>> hg.schedules.Linear(initial=1.0, final=0.5, steps=100)(50)
        0.75
    """

    def __call__(self, step: int) -> float:
        return self._between(step, step / self.steps)


class Cosine(_Ramp):
    """Half a cosine from `initial` to `final` over `steps` steps, then `final`.

    Example:
        >>> hg.schedules.Cosine(initial=1.0, final=0.5, steps=100)(50)
        0.75
    """

    def __call__(self, step: int) -> float:
        return self._between(step, (1 - math.cos(math.pi * step / self.steps)) / 2)
