"""UnorderedSet: summed over all sets, with real samples, and where probabilities are extreme."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from estimators.cases import DISTRIBUTIONS, DTYPES, EVERY, IN_TURN, Probe, in_one
from estimators.replicates import exact_gradient, gradients, nested
from estimators.toys import FINITE, Toy, jagged
from stats import cells_fit, log_ratio_below, unbiased
from torch import Generator, Tensor

import hotgrad as hg
from hotgrad import ops
from hotgrad.distributions import as_distribution
from hotgrad.estimators.unordered_set import DistinctStates
from hotgrad.ops import without_replacement

every_distribution = pytest.mark.parametrize("distribution", EVERY)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype)[6:])


class OwnMean(ops.SetClock):
    """Mutant: the baseline of a sample is the weighted mean, which has the sample in it."""

    def score_weights(self, values: Tensor) -> Tensor:
        weights = self.weights()
        return weights * (values - (weights * values).sum(-1, keepdim=True))


class NoRatio(ops.SetClock):
    """Mutant: states count by their probabilities alone, without R."""

    def __init__(self, log_probs: Tensor, log_rest: Tensor) -> None:
        super().__init__(log_probs, log_rest)
        self.shares = log_probs.softmax(-1).unsqueeze(-1).expand_as(self.shares)


class WholeRest(ops.SetClock):
    """Mutant: the rest is taken to have all the mass, W = 1."""

    def __init__(self, log_probs: Tensor, log_rest: Tensor) -> None:
        super().__init__(log_probs, torch.zeros_like(log_rest))


CLOCKS = [OwnMean, NoRatio, WholeRest]


def independent_times(log_probs: Tensor, noise: Tensor) -> Tensor:
    """Mutant: the beam's children come after their parent, none of them with it."""
    return -(log_probs + noise)


@dataclass(frozen=True)
class AllSets(hg.UnorderedSet):
    """Instead of drawing a set, every set of a toy's states is given, side by side."""

    toy: Any = None

    def sets(self, count: int) -> tuple[Tensor, Tensor]:
        """Indices `(sets, count)`, and each set's probability by a sum over its orders."""
        probs = self.toy.probs().detach()
        rows = list(itertools.combinations(range(len(probs)), count))
        chances = []
        for row in rows:
            orders = torch.tensor(list(itertools.permutations(row)))
            drawn = probs[orders]
            gone = drawn.cumsum(-1) - drawn
            chances.append((drawn / (1 - gone)).prod(-1).sum())
        return torch.tensor(rows), torch.stack(chances)

    def draw(self, q: Any, num_samples: int, *, generator: Any = None) -> DistinctStates:
        index, _ = self.sets(num_samples)
        probs = self.toy.probs().detach()
        outside = torch.ones(len(index), len(probs), dtype=torch.bool).scatter(1, index, False)
        rest = torch.where(outside, probs, 0.0).sum(-1)
        z = self.toy.states[index].transpose(0, 1)
        return DistinctStates(z, probs[index].log(), rest.log())

    def mean_of(self, f: Any, count: int) -> Tensor:
        """Probability x surrogate, added over all sets."""
        _, chances = self.sets(count)
        q = self.toy.q(self.toy.states[:1].expand(1, *self.toy.states.shape))
        logits = self.toy.logits.expand(len(chances), *self.toy.logits.shape)
        q = q.with_params({"logits": logits})
        return (chances * hg.expectation(f, q, self, num_samples=count)).sum()


@pytest.fixture
def toy(distribution: str) -> Toy:
    return Toy(distribution)


SUMS = [
    (distribution, count)
    for distribution in FINITE
    for count in (2, 3, 4)
    if count <= len(Toy(distribution).states)
]


@pytest.mark.parametrize(("distribution", "count"), SUMS)
def test_mean_over_all_sets_is_exact(toy: Toy, count: int) -> None:
    scale = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    table = jagged(toy)

    def f(z: Tensor) -> Tensor:
        return scale * table(z)

    value, exact = AllSets(toy=toy).mean_of(f, count), toy.exact(f)
    torch.testing.assert_close(value, exact, rtol=0, atol=1e-12)
    gradients = [torch.autograd.grad(v, (toy.logits, scale)) for v in (value, exact)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mutant", CLOCKS)
@pytest.mark.parametrize(
    ("distribution", "count"),
    [(distribution, 2) for distribution in FINITE if distribution != "Bernoulli"],
)
def test_mutants_are_seen_over_all_sets(
    toy: Toy, count: int, mutant: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops, "SetClock", mutant)
    f = jagged(toy)
    wrong = toy.gradient(AllSets(toy=toy).mean_of(f, count))
    assert float((wrong - toy.gradient(toy.exact(f))).abs().max()) > 0.003


# Real samples: one part and several, whose states are listed or one-hot.


@pytest.mark.parametrize(
    "distribution",
    [
        "Bernoulli.to_event(1)",
        "OneHotCategorical, masked",
        "OneHotCategorical.to_event(1), masked",
        "KSubset, masked",
        "KSubset, two parts",
    ],
)
def test_unbiased_with_real_samples(distribution: str, generator: Generator) -> None:
    verdict = unbiased(
        gradients(distribution, hg.UnorderedSet()),
        exact_gradient(distribution),
        generator=generator,
    )
    assert verdict, verdict.figures


@pytest.mark.parametrize("mutant", [OwnMean, NoRatio])
@pytest.mark.parametrize("distribution", ["Bernoulli.to_event(1)", "KSubset, masked"])
def test_wrong_weights_are_seen_with_real_samples(
    distribution: str, mutant: type, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops, "SetClock", mutant)
    replicate = gradients(distribution, hg.UnorderedSet())
    assert not unbiased(replicate, exact_gradient(distribution), generator=generator)


def test_dropped_conditioning_in_the_beam_is_seen_with_real_samples(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution = "OneHotCategorical.to_event(1), masked"
    monkeypatch.setattr(without_replacement, "log_lateness", independent_times)
    replicate = gradients(distribution, hg.UnorderedSet())
    assert not unbiased(replicate, exact_gradient(distribution), generator=generator)


def test_inside_another_expectation(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution = "Bernoulli.to_event(1)"
    exact = nested(distribution, hg.Exact(), hg.Exact())(1, generator)[0]
    replicate = nested(distribution, hg.UnorderedSet(), hg.UnorderedSet(), (3, 2))
    verdict = unbiased(replicate, exact, generator=generator)
    assert verdict, verdict.figures
    monkeypatch.setattr(ops, "SetClock", OwnMean)
    assert not unbiased(replicate, exact, generator=generator)


# What is drawn.


# each of eight states
SEVERAL: dict[str, Callable[[Tensor], Any]] = {
    "three bits": lambda a: hg.Bernoulli(logits=a[..., :3]).to_event(1),
    "a bit and one of four": lambda a: hg.Joint(
        bit=hg.Bernoulli(logits=a[..., 0]), kind=hg.OneHotCategorical(logits=a[..., 1:])
    ),
}


def sets_of_two(distribution: str, n: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """How often each set of two of the eight states came, and its probability."""
    logits = torch.tensor([0.8, -1.2, 0.3, 0.0, -0.5], dtype=torch.float64)
    q, one = (as_distribution(SEVERAL[distribution](a)) for a in (logits.expand(n, 5), logits))
    drawn = hg.UnorderedSet().draw(q, 2, generator=generator)
    states = one.enumerate_support()
    code = (drawn.z.unsqueeze(-2) == states).all(-1).int().argmax(-1)
    low, high = code.amin(0), code.amax(0)
    counts = torch.bincount(8 * low + high, minlength=64)
    p = one.log_prob(states).exp()
    probs = torch.zeros(8, 8, dtype=torch.float64)
    for a, b in itertools.combinations(range(8), 2):
        probs[a, b] = p[a] * p[b] * (1 / (1 - p[a]) + 1 / (1 - p[b]))
    return counts, probs


@pytest.mark.parametrize("distribution", SEVERAL)
def test_sets_of_several_parts_follow_the_joint_distribution(
    distribution: str, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = cells_fit(*sets_of_two(distribution, 50_000, generator))
    assert verdict, verdict.figures
    monkeypatch.setattr(without_replacement, "log_lateness", independent_times)
    assert not cells_fit(*sets_of_two(distribution, 50_000, generator))


@pytest.mark.parametrize(("distribution", "dtype", "batch"), IN_TURN, ids=str)
def test_drawn_states_are_distinct_possible_and_what_f_is_asked(
    distribution: str, batch: tuple[int, ...], dtype: torch.dtype, generator: Generator
) -> None:
    logits = EVERY[distribution].logits(batch, dtype)
    q = as_distribution(EVERY[distribution].make(logits))
    count = hg.UnorderedSet().evaluations(q, 4)
    assert count == min(4, len(q.enumerate_support()))
    drawn = hg.UnorderedSet().draw(q, 4, generator=generator.clone_state())
    assert drawn.z.shape == (count, *batch, *q.event_shape)
    assert drawn.z.dtype == dtype
    assert drawn.log_probs.shape == (*batch, count)
    assert drawn.log_rest.shape == batch
    taken = drawn.log_probs > -math.inf
    alike = (drawn.z.unsqueeze(0) == drawn.z.unsqueeze(1)).reshape(count, count, *batch, -1).all(-1)
    twice = alike & ~torch.eye(count, dtype=torch.bool).view(count, count, *(1,) * len(batch))
    taken = taken.movedim(-1, 0)
    assert not bool((twice & taken & taken.unsqueeze(1)).any())
    assert bool((q.log_prob(drawn.z) > -math.inf).all())
    everything = torch.cat([drawn.log_probs, drawn.log_rest.unsqueeze(-1)], -1).logsumexp(-1)
    assert float(everything.abs().max()) < 1e-5
    f = Probe(q, dtype)
    value = hg.expectation(f, q, hg.UnorderedSet(), num_samples=4, generator=generator)
    assert torch.equal(f.asked[0], drawn.z)
    assert (value.shape, value.dtype) == (batch, dtype)
    (gradient, _) = torch.autograd.grad(value.sum(), (logits, f.scale))
    assert gradient.isfinite().all()
    assert (gradient[logits.isinf()] == 0).all()


def test_value_is_a_weighted_mean_through_which_f_learns(generator: Generator) -> None:
    q = DISTRIBUTIONS["OneHotCategorical.to_event(1)"].make(
        DISTRIBUTIONS["OneHotCategorical.to_event(1)"].logits((5,))
    )
    f = Probe(q, torch.float64)
    value = hg.expectation(f, q, hg.UnorderedSet(), num_samples=4, generator=generator)
    (slope,) = torch.autograd.grad(value.sum(), f.scale, retain_graph=True)
    drawn = DistinctStates(f.asked[0], q.log_prob(f.asked[0]).movedim(0, -1), value)
    rest = (-torch.expm1(drawn.log_probs.logsumexp(-1))).log()
    weights = ops.SetClock(drawn.log_probs, rest).weights().movedim(-1, 0).detach()
    torch.testing.assert_close(value, (weights * f.values(drawn.z)).sum(0))
    expected = torch.autograd.grad((weights * f.values(drawn.z)).sum(), f.scale)[0]
    torch.testing.assert_close(slope, expected)


@every_distribution
def test_with_as_many_samples_as_states_it_is_exact(
    distribution: str, generator: Generator
) -> None:
    results = []
    for estimator in (hg.UnorderedSet(), hg.Exact()):
        logits = EVERY[distribution].logits((20,))
        q = EVERY[distribution].make(logits)
        f = Probe(q, torch.float64)
        value = hg.expectation(f, q, estimator, num_samples=200, generator=generator)
        assert len(f.asked[0]) == len(in_one(q.enumerate_support(), q))
        results.append((value, *torch.autograd.grad(value.sum(), (logits, f.scale))))
    torch.testing.assert_close(*results, rtol=0, atol=1e-11)


def test_a_constant_f_gets_its_value_and_no_gradient(generator: Generator) -> None:
    logits = torch.randn(10, 20, 10, generator=generator).requires_grad_()
    q = hg.OneHotCategorical(logits=logits).to_event(1)
    value = hg.expectation(
        lambda z: 0 * z.sum((-1, -2)) + 7, q, hg.UnorderedSet(), num_samples=8, generator=generator
    )
    torch.testing.assert_close(value, torch.full((10,), 7.0))
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert float(gradient.abs().max()) < 1e-4


# Extremes.


@every_dtype
@pytest.mark.parametrize(
    ("make", "shape", "scale"),
    [
        (hg.Bernoulli, (128,), 0.0),
        (hg.Bernoulli, (128,), 1.0),
        (hg.Bernoulli, (128,), 12.0),
        (hg.OneHotCategorical, (20, 10), 1.0),
        (hg.OneHotCategorical, (20, 10), 12.0),
    ],
    ids=["fair bits", "128 bits", "certain bits", "20 x 10", "peaked 20 x 10"],
)
def test_many_parts(
    make: Any, shape: tuple[int, ...], scale: float, dtype: torch.dtype, generator: Generator
) -> None:
    logits = scale * torch.randn(30, *shape, generator=generator, dtype=torch.float64)
    logits = logits.to(dtype).requires_grad_()
    q = make(logits=logits).to_event(1)
    drawn = hg.UnorderedSet().draw(q, 16, generator=generator)
    assert all(len(states.unique(dim=0)) == 16 for states in drawn.z.flatten(2).transpose(0, 1))
    weights = ops.SetClock(drawn.log_probs, drawn.log_rest).weights()
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[:, 0]))
    f = Probe(q, dtype)
    f.weight = f.weight / len(f.weight)
    value = hg.expectation(f, q, hg.UnorderedSet(), num_samples=16, generator=generator)
    assert value.isfinite().all()
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_rare_states_count_what_they_are_worth(dtype: torch.dtype, generator: Generator) -> None:
    # f is 1 in the states of 1e-30 times the likeliest's probability
    logits = torch.tensor([0.0] + [math.log(1e-30)] * 9, dtype=dtype).requires_grad_()
    q = hg.OneHotCategorical(logits=logits)
    value = hg.expectation(
        lambda z: 1 - z[..., 0], q, hg.UnorderedSet(), num_samples=4, generator=generator
    )
    assert float(value.detach().double() * 1e30) == pytest.approx(9, rel=1e-4)
    (gradient,) = torch.autograd.grad(value, logits)
    assert float(gradient[0].double() * 1e30) == pytest.approx(-9, rel=1e-4)
    # three of nine were drawn, each for three
    drawn = gradient[1:][gradient[1:] > 1e-31].double() * 1e30
    torch.testing.assert_close(drawn, torch.full((3,), 3.0).double(), rtol=1e-4, atol=0)


# Noise, for as many evaluations.


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("distribution", ["OneHotCategorical.to_event(1)", "Bernoulli.to_event(1)"])
def test_less_noisy_than_the_score_function(
    distribution: str, count: int, generator: Generator
) -> None:
    ours = gradients(distribution, hg.UnorderedSet(), count)(3_000, generator)
    theirs = gradients(distribution, hg.ScoreFunction(), count)(3_000, generator)
    assert log_ratio_below(ours, theirs) < 0
    assert log_ratio_below(theirs, ours) > 0
    assert (
        log_ratio_below(ours, gradients(distribution, hg.UnorderedSet(), count)(3_000, generator))
        > 0
    )


# Bad input.


def test_what_cannot_be_drawn_is_refused() -> None:
    q = hg.KSubset(torch.zeros(5), 2).to_event(0)
    assert hg.UnorderedSet(budget=10).evaluations(q, 3) == 3
    with pytest.raises(ValueError, match=r"10 states, more than the budget of 9\. Raise"):
        hg.expectation(lambda z: z.sum(-1), q, hg.UnorderedSet(budget=9), num_samples=2)
    with pytest.raises(ValueError, match=r"UnorderedSet .*at least 2, got 1"):
        hg.expectation(lambda z: z.sum(-1), q, hg.UnorderedSet(), num_samples=1)
    for wrong in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="budget must be an integer of at least 1, got"):
            hg.UnorderedSet(budget=wrong)  # type: ignore[arg-type]
