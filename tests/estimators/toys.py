"""Distributions of few states, their samples given: every tuple of samples side by side.

So an estimate's mean is a finite sum, and nothing is left to chance.
"""

from collections.abc import Callable
from itertools import combinations, permutations
from typing import Any

import torch
from estimators.cases import tuples, with_samples
from torch import Tensor

import hotgrad as hg

# distribution, logits' shape, event dimensions; each has few enough states to list
FINITE = {
    "Bernoulli": (hg.Bernoulli, (), 0),
    "Bernoulli.to_event(1)": (hg.Bernoulli, (2,), 1),
    "OneHotCategorical": (hg.OneHotCategorical, (3,), 1),
    "OneHotCategorical.to_event(1)": (hg.OneHotCategorical, (2, 2), 2),
    "KSubset": (hg.KSubset, (4,), 1),
    "PlackettLuceSubset": (hg.PlackettLuceSubset, (4,), 1),
}
OPTIONS: dict[type, dict[str, int]] = {hg.KSubset: {"k": 2}, hg.PlackettLuceSubset: {"k": 2}}
PAIRS = torch.zeros(6, 4).scatter(1, torch.tensor(list(combinations(range(4), 2))), 1.0)


def chance_of_pairs(logits: Tensor) -> Tensor:
    """Of two drawn one after another, in either order."""
    p = logits.softmax(-1)
    return torch.stack(
        [
            sum((p[i] * p[j] / (1 - p[i]) for i, j in permutations(pair)), torch.zeros(()))
            for pair in combinations(range(4), 2)
        ]
    )


class Toy:
    """Small enough for every tuple of samples, with its states and probabilities by hand."""

    def __init__(self, name: str) -> None:
        self.distribution, shape, self.event_dims = FINITE[name]
        generator = torch.Generator().manual_seed(5)
        self.logits = torch.randn(shape, generator=generator, dtype=torch.float64)
        self.logits.requires_grad_()
        self.states = {
            "Bernoulli": torch.tensor([0.0, 1.0]),
            "Bernoulli.to_event(1)": tuples(2, 2),
            "OneHotCategorical": torch.eye(3),
            "OneHotCategorical.to_event(1)": torch.eye(2)[tuples(2, 2)],
            "KSubset": PAIRS,
            "PlackettLuceSubset": PAIRS,
        }[name].to(torch.float64)

    def probs(self) -> Tensor:
        """Of each state, from nothing but a softmax or a sigmoid."""
        if self.distribution is hg.KSubset:
            return (self.states @ self.logits).softmax(-1)
        if self.distribution is hg.PlackettLuceSubset:
            return chance_of_pairs(self.logits)
        chances = {
            hg.Bernoulli: lambda a: torch.stack([(-a).sigmoid(), a.sigmoid()], -1),
            hg.OneHotCategorical: lambda a: a.softmax(-1),
        }[self.distribution](self.logits)
        outcome = {
            hg.Bernoulli: lambda z: torch.stack([1 - z, z], -1),
            hg.OneHotCategorical: lambda z: z,
        }[self.distribution](self.states)
        return (outcome * chances).sum(-1).reshape(len(self.states), -1).prod(-1)

    def flat(self, z: Tensor) -> Tensor:
        return z.reshape((*z.shape[: z.ndim - self.event_dims], -1)).to(torch.float64)

    def q(self, samples: Tensor) -> Any:
        """The distribution with `samples` `(S, N, *event)` in place of its own."""
        logits = self.logits.expand(samples.shape[1:2] + self.logits.shape)
        q = with_samples(self.distribution, logits, samples, **OPTIONS.get(self.distribution, {}))
        return q.to_event(self.event_dims - (self.distribution is not hg.Bernoulli))

    def mean_of(self, estimator: hg.Estimator, f: Callable[[Tensor], Tensor], count: int) -> Tensor:
        """Probability x surrogate, added over all tuples of `count` samples."""
        index = tuples(len(self.states), count)
        probs = self.probs().detach()[index].prod(-1)
        q = self.q(self.states[index].transpose(0, 1))
        return (probs * hg.expectation(f, q, estimator, num_samples=count)).sum()

    def exact(self, f: Callable[[Tensor], Tensor]) -> Tensor:
        return (self.probs() * f(self.states)).sum()

    def gradient(self, value: Tensor) -> Tensor:
        return torch.autograd.grad(value, self.logits)[0]

    def bias(self, estimator: hg.Estimator, f: Callable[[Tensor], Tensor], count: int = 1) -> float:
        """The largest error of a coordinate of the mean gradient."""
        right = self.gradient(self.exact(f))
        return float((self.gradient(self.mean_of(estimator, f, count)) - right).abs().max())


def jagged(toy: Toy) -> Callable[[Tensor], Tensor]:
    """No smooth function: f as a table of the states."""

    def f(z: Tensor) -> Tensor:
        z = toy.flat(z)
        code = (z * torch.tensor([1.0, 2.0, 4.0, 8.0])[: z.shape[-1]]).sum(-1)
        return torch.tensor([0.3, -1.1, 2.0, 0.9, -0.4, 1.7, 0.2, 3.0, -2.0, 6.0, 1.1, 0.0, -1.7])[
            code.long()
        ].to(torch.float64)

    return f


def polynomial(toy: Toy, degree: int) -> Callable[[Tensor], Tensor]:
    weight = torch.tensor([1.0, -0.6, 0.3, 1.4], dtype=torch.float64)

    def f(z: Tensor) -> Tensor:
        z = toy.flat(z)
        return ((z * weight[: z.shape[-1]]).sum(-1) + 0.5) ** degree

    return f


class OwnMean:
    """The classic mistake: the baseline of a sample has the sample in it."""

    def centre(self, values: Tensor, q: Any) -> Tensor:
        return values - values.mean(0)
