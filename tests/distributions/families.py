"""Exponential families as a user writes them, with nothing but what must be there."""

from collections.abc import Mapping
from itertools import combinations, product
from typing import Any

import torch
from torch import Generator, Tensor

from hotgrad.distributions import DiscreteDistribution, ExponentialFamily


def one_hot(index: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    return torch.nn.functional.one_hot(index, size).to(dtype)


class Listed(ExponentialFamily):
    """Samples and finds the best by going through all states."""

    def states(self) -> Tensor:
        """`(states, *event)`, in float64."""
        raise NotImplementedError

    def scores_of_states(self, params: Mapping[str, Tensor]) -> Tensor:
        """`(..., states)` for parameters `(..., *own)`."""
        total: Any = 0.0
        for name, counted in self.statistics(self.states()).items():
            terms = torch.where(counted == 0, 0.0, params[name].unsqueeze(-counted.ndim).double())
            lead = terms.shape[: terms.ndim - counted.ndim]
            total = total + (counted * terms).reshape(*lead, len(counted), -1).sum(-1)
        return total

    def chosen(self, index: Tensor) -> Tensor:
        return self.states()[index].to(self.dtype)

    def argmax(self, scores: Mapping[str, Tensor]) -> Tensor:
        return self.chosen(self.scores_of_states(scores).argmax(-1))

    def sample(self, sample_shape: Any = (), *, generator: Generator | None = None) -> Tensor:
        probs = self.scores_of_states(self.params).softmax(-1).detach()
        count = torch.Size(sample_shape).numel()
        rows = probs.reshape(-1, probs.shape[-1])
        index = torch.multinomial(rows, count, replacement=True, generator=generator)
        return self.chosen(index.t().reshape(torch.Size(sample_shape) + self.batch_shape))


class Bits(Listed):
    """Bernoulli."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape)

    @property
    def params(self) -> dict[str, Tensor]:
        return {"logits": self.logits}

    def log_normalizer(self) -> Tensor:
        return torch.nn.functional.softplus(self.logits)

    def states(self) -> Tensor:
        return torch.tensor([0.0, 1.0]).double()


class Choice(Listed):
    """OneHotCategorical."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape[:-1], logits.shape[-1:])

    @property
    def params(self) -> dict[str, Tensor]:
        return {"logits": self.logits}

    def log_normalizer(self) -> Tensor:
        return self.logits.logsumexp(-1)

    def states(self) -> Tensor:
        return torch.eye(*self.event_shape).double()


class Subset(Choice):
    """KSubset."""

    def __init__(self, logits: Tensor, k: int) -> None:
        self.k = k
        super().__init__(logits)

    @property
    def constants(self) -> dict[str, Any]:
        return {"k": self.k}

    def log_normalizer(self) -> Tensor:
        rows = list(combinations(range(*self.event_shape), self.k))
        return torch.stack([self.logits[..., list(row)].sum(-1) for row in rows]).logsumexp(0)

    def states(self) -> Tensor:
        n = self.event_shape[0]
        rows = [[float(i in row) for i in range(n)] for row in combinations(range(n), self.k)]
        return torch.tensor(rows).double()


class Chain(Listed):
    """A sequence of states and what leads from each to the next: `(T, K)` and `(T - 1, K, K)`."""

    def __init__(self, unary: Tensor, pairwise: Tensor) -> None:
        self.unary, self.pairwise = unary, pairwise
        super().__init__(unary.shape[:-2], unary.shape[-2:])

    @property
    def params(self) -> dict[str, Tensor]:
        return {"unary": self.unary, "pairwise": self.pairwise}

    def statistics(self, value: Tensor) -> dict[str, Tensor]:
        pairs = value[..., :-1, :, None] * value[..., 1:, None, :]
        return {"unary": value, "pairwise": pairs}

    def log_normalizer(self) -> Tensor:
        forward = self.unary[..., 0, :]
        for t in range(1, self.event_shape[0]):
            steps = forward[..., :, None] + self.pairwise[..., t - 1, :, :]
            forward = steps.logsumexp(-2) + self.unary[..., t, :]
        return forward.logsumexp(-1)

    def states(self) -> Tensor:
        length, kinds = self.event_shape
        paths = torch.tensor(list(product(range(kinds), repeat=length)))
        return one_hot(paths, kinds, torch.float64)


class Dial(DiscreteDistribution):
    """One of K, from weights `(*batch, K)` and how sharp they are `(*batch)`: no such family."""

    def __init__(
        self, weights: Tensor, sharpness: Tensor, power: int = 1, validate_args: bool | None = None
    ) -> None:
        self.weights, self.sharpness, self.power = weights, sharpness, power
        super().__init__(weights.shape[:-1], weights.shape[-1:], validate_args)

    @property
    def params(self) -> dict[str, Tensor]:
        return {"weights": self.weights, "sharpness": self.sharpness}

    @property
    def constants(self) -> dict[str, Any]:
        return {"power": self.power}

    @property
    def mean(self) -> Tensor:
        return (self.weights * self.sharpness.unsqueeze(-1) ** self.power).softmax(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args and bool((value.sum(-1) != 1).any()):
            raise ValueError("not one-hot")
        return (value * self.mean.log()).sum(-1)

    def sample(self, sample_shape: Any = (), *, generator: Generator | None = None) -> Tensor:
        rows = self.mean.detach().expand(self._extended_shape(sample_shape))
        index = torch.multinomial(rows.reshape(-1, rows.shape[-1]), 1, generator=generator)
        return one_hot(index.reshape(rows.shape[:-1]), rows.shape[-1], self.dtype)

    def enumerate_support(self, expand: bool = True, *, budget: int = 2**20) -> Tensor:
        size = self.event_shape[0]
        eye = torch.eye(size, dtype=self.dtype).view(size, *(1,) * len(self.batch_shape), size)
        return eye.expand(size, *self.batch_shape, size) if expand else eye
