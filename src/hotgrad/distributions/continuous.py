"""What continuous distributions share: this library's, and those of torch within a `Joint`."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from hotgrad.distributions import copies
from hotgrad.distributions.formulas import NoFormula
from hotgrad.distributions.samples import RelaxedSample
from hotgrad.ops.noise import draw_seed


class RsampleMixin:
    """`sample` of a continuous distribution: `rsample` without the gradient."""

    def sample(self, sample_shape: Any = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Samples without a gradient."""
        with torch.no_grad():
            return self.rsample(sample_shape, generator=generator)  # type: ignore[attr-defined]


class TwinMixin(RsampleMixin):
    """`rsample` of a relaxed distribution: the value of the pair that `rsample_with_twin` draws."""

    # torch's go through the distribution inside, which has none and doesn't say so
    cdf, icdf = NoFormula.cdf, NoFormula.icdf

    def rsample(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Samples of shape `sample_shape + batch_shape + event_shape` with a gradient."""
        pair: RelaxedSample = self.rsample_with_twin(  # type: ignore[attr-defined]
            sample_shape, generator=generator
        )
        return pair.value


def rsample(
    distribution: Distribution, shape: tuple[int, ...], generator: torch.Generator | None
) -> Tensor:
    """Samples with a gradient, from a generator also where the distribution's own take none.

    torch's draw from its global generator. It is lent a state that the given one decides, and has
    its own back afterwards.
    """
    if generator is None:
        return distribution.rsample(torch.Size(shape))
    if copies.takes_generator(type(distribution)):
        drawn: Any = distribution.rsample
        own: Tensor = drawn(torch.Size(shape), generator=generator)
        return own
    device = generator.device
    seed = draw_seed(generator)
    on_cpu = device.type == "cpu"
    lent = torch.default_generator if on_cpu else torch.cuda.default_generators[device.index or 0]
    with torch.random.fork_rng(devices=[] if on_cpu else [device]):
        lent.manual_seed(seed)
        return distribution.rsample(torch.Size(shape))


def rsample_each(
    distributions: Mapping[str, Distribution],
    shape: tuple[int, ...],
    generator: torch.Generator | None,
) -> dict[str, Tensor]:
    """Samples with a gradient of each, by name."""
    return {name: rsample(d, shape, generator) for name, d in distributions.items()}
