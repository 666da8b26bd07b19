"""The binary Concrete distribution, the sigmoid of a logistic variable over a temperature.

The sample is drawn together with its logit and scored by it; the sample itself rounds to 0 and 1
long before.
"""

from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import RelaxedBernoulli

from hotgrad import ops
from hotgrad.distributions import arguments, copies
from hotgrad.distributions.bernoulli import Bernoulli
from hotgrad.distributions.continuous import TwinMixin
from hotgrad.distributions.discrete import ShapeChecks
from hotgrad.distributions.formulas import NoFormula
from hotgrad.distributions.samples import RelaxedSample
from hotgrad.ops import checks


class BinaryConcrete(TwinMixin, ShapeChecks, RelaxedBernoulli, NoFormula):
    r"""Relaxed bits: $z = \sigma(y)$, $y = (a + l) / \tau$, $a$ the logits, $l$ logistic noise.

    $$\log p(z) = \log \tau + (a - \tau y) - 2\,\mathrm{softplus}(a - \tau y)
      + \mathrm{softplus}(y) + \mathrm{softplus}(-y).$$

    Rounding a sample gives an exact Bernoulli draw, at any temperature.

    Args:
        temperature: $\tau > 0$: a number, or a tensor that broadcasts against the logits.
        probs: the probability that a sample rounds to 1, `(*batch,)`, in (0, 1).
        logits: its log-odds, finite. Exactly one of the two.
        validate_args: check values (waits for the GPU); torch's default.

    Raises:
        ValueError: a temperature that isn't positive, certain bits (they have no density), integer
            or NaN logits.

    Example:
        >>> p = hg.BinaryConcrete(0.5, logits=torch.tensor([0.0, 3.0]))
        >>> sample = p.rsample_with_twin(generator=torch.Generator().manual_seed(0))
        >>> p.log_prob(sample).shape
        torch.Size([2])

    Reference: The Concrete Distribution (Maddison, Mnih, Teh, 2016), appendix B and C,
    https://arxiv.org/abs/1611.00712
    """

    def __init__(
        self,
        temperature: float | Tensor,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        validate = arguments.resolve_validation(validate_args)
        temperature = checks.check_temperature(temperature)
        scores = arguments.as_bit_logits(probs, logits, validate=validate)
        if validate and checks.values_readable(scores) and not bool(scores.isfinite().all()):
            raise ValueError(
                "BinaryConcrete needs finite logits (probs strictly between 0 and 1): "
                "a bit that is certain has no density."
            )
        tau = torch.as_tensor(
            temperature, dtype=ops.noise.noise_dtype(scores.dtype), device=scores.device
        )
        arguments.check_temperature_fits(tau, scores)
        scores = scores.expand(torch.broadcast_shapes(scores.shape, tau.shape))
        super().__init__(tau, logits=scores, validate_args=False)
        self._validate_args = validate

    def __repr__(self) -> str:
        return arguments.described(self, temperature=self.temperature, logits=self.logits)

    @property
    def probs(self) -> Tensor:
        """P(a sample rounds to 1); torch's class would keep it from before its logits changed."""
        return self.logits.sigmoid()

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        shape, tau = self._expanded(batch_shape), self.temperature
        tau = tau.expand(shape) if tau.ndim else tau
        scores = self.logits.expand(shape)
        return copies.like(self, BinaryConcrete(tau, logits=scores, validate_args=False))

    def rsample_with_twin(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> RelaxedSample:
        """A sample and its logit, both with a gradient to logits and temperature."""
        discrete = Bernoulli(logits=self.logits, validate_args=False)
        return discrete.relaxed_sample_with_twin(
            self.temperature, sample_shape, generator=generator
        )

    def log_prob(self, value: Tensor | RelaxedSample) -> Tensor:
        """The log-density, in at least float32.

        Give the pair that `rsample_with_twin` returns for the exact density. A plain sample that
        rounded to 0 or 1 is read as the nearest number inside, so the density is finite.
        """
        if isinstance(value, RelaxedSample):
            logit = value.twin
        else:
            checks.check_value(value, batch_shape=self.batch_shape)
            if self._validate_args and checks.values_readable(value):
                check_unit_interval(value)
            value = value if value.is_floating_point() else value.to(self.logits.dtype)
            info = torch.finfo(value.dtype)
            inside = ops.saturating(value.clamp(min=info.tiny, max=1 - info.eps / 2))
            logit = inside.log() - torch.log1p(-inside)
        return self.log_prob_of_twin(logit) - F.logsigmoid(logit) - F.logsigmoid(-logit)

    def log_prob_of_twin(self, twin: Tensor) -> Tensor:
        """The log-density of the sample's logit: `log_prob` without the sigmoid's Jacobian."""
        tau = self.temperature
        return log_density_of_logit(twin.to(tau.dtype), self.logits.to(tau.dtype), tau)


def log_density_of_logit(logit: Tensor, scores: Tensor, temperature: Tensor) -> Tensor:
    """log-density of (scores + l) / temperature, l logistic."""
    centred = scores - temperature * logit
    return temperature.log() + centred + 2 * F.logsigmoid(-centred)


def check_unit_interval(value: Tensor) -> None:
    """Refuse values outside [0, 1]."""
    inside = (value >= 0) & (value <= 1)
    if not bool(inside.all()):
        bad = value[~inside].flatten()[0].item()
        raise ValueError(f"A relaxed bit lies in [0, 1], got {bad}.")
