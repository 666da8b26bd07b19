"""Independent bits, reached by adding logistic noise to their log-odds and looking at the sign."""

from collections.abc import Mapping
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Bernoulli as TorchBernoulli

from hotgrad import ops
from hotgrad.distributions import arguments, copies
from hotgrad.distributions.budget import MAX_STATES, check_budget, spread
from hotgrad.distributions.capabilities import Scores
from hotgrad.distributions.concrete_samples import ConcreteSamples
from hotgrad.distributions.exponential_family import ExponentialFamily
from hotgrad.distributions.samples import Antithetic
from hotgrad.ops import checks
from hotgrad.ops.kernels import bits as kernels


class Bernoulli(ConcreteSamples, ExponentialFamily, TorchBernoulli):  # type: ignore[override]  # facts
    r"""A bit: $P(z = 1) = \sigma(\mathrm{logits})$.

    torch's `Bernoulli` with a generator, gradients that stay finite at certain bits (logits of
    +-inf) and the methods that the estimators use. Samples are exactly 0 and 1 in the logits'
    dtype.

    Args:
        probs: the probability of 1, `(*batch,)`; exactly 0 and 1 get no gradient.
        logits: the log-odds, `(*batch,)`. Exactly one of the two.
        validate_args: check values (waits for the GPU); torch's default, which the first
            `torch.compile` in a process turns off.

    Raises:
        ValueError: integer or NaN logits, probs outside [0, 1], both or neither.

    Example:
        >>> q = hg.Bernoulli(logits=torch.tensor([0.0, 2.0]))
        >>> q.mean
        tensor([0.5000, 0.8808])
        >>> q.sample((3,), generator=torch.Generator().manual_seed(0)).shape
        torch.Size([3, 2])
    """

    arg_constraints = TorchBernoulli.arg_constraints  # type: ignore[misc]
    support = TorchBernoulli.support
    _hard = staticmethod(kernels.hard_bits)
    _relaxed = staticmethod(kernels.relaxed_bits)
    _hard_and_relaxed = staticmethod(kernels.hard_and_relaxed_bits)
    _relaxed_with_twin = staticmethod(kernels.relaxed_bits_with_logit)
    _gap_noise = staticmethod(ops.gap_noise_of_bits)

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        validate = arguments.resolve_validation(validate_args)
        self.logits = self._param = arguments.as_bit_logits(probs, logits, validate=validate)
        super().__init__(self.logits.shape, validate_args=validate)

    @property
    def params(self) -> dict[str, Tensor]:
        return {"logits": self.logits}

    def with_params(self, params: Mapping[str, Tensor]) -> Self:
        return copies.like(self, Bernoulli(logits=params["logits"], validate_args=False))

    @property
    def probs(self) -> Tensor:
        """P(z = 1), which torch's class would keep from before its logits changed."""
        return self.mean

    @property
    def mean(self) -> Tensor:
        """P(z = 1), differentiable."""
        return torch.sigmoid(self.logits)

    def log_normalizer(self) -> Tensor:
        """log(1 + e^logits)."""
        return -F.logsigmoid(-self.logits)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(value); linear in the value, so f may use it at a straight-through sample."""
        checks.check_value(value)
        if self._validate_args and checks.values_readable(value):
            self._validate_sample(value)
        dtype = torch.promote_types(value.dtype, self.logits.dtype)
        odds = ops.widened(self.logits)
        one, zero = F.logsigmoid(odds), F.logsigmoid(-odds)
        if ops.plain(odds):
            return (value * one + (1 - value) * zero).to(dtype)
        return (arguments.times_log(value, one) + arguments.times_log(1 - value, zero)).to(dtype)

    @property
    def variance(self) -> Tensor:
        """p (1 - p)."""
        return self.mean * (1 - self.mean)

    def entropy(self) -> Tensor:
        """In nats, 0 for a certain bit."""
        one = ops.widened(self.logits)
        zero = -one
        if ops.plain(one):
            nats = -one.sigmoid() * F.logsigmoid(one) - zero.sigmoid() * F.logsigmoid(zero)
        else:
            nats = -arguments.times_log(one.sigmoid(), F.logsigmoid(one)) - arguments.times_log(
                zero.sigmoid(), F.logsigmoid(zero)
            )
        return nats.to(self.logits.dtype)

    def enumerate_support(self, expand: bool = True, *, budget: int = MAX_STATES) -> Tensor:
        """0 and 1, `(2, *batch_shape)`, or `(2, 1, ..)` without `expand`.

        Raises:
            ValueError: more states than the budget.
        """
        check_budget(2, budget, "Bernoulli")
        bits = torch.arange(2, dtype=self.logits.dtype, device=self.logits.device)
        bits = bits.view((2,) + (1,) * len(self.batch_shape))
        return spread(bits, self.batch_shape + self.event_shape, expand)

    def draw_noise(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Logistic noise of shape `sample_shape + batch_shape`."""
        return ops.draw_logistic(
            self._extended_shape(sample_shape),
            dtype=self.logits.dtype,
            device=self.logits.device,
            generator=generator,
        )

    def argmax(self, scores: Mapping[str, Tensor]) -> Tensor:
        """The bits that are 1 where a score is positive."""
        return ops.threshold(scores["logits"], self.logits.dtype)

    def harden(self, noise: Tensor) -> Tensor:
        """The bits that the noise leads to."""
        return ops.threshold(self.logits.detach() + noise, self.logits.dtype)

    def perturb(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Scores:
        """Logits plus logistic noise, whose argmax follows this distribution."""
        return {"logits": self.logits + self.draw_noise(sample_shape, generator=generator)}

    def perturb_with_slope(
        self,
        sample_shape: Any = (),
        scale: float = 1.0,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Scores, Scores]:
        """Logits plus `scale` times logistic noise, and the slope of its -log density."""
        noise = self.draw_noise(sample_shape, generator=generator)
        scores, slope = ops.perturbed_by_logistic(self.logits, noise, scale)
        return {"logits": scores}, {"logits": slope}

    def relax(self, noise: Tensor | float, temperature: float | Tensor) -> Tensor:
        """The binary Concrete sample of this noise; with zero noise, the mean at a temperature."""
        return ops.binary_concrete(self.logits, noise, temperature)

    def conditional_noise(self, outcome: Tensor, noise: Tensor) -> Tensor:
        """Fresh noise turned into noise that leads to `outcome`, differentiable in the logits."""
        return ops.logistic_given_outcome(self.logits, outcome, noise)

    def antithetic(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Antithetic:
        """Bits from noise, and bits from its negative: few are alike where the odds are even."""
        noise = self.draw_noise(sample_shape, generator=generator)
        return Antithetic(self.harden(noise), self.harden(-noise), noise)

    def tangent(self, point: Tensor) -> Tensor:
        """A tensor whose gradient is the mean's, taken where the mean is `point`."""
        return ops.bernoulli_tangent(self.logits, point)


copies.COUNTERPARTS[TorchBernoulli] = Bernoulli
