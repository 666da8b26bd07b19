"""Batch dimensions as dimensions of one joint event: what `to_event` returns."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions import Independent as TorchIndependent

from hotgrad.distributions import arguments, copies
from hotgrad.distributions.continuous import rsample
from hotgrad.distributions.discrete import DiscreteDistribution, ShapeChecks
from hotgrad.distributions.product import Product
from hotgrad.distributions.samples import RelaxedSample
from hotgrad.ops import checks


class Independent(Product[Tensor], DiscreteDistribution, TorchIndependent[Distribution]):
    """Batch dimensions of a distribution counted as event dimensions, so that `log_prob` sums.

    torch's `Independent` with a generator, the support of the joint event, and what the estimators
    ask of a product of equal factors.

    Args:
        base_distribution: the distribution inside.
        reinterpreted_batch_ndims: how many of its rightmost batch dimensions become event
            dimensions.
        validate_args: check values (waits for the GPU); torch's default.

    Raises:
        ValueError: no distribution, or more dimensions than its batch has.

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
        self.base_dist: Any = copies.counterpart(base_distribution)
        batch_shape = self.base_dist.batch_shape
        ndims = _checked_ndims(reinterpreted_batch_ndims, batch_shape)
        self.reinterpreted_batch_ndims = ndims
        lead = len(batch_shape) - ndims
        DiscreteDistribution.__init__(
            self,
            batch_shape[:lead],
            batch_shape[lead:] + self.base_dist.event_shape,
            validate_args=arguments.resolve_validation(validate_args),
        )

    # torch's, which the mixins' would hide
    support = TorchIndependent.support
    has_rsample = TorchIndependent.has_rsample
    __repr__ = TorchIndependent.__repr__

    @property
    def parts(self) -> tuple[Any, ...]:
        return (self.base_dist,)

    def merged(self, values: Sequence[Tensor]) -> Tensor:
        (value,) = values
        return value

    def unmerged(self, value: Tensor) -> list[Tensor]:
        return [value]

    @property
    def is_choice(self) -> bool:
        """Whether the event's last dimension holds the categories of one choice."""
        return bool(self.base_dist.is_choice)

    @property
    def params(self) -> dict[str, Tensor]:
        """Those of the distribution inside."""
        params: dict[str, Tensor] = self.base_dist.params
        return params

    def with_params(self, params: Mapping[str, Tensor]) -> Self:
        """As many independent parts of other parameters, of any batch shape."""
        return self._of(self.base_dist.with_params(params))

    @property
    def logits(self) -> Tensor:
        """Those of the distribution inside, where it has some."""
        logits: Tensor = self.base_dist.logits
        return logits

    def to_event(self, ndims: int) -> "Independent":
        """More batch dimensions into the event; the same as all of them at once."""
        ndims = self.reinterpreted_batch_ndims + _checked_ndims(ndims, self.batch_shape)
        return copies.like(self, Independent(self.base_dist, ndims, self._validate_args))

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        added = self.event_shape[: self.reinterpreted_batch_ndims]
        return self._of(self.base_dist.expand(self._expanded(batch_shape) + added))

    def unchecked(self) -> Self:
        copy = self._of(self.base_dist.unchecked())
        copy._validate_args = False
        return copy

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "Independent",
            "validate_args": bool(self._validate_args),
            "ndims": self.reinterpreted_batch_ndims,
            "inside": self.base_dist.describe(),
        }

    def naming(self, base: DiscreteDistribution) -> str:
        inside = getattr(self.base_dist, "naming", None)
        return type(base).__name__ if inside is None else inside(base)

    def sample(self, sample_shape: Any = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Samples of shape `sample_shape + batch_shape + event_shape`."""
        base, cls = self.base_dist, type(self.base_dist)
        if generator is None:
            return base.sample(sample_shape)
        if not copies.takes_generator(cls):
            raise ValueError(
                f"{cls.__name__} draws from torch's global generator alone. Leave out the "
                "generator, or use a distribution of this library."
            )
        return base.sample(sample_shape, generator=generator)

    def rsample(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Samples with a gradient, where the distribution inside is continuous."""
        return rsample(self.base_dist, checks.as_shape(sample_shape, "sample_shape"), generator)

    def rsample_with_twin(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> RelaxedSample:
        """A relaxed sample and its log-space twin."""
        return self.base_dist.rsample_with_twin(sample_shape, generator=generator)

    def log_prob_of_twin(self, twin: Tensor) -> Tensor:
        """The log-density of a relaxed sample's twin, summed over the event."""
        return self.total([self.bases[0].log_prob_of_twin(twin)])

    def cdf(self, value: Tensor) -> Tensor:
        """Always raises."""
        raise NotImplementedError(
            "Independent has no cdf. Its parts may have one: q.base_dist.cdf."
        )

    def icdf(self, value: Tensor) -> Tensor:
        """Always raises."""
        raise NotImplementedError("Independent has no icdf. Its parts may: q.base_dist.icdf.")

    @property
    def _in_words(self) -> str:
        lead = len(self.batch_shape)
        parts = sum([base.batch_shape[lead:].numel() for base in self.bases])
        kinds = dict.fromkeys(type(base).__name__ for base in self.bases)
        return f"{' and '.join(kinds)} of {parts:,} parts"

    def _of(self, base: Distribution) -> Self:
        """The same around another distribution."""
        ndims = self.reinterpreted_batch_ndims
        return copies.like(self, Independent(base, ndims, self._validate_args))


def _checked_ndims(ndims: Any, batch_shape: torch.Size) -> int:
    """How many of the batch's dimensions become part of the event."""
    ndims, available = checks.plain_number(ndims), len(batch_shape)
    if not isinstance(ndims, int) or isinstance(ndims, bool) or not 0 <= ndims <= available:
        raise ValueError(
            f"to_event and Independent take a number of dimensions from 0 to {available}, those of "
            f"the batch {tuple(batch_shape)}; got {checks.shown(ndims)}."
        )
    return ndims


ShapeChecks._independent = Independent
