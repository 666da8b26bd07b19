"""The latent codes: from logits to a distribution, its relaxation, and the decoder's flat vector.

A new kind is a class with these members, a line in `DISTRIBUTIONS` and one in `make_latent`.
"""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from torch.distributions import Distribution

from hotgrad.distributions import (
    Bernoulli,
    BinaryConcrete,
    Concrete,
    Independent,
    KSubset,
    OneHotCategorical,
)
from hotgrad.ops.checks import check_choice, check_count, check_subset_size

DISTRIBUTIONS: dict[str, type[Distribution]] = {
    "categorical": OneHotCategorical,
    "bernoulli": Bernoulli,
    "k-subset": KSubset,
}
"""The kinds of code, with the distribution of one of their variables."""


class Latent(Protocol):
    """What the model asks of a code."""

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Of one code."""

    @property
    def size(self) -> int:
        """How many logits a code has, and how long it is when flat."""

    def distribution(self, logits: Tensor) -> Independent:
        """Of the code, from logits `(*batch, size)`."""

    def relaxed(self, logits: Tensor, temperature: float | Tensor) -> Independent:
        """Its relaxation with a density, for the Concrete KL."""


@dataclass(frozen=True)
class CategoricalLatent:
    """`variables` one-hot vectors of `categories` each."""

    variables: int
    categories: int

    def __post_init__(self) -> None:
        check_count(self.variables, "variables")
        check_count(self.categories, "categories")

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.variables, self.categories)

    @property
    def size(self) -> int:
        return self.variables * self.categories

    def distribution(self, logits: Tensor) -> Independent:
        logits = logits.unflatten(-1, self.event_shape)
        return OneHotCategorical(logits=logits, validate_args=False).to_event(1)

    def relaxed(self, logits: Tensor, temperature: float | Tensor) -> Independent:
        logits = logits.unflatten(-1, self.event_shape)
        return Concrete(temperature, logits=logits, validate_args=False).to_event(1)


@dataclass(frozen=True)
class BernoulliLatent:
    """`variables` bits."""

    variables: int

    def __post_init__(self) -> None:
        check_count(self.variables, "variables")

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.variables,)

    @property
    def size(self) -> int:
        return self.variables

    def distribution(self, logits: Tensor) -> Independent:
        return Bernoulli(logits=logits, validate_args=False).to_event(1)

    def relaxed(self, logits: Tensor, temperature: float | Tensor) -> Independent:
        return BinaryConcrete(temperature, logits=logits, validate_args=False).to_event(1)


@dataclass(frozen=True)
class KSubsetLatent:
    """`variables` k-hot vectors, each k of `categories`."""

    variables: int
    categories: int
    k: int

    def __post_init__(self) -> None:
        check_count(self.variables, "variables")
        check_count(self.categories, "categories")
        check_subset_size(self.k, self.categories)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.variables, self.categories)

    @property
    def size(self) -> int:
        return self.variables * self.categories

    def distribution(self, logits: Tensor) -> Independent:
        logits = logits.unflatten(-1, self.event_shape)
        return KSubset(logits, self.k, validate_args=False).to_event(1)

    def relaxed(self, logits: Tensor, temperature: float | Tensor) -> Independent:
        """Always raises.

        Raises:
            NotImplementedError: k-hot vectors have no relaxation with a density here.
        """
        raise NotImplementedError(
            "KSubsetLatent has no relaxation with a density, which the Concrete KL needs. Use the "
            "analytic KL, which is exact: VAE.forward, or kl=analytic in a configuration."
        )


def make_latent(kind: str, num_latents: int, num_categories: int, subset_size: int = 1) -> Latent:
    """The code that a configuration names."""
    check_choice("latent", kind, DISTRIBUTIONS)
    if kind == "categorical":
        return CategoricalLatent(num_latents, num_categories)
    if kind == "bernoulli":
        return BernoulliLatent(num_latents)
    return KSubsetLatent(num_latents, num_categories, subset_size)
