"""Estimators that are a kind of sample: the gradient flows through z itself."""

from abc import abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from hotgrad.distributions import DiscreteDistribution, as_distribution
from hotgrad.distributions.continuous import rsample_each
from hotgrad.estimators.base import Estimator, Function, missing_methods
from hotgrad.estimators.explicit_gradients import once_differentiable
from hotgrad.ops.checks import (
    check_broadcasts,
    check_generator,
    check_temperature,
    plain_fields,
    shown,
)

B = TypeVar("B")


class Pathwise(Estimator, Generic[B]):
    """An estimator that is a kind of sample: the gradient flows through z itself.

    Subclasses write `draw`, for one base of q. `sample` serves as a layer in a network.
    """

    differentiates_f = True
    row_wise = True
    twice_differentiable: ClassVar[bool] = True
    """Whether the gradient may itself be differentiated."""

    @abstractmethod
    def draw(
        self, base: B, sample_shape: tuple[int, ...], generator: torch.Generator | None
    ) -> Tensor:
        """`sample_shape + base.batch_shape + base.event_shape`, with the gradient attached.

        Args:
            base: a distribution that is no product of others, with what `requires` promises.
            sample_shape: of the samples.
            generator: the source of randomness.
        """

    def sample(
        self,
        q: Distribution,
        sample_shape: tuple[int, ...] = (),
        *,
        generator: torch.Generator | None = None,
    ) -> Any:
        """Samples `sample_shape + batch_shape + event_shape` with the gradient attached.

        Of a `Joint` a dict of them, by name.

        Raises:
            ValueError: no distribution; a shape or a generator that is none, a temperature that
                doesn't broadcast.
            NotImplementedError: q lacks a method.
        """
        distribution = as_distribution(q)
        if not isinstance(sample_shape, tuple | list):
            raise ValueError(
                f"sample_shape must be a tuple such as (3,), got {shown(sample_shape)}."
            )
        shape = tuple(sample_shape)
        check_generator(generator)
        for base in () if torch.compiler.is_compiling() else distribution.bases:
            if missing := missing_methods(self, base):
                raise NotImplementedError(
                    f"{self.label} needs {', '.join(missing)}, which "
                    f"{distribution.naming(base)} doesn't have."
                )
        numbers = rsample_each(distribution.continuous, shape, generator)
        choices = distribution.named(self._draw_all(distribution, shape, generator))
        # in the order of the Joint's factors
        names = getattr(q, "factors", ())
        return {name: (numbers | choices)[name] for name in names} if numbers else choices

    def surrogate(
        self,
        f: Function,
        q: DiscreteDistribution,
        num_samples: int,
        generator: torch.Generator | None,
    ) -> Tensor:
        """The mean of f at samples that carry the gradient."""
        return f(self._draw_all(q, (num_samples,), generator)).mean(0)

    def check_fits(self, q: DiscreteDistribution) -> None:
        """Refuse a q for which the estimator's own settings are wrong."""

    def _draw_all(
        self,
        q: DiscreteDistribution,
        sample_shape: tuple[int, ...],
        generator: torch.Generator | None,
    ) -> Tensor:
        """Samples of q; each base is drawn by itself."""
        self.check_fits(q)
        z = q.each(lambda base: self.draw(base, sample_shape, generator))
        # the compiler would follow what q is made of, and has no second derivatives anyway
        if self.twice_differentiable or torch.compiler.is_compiling() or not q.has_params:
            return z
        return once_differentiable(z, self.label, *q.params.values())


@dataclass(frozen=True, eq=False)
class Tempered(Pathwise[B]):
    """A pathwise estimator with a temperature: a number, or a tensor that broadcasts.

    Subclasses are frozen dataclasses with `eq=False`: the comparison here knows tensors.
    """

    temperature: float | Tensor = 1.0

    arguments = ("temperature",)
    learns_temperature: ClassVar[bool] = True
    """Whether the samples have a gradient to the temperature."""

    def __post_init__(self) -> None:
        plain_fields(self)
        if isinstance(self.temperature, nn.Parameter):
            name = type(self).__name__
            raise ValueError(
                "temperature is an nn.Parameter, which a model that holds this estimator wouldn't "
                f"find among its own. Use LearnedTemperature({name}(temperature=0.5)), a module "
                "that a model finds and saves; or hold the parameter in your model and give what "
                f"you make of it at each step, such as {name}(temperature=parameter.exp())."
            )
        check_temperature(self.temperature)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return all(_alike(own, its) for own, its in pairs)

    def __hash__(self) -> int:
        # equal tensors have equal shapes; their values may change
        own = (getattr(self, field.name) for field in fields(self))
        return hash((type(self), *(v.shape if isinstance(v, Tensor) else v for v in own)))

    def check_fits(self, q: DiscreteDistribution) -> None:
        check_temperature_fits(self.temperature, q)


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one is other or (
            (one.dtype, one.device) == (other.dtype, other.device) and torch.equal(one, other)
        )
    return type(one) is type(other) and bool(one == other)


def check_temperature_fits(temperature: float | Tensor, q: DiscreteDistribution) -> None:
    """Refuse a temperature that doesn't broadcast against z, or against that of a base of q.

    Raises:
        ValueError: it doesn't.
    """
    if isinstance(temperature, Tensor):
        for base in q.bases:
            check_broadcasts(temperature, base.batch_shape + base.event_shape, "temperature")
