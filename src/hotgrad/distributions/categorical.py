"""One of K as a one-hot vector, reached by the argmax of the logits with Gumbel noise added."""

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor
from torch.distributions import Categorical
from torch.distributions import OneHotCategorical as TorchOneHotCategorical

from hotgrad import ops
from hotgrad.distributions import arguments, copies
from hotgrad.distributions.budget import MAX_STATES, check_budget, spread
from hotgrad.distributions.capabilities import Scores
from hotgrad.distributions.concrete_samples import ConcreteSamples
from hotgrad.distributions.exponential_family import ExponentialFamily
from hotgrad.ops import checks
from hotgrad.ops.kernels import categories as kernels


class OneHotCategorical(ConcreteSamples, ExponentialFamily, TorchOneHotCategorical):  # type: ignore[override]
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

    arg_constraints = TorchOneHotCategorical.arg_constraints  # type: ignore[misc]
    support = TorchOneHotCategorical.support
    _hard = staticmethod(kernels.hard_categories)
    _relaxed = staticmethod(kernels.relaxed_categories)
    _hard_and_relaxed = staticmethod(kernels.hard_and_relaxed_categories)
    _relaxed_with_twin = staticmethod(kernels.relaxed_categories_with_log)
    _gap_noise = staticmethod(ops.gap_noise_of_categories)

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        validate = arguments.resolve_validation(validate_args)
        self._scores = arguments.as_category_logits(probs, logits, validate=validate)
        # torch's constructor normalises the logits in their own dtype: in bfloat16 that moves
        # probabilities by per cents. Ours stay as given, and are normalised where needed.
        shape = self._scores.shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate)

    @property
    def params(self) -> dict[str, Tensor]:
        """The logits as they were given."""
        return {"logits": self._scores}

    def with_params(self, params: Mapping[str, Tensor]) -> Self:
        return copies.like(self, OneHotCategorical(logits=params["logits"], validate_args=False))

    @property
    def _categorical(self) -> Categorical:  # type: ignore[override]  # torch's is an attribute
        """The distribution of integers that torch's own code asks for, its KL divergence say."""
        return Categorical(logits=self._scores, validate_args=False)

    def __repr__(self) -> str:
        return arguments.described(self, logits=self._scores)

    @property
    def logits(self) -> Tensor:
        """Normalised log-probabilities."""
        return self.log_probs.to(self._scores.dtype)

    @property
    def is_choice(self) -> bool:
        return True

    @property
    def states_are_one_hot(self) -> bool:
        cls = type(self)
        own = (OneHotCategorical.enumerate_support, OneHotCategorical.log_prob)
        return (cls.enumerate_support, cls.log_prob) == own

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
    def param_shape(self) -> torch.Size:
        """The logits' shape."""
        return self._scores.shape

    def log_normalizer(self) -> Tensor:
        """The logarithm of the sum of the weights."""
        return ops.widened(self._scores).logsumexp(-1).to(self._scores.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(value); linear in the value, so f may use it at a straight-through sample."""
        checks.check_value(value)
        if self._validate_args and checks.values_readable(value):
            self._validate_sample(value)
        log_prob = arguments.times_log(value, self.log_probs).sum(-1)
        return log_prob.to(torch.promote_types(value.dtype, self._scores.dtype))

    def entropy(self) -> Tensor:
        """In nats; masked categories add nothing."""
        log_probs = self.log_probs
        return -arguments.times_log(log_probs.exp(), log_probs).sum(-1).to(self._scores.dtype)

    def enumerate_support(self, expand: bool = True, *, budget: int = MAX_STATES) -> Tensor:
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
        return spread(eye, self.batch_shape + self.event_shape, expand)

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

    def argmax(self, scores: Mapping[str, Tensor]) -> Tensor:
        """The one-hot vector of the largest score; the first of equals."""
        return ops.one_hot_argmax(scores["logits"], self._scores.dtype)

    def harden(self, noise: Tensor) -> Tensor:
        """The one-hot vector that the noise leads to (Gumbel-max)."""
        return ops.one_hot_argmax(ops.centred(self._scores).detach() + noise, self._scores.dtype)

    def perturb(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Scores:
        """Logits, less a constant, plus Gumbel noise: their argmax follows this distribution."""
        noise = self.draw_noise(sample_shape, generator=generator)
        return {"logits": ops.centred(self._scores) + noise}

    def perturb_with_slope(
        self,
        sample_shape: Any = (),
        scale: float = 1.0,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Scores, Scores]:
        """The same with `scale` times the noise, and the slope of its -log density."""
        noise = self.draw_noise(sample_shape, generator=generator)
        scores, slope = ops.perturbed_by_gumbel(self._scores, noise, scale)
        return {"logits": scores}, {"logits": slope}

    def relax(self, noise: Tensor | float, temperature: float | Tensor) -> Tensor:
        """The Concrete sample of this noise; with zero noise, the mean at a temperature."""
        return ops.gumbel_softmax(self._scores, noise, temperature)

    def conditional_noise(self, outcome: Tensor, noise: Tensor) -> Tensor:
        """Fresh noise turned into noise that leads to `outcome`, differentiable in the logits."""
        return ops.gumbel_given_outcome(self._scores, outcome, noise)

    def tangent(self, point: Tensor) -> Tensor:
        """A tensor whose gradient is the mean's, taken where the mean is `point`."""
        return ops.categorical_tangent(self._scores, point)


copies.COUNTERPARTS[TorchOneHotCategorical] = OneHotCategorical
