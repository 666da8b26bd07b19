"""What an estimator is: it makes a tensor whose value is f's mean and whose backward estimates.

A custom estimator is a class with `surrogate` and its facts; nothing is registered anywhere.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from hotgrad.distributions import DiscreteDistribution, as_distribution
from hotgrad.distributions.capabilities import CanSample, lacking
from hotgrad.ops.checks import check_count

Function = Callable[[Any], Tensor]
"""f: `(num_samples, *batch, *event) -> (num_samples, *batch)`; for a `Joint` of a dict of such."""


class Estimator(ABC):
    """A way to estimate the gradient of E_q[f(z)].

    All that is known of one is written in its class: how exact it is, what it asks of q and of f,
    how a command line calls it and what it is made with there.
    """

    unbiased: ClassVar[bool]
    """Whether the gradient estimate has the right mean for every f it can take."""
    relaxes_f: ClassVar[bool]
    """Whether f is evaluated between the vertices, at vectors that aren't 0 and 1."""
    differentiates_f: ClassVar[bool]
    """Whether f's gradient with respect to z is needed."""
    requires: ClassVar[tuple[type, ...]] = (CanSample,)
    """What it asks of a distribution: protocols of `hotgrad.distributions.capabilities`."""
    least_samples: int = 1
    """The smallest `num_samples` that it can take."""
    paired: ClassVar[bool] = False
    """Whether it draws samples in pairs, so that `num_samples` must be even."""
    draws: ClassVar[bool] = True
    """Whether its value and gradient are random; those of a sum over all states aren't."""
    must_learn: ClassVar[bool] = False
    """Whether it is no better than a simpler one until it has learnt something."""
    row_wise: ClassVar[bool] = False
    """Whether it asks f about its own samples alone, each once and in order.

    Then each sample may have an f of its own, such as a row's loss. Others ask about further
    states, or weigh the samples against one another.
    """
    name: ClassVar[str] = ""
    """What command lines and configuration files call it."""
    arguments: ClassVar[tuple[str, ...]] = ()
    """What it takes of `temperature`, `baseline` and `critic` where it is made by its name."""

    @property
    def label(self) -> str:
        """A short name, for messages and tables."""
        return type(self).__name__

    @classmethod
    def example(cls) -> str:
        """How one makes it, in a message."""
        return f"{cls.__name__}()"

    @property
    def in_python(self) -> str:
        """How one makes one like it after `import hotgrad as hg`; without what it has learnt."""
        made_of: Any = self
        settings = fields(made_of) if hasattr(self, "__dataclass_fields__") else ()
        given = [(setting, getattr(self, setting.name)) for setting in settings]
        changed = [
            f"{setting.name}={in_python(value)}"
            for setting, value in given
            if isinstance(value, Tensor) or value != setting.default
        ]
        return f"hg.{type(self).__name__}({', '.join(changed)})"

    @classmethod
    def defaults_for(cls, q: DiscreteDistribution, *, budget: int) -> list[Self]:
        """As which an audit measures it, where the user gave a name or none.

        Args:
            q: the distribution.
            budget: the most states that may be summed over.
        """
        return [cls()]

    def evaluations(self, q: DiscreteDistribution, num_samples: int) -> int:
        """How many values of f one surrogate takes, for each element of the batch."""
        return num_samples

    @abstractmethod
    def surrogate(
        self,
        f: Function,
        q: DiscreteDistribution,
        num_samples: int,
        generator: torch.Generator | None,
    ) -> Tensor:
        """A `(*batch,)` tensor: the mean of f, with the gradient estimate as its backward.

        Args:
            f: checked: see `Function`. It takes one tensor, also where q is a `Joint`.
            q: what `as_distribution` makes of the user's.
            num_samples: one that the estimator takes.
            generator: the source of randomness.
        """


def in_python(value: Any) -> str:
    """How one writes a setting."""
    if isinstance(value, Tensor):
        return f"{value.item():g}" if value.ndim == 0 else f"torch.tensor({value.tolist()})"
    return f"{value:g}" if isinstance(value, float) else repr(value)


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


def missing_methods(estimator: Any, q: Any) -> list[str]:
    """The methods that an estimator calls and a distribution hasn't; each an object or a class.

    Of a product of several it is what any of its bases lacks.

    Example:
        >>> hg.estimators.missing_methods(hg.RelaxedTopK, hg.Bernoulli)
        ['relaxed_top_k_sample']
    """
    bases = (q,) if isinstance(q, type) else as_distribution(q).bases
    required = getattr(estimator, "requires", ())
    return list(dict.fromkeys(name for base in bases for name in lacking(base, *required)))
