"""IndeCateR: every state of each part, the others as drawn; right to rounding over all samples."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from estimators.cases import DISTRIBUTIONS, DTYPES, EVERY, IN_TURN, JOINTS, Probe, in_one
from estimators.replicates import exact_gradient, gradients, nested
from estimators.toys import FINITE, Toy, jagged
from stats import log_ratio_below, unbiased
from torch import Generator, Tensor

import hotgrad as hg
from hotgrad.distributions import as_distribution
from hotgrad.estimators.parts import Parts

every_distribution = pytest.mark.parametrize("distribution", EVERY)
SEVERAL_PARTS = [
    *(distribution for distribution in DISTRIBUTIONS if ".to_event(1)" in distribution),
    *JOINTS,
]
NOISY = [
    "Bernoulli.to_event(1)",
    "OneHotCategorical.to_event(1)",
    "OneHotCategorical.to_event(1), masked",
    "Joint",
    "KSubset, two parts",
    "PlackettLuceSubset, two parts",
]


@pytest.fixture
def toy(distribution: str) -> Toy:
    return Toy(distribution)


class FirstStateAsOwn(hg.IndeCateR):
    """Mutant: whatever was drawn, a part is taken to be in its first state."""

    def surrogate(self, *args: Any) -> Tensor:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Parts, "numbers", lambda parts, z: 0 * OWN_NUMBERS(parts, z))
            return super().surrogate(*args)


OWN_NUMBERS = Parts.numbers


class CentredOnTheMean(hg.IndeCateR):
    """Mutant: the alternatives are compared with the mean over samples, the sample in it."""

    def surrogate(
        self, f: Callable[[Tensor], Tensor], q: Any, num_samples: int, generator: Any
    ) -> Tensor:
        first_call: list[bool] = []

        def levelled(z: Tensor) -> Tensor:
            values = f(z)
            if first_call:
                return values
            first_call.append(True)
            return values.mean(0, keepdim=True).expand_as(values)

        return super().surrogate(levelled, q, num_samples, generator)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("distribution", FINITE)
def test_mean_over_all_samples_is_exact(toy: Toy, count: int) -> None:
    f = jagged(toy)
    value, exact = toy.mean_of(hg.IndeCateR(), f, count), toy.exact(f)
    torch.testing.assert_close(value, exact, rtol=0, atol=1e-12)
    torch.testing.assert_close(toy.gradient(value), toy.gradient(exact), rtol=0, atol=1e-12)


@pytest.mark.parametrize("mutant", [FirstStateAsOwn(), CentredOnTheMean()], ids=lambda m: m.label)
@pytest.mark.parametrize("distribution", FINITE)
def test_mutants_are_seen_over_all_samples(toy: Toy, mutant: hg.Estimator) -> None:
    assert toy.bias(mutant, jagged(toy), 2) > 0.01


@pytest.mark.parametrize("distribution", NOISY)
def test_unbiased_with_real_samples(distribution: str, generator: Generator) -> None:
    verdict = unbiased(
        gradients(distribution, hg.IndeCateR()), exact_gradient(distribution), generator=generator
    )
    assert verdict, verdict.figures


@pytest.mark.parametrize("distribution", NOISY[:-1])
def test_the_mutant_is_seen_with_real_samples(distribution: str, generator: Generator) -> None:
    replicate = gradients(distribution, FirstStateAsOwn())
    assert not unbiased(replicate, exact_gradient(distribution), generator=generator)


@pytest.mark.parametrize(
    "distribution", [distribution for distribution in DISTRIBUTIONS if distribution not in NOISY]
)
def test_a_single_free_parts_gradient_is_exact_whatever_is_drawn(
    distribution: str, generator: Generator
) -> None:
    estimates = gradients(distribution, hg.IndeCateR(), 1)(50, generator)
    exact = exact_gradient(distribution).expand_as(estimates)
    torch.testing.assert_close(estimates, exact, rtol=0, atol=1e-13)
    sampled = gradients(distribution, hg.ScoreFunction(hg.NoBaseline()), 1)(50, generator)
    assert float((sampled - exact).abs().max()) > 0.01


@pytest.mark.parametrize("distribution", SEVERAL_PARTS)
def test_exact_for_an_f_that_is_a_sum_over_the_parts(
    distribution: str, generator: Generator
) -> None:
    slopes = []
    for estimator in (hg.IndeCateR(), hg.Exact()):
        logits = EVERY[distribution].logits((20,))
        q = EVERY[distribution].make(logits)
        weight = torch.linspace(-1, 2, q.event_shape.numel(), dtype=torch.float64)

        def f(z: Any, q: Any = q, weight: Tensor = weight) -> Tensor:
            return (in_one(z, q) * weight.view(q.event_shape)).flatten(2).sum(-1)

        value = hg.expectation(f, q, estimator, generator=generator)
        slopes.append(torch.autograd.grad(value.sum(), logits)[0])
    torch.testing.assert_close(*slopes, rtol=0, atol=1e-13)


def test_on_bits_it_is_local_expectation_gradients(generator: Generator) -> None:
    logits = DISTRIBUTIONS["Bernoulli.to_event(1)"].logits()
    q = hg.Bernoulli(logits=logits).to_event(1)
    f = Probe(q, torch.float64)
    value = hg.expectation(f, q, hg.IndeCateR(), num_samples=2, generator=generator)
    z = f.asked[0]
    by_hand = torch.zeros_like(logits)
    for part in range(3):
        on, off = z.clone(), z.clone()
        on[:, part], off[:, part] = 1.0, 0.0
        p = logits.sigmoid()[part]
        by_hand[part] = (p * (1 - p) * (f.values(on) - f.values(off))).mean().detach()
    (gradient,) = torch.autograd.grad(value, logits)
    torch.testing.assert_close(gradient, by_hand.detach(), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("distribution", "dtype", "batch"), IN_TURN, ids=str)
def test_alternatives_are_as_many_as_announced_possible_and_without_gradient(
    distribution: str, dtype: torch.dtype, batch: tuple[int, ...], generator: Generator
) -> None:
    logits = EVERY[distribution].logits(batch, dtype)
    q = as_distribution(EVERY[distribution].make(logits))
    f = Probe(q, dtype)
    value = hg.expectation(f, q, hg.IndeCateR(), num_samples=3, generator=generator)
    assert sum(len(z) for z in f.asked) == hg.IndeCateR().evaluations(q, 3)
    assert all(bool((q.log_prob(z) > -torch.inf).all()) for z in f.asked)
    samples, alternatives = f.said
    assert samples.requires_grad
    assert not alternatives.requires_grad
    # f's parameters learn from the samples alone
    torch.testing.assert_close(value, samples.mean(0), rtol=0, atol=0)
    ordinary = torch.autograd.grad(f.values(f.asked[0]).mean(0).sum(), f.scale)[0]
    (leaked, gradient) = torch.autograd.grad(value.sum(), (f.scale, logits))
    torch.testing.assert_close(leaked, ordinary, rtol=0, atol=0)
    assert gradient.isfinite().all()
    assert (gradient[logits.isinf()] == 0).all()


def test_every_alternative_is_asked_once() -> None:
    q = hg.OneHotCategorical(logits=torch.zeros(2, 3)).to_event(1)
    f = Probe(q, torch.float32)
    hg.expectation(f, q, hg.IndeCateR())
    asked = {tuple(z.argmax(-1).tolist()) for call in f.asked for z in call}
    (own,) = f.asked[0].argmax(-1).tolist()
    one_off = {(own[0], b) for b in range(3)} | {(a, own[1]) for a in range(3)}
    assert asked == one_off


@pytest.mark.parametrize(
    "q",
    [
        hg.OneHotCategorical(logits=torch.zeros(5, 1)),
        hg.KSubset(torch.zeros(5, 3), 3).to_event(1),
        hg.Bernoulli(logits=torch.zeros(5, 0)).to_event(1),
    ],
    ids=["one category", "all of 3", "no bits"],
)
def test_without_alternatives_f_is_asked_at_the_samples_alone(q: Any) -> None:
    f = Probe(q, torch.float32)
    value = hg.expectation(f, q, hg.IndeCateR(), num_samples=4)
    assert [len(z) for z in f.asked] == [4] == [hg.IndeCateR().evaluations(q, 4)]
    torch.testing.assert_close(value, f.said[0].mean(0))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype)[6:])
def test_certain_and_nearly_impossible_states(dtype: torch.dtype, generator: Generator) -> None:
    rows = [[0.0, -80.0, -90.0], [0.0, -torch.inf, -torch.inf], [60.0, -5.0, -torch.inf]]
    logits = torch.tensor(rows, dtype=dtype).expand(50, 3, 3).clone().requires_grad_()
    q = hg.OneHotCategorical(logits=logits).to_event(1)
    table = torch.arange(9, dtype=dtype).view(3, 3)
    value = hg.expectation(
        lambda z: (z * table).sum((-1, -2)), q, hg.IndeCateR(), generator=generator
    )
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    # f is a sum over the parts: p_k (f_k - mean), of each
    wide = torch.tensor(rows, dtype=torch.float64).softmax(-1)
    exact = wide * (table.double() - (wide * table.double()).sum(-1, keepdim=True))
    # float16 has no number below 6e-8
    torch.testing.assert_close(gradient[0].double(), exact, rtol=0.02, atol=6e-8)


def test_less_noisy_than_the_score_function_for_equal_evaluations(generator: Generator) -> None:
    distribution = "OneHotCategorical.to_event(1)"
    spent = hg.IndeCateR().evaluations(
        DISTRIBUTIONS[distribution].make(DISTRIBUTIONS[distribution].logits()), 2
    )
    ours = gradients(distribution, hg.IndeCateR(), 2)(20_000, generator)
    theirs = gradients(distribution, hg.ScoreFunction(), spent)(20_000, generator)
    assert log_ratio_below(ours, theirs) < 0
    assert log_ratio_below(theirs, ours) > 0
    assert log_ratio_below(ours, gradients(distribution, hg.IndeCateR(), 2)(20_000, generator)) > 0


@pytest.mark.parametrize("distribution", ["Bernoulli.to_event(1)", "KSubset, two parts"])
def test_inside_another_expectation(distribution: str, generator: Generator) -> None:
    exact = nested(distribution, hg.Exact(), hg.Exact())(1, generator)[0]
    ours, mutant = hg.IndeCateR(), FirstStateAsOwn()
    verdict = unbiased(nested(distribution, ours, ours), exact, generator=generator, delta=0.03)
    assert verdict, verdict.figures
    for outer, inner in ((mutant, ours), (ours, mutant)):
        assert not unbiased(
            nested(distribution, outer, inner), exact, generator=generator, delta=0.03
        )


def test_a_part_beyond_the_budget_is_refused() -> None:
    q = hg.KSubset(torch.zeros(5), 2).to_event(0)
    assert hg.IndeCateR(budget=10).evaluations(q, 1) == 10
    with pytest.raises(ValueError, match=r"10 states, more than the budget of 9\. Raise"):
        hg.expectation(lambda z: z.sum(-1), q, hg.IndeCateR(budget=9))
    for wrong in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="budget must be an integer of at least 1, got"):
            hg.IndeCateR(budget=wrong)  # type: ignore[arg-type]
