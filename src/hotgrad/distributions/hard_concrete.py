"""The hard Concrete distribution: a binary Concrete, stretched and clamped to [0, 1].

Used as a gate: it is exactly 0 or 1 with positive probability, and differentiable in between, which
makes an L0 penalty trainable.
"""

import math
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints

from hotgrad.distributions import arguments, copies
from hotgrad.distributions.binary_concrete import BinaryConcrete, check_unit_interval
from hotgrad.distributions.continuous import RsampleMixin
from hotgrad.distributions.discrete import ShapeChecks
from hotgrad.distributions.formulas import NoFormula
from hotgrad.ops import checks


class HardConcrete(RsampleMixin, ShapeChecks, NoFormula):
    r"""Stretched and clamped: $z = \min(1, \max(0, \gamma + (\zeta - \gamma) s))$.

    $s$ is binary Concrete and $\gamma < 0 < 1 < \zeta$. A mixed distribution:
    $P(z = 0) = \sigma(\tau \log(-\gamma / \zeta) - a)$,
    $P(z = 1) = \sigma(a - \tau \log((1 - \gamma) / (\zeta - 1)))$, and a density between.

    Args:
        temperature: $\tau > 0$: a number, or a tensor that broadcasts against the logits.
        probs: the probability that $s$ rounds to 1, `(*batch,)`, in (0, 1).
        logits: its log-odds $a$, finite. Exactly one of the two.
        validate_args: check values (waits for the GPU); torch's default.
        stretch: $(\gamma, \zeta)$.

    Raises:
        ValueError: a stretch that doesn't contain [0, 1] in its interior, and what `BinaryConcrete`
            refuses.

    Example:
        >>> gate = hg.HardConcrete(2 / 3, logits=torch.tensor([-4.0, 4.0]))
        >>> gate.prob_nonzero.round(decimals=3)
        tensor([0.0830, 0.9960])

    Reference: Learning Sparse Neural Networks through L0 Regularization (Louizos, Welling, Kingma,
    2017), Section 2.2, https://arxiv.org/abs/1712.01312
    """

    # checked when made, by BinaryConcrete
    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    has_rsample = True
    instead: ClassVar[dict[str, str]] = {
        "mean": "Average samples, or use `median`, the gate for when nothing should be random.",
        "mode": "Use `median`, the gate for when nothing should be random.",
        "entropy": "It has atoms at 0 and 1: see prob_zero and prob_one.",
    }

    def __init__(
        self,
        temperature: float | Tensor,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
        *,
        stretch: tuple[float, float] = (-0.1, 1.1),
    ) -> None:
        if not isinstance(stretch, (tuple, list)) or len(stretch) != 2:
            raise ValueError(
                "stretch must be (below 0, above 1), such as (-0.1, 1.1); got "
                f"{checks.shown(stretch)}."
            )
        self.stretch = (
            checks.check_number(stretch[0], "stretch[0]", lambda low: low < 0, "a number below 0"),
            checks.check_number(stretch[1], "stretch[1]", lambda up: up > 1, "a number above 1"),
        )
        self.unstretched = BinaryConcrete(temperature, probs, logits, validate_args)
        super().__init__(self.unstretched.batch_shape, validate_args=False)
        self._validate_args = arguments.resolve_validation(validate_args)

    @property
    def support(self) -> constraints.Constraint:
        """[0, 1], ends included."""
        return constraints.unit_interval

    @property
    def logits(self) -> Tensor:
        """Log-odds of the binary Concrete inside."""
        return self.unstretched.logits

    @property
    def temperature(self) -> Tensor:
        """Temperature of the binary Concrete inside."""
        return self.unstretched.temperature

    def __repr__(self) -> str:
        return arguments.described(
            self, temperature=self.temperature, logits=self.logits, stretch=self.stretch
        )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        inner = self.unstretched.expand(batch_shape)
        new = HardConcrete(
            inner.temperature, logits=inner.logits, validate_args=False, stretch=self.stretch
        )
        return copies.like(self, new)

    @property
    def prob_zero(self) -> Tensor:
        """P(z = 0), differentiable."""
        return self._zero_score.sigmoid()

    @property
    def prob_one(self) -> Tensor:
        """P(z = 1), differentiable."""
        return self._one_score.sigmoid()

    @property
    def prob_nonzero(self) -> Tensor:
        """P(z != 0), whose sum over gates is the expected L0 norm."""
        return (-self._zero_score).sigmoid()

    @property
    def median(self) -> Tensor:
        """The gate to use when nothing should be random."""
        return self._stretch(torch.sigmoid(self._scores / self.temperature)).to(self.logits.dtype)

    def rsample(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Samples of shape `sample_shape + batch_shape`; the gradient is 0 at the ends."""
        # the twin, since in half precision the inner sample is rounded before it is stretched
        logit = self.unstretched.rsample_with_twin(sample_shape, generator=generator).twin
        return self._stretch(logit.sigmoid()).to(self.logits.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """log-probability at 0 and 1, log-density between them, in at least float32."""
        checks.check_value(value, batch_shape=self.batch_shape)
        if self._validate_args and checks.values_readable(value):
            check_unit_interval(value)
        low, high = self.stretch
        tau = self.temperature
        # at the ends the density branch isn't used, and must still have a finite gradient
        between = (value > 0) & (value < 1)
        inner = (torch.where(between, value, 0.5).to(tau.dtype) - low) / (high - low)
        logit = inner.log() - torch.log1p(-inner)
        density = (
            self.unstretched.log_prob_of_twin(logit)
            - inner.log()
            - torch.log1p(-inner)
            - math.log(high - low)
        )
        ends = torch.where(
            value <= 0, F.logsigmoid(self._zero_score), F.logsigmoid(self._one_score)
        )
        return torch.where(between, density, ends)

    @property
    def _scores(self) -> Tensor:
        """The logits in the temperature's dtype, at least float32."""
        return self.logits.to(self.temperature.dtype)

    @property
    def _zero_score(self) -> Tensor:
        low, high = self.stretch
        return self.temperature * math.log(-low / high) - self._scores

    @property
    def _one_score(self) -> Tensor:
        low, high = self.stretch
        return self._scores - self.temperature * math.log((1 - low) / (high - 1))

    def _stretch(self, inner: Tensor) -> Tensor:
        low, high = self.stretch
        return (low + (high - low) * inner).clamp(0.0, 1.0)
