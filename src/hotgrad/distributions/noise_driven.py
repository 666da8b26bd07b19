"""Distributions that are reached by adding noise to their logits and looking at what comes first.

A sample is a deterministic function of noise of a fixed distribution; the relaxed sample is a
smooth function of the same noise.
"""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from hotgrad.distributions.discrete import DiscreteDistribution
from hotgrad.distributions.samples import Coupled


class NoiseDriven(DiscreteDistribution):
    """A distribution whose samples, hard and relaxed, are made of noise."""

    @abstractmethod
    def draw_noise(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Tensor:
        """The noise of samples of this shape."""

    @abstractmethod
    def harden(self, noise: Tensor) -> Tensor:
        """The hard sample that the noise leads to."""

    @abstractmethod
    def relax(self, noise: Tensor, temperature: float | Tensor) -> Tensor:
        """The relaxed sample that the same noise leads to."""

    @abstractmethod
    def conditional_noise(self, outcome: Tensor, noise: Tensor) -> Tensor:
        """Fresh noise turned into noise that leads to `outcome`, differentiable in the logits."""

    def redraw(self, noise: Tensor, fresh: Tensor) -> Tensor:
        """Other noise that leads to the same outcome as `noise`, made of fresh noise.

        Independent of it given the outcome, as far as `relax` looks at it.
        """
        return self.conditional_noise(self.harden(noise), fresh)

    def sample(self, sample_shape: Any = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Exact samples of shape `sample_shape + batch_shape + event_shape`."""
        return self.harden(self.draw_noise(sample_shape, generator=generator))

    def relaxed_sample(
        self,
        temperature: float | Tensor,
        sample_shape: Any = (),
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Samples between the vertices, with a gradient to logits and temperature."""
        return self.relax(self.draw_noise(sample_shape, generator=generator), temperature)

    def hard_and_relaxed_sample(
        self,
        temperature: float | Tensor,
        sample_shape: Any = (),
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Exact samples, and the relaxed ones of the same noise."""
        noise = self.draw_noise(sample_shape, generator=generator)
        return self.harden(noise), self.relax(noise, temperature)

    def hard_and_mean_relaxed_sample(
        self,
        temperature: float | Tensor,
        num_inner: int,
        sample_shape: tuple[int, ...] = (),
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Exact samples, and the mean of relaxed ones that lead to them.

        The inner noise is drawn anew given the sample, and then taken as a constant.
        """
        with torch.no_grad():
            noise = self.draw_noise(sample_shape, generator=generator)
            fresh = self.draw_noise((num_inner, *sample_shape), generator=generator)
            inner = self.redraw(noise, fresh)
        return self.harden(noise), self.relax(inner, temperature).mean(0)

    def couple(
        self,
        sample_shape: Any,
        temperature: float | Tensor,
        *,
        generator: torch.Generator | None = None,
    ) -> Coupled:
        """Outcomes, each with two relaxed samples that lead to it."""
        noise, fresh = (self.draw_noise(sample_shape, generator=generator) for _ in range(2))
        hard = self.harden(noise)
        given = self.conditional_noise(hard, fresh)
        relaxed, relaxed_given = (self.relax(n, temperature) for n in (noise, given))
        return Coupled(hard, self.log_prob(hard), relaxed, relaxed_given)
