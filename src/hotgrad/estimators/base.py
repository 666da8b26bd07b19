"""What an estimator is: it makes a tensor whose value is f's mean and whose backward estimates.

A custom estimator is a class with `surrogate` and the three facts; nothing is registered anywhere.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from hotgrad.distributions import as_law
from hotgrad.distributions.flattened import Flattened
from hotgrad.distributions.formulas import NoFormula
from hotgrad.ops.checks import (
    check_broadcasts,
    check_count,
    check_generator,
    check_temperature,
    plain_fields,
    shown,
)

Function = Callable[[Any], Tensor]
"""f: `(num_samples, *batch, *event) -> (num_samples, *batch)`; for a `Joint` of a dict of such."""


class Estimator(ABC):
    """A way to estimate the gradient of E_q[f(z)]."""

    unbiased: ClassVar[bool]
    """Whether the gradient estimate has the right mean for every f it can take."""
    relaxes_f: ClassVar[bool]
    """Whether f is evaluated between the vertices, at vectors that aren't 0 and 1."""
    differentiates_f: ClassVar[bool]
    """Whether f's gradient with respect to z is needed."""
    requires: ClassVar[tuple[str, ...]] = ("sample",)
    """The methods of a law that it calls."""
    least_samples: int = 1
    """The smallest `num_samples` that it can take."""
    paired: ClassVar[bool] = False
    """Whether it draws samples in pairs, so that `num_samples` must be even."""

    @property
    def label(self) -> str:
        """A short name, for messages and tables."""
        return type(self).__name__

    def evaluations(self, q: Any, num_samples: int) -> int:
        """How many values of f one surrogate takes, for each element of the batch."""
        return num_samples

    @abstractmethod
    def surrogate(
        self, f: Function, q: Any, num_samples: int, generator: torch.Generator | None
    ) -> Tensor:
        """A `(*batch,)` tensor: the mean of f, with the gradient estimate as its backward."""


class Pathwise(Estimator):
    """An estimator that is a kind of sample: the gradient flows through z itself.

    Subclasses write `sample`, which also serves as a layer in a network.
    """

    differentiates_f = True

    @abstractmethod
    def sample(
        self,
        q: Any,
        sample_shape: tuple[int, ...] = (),
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """`sample_shape + batch_shape + event_shape`, with the gradient attached."""

    def _law_of(self, q: Any, sample_shape: Any, generator: torch.Generator | None) -> Any:
        """`as_law`, for samples that are one tensor, all arguments being what they should be.

        Raises:
            ValueError: a `Joint`, whose samples are several; a shape or a generator that is none.
            NotImplementedError: q lacks a method.
        """
        law = as_law(q)
        if isinstance(law, Flattened):
            raise ValueError(
                "q is a Joint, whose unknowns are sampled one by one: "
                "{name: estimator.sample(law) for name, law in q.laws.items()}."
            )
        if not isinstance(sample_shape, tuple | list):
            raise ValueError(
                f"sample_shape must be a tuple such as (3,), got {shown(sample_shape)}."
            )
        check_generator(generator)
        inner = getattr(law, "law", law)
        if missing := missing_methods(self, inner):
            raise NotImplementedError(
                f"{self.label} needs {', '.join(missing)}, which {type(inner).__name__} doesn't "
                "have."
            )
        return law

    def surrogate(
        self, f: Function, q: Any, num_samples: int, generator: torch.Generator | None
    ) -> Tensor:
        """The mean of f at samples that carry the gradient."""
        return f(self._sample_parts(q, num_samples, generator)).mean(0)

    def _sample_parts(self, q: Any, count: int, generator: torch.Generator | None) -> Tensor:
        """Samples `(count, *batch, *event)`; different laws in one q are sampled one by one."""
        law = getattr(q, "law", q)
        if isinstance(law, Flattened):
            return law.each(lambda part: self.sample(part, (count,), generator=generator))
        return self.sample(q, (count,), generator=generator)


@dataclass(frozen=True, eq=False)
class Tempered(Pathwise):
    """A pathwise estimator with a temperature: a number, or a tensor that broadcasts.

    Subclasses are frozen dataclasses with `eq=False`: the comparison here knows tensors.
    """

    temperature: float | Tensor = 1.0

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

    def _law_of(self, q: Any, sample_shape: Any, generator: torch.Generator | None) -> Any:
        law = super()._law_of(q, sample_shape, generator)
        check_temperature_fits(self.temperature, law)
        return law


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one is other or (
            (one.dtype, one.device) == (other.dtype, other.device) and torch.equal(one, other)
        )
    return type(one) is type(other) and bool(one == other)


def check_temperature_fits(temperature: float | Tensor, q: Any) -> None:
    """Refuse a temperature that doesn't broadcast against the logits of q, or of a part of it.

    Raises:
        ValueError: it doesn't.
    """
    for part in q.laws.values() if isinstance(q, Flattened) else [q]:
        check_broadcasts(temperature, part.batch_shape + part.event_shape, "temperature")


def label_of(estimator: Any) -> str:
    """An estimator's name; one of a user's own need not have a label."""
    return getattr(estimator, "label", type(estimator).__name__)


def check_num_samples(estimator: Any, num_samples: int | None) -> int:
    """The number of samples, None being the least that the estimator takes.

    Raises:
        ValueError: no positive integer, fewer than `least_samples`, or odd where they are paired.
    """
    if num_samples is None:
        return fitting_num_samples(estimator, 1)
    num_samples = check_count(num_samples, "num_samples")
    least = getattr(estimator, "least_samples", 1)
    if num_samples < least:
        raise ValueError(
            f"{label_of(estimator)} needs num_samples of at least {least}, got {num_samples}. "
            f"Use num_samples={least}."
        )
    if getattr(estimator, "paired", False) and num_samples % 2:
        raise ValueError(
            f"{label_of(estimator)} draws samples in pairs: num_samples must be even, got "
            f"{num_samples}. Use num_samples={num_samples + 1}."
        )
    return num_samples


def fitting_num_samples(estimator: Any, num_samples: int) -> int:
    """As many samples, or as few more as the estimator takes."""
    fitting = max(num_samples, getattr(estimator, "least_samples", 1))
    return fitting + fitting % 2 if getattr(estimator, "paired", False) else fitting


def missing_methods(estimator: Any, law: Any) -> list[str]:
    """The methods that an estimator calls and a law hasn't; either is an object or a class.

    Of a law of independent parts, give the law inside: `q.law`. Of a `Joint`, `as_law(q)`: what any
    of its laws lacks.

    Example:
        >>> hg.estimators.missing_methods(hg.RelaxedTopK, hg.Bernoulli)
        ['relax_top_k']
    """
    required = getattr(estimator, "requires", ())
    if not isinstance(law, Flattened):
        return [name for name in required if _lacks(law, name)]
    laws = [getattr(part, "law", part) for part in law.laws.values()]
    cls = estimator if isinstance(estimator, type) else type(estimator)
    if not issubclass(cls, Pathwise):
        laws.append(law)
    return [name for name in required if any(_lacks(part, name) for part in laws)]


def _lacks(law: Any, name: str) -> bool:
    cls = law if isinstance(law, type) else type(law)
    # two base classes have some of the names, and only raise in them
    raising = (getattr(base, name, None) for base in (Distribution, NoFormula))
    return getattr(cls, name, None) in (None, *raising)
