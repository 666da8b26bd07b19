"""A constant that all logits of a row share changes nothing: not samples, densities or gradients.

The logits are whole numbers, which float32 holds exactly beside the constant. So generators in the
same state lead to the same figures, up to rounding.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from stats import cells_fit
from torch import Tensor

import hotgrad as hg

LOGITS = torch.tensor([[0.0, 2.0, 1.0, -1.0, 3.0], [1.0, 1.0, 0.0, 2.0, -2.0]])
CONSTANTS = [2.0**23, -(2.0**22)]
CONCRETE = hg.Concrete(0.7, logits=LOGITS)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise_of(q: Any, seed: int = 0) -> Tensor:
    noise: Tensor = q.draw_noise((300,), generator=seeded(seed))
    return noise


def ordered(q: Any) -> Tensor:
    """Relaxed samples of noise that leads to an order."""
    order = q.sample_order((300,), generator=seeded())
    relaxed: Tensor = q.relax(q.conditional_noise_of_order(order, noise_of(q)), 0.5)
    return relaxed


Figure = Callable[[Any], Tensor]
EXACT: list[Figure] = [
    lambda q: q.sample((300,), generator=seeded()),
    lambda q: q.log_prob(q.enumerate_support()),
    lambda q: q.mean,
    lambda q: q.entropy(),
    lambda q: q.argmax(q.perturb((300,), generator=seeded())),
    lambda q: q.perturb_with_slope((300,), generator=seeded())[1]["logits"],
    lambda q: q.argmax(q.perturb_with_slope((300,), generator=seeded())[0]),
]
NOISY: list[Figure] = [
    lambda q: q.harden(noise_of(q)),
    lambda q: q.relax(noise_of(q), 0.5),
    lambda q: q.relax(q.redraw(noise_of(q), noise_of(q, 1)), 0.5),
    lambda q: q.conditional_noise(q.harden(noise_of(q)), noise_of(q, 1)),
    lambda q: torch.cat(q.couple((300,), 0.5, generator=seeded())[2:]),
    lambda q: q.couple((300,), 0.5, generator=seeded()).log_prob,
]
ORDERED: list[Figure] = [
    ordered,
    lambda q: q.log_prob_of_order(torch.arange(q.k)),
    lambda q: hg.RelaxedTopK(0.5).sample(q, (300,), generator=seeded()),
]
RELAXED: list[Figure] = [
    lambda q: q.rsample_with_twin((300,), generator=seeded()).twin,
    lambda q: q.log_prob(CONCRETE.rsample_with_twin((300,), generator=seeded())),
]
CASES: dict[str, tuple[Callable[[Tensor], Any], list[Figure]]] = {
    "OneHotCategorical": (lambda x: hg.OneHotCategorical(logits=x), EXACT + NOISY),
    "to_event": (lambda x: hg.OneHotCategorical(logits=x).to_event(1), EXACT[:4]),
    "PlackettLuceSubset, 1": (lambda x: hg.PlackettLuceSubset(x, 1), EXACT + NOISY + ORDERED),
    "PlackettLuceSubset, 3": (lambda x: hg.PlackettLuceSubset(x, 3), EXACT + NOISY + ORDERED),
    "KSubset": (lambda x: hg.KSubset(x, 2), EXACT),
    "Concrete": (lambda x: hg.Concrete(0.7, logits=x), RELAXED),
}
ESTIMATORS: list[hg.Estimator] = [
    hg.GumbelSoftmax(0.5),
    hg.StraightThrough(),
    hg.StraightThroughGumbelSoftmax(0.5),
    hg.GumbelRao(0.5),
    hg.GappedStraightThrough(0.5),
    hg.ReinMax(),
    hg.IMLE(),
    hg.PerturbedMAP(),
    hg.ScoreFunction(),
    hg.IndeCateR(),
    hg.UnorderedSet(),
    hg.REBAR(0.5),
    hg.MuProp(),
]


def agree(of: Callable[[Tensor], Tensor], constant: float) -> None:
    """The values and their gradient, with and without the constant."""
    results = []
    for logits in (LOGITS.clone(), LOGITS + constant):
        value = of(logits.requires_grad_())
        grad = torch.zeros_like(LOGITS)
        if value.requires_grad:
            weights = torch.randn(value.shape, generator=seeded())
            (grad,) = torch.autograd.grad((value * weights).sum(), logits)
        results.append((value.detach(), grad))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("name", CASES)
def test_all_that_a_distribution_tells(name: str, constant: float) -> None:
    make, figures = CASES[name]
    for figure in figures:
        agree(lambda logits: figure(make(logits)), constant)  # noqa: B023  # called at once


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_every_estimator(estimator: hg.Estimator) -> None:
    def estimate(logits: Tensor) -> Tensor:
        q = hg.OneHotCategorical(logits=logits)
        slopes = torch.arange(5.0)
        return hg.expectation(
            lambda z: (z @ slopes).square(), q, estimator, num_samples=50, generator=seeded()
        )

    agree(estimate, CONSTANTS[0])


@pytest.mark.parametrize("noise", ["distribution", "sum-of-gamma"])
def test_perturbed_subsets(noise: str) -> None:
    imle = hg.IMLE(noise=noise)
    for make in (hg.KSubset, hg.PlackettLuceSubset):
        agree(lambda x: imle.sample(make(x, 2), generator=seeded()), CONSTANTS[0])  # noqa: B023


def test_noise_beside_the_constant_would_be_rounded_away() -> None:
    """The mutant of all that is above: noise added to the logits as they are."""
    for constant in CONSTANTS:
        noise = hg.ops.draw_gumbel((300, 2, 5), generator=seeded())
        hard, rounded = ((LOGITS + shift + noise).argmax(-1) for shift in (0.0, constant))
        assert int((hard != rounded).sum()) > 10


@pytest.mark.parametrize("constant", [1e7, -1e9])
def test_equal_probabilities(constant: float, generator: torch.Generator) -> None:
    """Also of a row that a mask of -1e9 covers whole."""
    logits, even = torch.full((50_000, 10), constant), torch.full((10,), 0.1)
    draws = {
        "sample": lambda x: hg.OneHotCategorical(logits=x).sample(generator=generator),
        "gumbel_softmax": lambda x: hg.gumbel_softmax(x, hard=True, generator=generator),
        "m_hot": lambda x: hg.m_hot(x, 1, hard=True, generator=generator),
    }
    for draw in draws.values():
        assert cells_fit(draw(logits).sum(0).long(), even)
    # mutant: noise added to the logits as they are
    scores = logits + hg.ops.draw_gumbel(logits.shape, generator=generator)
    assert not cells_fit(torch.bincount(scores.argmax(-1), minlength=10), even)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("dim", [-1, 0])
def test_the_drop_ins(dim: int, hard: bool) -> None:
    agree(lambda x: hg.gumbel_softmax(x, 0.5, hard, dim=dim, generator=seeded()), CONSTANTS[0])
    agree(lambda x: hg.m_hot(x, 2, 0.5, hard, seeded()), CONSTANTS[0])
    agree(lambda x: hg.m_hot_columns(x, 2, 0.5, seeded()), CONSTANTS[0])


def test_masked_rows_of_unchecked_distributions_make_no_new_nan() -> None:
    nothing = torch.full((2, 3), -torch.inf)
    q = hg.OneHotCategorical(logits=nothing, validate_args=False)
    assert torch.equal(q.sample(), torch.tensor([[1.0, 0.0, 0.0]]).expand(2, 3))
    assert torch.equal(q.perturb()["logits"], nothing)
    drawn = hg.PlackettLuceSubset(nothing, 2, validate_args=False)
    assert torch.equal(drawn.perturb()["logits"], nothing)
    assert torch.equal(hg.PerturbedMAP().sample(q).sum(-1), torch.ones(2))


@pytest.mark.parametrize("constant", [1e4, 1e6])
@pytest.mark.parametrize("k", [1, 3])
def test_probabilities_of_drawn_sets(k: int, constant: float, generator: torch.Generator) -> None:
    logits = torch.randn(8, generator=generator) + constant
    q = hg.PlackettLuceSubset(logits, k)
    exact = hg.PlackettLuceSubset(logits.double() - constant, k)
    states = q.enumerate_support()
    assert q.log_prob(states).exp().sum().item() == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(
        q.log_prob(states).double(), exact.log_prob(states.double()), rtol=1e-6, atol=2e-5
    )
    torch.testing.assert_close(q.mean.double(), exact.mean, rtol=0, atol=3e-6)
    order = torch.arange(k)
    torch.testing.assert_close(
        q.log_prob_of_order(order).double(), exact.log_prob_of_order(order), rtol=1e-6, atol=1e-5
    )
