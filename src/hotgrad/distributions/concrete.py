"""The Concrete distribution, on the simplex: near its vertices where the temperature is low.

Everything happens in log space. The density is a function of log z, which stays finite where z
itself underflows; so a sample is drawn together with its logarithm, and scored by it.
"""

from typing import Any, Self

import torch
from torch import Tensor
from torch.distributions import RelaxedOneHotCategorical

from hotgrad import ops
from hotgrad.distributions import arguments, copies
from hotgrad.distributions.categorical import OneHotCategorical
from hotgrad.distributions.continuous import TwinMixin
from hotgrad.distributions.discrete import ShapeChecks
from hotgrad.distributions.formulas import NoFormula
from hotgrad.distributions.samples import RelaxedSample
from hotgrad.ops import checks


class Concrete(TwinMixin, ShapeChecks, RelaxedOneHotCategorical, NoFormula):
    r"""Relaxed one-hot vectors: $z = \mathrm{softmax}((a + g) / \tau)$, $g$ Gumbel noise.

    With $n$ possible categories (masked ones are exactly 0 and left out), $a$ the logits:

    $$\log p(z) = \log (n-1)! + (n-1) \log \tau + \sum_k (a_k - (\tau + 1) \log z_k)
      - n \log \sum_k \exp(a_k - \tau \log z_k).$$

    The argmax of a sample is an exact draw of the category, at any temperature.

    Args:
        temperature: $\tau > 0$: a number, or a tensor `()` or `(*batch, 1)`.
        probs: probabilities that sum to 1 along the last dimension, `(*batch, K)`.
        logits: unnormalised log-probabilities. Exactly one of the two.
        validate_args: check values (waits for the GPU); torch's default.

    Raises:
        ValueError: a temperature that isn't positive, and what `OneHotCategorical` refuses.

    Example:
        >>> p = hg.Concrete(1e-3, logits=torch.zeros(5))
        >>> sample = p.rsample_with_twin(generator=torch.Generator().manual_seed(0))
        >>> bool(sample.value.max() > 0.99), bool(p.log_prob(sample).isfinite())
        (True, True)

    Reference: The Concrete Distribution (Maddison, Mnih, Teh, 2016), Section 3 and appendix C (log
    space), https://arxiv.org/abs/1611.00712
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
        self._scores = arguments.as_category_logits(probs, logits, validate=validate)
        tau = torch.as_tensor(
            temperature, dtype=ops.noise.noise_dtype(self._scores.dtype), device=self._scores.device
        )
        if tau.ndim and tau.shape[-1] != 1:
            raise ValueError(
                "temperature must have shape () or (*batch, 1), so that a row has one temperature; "
                f"got {tuple(tau.shape)} for logits {tuple(self._scores.shape)}."
            )
        arguments.check_temperature_fits(tau, self._scores)
        batch_shape = torch.broadcast_shapes(self._scores.shape[:-1], tau.shape[:-1])
        self._scores = self._scores.expand(batch_shape + self._scores.shape[-1:])
        super().__init__(tau, logits=self._scores, validate_args=False)
        self._validate_args = validate

    def __repr__(self) -> str:
        return arguments.described(self, temperature=self.temperature, logits=self._scores)

    @property
    def logits(self) -> Tensor:
        """Normalised log-probabilities of the categories."""
        return ops.log_softmax(self._scores)

    @property
    def probs(self) -> Tensor:
        """Their probabilities, differentiable."""
        return ops.softmax(self._scores)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        shape = self._expanded(batch_shape)
        tau = self.temperature
        tau = tau.expand((*shape, 1)) if tau.ndim else tau
        scores = self._scores.expand(shape + self.event_shape)
        return copies.like(self, Concrete(tau, logits=scores, validate_args=False))

    def rsample_with_twin(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> RelaxedSample:
        """A sample and its logarithm, both with a gradient to logits and temperature."""
        discrete = OneHotCategorical(logits=self._scores, validate_args=False)
        return discrete.relaxed_sample_with_twin(
            self.temperature, sample_shape, generator=generator
        )

    def log_prob(self, value: Tensor | RelaxedSample) -> Tensor:
        """The log-density, in at least float32.

        Give the pair that `rsample_with_twin` returns for the exact density. A component of a plain
        tensor that underflowed to 0 is read as the smallest normal number of its dtype, so the
        density is finite.
        """
        if isinstance(value, RelaxedSample):
            log_value = value.twin
        else:
            checks.check_value(value)
            value = value if value.is_floating_point() else value.to(self._scores.dtype)
            if self._validate_args and checks.values_readable(value):
                self._check_value(value)
            present = (value > 0) | (self._scores > -torch.inf)
            inside = ops.saturating(value.clamp(min=torch.finfo(value.dtype).tiny))
            log_value = torch.where(present, inside.log(), -torch.inf)
        jacobian = torch.where(log_value == -torch.inf, 0.0, log_value).sum(-1)
        return self.log_prob_of_twin(log_value) - jacobian

    def log_prob_of_twin(self, twin: Tensor) -> Tensor:
        """The log-density of the sample's logarithm: `log_prob` without the exponential's Jacobian.

        -inf unless exactly the masked categories are absent from the sample.
        """
        tau = self.temperature
        scores, twin = torch.broadcast_tensors(ops.centred(self._scores), twin.to(tau.dtype))
        possible, absent = scores > -torch.inf, twin == -torch.inf
        # infinite terms are replaced before they are computed, for the gradient's sake too
        tilted = torch.where(possible, scores, 0.0) - tau * torch.where(absent, 0.0, twin)
        shares = ops.log_softmax(torch.where(possible, tilted, -torch.inf))
        n = possible.sum(-1).to(tau.dtype)
        row_tau = tau.squeeze(-1) if tau.ndim else tau
        log_density = (
            torch.lgamma(n) + (n - 1) * row_tau.log() + torch.where(possible, shares, 0.0).sum(-1)
        )
        return torch.where((possible ^ absent).all(-1), log_density, -torch.inf)

    def _check_value(self, value: Tensor) -> None:
        if value.shape[-1:] != self.event_shape:
            raise ValueError(
                f"Concrete expects values that end in {tuple(self.event_shape)}, "
                f"got {tuple(value.shape)}."
            )
        # K rounded terms: torch's fixed 1e-6 refuses its own softmax at 100,000 categories
        slack = torch.finfo(value.dtype).eps * self.event_shape[0]
        off = (value.sum(-1, dtype=torch.float64) - 1).abs()
        if not bool(((value >= 0).all(-1) & (off <= max(slack, 1e-5))).all()):
            raise ValueError(
                "Concrete expects values on the simplex: at least 0, summing to 1 along the last "
                f"dimension; a row misses 1 by {off.max().item():.3g}."
            )
