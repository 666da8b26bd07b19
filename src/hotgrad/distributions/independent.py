"""Several independent laws as one joint event: what `to_event` returns."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions import Independent as TorchIndependent

from hotgrad import ops
from hotgrad.distributions import base, copies
from hotgrad.distributions.budget import check_budget, spread
from hotgrad.ops import checks


class EventMixin:
    """`to_event`, which turns batch dimensions into dimensions of one joint event.

    A first base class, which also checks the shapes that users give.
    """

    batch_shape: torch.Size

    def _extended_shape(self, sample_shape: Any = ()) -> torch.Size:
        sizes = checks.as_shape(sample_shape, "sample_shape")
        return super()._extended_shape(sizes)  # type: ignore[misc]  # torch's

    def _expanded(self, batch_shape: Any) -> torch.Size:
        """The shape that `expand` is asked for."""
        sizes = checks.as_shape(batch_shape, "batch_shape")
        if not checks.broadcasts_into(self.batch_shape, sizes):
            raise ValueError(
                f"batch_shape must be one that {tuple(self.batch_shape)} expands to, got "
                f"{tuple(sizes)}."
            )
        return sizes

    def to_event(self, ndims: int) -> "Independent":
        """The same law with its rightmost `ndims` batch dimensions counted as part of the event.

        Example:
            >>> q = hg.Bernoulli(logits=torch.zeros(3, 8)).to_event(1)
            >>> q.batch_shape, q.event_shape
            (torch.Size([3]), torch.Size([8]))
        """
        return Independent(self, ndims, self._validate_args)  # type: ignore[arg-type,attr-defined]


def _checked_ndims(ndims: Any, batch_shape: torch.Size) -> int:
    """How many of the batch's dimensions become part of the event."""
    ndims, available = checks.plain_number(ndims), len(batch_shape)
    if not isinstance(ndims, int) or isinstance(ndims, bool) or not 0 <= ndims <= available:
        raise ValueError(
            f"to_event and Independent take a number of dimensions from 0 to {available}, those of "
            f"the batch {tuple(batch_shape)}; got {checks.shown(ndims)}."
        )
    return ndims


class Independent(EventMixin, TorchIndependent[Distribution]):
    """Batch dimensions of a law counted as event dimensions, so that `log_prob` sums over them.

    torch's `Independent` with a generator, the support of the joint law, and the methods that the
    estimators use. Each of those exists where the law inside has it.

    Args:
        base_distribution: the law inside.
        reinterpreted_batch_ndims: how many of its rightmost batch dimensions become event
            dimensions.

    Example:
        >>> q = hg.OneHotCategorical(logits=torch.zeros(5, 2, 3)).to_event(1)
        >>> q.batch_shape, q.event_shape
        (torch.Size([5]), torch.Size([2, 3]))
        >>> q.enumerate_support().shape
        torch.Size([9, 5, 2, 3])
    """

    def __init__(
        self,
        base_distribution: Distribution,
        reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(base_distribution, Distribution):
            raise ValueError(
                f"base_distribution must be a distribution, got {checks.shown(base_distribution)}."
            )
        inside = copies.counterpart(base_distribution)
        ndims = _checked_ndims(reinterpreted_batch_ndims, inside.batch_shape)
        super().__init__(inside, ndims, base.resolve_validation(validate_args))

    @property
    def law(self) -> Any:
        """The innermost law, without the event dimensions that were added around it."""
        inner = self.base_dist
        return inner.law if isinstance(inner, Independent) else inner

    def to_event(self, ndims: int) -> "Independent":
        """More batch dimensions into the event; the same law as all of them at once."""
        ndims = self.reinterpreted_batch_ndims + _checked_ndims(ndims, self.batch_shape)
        return copies.like(self, Independent(self.base_dist, ndims, self._validate_args))

    def expand(self, batch_shape: Any, _instance: Any = None) -> "Independent":
        added = self.event_shape[: self.reinterpreted_batch_ndims]
        inside = self.base_dist.expand(self._expanded(batch_shape) + added)
        return copies.like(self, Independent(inside, len(added), self._validate_args))

    @property
    def logits(self) -> Tensor:
        """The law's own."""
        return self.law.logits

    def with_logits(self, logits: Tensor) -> "Independent":
        """As many independent parts with other logits, of any batch shape."""
        parts = len(self.event_shape) - len(self.law.event_shape)
        inside = self.law.with_logits(logits)
        return copies.like(self, Independent(inside, parts, self._validate_args))

    def sample(self, sample_shape: Any = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Samples of shape `sample_shape + batch_shape + event_shape`."""
        law, cls = self.law, type(self.law)  # type: Any, Any
        if generator is None:
            return law.sample(sample_shape)
        if not copies.takes_generator(cls):
            raise ValueError(
                f"{cls.__name__} draws from torch's global generator alone. Leave out the "
                "generator, or use a distribution of this library."
            )
        return law.sample(sample_shape, generator=generator)

    def rsample(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Samples with a gradient, where the law inside is continuous."""
        return self.law.rsample(sample_shape, generator=generator)

    def rsample_with_twin(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> base.RelaxedSample:
        """A relaxed sample and its log-space twin."""
        return self.law.rsample_with_twin(sample_shape, generator=generator)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(value), summed over the event."""
        return self._over_parts(self.law.log_prob(value))

    def entropy(self) -> Tensor:
        """In nats, summed over the parts."""
        return self._over_parts(self.law.entropy())

    def log_prob_of_twin(self, twin: Tensor) -> Tensor:
        """The log-density of a relaxed sample's twin, summed over the event."""
        return self._over_parts(self.law.log_prob_of_twin(twin))

    def enumerate_support(self, expand: bool = True, *, budget: int = base.MAX_STATES) -> Tensor:
        """Every state of the joint law, `(states, *batch_shape, *event_shape)`.

        Raises:
            ValueError: more states than the budget.
        """
        own = self.law.enumerate_support(expand=False, budget=budget)
        own = own.reshape(own.shape[:1] + self.law.event_shape)
        inner_dims = self.event_shape[: len(self.event_shape) - len(self.law.event_shape)]
        parts, choices = inner_dims.numel(), own.shape[0]
        states = choices**parts
        check_budget(
            states,
            budget,
            f"{type(self.law).__name__} of {parts:,} parts",
            state_bytes=own.element_size() * self.event_shape.numel(),
        )
        # state number s in base `choices`: its digits are the parts' choices
        place = choices ** torch.arange(parts - 1, -1, -1, device=own.device)
        digits = torch.arange(states, device=own.device).unsqueeze(-1) // place % choices
        joint = own[digits].reshape((states,) + (1,) * len(self.batch_shape) + self.event_shape)
        return spread(joint, self, expand)

    def draw_noise(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Tensor:
        """The law's noise."""
        return self.law.draw_noise(sample_shape, generator=generator)

    def argmax(self, scores: Tensor) -> Tensor:
        """The state with the largest inner product with the scores: each part's own."""
        return self.law.argmax(scores)

    def perturb(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Tensor:
        """The law's logits plus noise."""
        return self.law.perturb(sample_shape, generator=generator)

    def perturb_with_slope(
        self,
        sample_shape: Any = (),
        scale: float = 1.0,
        *,
        generator: torch.Generator | None = None,
    ) -> ops.Perturbed:
        """The law's logits plus noise, and the slope of the noise's -log density."""
        return self.law.perturb_with_slope(sample_shape, scale, generator=generator)

    def relax_top_k(self, scores: Tensor, temperature: float | Tensor) -> Tensor:
        """The relaxed k-hot vectors of the scores."""
        return self.law.relax_top_k(scores, temperature)

    def harden(self, noise: Tensor) -> Tensor:
        """The hard sample that the noise leads to."""
        return self.law.harden(noise)

    def relax(self, noise: Tensor | float, temperature: float | Tensor) -> Tensor:
        """The relaxed sample that the noise leads to."""
        return self.law.relax(noise, temperature)

    def conditional_noise(self, outcome: Tensor, noise: Tensor) -> Tensor:
        """Fresh noise turned into noise that leads to `outcome`."""
        return self.law.conditional_noise(outcome, noise)

    def redraw(self, noise: Tensor, fresh: Tensor) -> Tensor:
        """Other noise that leads to the same outcome as `noise`."""
        return self.law.redraw(noise, fresh)

    def couple(
        self,
        sample_shape: Any,
        temperature: float | Tensor,
        *,
        generator: torch.Generator | None = None,
    ) -> base.Coupled:
        """Outcomes of all parts, with two relaxed samples that lead to them."""
        parts = self.law.couple(sample_shape, temperature, generator=generator)
        return parts._replace(log_prob=self._over_parts(parts.log_prob))

    def antithetic(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> base.Antithetic:
        """Bits from noise, and bits from its negative."""
        return self.law.antithetic(sample_shape, generator=generator)

    def gap_noise(self, outcome: Tensor, gap: float) -> Tensor:
        """Noise that puts each part's outcome ahead by `gap`."""
        return self.law.gap_noise(outcome, gap)

    def tangent(self, point: Tensor) -> Tensor:
        """A tensor whose gradient is the mean's, taken at the law with mean `point`."""
        return self.law.tangent(point)

    def cdf(self, value: Tensor) -> Tensor:
        """Always raises."""
        raise NotImplementedError(
            "Independent has no cdf. Its parts may have one: q.base_dist.cdf."
        )

    def icdf(self, value: Tensor) -> Tensor:
        """Always raises."""
        raise NotImplementedError("Independent has no icdf. Its parts may: q.base_dist.icdf.")

    def _over_parts(self, scores: Tensor) -> Tensor:
        """The sum over the dimensions that were added to the event."""
        added = len(self.event_shape) - len(self.law.event_shape)
        return ops.over_event(scores, scores.ndim - added)
