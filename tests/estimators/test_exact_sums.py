"""Estimators summed over their own randomness: right to rounding, or wrong by a figure.

The samples, or the noise, are given to the distribution beforehand, all of them side by side along
the batch. So the estimate's mean is a finite sum (or a one-dimensional integral), and nothing is
left to chance.
"""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from estimators.cases import (
    WORKING,
    MeanNet,
    moving_average_with_a_past,
    tuples,
    with_noise,
)
from estimators.targets import (
    LOGIT,
    logistic_nodes,
    relaxed_objective_slope,
    smooth,
    straight_through_slope,
)
from estimators.toys import FINITE, OwnMean, Toy, jagged, polynomial

import hotgrad as hg

every_distribution = pytest.mark.parametrize("distribution", FINITE)


@pytest.fixture
def toy(distribution: str) -> Toy:
    return Toy(distribution)


SUMS: list[tuple[str, Callable[[Any], hg.Estimator], int]] = [
    ("Exact", lambda q: hg.Exact(), 1),
    ("NoBaseline", lambda q: hg.ScoreFunction(hg.NoBaseline()), 1),
    ("NoBaseline", lambda q: hg.ScoreFunction(hg.NoBaseline()), 2),
    ("LeaveOneOut", lambda q: hg.ScoreFunction(hg.LeaveOneOut()), 2),
    ("LeaveOneOut", lambda q: hg.ScoreFunction(hg.LeaveOneOut()), 3),
    ("MovingAverage", lambda q: hg.ScoreFunction(moving_average_with_a_past()), 2),
    ("Learned", lambda q: hg.ScoreFunction(hg.Learned(MeanNet(q))), 2),
]


@every_distribution
@pytest.mark.parametrize(
    ("make", "count"),
    [(m, s) for _, m, s in SUMS],
    ids=[f"{name}, S={count}" for name, _, count in SUMS],
)
def test_mean_gradient_of_the_unbiased_is_exact(
    toy: Toy, make: Callable[[Any], hg.Estimator], count: int
) -> None:
    f = jagged(toy)
    batch = toy.states[tuples(len(toy.states), count)].transpose(0, 1)
    value = toy.mean_of(make(toy.q(batch)), f, count)
    exact = toy.exact(f)
    torch.testing.assert_close(value, exact, rtol=0, atol=1e-12)
    torch.testing.assert_close(toy.gradient(value), toy.gradient(exact), rtol=0, atol=1e-12)


@every_distribution
@pytest.mark.parametrize("count", [2, 3])
def test_the_mutant_whose_baseline_has_the_sample_in_it_is_seen(toy: Toy, count: int) -> None:
    assert toy.bias(hg.ScoreFunction(OwnMean()), jagged(toy), count) > 0.01


def test_the_samples_of_one_subset_distribution_scored_with_the_other_are_seen() -> None:
    # the mistake of published code: drawn by Gumbel top-k, scored as a conditional Bernoulli
    drawn, scored = Toy("PlackettLuceSubset"), Toy("KSubset")
    mixed = Toy("KSubset")
    mixed.probs = drawn.probs  # type: ignore[method-assign]
    estimator, f = hg.ScoreFunction(hg.NoBaseline()), jagged(scored)
    gradient = mixed.gradient(mixed.mean_of(estimator, f, 1))
    for right in (drawn, scored):
        assert float((gradient - right.gradient(right.exact(f))).abs().max()) > 0.01


@every_distribution
def test_straight_through_is_exact_for_linear_f_only(toy: Toy) -> None:
    assert toy.bias(hg.StraightThrough(), polynomial(toy, 1)) < 1e-12
    assert toy.bias(hg.StraightThrough(), polynomial(toy, 3)) > 0.01


@pytest.mark.parametrize(
    "distribution",
    [distribution for distribution in FINITE if ("ReinMax", distribution) in WORKING],
)
def test_reinmax_is_exact_up_to_quadratic_f_at_temperature_1(toy: Toy) -> None:
    assert toy.bias(hg.ReinMax(), polynomial(toy, 1)) < 1e-12
    assert toy.bias(hg.ReinMax(), polynomial(toy, 2)) < 1e-12
    assert toy.bias(hg.ReinMax(), polynomial(toy, 3)) > 0.01
    assert toy.bias(hg.ReinMax(temperature=2.0), polynomial(toy, 2)) > 0.001


@pytest.mark.parametrize("distribution", ["OneHotCategorical"])
def test_reinmax_at_any_temperature_is_the_papers_algorithm(toy: Toy) -> None:
    temperature = 1.7
    f = polynomial(toy, 3)
    index = 1
    sample = toy.states[index : index + 1]
    value = hg.expectation(f, toy.q(sample.unsqueeze(0)), hg.ReinMax(temperature)).sum()
    # Algorithm 2, line by line, with its logs
    logits = toy.logits
    first = logits.softmax(-1)
    between = (sample[0] + (logits / temperature).softmax(-1)) / 2
    second = ((between.log() - logits).detach() + logits).softmax(-1)
    point = 2 * second - first / 2
    expected = f(point - point.detach() + sample[0])
    torch.testing.assert_close(toy.gradient(value), toy.gradient(expected), rtol=0, atol=1e-12)


# Estimators that follow another objective are held to their own, by quadrature over logistic noise.

OWN_TARGETS = {
    hg.GumbelSoftmax: relaxed_objective_slope,
    hg.StraightThroughGumbelSoftmax: straight_through_slope,
}


def slope_at_nodes(estimator: hg.Estimator) -> float:
    noise, weight = logistic_nodes(LOGIT)
    logit = torch.tensor(LOGIT, dtype=torch.float64, requires_grad=True)
    q = with_noise(hg.Bernoulli, logit.expand(noise.shape), noise.unsqueeze(0))
    value = (weight * hg.expectation(smooth, q, estimator)).sum()
    return float(torch.autograd.grad(value, logit)[0])


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("estimator", OWN_TARGETS)
def test_mean_gradient_of_the_relaxed_is_their_own_objectives(
    estimator: Any, temperature: float
) -> None:
    target = OWN_TARGETS[estimator](LOGIT, temperature)
    assert slope_at_nodes(estimator(temperature)) == pytest.approx(target, rel=1e-5)
    # the mutant: another temperature
    assert slope_at_nodes(estimator(1.1 * temperature)) != pytest.approx(target, rel=1e-3)


@pytest.mark.parametrize("estimator", OWN_TARGETS)
def test_the_relaxed_are_biased_for_the_discrete_objective(estimator: Any) -> None:
    up = 1 / (1 + math.exp(-LOGIT))
    gap = smooth(torch.tensor(1.0)) - smooth(torch.tensor(0.0))
    assert abs(slope_at_nodes(estimator(1.0)) - up * (1 - up) * float(gap)) > 0.05


@pytest.mark.parametrize(
    "estimator",
    [
        hg.GumbelSoftmax(0.7),
        hg.StraightThroughGumbelSoftmax(0.7),
        hg.GappedStraightThrough(0.7),
        hg.StraightThrough(),
        hg.ReinMax(),
        hg.ScoreFunction(hg.NoBaseline()),
        hg.MuProp(),
        hg.IndeCateR(),
        hg.Exact(),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_a_bit_is_a_choice_of_two(estimator: hg.Estimator, generator: torch.Generator) -> None:
    gumbel = -torch.empty(1, 50, 2, dtype=torch.float64).exponential_(generator=generator).log()
    logistic = gumbel[..., 1] - gumbel[..., 0]
    slopes = []
    for distribution, noise in ((hg.Bernoulli, logistic), (hg.OneHotCategorical, gumbel)):
        logit = torch.full((50,), LOGIT, dtype=torch.float64, requires_grad=True)
        two = torch.stack([torch.zeros_like(logit), logit], -1)
        logits, as_bit = {
            hg.Bernoulli: (logit, lambda z: z),
            hg.OneHotCategorical: (two, lambda z: z[..., 1]),
        }[distribution]
        q = with_noise(distribution, logits, noise)
        value = hg.expectation(lambda z, as_bit=as_bit: smooth(as_bit(z)), q, estimator)
        slopes.append((value, torch.autograd.grad(value.sum(), logit)[0]))
    torch.testing.assert_close(*slopes, rtol=0, atol=1e-12)
