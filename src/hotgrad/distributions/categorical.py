"""One of K as a one-hot vector, reached by the argmax of the logits with Gumbel noise added."""

from typing import Any, Self

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution
from torch.distributions import OneHotCategorical as TorchOneHotCategorical

from hotgrad import ops
from hotgrad.distributions import base, copies
from hotgrad.distributions.budget import check_budget, spread
from hotgrad.distributions.formulas import NoFormula
from hotgrad.distributions.independent import EventMixin
from hotgrad.ops import checks


class OneHotCategorical(EventMixin, base.OutcomeMixin, TorchOneHotCategorical, NoFormula):
    r"""One of K: $P(z = e_k) \propto \exp(\mathrm{logits}_k)$.

    torch's `OneHotCategorical` with a generator, masks (logits of -inf, or probs of 0, with finite
    gradients) and the methods that the estimators use. Samples are exactly one-hot in the logits'
    dtype.

    Args:
        probs: probabilities that sum to 1 along the last dimension, `(*batch, K)`; a 0 is a mask
            and gets no gradient.
        logits: unnormalised log-probabilities, `(*batch, K)`. Exactly one of the two.
        validate_args: check values (waits for the GPU); torch's default, which the first
            `torch.compile` in a process turns off.

    Raises:
        ValueError: integer or NaN logits, a row that is all -inf, probs that don't sum to 1, both
            or neither.

    Example:
        >>> q = hg.OneHotCategorical(logits=torch.tensor([[0.0, 1.0, -torch.inf]]))
        >>> q.mean
        tensor([[0.2689, 0.7311, 0.0000]])
        >>> q.to_event(1).enumerate_support().shape
        torch.Size([3, 1, 3])
    """

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        validate = base.resolve_validation(validate_args)
        self._scores = base.as_category_logits(probs, logits, validate=validate)
        # past torch's constructor, which normalises the logits in their own dtype: in bfloat16 that
        # moves probabilities by per cents. Ours stay as given, and are normalised where needed.
        Distribution.__init__(
            self, self._scores.shape[:-1], self._scores.shape[-1:], validate_args=False
        )
        self._validate_args = validate

    @property
    def _categorical(self) -> Categorical:  # type: ignore[override]  # torch's is an attribute
        """The integer law that torch's own code (its KL with torch's laws, say) asks for."""
        return Categorical(logits=self._scores, validate_args=False)

    def __repr__(self) -> str:
        return base.described(self, logits=self._scores)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        return self.with_logits(self._scores.expand(self._expanded(batch_shape) + self.event_shape))

    def with_logits(self, logits: Tensor) -> Self:
        """One of as many categories with other logits, of any batch shape."""
        return copies.like(self, OneHotCategorical(logits=logits, validate_args=False))

    @property
    def logits(self) -> Tensor:
        """Normalised log-probabilities."""
        return self.log_probs.to(self._scores.dtype)

    @property
    def log_probs(self) -> Tensor:
        """The logits in at least float32, for what is summed over the categories."""
        return ops.log_softmax(ops.widened(self._scores))

    @property
    def probs(self) -> Tensor:
        """Probabilities, differentiable."""
        return ops.softmax(ops.widened(self._scores)).to(self._scores.dtype)

    @property
    def mean(self) -> Tensor:
        """The marginals, which for one-hot vectors are the probabilities."""
        return self.probs

    @property
    def variance(self) -> Tensor:
        """Of each component: p (1 - p)."""
        return self.probs * (1 - self.probs)

    @property
    def mode(self) -> Tensor:
        """The likeliest category; the first of equals."""
        return self.argmax(self._scores)

    @property
    def param_shape(self) -> torch.Size:
        """The logits' shape."""
        return self._scores.shape

    def sample(self, sample_shape: Any = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Exact one-hot vectors of shape `sample_shape + batch_shape + (K,)`."""
        return self.harden(self.draw_noise(sample_shape, generator=generator))

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(value); linear in the value, so f may use it at a straight-through sample."""
        checks.check_value(value)
        if self._validate_args and checks.values_readable(value):
            self._validate_sample(value)
        log_prob = base.times_log(value, self.log_probs).sum(-1)
        return log_prob.to(torch.promote_types(value.dtype, self._scores.dtype))

    def entropy(self) -> Tensor:
        """In nats; masked categories add nothing."""
        log_probs = self.log_probs
        return -base.times_log(log_probs.exp(), log_probs).sum(-1).to(self._scores.dtype)

    def enumerate_support(self, expand: bool = True, *, budget: int = base.MAX_STATES) -> Tensor:
        """The K one-hot vectors, `(K, *batch_shape, K)`, or `(K, 1, .., K)` without `expand`.

        Raises:
            ValueError: more states than the budget.
        """
        size = self.event_shape[0]
        check_budget(
            size,
            budget,
            f"OneHotCategorical of {size:,} categories",
            state_bytes=size * self._scores.element_size(),
        )
        eye = torch.eye(size, dtype=self._scores.dtype, device=self._scores.device)
        eye = eye.view((size,) + (1,) * len(self.batch_shape) + (size,))
        return spread(eye, self, expand)

    def draw_noise(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Gumbel noise of shape `sample_shape + batch_shape + (K,)`."""
        return ops.draw_gumbel(
            self._extended_shape(sample_shape),
            dtype=self._scores.dtype,
            device=self._scores.device,
            generator=generator,
        )

    def argmax(self, scores: Tensor) -> Tensor:
        """The one-hot vector z with the largest <scores, z>; the first of equals."""
        return ops.one_hot_argmax(scores, self._scores.dtype)

    def harden(self, noise: Tensor) -> Tensor:
        """The one-hot vector that the noise leads to (Gumbel-max)."""
        return self.argmax(ops.centred(self._scores).detach() + noise)

    def perturb(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Logits less their maximum, plus Gumbel noise: scores whose argmax follows this law."""
        return ops.centred(self._scores) + self.draw_noise(sample_shape, generator=generator)

    def perturb_with_slope(
        self,
        sample_shape: Any = (),
        scale: float = 1.0,
        *,
        generator: torch.Generator | None = None,
    ) -> ops.Perturbed:
        """Logits plus `scale` times Gumbel noise, and the slope of its -log density."""
        noise = self.draw_noise(sample_shape, generator=generator)
        return ops.perturbed_by_gumbel(self._scores, noise, scale)

    def relax(self, noise: Tensor | float, temperature: float | Tensor) -> Tensor:
        """The Concrete sample of this noise; with zero noise, the mean at a temperature."""
        return ops.gumbel_softmax(self._scores, noise, temperature)

    def conditional_noise(self, outcome: Tensor, noise: Tensor) -> Tensor:
        """Fresh noise turned into noise that leads to `outcome`, differentiable in the logits."""
        return ops.gumbel_given_outcome(self._scores, outcome, noise)

    def gap_noise(self, outcome: Tensor, gap: float) -> Tensor:
        """Noise that puts the outcome's category first, the others `gap` behind at least."""
        return ops.gap_noise_of_categories(self._scores, outcome, gap)

    def tangent(self, point: Tensor) -> Tensor:
        """A tensor whose gradient is the mean's, taken at the law with mean `point`."""
        return ops.categorical_tangent(self._scores, point)


copies.COUNTERPARTS[TorchOneHotCategorical] = OneHotCategorical
