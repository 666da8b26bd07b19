"""Independent bits, reached by adding logistic noise to their log-odds and looking at the sign."""

from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Distribution

from hotgrad import ops
from hotgrad.distributions import base, copies
from hotgrad.distributions.budget import check_budget, spread
from hotgrad.distributions.formulas import NoFormula
from hotgrad.distributions.independent import EventMixin
from hotgrad.ops import checks


class Bernoulli(EventMixin, base.OutcomeMixin, TorchBernoulli, NoFormula):
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

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        validate = base.resolve_validation(validate_args)
        self.logits = self._param = base.as_bit_logits(probs, logits, validate=validate)
        # past torch's constructor, whose checks would refuse what ours allow
        Distribution.__init__(self, self.logits.shape, validate_args=False)
        self._validate_args = validate

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        return self.with_logits(self.logits.expand(self._expanded(batch_shape)))

    def with_logits(self, logits: Tensor) -> Self:
        """Bits of other log-odds, of any batch shape."""
        return copies.like(self, Bernoulli(logits=logits, validate_args=False))

    @property
    def probs(self) -> Tensor:
        """P(z = 1), which torch's class would keep from before its logits changed."""
        return self.mean

    @property
    def mean(self) -> Tensor:
        """P(z = 1), differentiable."""
        return torch.sigmoid(self.logits)

    @property
    def mode(self) -> Tensor:
        """The likelier bit; 0 at even odds."""
        return self.argmax(self.logits)

    def sample(self, sample_shape: Any = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Exact bits of shape `sample_shape + batch_shape`."""
        return self.harden(self.draw_noise(sample_shape, generator=generator))

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
        return (base.times_log(value, one) + base.times_log(1 - value, zero)).to(dtype)

    def entropy(self) -> Tensor:
        """In nats, 0 for a certain bit."""
        one = ops.widened(self.logits)
        zero = -one
        if ops.plain(one):
            nats = -one.sigmoid() * F.logsigmoid(one) - zero.sigmoid() * F.logsigmoid(zero)
        else:
            nats = -base.times_log(one.sigmoid(), F.logsigmoid(one)) - base.times_log(
                zero.sigmoid(), F.logsigmoid(zero)
            )
        return nats.to(self.logits.dtype)

    def enumerate_support(self, expand: bool = True, *, budget: int = base.MAX_STATES) -> Tensor:
        """0 and 1, `(2, *batch_shape)`, or `(2, 1, ..)` without `expand`.

        Raises:
            ValueError: more states than the budget.
        """
        check_budget(2, budget, "Bernoulli")
        bits = torch.arange(2, dtype=self.logits.dtype, device=self.logits.device)
        bits = bits.view((2,) + (1,) * len(self.batch_shape))
        return spread(bits, self, expand)

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

    def argmax(self, scores: Tensor) -> Tensor:
        """The bits z with the largest <scores, z>: 1 where a score is positive."""
        return ops.threshold(scores, self.logits.dtype)

    def harden(self, noise: Tensor) -> Tensor:
        """The bits that the noise leads to."""
        return self.argmax(self.logits.detach() + noise)

    def perturb(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Logits plus logistic noise: scores whose argmax follows this law."""
        return self.logits + self.draw_noise(sample_shape, generator=generator)

    def perturb_with_slope(
        self,
        sample_shape: Any = (),
        scale: float = 1.0,
        *,
        generator: torch.Generator | None = None,
    ) -> ops.Perturbed:
        """Logits plus `scale` times logistic noise, and the slope of its -log density."""
        noise = self.draw_noise(sample_shape, generator=generator)
        return ops.perturbed_by_logistic(self.logits, noise, scale)

    def relax(self, noise: Tensor | float, temperature: float | Tensor) -> Tensor:
        """The binary Concrete sample of this noise; with zero noise, the mean at a temperature."""
        return ops.binary_concrete(self.logits, noise, temperature)

    def conditional_noise(self, outcome: Tensor, noise: Tensor) -> Tensor:
        """Fresh noise turned into noise that leads to `outcome`, differentiable in the logits."""
        return ops.logistic_given_outcome(self.logits, outcome, noise)

    def antithetic(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> base.Antithetic:
        """Bits from noise, and bits from its negative: few are alike where the odds are even."""
        noise = self.draw_noise(sample_shape, generator=generator)
        return base.Antithetic(self.harden(noise), self.harden(-noise), noise)

    def gap_noise(self, outcome: Tensor, gap: float) -> Tensor:
        """Noise that makes each bit's log-odds favour the outcome by `gap` at least."""
        return ops.gap_noise_of_bits(self.logits, outcome, gap)

    def tangent(self, point: Tensor) -> Tensor:
        """A tensor whose gradient is the mean's, taken at the law with mean `point`."""
        return ops.bernoulli_tangent(self.logits, point)


copies.COUNTERPARTS[TorchBernoulli] = Bernoulli
