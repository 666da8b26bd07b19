"""GumbelRao has straight-through Gumbel-Softmax's mean and less noise; Gapped is its formula.

Of GumbelRao two versions are about. The paper takes the conditional mean of the gradient, in which
the noise is a constant. Some code differentiates the conditional noise too, whose mean is another.
"""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from estimators.cases import with_samples
from estimators.targets import LOGIT, logistic_nodes, smooth, straight_through_slope
from stats import log_ratio_below, unbiased
from torch import Generator, Tensor

import hotgrad as hg


class ThroughTheNoise(hg.GumbelRao):
    """The mistake: the conditional noise's own dependence on the logits is followed."""

    def draw(self, base: Any, sample_shape: tuple[int, ...], generator: Any) -> Tensor:
        noise = base.draw_noise(sample_shape, generator=generator)
        fresh = base.draw_noise((self.num_inner, *sample_shape), generator=generator)
        soft = base.relax(base.redraw(noise, fresh), self.temperature).mean(0)
        return hg.ops.straight_through(base.harden(noise), soft)


class TwoDraws(hg.Bernoulli):
    """Bits that draw what was given: the noise, then the fresh noise of the inner samples."""

    given: tuple[Tensor, Tensor]

    def draw_noise(self, sample_shape: Any = (), *, generator: Any = None) -> Tensor:
        return self.given[len(sample_shape) - 1]


def mean_slope(estimator: Any) -> float:
    """Over both outcomes, with the inner sample's noise at the nodes of a quadrature."""
    fresh, weight = logistic_nodes(0.0)
    outcomes = torch.tensor([[-50.0], [50.0]], dtype=torch.float64).expand(2, len(fresh))
    logit = torch.tensor(LOGIT, dtype=torch.float64, requires_grad=True)
    q = TwoDraws(logits=logit.expand(2, len(fresh)))
    q.given = (outcomes.unsqueeze(0), fresh.expand(1, 1, 2, -1))
    up = logit.detach().sigmoid()
    chance = torch.stack([1 - up, up]).unsqueeze(-1) * weight
    value = (chance * hg.expectation(smooth, q, estimator)).sum()
    return float(torch.autograd.grad(value, logit)[0])


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
def test_gumbel_raos_mean_is_that_of_the_straight_through_gumbel_softmax(
    temperature: float,
) -> None:
    target = straight_through_slope(LOGIT, temperature)
    assert mean_slope(hg.GumbelRao(temperature, num_inner=1)) == pytest.approx(target, rel=1e-6)
    # the mutants: the noise followed too, another temperature
    for mutant in (ThroughTheNoise(temperature, 1), hg.GumbelRao(1.1 * temperature, 1)):
        assert mean_slope(mutant) != pytest.approx(target, rel=1e-3)


DISTRIBUTIONS: dict[str, tuple[Callable[[Tensor], Any], list[Any]]] = {
    "bits": (lambda a: hg.Bernoulli(logits=a).to_event(1), [0.4, -0.9]),
    "categories": (
        lambda a: hg.OneHotCategorical(logits=a).to_event(1),
        [[0.4, -0.9, 0.1], [0.0, 0.7, -0.3]],
    ),
    "Plackett-Luce": (lambda a: hg.PlackettLuceSubset(a, 2), [0.4, -0.9, 0.1, 0.3]),
}


def bent(z: Tensor) -> Tensor:
    flat = z.flatten(2)
    return ((flat * torch.linspace(-1, 2, flat.shape[-1], dtype=z.dtype)).sum(-1) - 0.3) ** 3


def gradients(distribution: str, estimator: Any, n: int, generator: Generator) -> Tensor:
    """Of n elements; estimators with one generator state have the same outer noise."""
    make, start = DISTRIBUTIONS[distribution]
    logits = torch.tensor(start, dtype=torch.float64)
    logits = logits.expand(n, *logits.shape).clone().requires_grad_()
    value = hg.expectation(bent, make(logits), estimator, generator=generator)
    return torch.autograd.grad(value.sum(), logits)[0]


PLAIN = hg.StraightThroughGumbelSoftmax(0.5)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_on_every_distribution_the_mean_is_the_same(
    distribution: str, generator: Generator
) -> None:
    def difference_from(estimator: Any) -> Callable[[int, Generator], Tensor]:
        def replicate(n: int, generator: Generator) -> Tensor:
            same = generator.clone_state()
            plain = gradients(distribution, PLAIN, n, same)
            return gradients(distribution, estimator, n, generator) - plain

        return replicate

    pilot = gradients(distribution, PLAIN, 20_000, generator.clone_state()).mean(0)
    nothing, delta = torch.zeros_like(pilot), 0.05 * float(pilot.abs().max())
    rao = difference_from(hg.GumbelRao(0.5, num_inner=4))
    verdict = unbiased(rao, nothing, generator=generator, delta=delta)
    assert verdict, verdict.figures
    # the mutant: another temperature
    hotter = difference_from(hg.GumbelRao(0.7, num_inner=4))
    assert not unbiased(hotter, nothing, generator=generator, delta=delta)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_its_variance_is_lower(distribution: str, generator: Generator) -> None:
    plain, rao = (
        gradients(distribution, estimator, 40_000, generator.clone_state())
        for estimator in (PLAIN, hg.GumbelRao(0.5, num_inner=10))
    )
    assert log_ratio_below(rao, plain) < 0
    assert log_ratio_below(plain, rao) > 0


def test_more_inner_samples_lower_it_further(generator: Generator) -> None:
    few, many = (
        gradients("categories", hg.GumbelRao(0.3, count), 40_000, generator.clone_state())
        for count in (2, 20)
    )
    assert log_ratio_below(many, few) < 0


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_its_samples_are_those_of_the_straight_through(
    distribution: str, generator: Generator
) -> None:
    make, start = DISTRIBUTIONS[distribution]
    q = make(torch.tensor(start, dtype=torch.float64))
    samples = [
        estimator.sample(q, (100,), generator=generator.clone_state())
        for estimator in (PLAIN, hg.GumbelRao(0.5))
    ]
    assert torch.equal(*samples)


# Gapped straight-through.


def softmax_of(scores: list[float], temperature: float) -> list[float]:
    exps = [math.exp(s / temperature) for s in scores]
    return [e / sum(exps) for e in exps]


@pytest.mark.parametrize(
    ("logits", "drawn", "gap", "moved"),
    [
        # the likeliest was drawn, and is far enough ahead of the third alone
        ([2.0, 1.5, -1.0], 0, 1.0, [2.0, 1.0, -1.0]),
        # another: it is lifted to the first, and who isn't a gap behind that is lowered
        ([2.0, 1.5, -1.0], 1, 1.0, [1.0, 2.0, -1.0]),
        ([2.0, 1.5, -1.0], 2, 1.0, [1.0, 1.0, 2.0]),
        ([2.0, 1.5, -1.0], 2, 4.0, [-2.0, -2.0, 2.0]),
        # nothing to do
        ([5.0, 1.0, 0.0], 0, 1.0, [5.0, 1.0, 0.0]),
        # equals
        ([0.0, 0.0, 0.0], 1, 0.5, [-0.5, 0.0, -0.5]),
    ],
)
@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_gapped_is_the_softmax_of_moved_logits(
    logits: list[float], drawn: int, gap: float, moved: list[float], temperature: float
) -> None:
    leaf = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    outcome = torch.eye(3, dtype=torch.float64)[drawn]
    preset = type("Preset", (hg.OneHotCategorical,), {"sample": lambda self, *a, **k: outcome})
    hard, soft = preset(logits=leaf).hard_and_gapped_sample(temperature, gap)
    assert torch.equal(hard, outcome)
    by_hand = torch.tensor(softmax_of(moved, temperature), dtype=torch.float64)
    torch.testing.assert_close(soft, by_hand)
    # the estimator's gradient is this softmax's, at the fixed move
    z = hg.GappedStraightThrough(temperature, gap).sample(preset(logits=leaf))
    assert torch.equal(z.detach(), outcome)
    weight = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(z @ weight, leaf)
    jacobian = (torch.diag(by_hand) - torch.outer(by_hand, by_hand)) / temperature
    torch.testing.assert_close(gradient, jacobian @ weight)


@pytest.mark.parametrize("gap", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("distribution", ["bits", "categories"])
def test_the_outcome_leads_by_the_gap(distribution: str, gap: float, generator: Generator) -> None:
    make, start = DISTRIBUTIONS[distribution]
    shape = torch.tensor(start).shape
    logits = 2 * torch.randn((500, *shape), generator=generator, dtype=torch.float64)
    q = make(logits)
    z, soft = q.bases[0].hard_and_gapped_sample(1.0, gap, generator=generator)
    moved = soft.logit() if distribution == "bits" else soft.log()
    if distribution == "bits":
        lead = (2 * z - 1) * moved
        own = (2 * z - 1) * logits
    else:
        lead = (moved * z).sum(-1) - torch.where(z > 0, -torch.inf, moved).amax(-1)
        own = (q.logits * z).sum(-1) - torch.where(z > 0, -torch.inf, q.logits).amax(-1)
    assert (lead >= gap - 1e-12).all()
    # and by no more than it did, or the gap
    torch.testing.assert_close(lead, own.clamp(min=gap), rtol=0, atol=1e-12)


def test_masked_categories_stay_out() -> None:
    logits = torch.tensor([1.0, -torch.inf, 0.5, 0.0], requires_grad=True)
    q = with_samples(hg.OneHotCategorical, logits, torch.tensor([0.0, 0.0, 1.0, 0.0]))
    _, soft = q.hard_and_gapped_sample(1.0, 1.0)
    by_hand = softmax_of([0.0, 1.0, 0.0], 1.0)
    torch.testing.assert_close(soft, torch.tensor([by_hand[0], 0.0, by_hand[1], by_hand[2]]))
    (gradient,) = torch.autograd.grad(soft[0], logits)
    assert gradient.isfinite().all()
    assert gradient[1] == 0


def test_certain_bits_stay_certain() -> None:
    logits = torch.tensor([torch.inf, -torch.inf, 0.2], requires_grad=True)
    q = with_samples(hg.Bernoulli, logits, torch.tensor([1.0, 0.0, 0.0]))
    _, soft = q.hard_and_gapped_sample(1.0, 1.0)
    expected = torch.tensor([1.0, 0.0, torch.tensor(-1.0).sigmoid()])
    torch.testing.assert_close(soft, expected)
    (gradient,) = torch.autograd.grad(soft.sum(), logits)
    assert (gradient[:2] == 0).all()
    assert gradient[2] > 0


@pytest.mark.parametrize("gap", [0, -1.0, math.nan, math.inf, "1", True, None])
def test_the_gap_is_positive(gap: Any) -> None:
    with pytest.raises(ValueError, match="gap must be a positive, finite number, got"):
        hg.GappedStraightThrough(gap=gap)
