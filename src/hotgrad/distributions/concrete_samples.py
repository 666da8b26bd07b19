"""What bits and categories share: relaxed samples that a kernel draws in one call."""

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from hotgrad.distributions.noise_driven import NoiseDriven
from hotgrad.distributions.samples import RelaxedSample
from hotgrad.ops import checks


class ConcreteSamples(NoiseDriven):
    """What bits and categories share: binary Concrete and Concrete samples, and gapped ones.

    Subclasses name the kernels, static methods of `(logits, temperature, sample_shape, generator)`,
    and the move that puts an outcome ahead. Their one parameter is the logits as they were given.
    """

    _hard: ClassVar["staticmethod[..., Tensor]"]
    _relaxed: ClassVar["staticmethod[..., Tensor]"]
    _hard_and_relaxed: ClassVar["staticmethod[..., tuple[Tensor, Tensor]]"]
    _relaxed_with_twin: ClassVar["staticmethod[..., tuple[Tensor, Tensor]]"]
    _gap_noise: ClassVar["staticmethod[[Tensor, Tensor, float], Tensor]"]

    def sample(self, sample_shape: Any = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Exact samples of shape `sample_shape + batch_shape + event_shape`."""
        shape = checks.as_shape(sample_shape, "sample_shape")
        return self._hard(self.params["logits"], shape, generator)

    def relaxed_sample(
        self,
        temperature: float | Tensor,
        sample_shape: Any = (),
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Samples of the relaxed distribution, with a gradient to logits and temperature."""
        shape = checks.as_shape(sample_shape, "sample_shape")
        return self._relaxed(self.params["logits"], temperature, shape, generator)

    def hard_and_relaxed_sample(
        self,
        temperature: float | Tensor,
        sample_shape: Any = (),
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Exact samples, and the relaxed ones of the same noise."""
        shape = checks.as_shape(sample_shape, "sample_shape")
        return self._hard_and_relaxed(self.params["logits"], temperature, shape, generator)

    def relaxed_sample_with_twin(
        self,
        temperature: float | Tensor,
        sample_shape: Any = (),
        *,
        generator: torch.Generator | None = None,
    ) -> RelaxedSample:
        """Relaxed samples, and their log-odds or logarithm."""
        shape = checks.as_shape(sample_shape, "sample_shape")
        pair = self._relaxed_with_twin(self.params["logits"], temperature, shape, generator)
        return RelaxedSample(*pair)

    def hard_and_gapped_sample(
        self,
        temperature: float | Tensor,
        gap: float,
        sample_shape: Any = (),
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Exact samples, and the mean once the logits favour them by `gap` at least."""
        hard = self.sample(sample_shape, generator=generator)
        return hard, self.relax(self._gap_noise(self.params["logits"], hard, gap), temperature)

    def tempered_mean(self, temperature: float | Tensor) -> Tensor:
        """The mean with the logits divided by the temperature."""
        return self.relax(0.0, temperature)

    @abstractmethod
    def relax(self, noise: Tensor | float, temperature: float | Tensor) -> Tensor:
        """The relaxed sample of this noise; with zero noise, the mean at a temperature."""
