"""Unbiasedness end to end: nested expectations by enumeration, real samplers by a z-test."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from estimators.cases import moving_average_with_a_past, tuples, with_samples
from estimators.toys import OwnMean
from stats import unbiased
from torch import Generator, Tensor

import hotgrad as hg

# A stochastic layer on top of another: z ~ q, y | z ~ r(. | z), both of two categories.


@dataclass(frozen=True)
class Layer:
    """An estimator and its number of samples; None samples stands for a sum over the states."""

    estimator: hg.Estimator
    samples: int | None


LAYERS = {
    "Exact": Layer(hg.Exact(), None),
    "NoBaseline": Layer(hg.ScoreFunction(hg.NoBaseline()), 1),
    "LeaveOneOut": Layer(hg.ScoreFunction(hg.LeaveOneOut()), 2),
}
MUTANT = Layer(hg.ScoreFunction(OwnMean()), 2)
BOTH = torch.eye(2, dtype=torch.float64)


class Nest:
    """The two distributions' parameters, f's own, and the double sum written out by hand."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(11)
        self.logits, self.weight, self.table = (
            torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
            for shape in ((2,), (2, 2), (2, 2))
        )

    def f(self, z: Tensor, y: Tensor) -> Tensor:
        return 2 * ((z @ self.table) * y).sum(-1) ** 2

    def gradients(self, value: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(value, (self.logits, self.weight, self.table))

    def by_hand(self) -> Tensor:
        p, r = self.logits.softmax(-1), self.weight.softmax(-1)
        return (p.unsqueeze(-1) * r * 2 * self.table**2).sum()

    def mean_of(self, outer: Layer, inner: Layer) -> Tensor:
        """Probability x nested surrogate, added over the samples of both layers."""
        # outer samples, one tuple a column; a sum over the states asks about both in every column
        z_tuples = (
            torch.arange(2).unsqueeze(0) if outer.samples is None else tuples(2, outer.samples)
        )
        rows = z_tuples.shape[1]
        y_tuples = tuples(2, (inner.samples or 0) * rows)
        z_index = z_tuples.repeat_interleave(len(y_tuples), 0)
        y_index = y_tuples.repeat(len(z_tuples), 1).reshape(len(z_index), -1, rows)
        p, r = self.logits.softmax(-1).detach(), self.weight.softmax(-1).detach()
        chance = r[z_index.unsqueeze(1), y_index].flatten(1).prod(-1)
        chance = chance * (1 if outer.samples is None else p[z_index].prod(-1))
        z, y = BOTH[z_index].transpose(0, 1), BOTH[y_index].movedim(0, 2)

        def outer_f(z: Tensor) -> Tensor:
            below = with_samples(hg.OneHotCategorical, z @ self.weight, y)
            return hg.expectation(
                lambda y: self.f(z, y), below, inner.estimator, num_samples=inner.samples or 1
            )

        above = with_samples(hg.OneHotCategorical, self.logits.expand(len(z_index), 2), z)
        value = hg.expectation(outer_f, above, outer.estimator, num_samples=outer.samples or 1)
        return (chance * value).sum()

    def error(self, outer: Layer, inner: Layer) -> float:
        """Of the worst coordinate of all gradients."""
        pairs = zip(
            self.gradients(self.mean_of(outer, inner)), self.gradients(self.by_hand()), strict=True
        )
        return max(float((a - b).abs().max()) for a, b in pairs)


@pytest.mark.parametrize("inner", LAYERS)
@pytest.mark.parametrize("outer", LAYERS)
def test_an_expectation_inside_another_is_the_double_sum(outer: str, inner: str) -> None:
    nest = Nest()
    value = nest.mean_of(LAYERS[outer], LAYERS[inner])
    torch.testing.assert_close(value, nest.by_hand(), rtol=0, atol=1e-12)
    assert nest.error(LAYERS[outer], LAYERS[inner]) < 1e-12


@pytest.mark.parametrize("other", LAYERS)
def test_a_biased_layer_is_seen_wherever_it_stands(other: str) -> None:
    assert Nest().error(MUTANT, LAYERS[other]) > 0.01
    assert Nest().error(LAYERS[other], MUTANT) > 0.01


@pytest.mark.parametrize("inner", ["NoBaseline", "LeaveOneOut"])
@pytest.mark.parametrize(
    "outer", [hg.StraightThrough(), hg.ReinMax()], ids=lambda outer: type(outer).__name__
)
def test_the_gradient_to_z_passes_through_the_distribution_below(
    outer: hg.Estimator, inner: str
) -> None:
    # a pathwise layer above differentiates the expectation below with respect to z, so the score
    # of the distribution below must reach z: given z, it does so without bias
    nest = Nest()
    sampled = nest.gradients(nest.mean_of(Layer(outer, 1), LAYERS[inner]))
    summed = nest.gradients(nest.mean_of(Layer(outer, 1), LAYERS["Exact"]))
    torch.testing.assert_close(sampled, summed, rtol=0, atol=1e-12)


# Real samples: sampler, log_prob and estimator together.

DISTRIBUTIONS: dict[str, tuple[Callable[[Tensor], Any], tuple[int, ...]]] = {
    "Bernoulli.to_event(1)": (lambda a: hg.Bernoulli(logits=a).to_event(1), (3,)),
    "OneHotCategorical.to_event(1)": (lambda a: hg.OneHotCategorical(logits=a).to_event(1), (2, 3)),
    "KSubset": (lambda a: hg.KSubset(a, 2), (4,)),
}


def hinge(z: Tensor) -> Tensor:
    """A function of pairs that is not smooth."""
    flat = z.flatten(2) if z.ndim == 4 else z
    weight = torch.linspace(-1, 1.5, flat.shape[-1], dtype=z.dtype)
    return ((flat * weight).sum(-1) - 0.2).abs() + flat[..., 0] * flat[..., -1]


def gradients(distribution: str, estimator: hg.Estimator) -> Callable[[int, Generator], Tensor]:
    """`(n, generator)` to n independent gradient estimates, along the batch."""
    make, shape = DISTRIBUTIONS[distribution]
    start = torch.linspace(-0.8, 0.9, torch.Size(shape).numel(), dtype=torch.float64).view(shape)

    def replicate(n: int, generator: Generator) -> Tensor:
        logits = start.expand(n, *shape).clone().requires_grad_()
        value = hg.expectation(hinge, make(logits), estimator, num_samples=2, generator=generator)
        return torch.autograd.grad(value.sum(), logits)[0]

    return replicate


class Constant(torch.nn.Module):
    """A learned baseline that has learnt something."""

    def __init__(self) -> None:
        super().__init__()
        self.level = torch.nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

    def forward(self, mean: Tensor) -> Tensor:
        return self.level.expand(len(mean))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize(
    "baseline",
    [
        hg.NoBaseline,
        hg.LeaveOneOut,
        moving_average_with_a_past,
        lambda: hg.Learned(Constant()),
    ],
    ids=["NoBaseline", "LeaveOneOut", "MovingAverage", "Learned"],
)
def test_score_function_is_unbiased_with_real_samples(
    distribution: str, baseline: Callable[[], Any], generator: Generator
) -> None:
    exact = gradients(distribution, hg.Exact())(1, generator)[0]
    verdict = unbiased(
        gradients(distribution, hg.ScoreFunction(baseline())), exact, generator=generator
    )
    assert verdict, verdict.figures


@pytest.mark.parametrize(
    ("distribution", "mutant"),
    [
        pytest.param(distribution, mutant, id=f"{name}-{distribution}")
        for name, mutant in {
            "own mean": hg.ScoreFunction(OwnMean()),
            "straight-through": hg.StraightThrough(),
            "relaxed": hg.GumbelSoftmax(1.0),
        }.items()
        for distribution in DISTRIBUTIONS
        if (distribution, name) != ("KSubset", "relaxed")  # which nothing relaxes
    ],
)
def test_a_biased_estimator_is_seen_with_real_samples(
    distribution: str, mutant: hg.Estimator, generator: Generator
) -> None:
    exact = gradients(distribution, hg.Exact())(1, generator)[0]
    assert not unbiased(gradients(distribution, mutant), exact, generator=generator)
