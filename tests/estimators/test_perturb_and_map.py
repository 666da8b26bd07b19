"""IMLE and PerturbedMAP against their own targets, and how their samples follow."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from estimators.cases import DISTRIBUTIONS, WORKING, Probe, with_noise
from estimators.targets import LOGIT, logistic_nodes, smooth, smooth_slope
from stats import InvalidTestError, cells_fit, unbiased
from torch import Generator, Tensor

import hotgrad as hg

UP = torch.tensor(LOGIT, dtype=torch.float64).sigmoid()
NAMES = ["Bernoulli.to_event(1)", "OneHotCategorical", "OneHotCategorical.to_event(1)"]
EXACT_LAWS = [*NAMES, "PlackettLuceSubset", "PlackettLuceSubset, masked"]


def start(distribution: str) -> Tensor:
    return DISTRIBUTIONS[distribution].logits().detach()


def slopes(distribution: str) -> Tensor:
    """Of a linear f."""
    event = torch.Size(DISTRIBUTIONS[distribution].event)
    return torch.linspace(-0.9, 1.3, event.numel(), dtype=torch.float64).sin().view(event)


def linear(distribution: str) -> Callable[[Tensor], Tensor]:
    event_dims = len(DISTRIBUTIONS[distribution].event)
    return lambda z: (z * slopes(distribution)).flatten(z.ndim - event_dims).sum(-1)


def gradients(
    distribution: str, estimator: hg.Estimator, f: Callable[[Tensor], Tensor]
) -> Callable[[int, Generator], Tensor]:
    """`(n, generator)` to n independent gradient estimates, along the batch."""

    def replicate(n: int, generator: Generator) -> Tensor:
        logits = (
            start(distribution)
            .expand(n, *DISTRIBUTIONS[distribution].event)
            .clone()
            .requires_grad_()
        )
        value = hg.expectation(
            f, DISTRIBUTIONS[distribution].make(logits), estimator, generator=generator
        )
        return torch.autograd.grad(value.sum(), logits)[0]

    return replicate


def times(factor: float | Tensor, replicate: Any) -> Callable[[int, Generator], Tensor]:
    return lambda n, generator: factor * replicate(n, generator)


def seen(replicate: Any, target: Tensor, generator: Generator) -> bool:
    """Whether the test tells replicates from the target; one of great skewness can't be told."""
    try:
        return not unbiased(replicate, target, generator=generator)
    except InvalidTestError:
        return False


# IMLE


def reach(distribution: str) -> Tensor:
    """r of each part: half the range of a vector's slopes, the size of a bit's."""
    c = slopes(distribution)
    if distribution.startswith("Bernoulli"):
        return c.abs()
    possible = start(distribution).isfinite()
    high = torch.where(possible, c, -torch.inf).amax(-1, keepdim=True)
    low = torch.where(possible, c, torch.inf).amin(-1, keepdim=True)
    return (high - low) / 2


@pytest.mark.parametrize("step", [0.5, 2.0])
@pytest.mark.parametrize("distribution", EXACT_LAWS)
def test_imles_mean_is_the_difference_of_two_means(
    distribution: str, step: float, generator: Generator
) -> None:
    logits, size = start(distribution), step / reach(distribution)
    moved = DISTRIBUTIONS[distribution].make(logits - size * slopes(distribution))
    target = (DISTRIBUTIONS[distribution].make(logits).mean - moved.mean) / size
    replicate = gradients(distribution, hg.IMLE(step), linear(distribution))
    verdict = unbiased(replicate, target, generator=generator)
    assert verdict, verdict.figures
    # the mutant: 1 / λ forgotten
    assert seen(times(size, replicate), target, generator)


@pytest.mark.parametrize("distribution", EXACT_LAWS)
def test_imle_tends_to_the_exact_gradient_as_the_step_falls(distribution: str) -> None:
    logits, c = start(distribution), slopes(distribution)
    exact = torch.autograd.functional.vjp(
        lambda a: DISTRIBUTIONS[distribution].make(a).mean, logits, c
    )[1]
    errors = []
    for step in (1.0, 0.1, 0.01):
        size = step / reach(distribution)
        moved = DISTRIBUTIONS[distribution].make(logits - size * c).mean
        difference = (DISTRIBUTIONS[distribution].make(logits).mean - moved) / size
        errors.append(float((difference - exact).abs().max()))
    assert errors[0] > 5 * errors[1] > 25 * errors[2]
    assert errors[2] < 0.01


def slope_at_nodes(estimator: hg.Estimator, f: Callable[[Tensor], Tensor]) -> float:
    """The mean gradient of a bit, by quadrature over its noise."""
    noise, weight = logistic_nodes(LOGIT)
    logit = torch.tensor(LOGIT, dtype=torch.float64, requires_grad=True)
    q = with_noise(hg.Bernoulli, logit.expand(noise.shape), noise.unsqueeze(0))
    value = (weight * hg.expectation(f, q, estimator)).sum()
    return float(torch.autograd.grad(value, logit)[0])


@pytest.mark.parametrize("step", [0.1, 0.8, 3.0])
def test_imle_of_a_bit_by_quadrature(step: float) -> None:
    # f rises at 0 and at 1, so a step downhill moves those bits that are 1 and less than a step up
    before = torch.tensor(LOGIT - step, dtype=torch.float64).sigmoid()
    target = smooth_slope(1.0) * float(UP - before) / step
    assert slope_at_nodes(hg.IMLE(step), smooth) == pytest.approx(target, rel=1e-5)
    assert slope_at_nodes(hg.IMLE(2 * step), smooth) != pytest.approx(target, rel=1e-3)
    # downhill: a falling f gives the mirror image
    after = torch.tensor(LOGIT + step, dtype=torch.float64).sigmoid()
    assert slope_at_nodes(hg.IMLE(step), lambda z: -2 * z) == pytest.approx(
        -2 * float(after - UP) / step, rel=1e-5
    )


@pytest.mark.parametrize("estimator", ["IMLE", "PerturbedMAP"])
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_gradient_is_as_large_as_the_loss_counts(
    estimator: str, distribution: str, generator: Generator
) -> None:
    # averaged over a batch, weighed down, summed: λ must not see it
    chosen = {"IMLE": hg.IMLE(), "PerturbedMAP": hg.PerturbedMAP()}[estimator]
    results = []
    for factor in (1.0, 1e-6):
        logits = DISTRIBUTIONS[distribution].logits((50,))
        f = Probe(DISTRIBUTIONS[distribution].make(logits), torch.float64)
        value = hg.expectation(
            f.values,
            DISTRIBUTIONS[distribution].make(logits),
            chosen,
            num_samples=3,
            generator=generator.clone_state(),
        )
        results.append(torch.autograd.grad(factor * value.sum(), logits)[0] / factor)
    assert results[0].count_nonzero() > 0
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-12)


# PerturbedMAP


@pytest.mark.parametrize("distribution", EXACT_LAWS)
def test_perturbed_map_is_unbiased_for_linear_f(distribution: str, generator: Generator) -> None:
    logits = start(distribution).requires_grad_()
    exact = torch.autograd.grad(
        (DISTRIBUTIONS[distribution].make(logits).mean * slopes(distribution)).sum(), logits
    )[0]
    replicate = gradients(distribution, hg.PerturbedMAP(), linear(distribution))
    verdict = unbiased(replicate, exact, generator=generator)
    assert verdict, verdict.figures
    # the mutant: a slope of the wrong size
    assert seen(times(1.2, replicate), exact, generator)


def test_perturbed_map_of_a_bit_by_quadrature() -> None:
    # linear f: exact. Else: the mode is 1, so only samples of 0 count, with f's slope there
    spread = float(UP * (1 - UP))
    assert slope_at_nodes(hg.PerturbedMAP(), lambda z: 3 * z) == pytest.approx(3 * spread, rel=1e-5)
    own = smooth_slope(0.0) * spread
    assert slope_at_nodes(hg.PerturbedMAP(), smooth) == pytest.approx(own, rel=1e-5)
    gap = smooth(torch.tensor(1.0)) - smooth(torch.tensor(0.0))
    assert abs(own - spread * float(gap)) > 0.05


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_another_scale_is_the_distribution_of_the_logits_divided_by_it(
    distribution: str, generator: Generator
) -> None:
    results = []
    for scale in (1.0, 2.5):
        logits = DISTRIBUTIONS[distribution].logits((50,))
        z = hg.PerturbedMAP(scale).sample(
            DISTRIBUTIONS[distribution].make(scale * logits), generator=generator.clone_state()
        )
        f = Probe(DISTRIBUTIONS[distribution].make(logits), torch.float64)
        results.append((z, torch.autograd.grad(f.values(z).sum(), logits)[0]))
    torch.testing.assert_close(*results)


def marginals_of_top_two(logits: Tensor) -> Tensor:
    """P(item i is among the two largest of logits + logistic noise), on a grid."""
    step = 0.005
    t = (torch.arange(-8000, 8000, dtype=torch.float64) + 0.5) * step
    gap = t.unsqueeze(-1) - logits
    above = (-gap).sigmoid()
    density = gap.sigmoid() * above
    total = []
    for i in range(len(logits)):
        others = [j for j in range(len(logits)) if j != i]
        # of the others, none or one lies above
        at_most_one = (1 - above[:, others]).prod(-1)
        for j in others:
            below = 1 - above[:, [other for other in others if other != j]]
            at_most_one = at_most_one + above[:, j] * below.prod(-1)
        total.append((density[:, i] * at_most_one * step).sum())
    return torch.stack(total)


@pytest.mark.parametrize(
    "estimator", [hg.IMLE(0.5), hg.PerturbedMAP()], ids=["IMLE", "PerturbedMAP"]
)
def test_on_ksubset_both_are_about_the_distribution_that_z_has(
    estimator: hg.Estimator, generator: Generator
) -> None:
    logits = start("KSubset").requires_grad_()
    c = slopes("KSubset")
    (target,) = torch.autograd.grad((marginals_of_top_two(logits) * c).sum(), logits)
    if isinstance(estimator, hg.IMLE):
        size = 0.5 / reach("KSubset")
        before, after = marginals_of_top_two(logits), marginals_of_top_two(logits - size * c)
        target = (before - after) / size
    replicate = gradients("KSubset", estimator, linear("KSubset"))
    verdict = unbiased(replicate, target, generator=generator)
    assert verdict, verdict.figures
    assert seen(times(1.2, replicate), target, generator)


# The distributions of z


@pytest.mark.parametrize("estimator", [hg.IMLE(), hg.PerturbedMAP()], ids=["IMLE", "PerturbedMAP"])
@pytest.mark.parametrize("distribution", [*EXACT_LAWS, "KSubset"])
def test_samples_follow_the_distribution_but_for_ksubset(
    distribution: str, estimator: Any, generator: Generator
) -> None:
    q = DISTRIBUTIONS[distribution].make(start(distribution))
    states = q.enumerate_support()
    z = estimator.sample(q, (100_000,), generator=generator)
    counts = (z.flatten(1).unsqueeze(1) == states.flatten(1)).all(-1).sum(0)
    assert int(counts.sum()) == 100_000
    assert bool(cells_fit(counts, q.log_prob(states).exp())) == (distribution != "KSubset")


def distance(z: Tensor, mean: Tensor) -> float:
    """How much of k lies elsewhere."""
    return float((z.mean(0) - mean).abs().sum() / mean.sum() / 2)


def test_for_many_items_logistic_noise_nearly_gives_ksubset(generator: Generator) -> None:
    logits = 1.5 * torch.randn(50, generator=generator, dtype=torch.float64)
    q = hg.KSubset(logits, 10)
    drawn = {
        "exact": q.sample((20_000,), generator=generator),
        "logistic": hg.IMLE().sample(q, (20_000,), generator=generator),
        "gumbel": hg.PlackettLuceSubset(logits, 10).sample((20_000,), generator=generator),
        "sum-of-gamma": hg.IMLE(noise="sum-of-gamma").sample(q, (20_000,), generator=generator),
    }
    far = {name: distance(z, q.mean) for name, z in drawn.items()}
    assert far["exact"] < 0.01
    assert far["logistic"] < 0.025
    assert far["gumbel"] > 0.035
    assert far["sum-of-gamma"] > 0.2


@pytest.mark.parametrize(
    "distribution", [distribution for name, distribution in WORKING if name == "IMLE(sum-of-gamma)"]
)
def test_sum_of_gamma_noise_keeps_nearer_to_the_mode(
    distribution: str, generator: Generator
) -> None:
    q = DISTRIBUTIONS[distribution].make(start(distribution))
    agree = [
        (hg.IMLE(noise=noise).sample(q, (5000,), generator=generator) == q.mode)
        .flatten(1)
        .all(-1)
        .double()
        .mean()
        for noise in ("sum-of-gamma", "distribution")
    ]
    assert agree[0] > agree[1] + 0.02


def test_half_precision_overflows_only_where_the_gradient_does(generator: Generator) -> None:
    """A scale or temperature of 1e-6 makes gradients of 1e6, for which float16 has infinity alone.

    Nothing on the way overflows before; and a gradient scaler relies on the infinity.
    """
    logits = torch.zeros(2000, 4)
    logits[1000:] = (3 * torch.randn(1000, 4, generator=generator)).half()
    draws = [
        lambda x, g: hg.PerturbedMAP(1e-6).sample(hg.OneHotCategorical(logits=x), generator=g),
        lambda x, g: hg.PerturbedMAP(1e-6).sample(hg.Bernoulli(logits=x), generator=g),
        lambda x, g: hg.m_hot(x, 2, 1e-6, generator=g),
        lambda x, g: hg.gumbel_softmax(x, 1e-3, generator=g),
    ]
    for draw in draws:
        single, half = (logits.to(x, copy=True).requires_grad_() for x in (torch.float, torch.half))
        for leaf in (single, half):
            z = draw(leaf, torch.Generator().manual_seed(0))
            weights = torch.tensor([0.5, 1.0, 2.0, -4.0], dtype=leaf.dtype)
            (z * weights).sum().backward()
        assert single.grad is not None
        assert single.grad.isfinite().all()
        # a rounded sum of weights, divided by a temperature of 1e-3
        torch.testing.assert_close(half.grad, single.grad.half(), atol=1e-3, rtol=1e-3)
