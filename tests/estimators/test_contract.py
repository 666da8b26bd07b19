"""What every estimator promises for every distribution, whatever it estimates."""

from typing import Any

import pytest
import torch
import torch.distributions as td
from estimators.cases import (
    BATCHES,
    DISTRIBUTIONS,
    DTYPES,
    ESTIMATORS,
    EVERY,
    JOINED,
    PATHWISE,
    SAMPLING,
    WORKING,
    Probe,
    spread,
    thinned,
)
from torch import Tensor

import hotgrad as hg

NUM_SAMPLES = 4

# the Joint of the most different distributions; other suites take all
MIXED = [pair for pair in JOINED if pair[1] == "Joint"]


def every_pair(dtypes: list[torch.dtype], batches: list[tuple[int, ...]], times: int = 1) -> Any:
    """Every estimator on every distribution that it works with, dtypes and batches in turn."""
    cases = spread(WORKING + MIXED, dtypes, batches, times=times)
    return pytest.mark.parametrize(("estimator", "distribution", "dtype", "batch"), cases, ids=str)


def test_every_named_estimator_is_in_the_list() -> None:
    q = DISTRIBUTIONS["Bernoulli"].make(torch.zeros(()))
    assert {type(make(q)) for make in ESTIMATORS.values()} == set(hg.estimators.ESTIMATORS.values())


class TestContract:
    """One surrogate, looked at from all sides."""

    @pytest.fixture
    def logits(self, distribution: str, batch: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return EVERY[distribution].logits(batch, dtype)

    @pytest.fixture
    def q(self, distribution: str, logits: Tensor) -> Any:
        return EVERY[distribution].make(logits)

    @pytest.fixture
    def chosen(self, estimator: str, q: Any) -> hg.Estimator:
        return ESTIMATORS[estimator](q)

    @pytest.fixture
    def f(self, q: Any, dtype: torch.dtype) -> Probe:
        return Probe(q, dtype)

    @pytest.fixture
    def value(self, chosen: hg.Estimator, q: Any, f: Probe, generator: torch.Generator) -> Tensor:
        return hg.expectation(f, q, chosen, num_samples=NUM_SAMPLES, generator=generator)

    @every_pair(DTYPES, BATCHES, times=2)
    def test_value_and_gradients_are_finite_and_in_shape(
        self,
        value: Tensor,
        logits: Tensor,
        chosen: hg.Estimator,
        f: Probe,
        batch: tuple[int, ...],
        dtype: torch.dtype,
    ) -> None:
        if batch:
            # f is asked between the vertices only by those that relax it
            between = any(((z != 0) & (z != 1)).any() for z in f.asked)
            assert between == chosen.relaxes_f
        assert value.shape == batch
        assert value.dtype == dtype
        assert value.isfinite().all()
        value.sum().backward()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()
        assert (logits.grad[logits.isinf()] == 0).all()
        assert f.scale.grad is not None
        assert f.scale.grad.isfinite()

    @every_pair([torch.float64], BATCHES)
    def test_value_is_the_mean_of_f_and_f_gets_its_ordinary_gradient(
        self,
        estimator: str,
        value: Tensor,
        chosen: hg.Estimator,
        q: Any,
        f: Probe,
        batch: tuple[int, ...],
        generator: torch.Generator,
    ) -> None:
        announced = chosen.evaluations(q, NUM_SAMPLES)
        assert torch.cat(f.asked).shape == (announced, *batch, *q.event_shape)
        # beside their samples some ask about more, which counts in the gradient alone
        said = f.values(f.asked[CALL_OF_SAMPLES.get(estimator, 0)])
        expected = (weights(estimator, q, said, generator.initial_seed()) * said).sum(0)
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-13)
        (ordinary,) = torch.autograd.grad(expected.sum(), f.scale)
        value.sum().backward()
        torch.testing.assert_close(f.scale.grad, ordinary, rtol=0, atol=1e-12)

    @every_pair([torch.float64, torch.bfloat16], [(5,)])
    def test_the_generator_decides_and_the_global_one_is_left_alone(
        self, estimator: str, logits: Tensor, q: Any, f: Probe, generator: torch.Generator
    ) -> None:
        before = torch.random.get_rng_state()
        gradients = []
        for same in (generator.clone_state(), generator):
            value = hg.expectation(
                f, q, ESTIMATORS[estimator](q), num_samples=NUM_SAMPLES, generator=same
            )
            gradients.append(torch.autograd.grad(value.sum(), logits)[0])
        first, second = torch.cat(f.said).detach().chunk(2)
        assert torch.equal(first, second)
        assert torch.equal(gradients[0], gradients[1])
        assert torch.equal(torch.random.get_rng_state(), before)


def among(estimators: list[str]) -> list[tuple[str, str]]:
    return [pair for pair in WORKING if pair[0] in estimators]


CALL_OF_SAMPLES = {"REBAR": 1}


def weights(estimator: str, q: Any, said: Tensor, seed: int) -> Tensor:
    """What each value of f counts: 1 / S for a sample, its state's probability in an exact sum.

    In a set of distinct samples each has a weight of its own, which is had by asking: it is the
    value where f is 1 at that sample and 0 at the others.
    """
    if estimator == "Exact":
        return q.log_prob(q.enumerate_support()).exp().detach()
    if estimator == "UnorderedSet":
        rows = torch.eye(len(said), dtype=said.dtype)
        found = torch.stack(
            [
                hg.expectation(
                    lambda z, row=row: row.reshape(-1, *[1] * (said.ndim - 1)).expand_as(said),
                    q,
                    ESTIMATORS[estimator](q),
                    num_samples=NUM_SAMPLES,
                    generator=torch.Generator().manual_seed(seed),
                ).detach()
                for row in rows
            ]
        )
        assert (found >= 0).all()
        return found
    return torch.full_like(said, 1 / len(said)).detach()


@pytest.mark.usefixtures("forked_rng")
@pytest.mark.parametrize(("estimator", "distribution"), thinned(among(SAMPLING)))
def test_without_a_generator_torchs_global_one_is_used(estimator: str, distribution: str) -> None:
    q = EVERY[distribution].make(EVERY[distribution].logits((50,)))
    f = Probe(q, torch.float64)
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        hg.expectation(f, q, ESTIMATORS[estimator](q), num_samples=NUM_SAMPLES)
    first, again, other = torch.cat(f.asked).chunk(3)
    assert torch.equal(first, again)
    # those that ask about every state of a part do so in another order
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("estimator", "distribution", "dtype", "sample_shape"),
    spread(among(PATHWISE), DTYPES, [(), (7,), (2, 3)], times=2),
    ids=str,
)
def test_pathwise_estimators_are_layers(
    estimator: str,
    distribution: str,
    dtype: torch.dtype,
    sample_shape: tuple[int, ...],
    generator: torch.Generator,
) -> None:
    # so many elements that not every sample and finite difference is at rest
    logits = EVERY[distribution].logits((50,), dtype)
    q = EVERY[distribution].make(logits)
    chosen = ESTIMATORS[estimator](q)
    assert isinstance(chosen, hg.Pathwise)
    z = chosen.sample(q, sample_shape, generator=generator.clone_state())
    assert z.shape == (*sample_shape, 50, *q.event_shape)
    assert z.dtype == dtype
    assert ((z == 0) | (z == 1)).all() == (not chosen.relaxes_f)
    assert torch.equal(z, chosen.sample(q, sample_shape, generator=generator))
    (z * torch.linspace(1, 2, z.numel()).view(z.shape)).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad.count_nonzero() > 0


# torch's own distributions, and ours made of probabilities, are the distribution that ours of
# logits is.

CATEGORIES, BITS = "OneHotCategorical.to_event(1)", "Bernoulli.to_event(1)"
MADE = {
    "OneHotCategorical(logits)": lambda distribution, p, a: distribution.OneHotCategorical(
        logits=a
    ),
    "OneHotCategorical(probs)": lambda distribution, p, a: distribution.OneHotCategorical(probs=p),
    "Bernoulli(logits)": lambda distribution, p, a: distribution.Bernoulli(logits=a),
    "Bernoulli(probs)": lambda distribution, p, a: distribution.Bernoulli(probs=p),
    "Independent(OneHotCategorical)": lambda distribution, p, a: distribution.Independent(
        distribution.OneHotCategorical(logits=a), 1
    ),
    "Independent(Bernoulli)": lambda distribution, p, a: distribution.Independent(
        distribution.Bernoulli(probs=p), 2
    ),
    "Independent(Independent(Bernoulli))": lambda distribution, p, a: distribution.Independent(
        distribution.Independent(distribution.Bernoulli(logits=a), 1), 1
    ),
}


@pytest.mark.parametrize(
    ("distribution", "estimator"),
    [
        (distribution, estimator)
        for distribution in MADE
        for estimator, other in WORKING
        if other == (CATEGORIES if "OneHot" in distribution else BITS)
    ],
)
def test_torchs_distributions_and_probabilities_give_the_same_as_our_logits(
    distribution: str, estimator: str, generator: torch.Generator
) -> None:
    results = []
    for library, kind in (
        (td, distribution),
        (hg, distribution),
        (hg, distribution.replace("probs", "logits")),
    ):
        logits = DISTRIBUTIONS[CATEGORIES].logits()
        to_probs = logits.softmax(-1) if "OneHot" in distribution else logits.sigmoid()
        q = MADE[kind](library, to_probs, logits)
        f = Probe(q, torch.float64)
        value = hg.expectation(
            f,
            q,
            ESTIMATORS[estimator](q),
            num_samples=NUM_SAMPLES,
            generator=generator.clone_state(),
        )
        (gradient,) = torch.autograd.grad(value.sum(), logits)
        results.append((value, gradient))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-12)
    torch.testing.assert_close(results[1], results[2], rtol=0, atol=1e-10)
