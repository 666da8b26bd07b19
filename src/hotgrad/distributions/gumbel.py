"""Gumbel(loc, scale): torch's distribution with our noise, whose tails are resolved."""

from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Gumbel as TorchGumbel

from hotgrad import ops
from hotgrad.distributions import arguments, copies
from hotgrad.distributions.continuous import RsampleMixin
from hotgrad.distributions.discrete import ShapeChecks
from hotgrad.distributions.formulas import NoFormula
from hotgrad.ops import checks


class Gumbel(RsampleMixin, ShapeChecks, TorchGumbel, NoFormula):
    r"""The distribution of $\mu - \beta \log E$, $E \sim \mathrm{Exp}(1)$.

    Its density at $\epsilon$ is $e^{-x - e^{-x}} / \beta$, $x = (\epsilon - \mu) / \beta$.

    Args:
        loc: $\mu$, the mode.
        scale: $\beta > 0$.
        validate_args: check values (waits for the GPU); torch's default.

    Raises:
        ValueError: loc or scale that is neither a number nor a tensor of such, a scale that isn't
            positive.

    Example:
        >>> g = hg.Gumbel(torch.zeros(2), torch.ones(2))
        >>> g.sample((4,), generator=torch.Generator().manual_seed(0)).shape
        torch.Size([4, 2])
    """

    def __init__(
        self, loc: Tensor | float, scale: Tensor | float, validate_args: bool | None = None
    ) -> None:
        validate = arguments.resolve_validation(validate_args)
        loc, scale = arguments.as_real(loc, "loc"), arguments.as_real(scale, "scale")
        if not checks.broadcasts(loc.shape, scale.shape):
            raise ValueError(
                f"loc and scale must broadcast, got shapes {tuple(loc.shape)} and "
                f"{tuple(scale.shape)}."
            )
        super().__init__(loc, scale, validate_args=validate)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        shape = self._expanded(batch_shape)
        loc, scale = self.loc.expand(shape), self.scale.expand(shape)
        return copies.like(self, Gumbel(loc, scale, validate_args=False))

    def cdf(self, value: Tensor) -> Tensor:
        """P(a sample is at most the value); torch's class keeps the scale that it was made with."""
        checks.check_value(value, "cdf", self.batch_shape)
        return (-((self.loc - value) / self.scale).exp()).exp()

    def icdf(self, value: Tensor) -> Tensor:
        """The value that a sample is at most with this probability."""
        checks.check_value(value, "icdf", self.batch_shape)
        return self.loc - self.scale * (-value.log()).log()

    def rsample(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Samples with a gradient to loc and scale."""
        # E = -log u of a logistic variable's u: both tails, where draw_gumbel leaves out the lower
        logistic = ops.draw_logistic(
            self._extended_shape(sample_shape),
            dtype=self.loc.dtype,
            device=self.loc.device,
            generator=generator,
        )
        noise = -(-F.logsigmoid(logistic)).log()
        return (self.loc + self.scale * noise).to(self.loc.dtype)
