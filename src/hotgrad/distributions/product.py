"""Independent factors as one distribution: the one implementation behind `to_event` and `Joint`."""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from hotgrad import ops
from hotgrad.distributions.budget import MAX_STATES, check_budget, spread
from hotgrad.distributions.discrete import ShapeChecks

Z = TypeVar("Z")


class Product(ShapeChecks, Generic[Z]):
    r"""Independent factors as one distribution.

    $p(z) = \prod_i p_i(z_i)$: everything is asked of each factor, and joined or
    added up.

    Subclasses say what the factors are, and how their values, a tensor `(..., *event)` of each,
    make one z: `merged` and `unmerged`.
    """

    @property
    @abstractmethod
    def parts(self) -> tuple[Any, ...]:
        """The factors, whose batch shapes begin with this one's."""

    @abstractmethod
    def merged(self, values: Sequence[Tensor]) -> Z:
        """One z of the factors' values."""

    @abstractmethod
    def unmerged(self, value: Z) -> list[Tensor]:
        """The inverse of `merged`."""

    @property
    def bases(self) -> tuple[Any, ...]:
        """The innermost distributions, without event dimensions that were added around them."""
        return tuple(base for part in self.parts for base in getattr(part, "bases", (part,)))

    @property
    def mean(self) -> Z:  # type: ignore[override]  # torch's is a tensor
        """The marginals, differentiable."""
        return self.merged([part.mean for part in self.parts])

    @property
    def variance(self) -> Z:  # type: ignore[override]
        """Of each component."""
        return self.merged([part.variance for part in self.parts])

    @property
    def stddev(self) -> Z:  # type: ignore[override]
        """The root of the variance."""
        return self.merged([part.stddev for part in self.parts])

    @property
    def mode(self) -> Z:  # type: ignore[override]
        """The most probable state."""
        return self.merged([part.mode for part in self.parts])

    def sample(  # type: ignore[override]
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Z:
        """Samples of shape `sample_shape + batch_shape + event_shape`."""
        return self.merged([part.sample(sample_shape, generator=generator) for part in self.parts])

    def log_prob(self, value: Z) -> Tensor:  # type: ignore[override]
        """log p(value), summed over the factors."""
        pieces = zip(self.parts, self.unmerged(value), strict=True)
        return self._added_up(self.parts, [part.log_prob(piece) for part, piece in pieces])

    def entropy(self) -> Tensor:
        """In nats, summed over the factors."""
        return self._added_up(self.parts, [part.entropy() for part in self.parts])

    @property
    def entropy_is_exact(self) -> bool:
        """Whether all factors' entropies are."""
        return all(getattr(base, "entropy_is_exact", True) for base in self.bases)

    @property
    def log_prob_is_differentiable(self) -> bool:
        """Whether all factors' log-probabilities are."""
        return all(base.log_prob_is_differentiable for base in self.bases)

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]  # a fact of the factors
        """Whether all factors' states can be listed."""
        return all(base.has_enumerate_support for base in self.bases)

    @property
    def has_params(self) -> bool:
        """Whether all factors tell what they are made of."""
        return all(getattr(base, "has_params", False) for base in self.bases)

    def join(self, values: Sequence[Tensor]) -> Z:
        """Values of the bases, one `(..., *event)` of each, as one z."""
        rest = iter(values)
        return self.merged([_next_of(part, rest) for part in self.parts])

    def split(self, value: Z) -> list[Tensor]:
        """The inverse of `join`."""
        pieces = zip(self.parts, self.unmerged(value), strict=True)
        return [
            own
            for part, piece in pieces
            for own in (part.split(piece) if hasattr(part, "split") else [piece])
        ]

    def each(self, of: Callable[[Any], Tensor]) -> Z:
        """What a function makes of every base, joined."""
        return self.join([of(base) for base in self.bases])

    def total(self, scores: Sequence[Tensor]) -> Tensor:
        """Scores of the bases, `(*sample, *batch of the base)`, added up: `(*sample, *batch)`."""
        return self._added_up(self.bases, scores)

    def enumerate_support(self, expand: bool = True, *, budget: int = MAX_STATES) -> Z:  # type: ignore[override]
        """Every state of all factors together, the last one's changing fastest.

        Raises:
            ValueError: more states than the budget.
        """
        own = [_own_states(base, budget) for base in self.bases]
        counts = [base.batch_shape[len(self.batch_shape) :].numel() for base in self.bases]
        states = math.prod([len(one) ** count for one, count in zip(own, counts, strict=True)])
        size = sum([one[:1].numel() * count for one, count in zip(own, counts, strict=True)])
        check_budget(states, budget, self._in_words, state_bytes=size * own[0].element_size())
        ones = (1,) * len(self.batch_shape)
        number, listed = torch.arange(states, device=own[0].device), []
        for base, one, count in reversed(list(zip(self.bases, own, counts, strict=True))):
            # a state's number in mixed radix: its digits are the parts' choices
            place = len(one) ** torch.arange(count - 1, -1, -1, device=number.device)
            digits = number.unsqueeze(-1) // place % len(one)
            number = number // len(one) ** count
            event = base.batch_shape[len(self.batch_shape) :] + base.event_shape
            shape = (states, *ones, *event)
            joint = one[digits].reshape(shape)
            listed.append(spread(joint, torch.Size((*self.batch_shape, *event)), expand))
        return self.join(listed[::-1])

    @property
    @abstractmethod
    def _in_words(self) -> str:
        """What it is a product of, for messages."""

    def _added_up(self, of: Iterable[Distribution], scores: Sequence[Tensor]) -> Tensor:
        """Scores of distributions whose batches go on behind this one's, summed."""
        sums = [
            ops.over_event(score, score.ndim - len(one.batch_shape) + len(self.batch_shape))
            for one, score in zip(of, scores, strict=True)
        ]
        return sums[0] if len(sums) == 1 else torch.stack(sums).sum(0)


def _next_of(part: Any, values: Iterator[Tensor]) -> Tensor:
    """The next value of a factor: one of each of its bases, joined."""
    if not hasattr(part, "join"):
        return next(values)
    joined: Tensor = part.join([next(values) for _ in part.bases])
    return joined


def _own_states(base: Any, budget: int) -> Tensor:
    """The states of a base, `(states, *event)`, the same for all of its batch."""
    listed: Tensor = base.enumerate_support(expand=False, budget=budget)
    return listed.reshape(listed.shape[:1] + base.event_shape)
