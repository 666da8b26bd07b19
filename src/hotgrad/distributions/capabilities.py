"""What a distribution may be able to do, each a protocol that estimators ask for by name.

An estimator's `requires` is a tuple of these. A distribution provides one by having its methods;
nothing is declared or registered. mypy checks an estimator's code against what it asks for, and
`lacking` checks a distribution when the two are paired.
"""

import functools
from collections.abc import Mapping
from typing import Any, Protocol, Self

import torch
from torch import Tensor
from torch.distributions import Distribution

from hotgrad.distributions.formulas import NoFormula
from hotgrad.distributions.samples import Antithetic, Coupled

Shape = Any
"""A shape as torch takes it: a tuple or list of sizes, or `torch.Size`."""
Scores = dict[str, Tensor]
"""In place of the parameters, or as what is added to them: a tensor for each, by name."""


class CanSample(Protocol):
    """Draws exact samples."""

    def sample(
        self, sample_shape: Shape = ..., *, generator: torch.Generator | None = ...
    ) -> Tensor:
        """`sample_shape + batch_shape + event_shape`."""


class HasLogProb(Protocol):
    """Knows the log-probability of a state."""

    def log_prob(self, value: Tensor) -> Tensor:
        """`(*sample, *batch)`, in nats."""


class HasParams(Protocol):
    """Is made of tensors that it tells, and can be made of others."""

    @property
    def params(self) -> dict[str, Tensor]:
        """The parameters by name, each `(*batch, ...)`."""

    def with_params(self, params: Mapping[str, Tensor]) -> Self:
        """The same kind of distribution with other parameters, of any batch shape."""


class HasMean(Protocol):
    """Knows its marginals."""

    @property
    def mean(self) -> Tensor:
        """`(*batch, *event)`, differentiable in the parameters."""


class HasMode(Protocol):
    """Finds its most probable state."""

    @property
    def mode(self) -> Tensor:
        """`(*batch, *event)`."""


class CanEnumerate(Protocol):
    """Lists its states."""

    def enumerate_support(self, expand: bool = ..., *, budget: int = ...) -> Tensor:
        """`(states, *batch, *event)`, or `(states, 1, .., *event)` without `expand`."""


class CanRelax(Protocol):
    """Draws samples between the vertices, with a gradient."""

    def relaxed_sample(
        self,
        temperature: float | Tensor,
        sample_shape: Shape = ...,
        *,
        generator: torch.Generator | None = ...,
    ) -> Tensor:
        """Relaxed samples, differentiable in parameters and temperature."""

    def hard_and_relaxed_sample(
        self,
        temperature: float | Tensor,
        sample_shape: Shape = ...,
        *,
        generator: torch.Generator | None = ...,
    ) -> tuple[Tensor, Tensor]:
        """Hard samples, and the relaxed ones of the same noise."""


class CanRelaxGivenHard(Protocol):
    """Draws several relaxed samples for each hard one."""

    def hard_and_mean_relaxed_sample(
        self,
        temperature: float | Tensor,
        num_inner: int,
        sample_shape: Shape = ...,
        *,
        generator: torch.Generator | None = ...,
    ) -> tuple[Tensor, Tensor]:
        """Hard samples, and the mean of relaxed ones whose noise is drawn anew, given them."""


class CanRelaxTopK(Protocol):
    """Consists of the k largest of random scores, which can be relaxed one after another."""

    def relaxed_top_k_sample(
        self,
        temperature: float | Tensor,
        sample_shape: Shape = ...,
        *,
        generator: torch.Generator | None = ...,
    ) -> Tensor:
        """Relaxed k-hot vectors that sum to k."""


class CanGap(Protocol):
    """Draws samples that lead by a gap."""

    def hard_and_gapped_sample(
        self,
        temperature: float | Tensor,
        gap: float,
        sample_shape: Shape = ...,
        *,
        generator: torch.Generator | None = ...,
    ) -> tuple[Tensor, Tensor]:
        """Hard samples, and the mean at a temperature once each of them leads by the gap."""


class HasTangent(Protocol):
    """Knows the Jacobian of its mean at any other mean."""

    def tempered_mean(self, temperature: float | Tensor) -> Tensor:
        """The mean with the parameters divided by the temperature."""

    def tangent(self, point: Tensor) -> Tensor:
        """A tensor whose gradient is the mean's, taken where the mean is `point`."""


class CanCouple(Protocol):
    """Draws relaxed samples given the outcome that their noise leads to."""

    def couple(
        self,
        sample_shape: Shape,
        temperature: float | Tensor,
        *,
        generator: torch.Generator | None = ...,
    ) -> Coupled:
        """Outcomes, each with two relaxed samples that lead to it."""


class CanBeAntithetic(Protocol):
    """Consists of bits that can be drawn in opposite pairs."""

    @property
    def logits(self) -> Tensor:
        """The bits' log-odds, `(*batch, *event)`."""

    def antithetic(
        self, sample_shape: Shape = ..., *, generator: torch.Generator | None = ...
    ) -> Antithetic:
        """Bits from noise, and bits from its negative."""


class CanPerturb(Protocol):
    """Is reached, or nearly so, as the most probable state under noisy parameters."""

    @property
    def event_shape(self) -> torch.Size:
        """The shape of one state."""

    def perturb(
        self, sample_shape: Shape = ..., *, generator: torch.Generator | None = ...
    ) -> Scores:
        """The parameters plus noise, differentiable in the parameters."""

    def argmax(self, scores: Mapping[str, Tensor]) -> Tensor:
        """The most probable state under any scores in place of the parameters."""

    def statistics(self, value: Tensor) -> dict[str, Tensor]:
        """What the parameters multiply in the score of a state; of the first, the state itself."""


class CanPerturbWithSlope(Protocol):
    """Knows the density of the noise that `perturb` adds."""

    @property
    def event_shape(self) -> torch.Size:
        """The shape of one state."""

    @property
    def mode(self) -> Tensor:
        """The most probable state."""

    def perturb_with_slope(
        self,
        sample_shape: Shape = ...,
        scale: float = ...,
        *,
        generator: torch.Generator | None = ...,
    ) -> tuple[Scores, Scores]:
        """The parameters plus `scale` times noise, and the slope of its -log density there."""

    def argmax(self, scores: Mapping[str, Tensor]) -> Tensor:
        """The most probable state under any scores in place of the parameters."""


def lacking(distribution: Any, *capabilities: type) -> list[str]:
    """The methods of capabilities that a distribution, an object or a class, doesn't have."""
    cls = distribution if isinstance(distribution, type) else type(distribution)
    return list(_lacking(cls, capabilities))


@functools.cache
def _lacking(cls: type, capabilities: tuple[type, ...]) -> tuple[str, ...]:
    names = dict.fromkeys(
        name
        for capability in capabilities
        for name in vars(capability)
        if not name.startswith("_") and name != "event_shape"
    )
    # two base classes have some of the names, and only raise in them
    raising = [vars(base) for base in (Distribution, NoFormula)]
    return tuple(
        name
        for name in names
        if getattr(cls, name, None) in (None, *(members.get(name) for members in raising))
    )
