"""Gumbel(loc, scale): torch's law with our noise, whose tail a rare class needs."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Gumbel as TorchGumbel

from hotgrad import ops
from hotgrad.distributions import base
from hotgrad.distributions.independent import EventMixin


class Gumbel(EventMixin, base.RsampleMixin, TorchGumbel):
    r"""The law of $\mu - \beta \log E$, $E \sim \mathrm{Exp}(1)$.

    Its density at $\epsilon$ is $e^{-x - e^{-x}} / \beta$, $x = (\epsilon - \mu) / \beta$.

    Args:
        loc: $\mu$, the mode.
        scale: $\beta > 0$.
        validate_args: check values (waits for the GPU); torch's default.

    Example:
        >>> g = hg.Gumbel(torch.zeros(2), torch.ones(2))
        >>> g.sample((4,), generator=torch.Generator().manual_seed(0)).shape
        torch.Size([4, 2])
    """

    def rsample(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Samples with a gradient to loc and scale."""
        noise = ops.draw_gumbel(
            self._extended_shape(torch.Size(sample_shape)),
            dtype=self.loc.dtype,
            device=self.loc.device,
            generator=generator,
        )
        return (self.loc + self.scale * noise).to(self.loc.dtype)
