"""The importance-weighted bound: its value and gradient against sums over all K-tuples by hand."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributions as td
from estimators import toys
from estimators.cases import (
    ESTIMATORS,
    EVERY,
    JOINED,
    WORKING,
    Probe,
    thinned,
    tuples,
    with_samples,
)
from stats import unbiased
from torch import Generator, Tensor

import hotgrad as hg
from hotgrad.distributions import as_distribution

Function = Callable[[Tensor], Tensor]
JOINT = torch.tensor([-1.0, -2.5, 0.3, -0.4], dtype=torch.float64)


def joint_of(z: Tensor) -> Tensor:
    """log p(x, z) of a one-hot vector."""
    return z @ JOINT[: z.shape[-1]].to(z.dtype)


def categories(*shape: int, **options: Any) -> hg.OneHotCategorical:
    logits = torch.linspace(-0.5, 0.8, math.prod(shape), dtype=torch.float64).reshape(shape)
    return hg.OneHotCategorical(logits=logits.requires_grad_(), **options)


def elbo_of(q: Any) -> Function:
    return lambda z: joint_of(z) - q.log_prob(z)


class ByHand:
    """L_K of a toy, with a parameter of the model, summed over all K-tuples of its states."""

    def __init__(self, distribution: str, count: int) -> None:
        self.toy, self.count = toys.Toy(distribution), count
        self.table = toys.jagged(self.toy)
        self.scale = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def weigh(self, q: Any) -> Function:
        """exp(scale x a table) / q(z): q's logits are among the weight's parameters."""
        return lambda z: self.scale * self.table(z) - q.log_prob(z)

    def value(self) -> Tensor:
        index = tuples(len(self.toy.states), self.count)
        probs = self.toy.probs()
        weights = (self.scale * self.table(self.toy.states)).exp() / probs
        return (probs[index].prod(-1) * weights[index].mean(-1).log()).sum()

    def distribution(self) -> Any:
        """The toy's distribution with its own samples."""
        q = self.toy.distribution(
            logits=self.toy.logits, **toys.OPTIONS.get(self.toy.distribution, {})
        )
        return q.to_event(self.toy.event_dims - (self.toy.distribution is not hg.Bernoulli))

    def gradients(self, value: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(value, (self.toy.logits, self.scale))


@pytest.mark.parametrize("distribution", toys.FINITE)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_sum_over_all_tuples_is_the_bound_by_hand(distribution: str, count: int) -> None:
    hand = ByHand(distribution, count)
    q = hand.distribution()
    value, right = hg.importance_bound(hand.weigh(q), q, hg.Exact(), count), hand.value()
    torch.testing.assert_close(value, right, rtol=0, atol=1e-12)
    torch.testing.assert_close(hand.gradients(value), hand.gradients(right), rtol=0, atol=1e-12)


# Unbiased estimators, of one value for all K copies, summed over their own samples.

SUMS: dict[str, tuple[hg.Estimator, int]] = {
    "NoBaseline": (hg.ScoreFunction(hg.NoBaseline()), 1),
    "LeaveOneOut": (hg.ScoreFunction(hg.LeaveOneOut()), 2),
}
MUTANT = (hg.ScoreFunction(toys.OwnMean()), 1)


def mean_of(hand: ByHand, estimator: hg.Estimator, samples: int) -> Tensor:
    """Probability x surrogate, added over all tuples of `samples` samples of K copies."""
    toy = hand.toy
    index = tuples(len(toy.states), samples * hand.count)
    drawn = toy.states[index].unflatten(1, (samples, hand.count)).movedim(0, 1)
    # the distribution's copies, when they are made, have these samples
    preset = type(
        "Preset",
        (toy.distribution,),
        {
            "with_params": lambda self, params: with_samples(
                toy.distribution, params["logits"], drawn, **toys.OPTIONS.get(toy.distribution, {})
            )
        },
    )
    logits = toy.logits.expand(len(index), *toy.logits.shape)
    q = preset(logits=logits, **toys.OPTIONS.get(toy.distribution, {}))
    q = q.to_event(toy.event_dims - (toy.distribution is not hg.Bernoulli))
    value = hg.importance_bound(hand.weigh(q), q, estimator, hand.count)
    return (toy.probs().detach()[index].prod(-1) * value).sum()


@pytest.mark.parametrize(
    "distribution", ["Bernoulli", "Bernoulli.to_event(1)", "OneHotCategorical"]
)
@pytest.mark.parametrize("case", SUMS)
def test_mean_gradient_of_the_unbiased_is_the_bounds(case: str, distribution: str) -> None:
    hand = ByHand(distribution, 2)
    value, right = mean_of(hand, *SUMS[case]), hand.value()
    torch.testing.assert_close(value, right, rtol=0, atol=1e-12)
    torch.testing.assert_close(hand.gradients(value), hand.gradients(right), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "distribution", ["Bernoulli", "Bernoulli.to_event(1)", "OneHotCategorical"]
)
def test_a_biased_gradient_is_seen(distribution: str) -> None:
    hand = ByHand(distribution, 2)
    wrong, right = (hand.gradients(v)[0] for v in (mean_of(hand, *MUTANT), hand.value()))
    assert float((wrong - right).abs().max()) > 0.01


REAL: dict[str, hg.Estimator] = {
    "VIMCO": hg.VIMCO(),  # type: ignore[dict-item]
    "DisARM": hg.DisARM(),
    "REBAR": hg.REBAR(),
}


def bit_gradients(estimator: Any) -> Callable[[int, Generator], Tensor]:
    def replicate(n: int, generator: Generator) -> Tensor:
        start = torch.tensor([0.4, -0.7], dtype=torch.float64)
        logits = start.expand(n, 2).clone().requires_grad_()
        q = hg.Bernoulli(logits=logits, validate_args=False).to_event(1)
        prior = torch.tensor([2.0, -1.0], dtype=torch.float64)

        def log_weight(z: Tensor) -> Tensor:
            return (z * prior).sum(-1) - 1.5 * z[..., 0] * z[..., 1] - q.log_prob(z)

        value = hg.importance_bound(log_weight, q, estimator, 3, generator=generator)
        return torch.autograd.grad(value.sum(), logits)[0]

    return replicate


@pytest.mark.parametrize("case", REAL)
def test_the_unbiased_are_so_with_real_samples(case: str, generator: Generator) -> None:
    exact = bit_gradients(hg.Exact())(1, generator)[0]
    verdict = unbiased(bit_gradients(REAL[case]), exact, generator=generator)
    assert verdict, verdict.figures


def test_a_biased_estimator_is_seen_with_real_samples(generator: Generator) -> None:
    exact = bit_gradients(hg.Exact())(1, generator)[0]
    assert not unbiased(bit_gradients(hg.GumbelSoftmax(1.0)), exact, generator=generator)


# What the bound is.


def test_one_sample_gives_the_elbo() -> None:
    q = categories(5, 3)
    bound = hg.importance_bound(elbo_of(q), q, hg.Exact(), 1)
    elbo = hg.expectation(elbo_of(q), q, hg.Exact())
    torch.testing.assert_close(bound, elbo, rtol=0, atol=1e-14)


def test_it_rises_with_the_samples_towards_the_evidence() -> None:
    q = categories(5, 3)
    bounds = [hg.importance_bound(elbo_of(q), q, hg.Exact(), k).detach() for k in range(1, 7)]
    for lower, higher in itertools.pairwise([*bounds, JOINT[:3].logsumexp(0).expand(5)]):
        assert (higher > lower + 1e-3).all()


def test_a_perfect_q_has_a_tight_bound_without_noise(generator: Generator) -> None:
    q = hg.OneHotCategorical(logits=JOINT.clone().requires_grad_())
    for estimator in (hg.VIMCO(), hg.Exact(), hg.ScoreFunction()):
        value = hg.importance_bound(elbo_of(q), q, estimator, 3, generator=generator)
        torch.testing.assert_close(value, JOINT.logsumexp(0), rtol=0, atol=1e-12)


# Every estimator works with it.


@pytest.mark.parametrize(("estimator", "distribution"), thinned(WORKING + JOINED))
def test_every_estimator_works_with_every_distribution_that_it_does_alone(
    estimator: str, distribution: str, generator: Generator
) -> None:
    logits = EVERY[distribution].logits((2,))
    q = EVERY[distribution].make(logits)
    twice = logits.unsqueeze(1).expand(2, 2, *logits.shape[1:])
    copies = as_distribution(EVERY[distribution].make(twice)).to_event(1)
    chosen = ESTIMATORS[estimator](copies)
    f = Probe(q, torch.float64)
    value = hg.importance_bound(f, q, chosen, 2, generator=generator)
    assert value.shape == (2,)
    assert value.isfinite().all()
    gradient, scale = torch.autograd.grad(value.sum(), (logits, f.scale))
    assert gradient.isfinite().all()
    assert scale.isfinite()
    assert all(z.shape[1:] == q.batch_shape + q.event_shape for z in f.asked)
    fewest = 2 if chosen.paired else chosen.least_samples
    asked = sum(len(z) for z in f.asked)
    assert asked == 2 * chosen.evaluations(copies, fewest)


@pytest.mark.parametrize("estimator", [hg.VIMCO(), hg.Exact()], ids=lambda e: e.label)
@pytest.mark.parametrize("probs", [False, True], ids=["logits", "probs"])
def test_torchs_own_distributions_give_the_same_as_ours(
    estimator: Any, probs: bool, generator: Generator
) -> None:
    results = []
    for library in (td, hg):
        logits = torch.tensor([[0.3, -0.5], [1.0, 0.0]], dtype=torch.float64, requires_grad=True)
        given = {"probs": logits.sigmoid()} if probs else {"logits": logits}
        q = library.Independent(library.Bernoulli(**given), 1)

        def log_weight(z: Tensor, q: Any = q) -> Tensor:
            return 2 * z[..., 0] * z[..., 1] - q.log_prob(z)

        value = hg.importance_bound(log_weight, q, estimator, 3, generator=generator.clone_state())
        results.append((value, torch.autograd.grad(value.sum(), logits)[0]))
    torch.testing.assert_close(*results, rtol=0, atol=1e-12)


def nested_gradients(inner: Any) -> Callable[[int, Generator], Tensor]:
    """Of both layers' parameters, side by side: a bound below a choice of two."""

    def replicate(n: int, generator: Generator) -> Tensor:
        above = torch.tensor([0.3, -0.5], dtype=torch.float64).expand(n, 2).clone()
        below = torch.tensor([[0.2, -1.0, 0.4], [0.0, 0.9, -0.3]], dtype=torch.float64)
        leaves = (above.requires_grad_(), below.expand(n, 2, 3).clone().requires_grad_())

        def f(z: Tensor) -> Tensor:
            q = hg.OneHotCategorical(logits=torch.einsum("snk,nkj->snj", z, leaves[1]))
            return hg.importance_bound(elbo_of(q), q, inner, 2, generator=generator)

        q = hg.OneHotCategorical(logits=leaves[0])
        value = hg.expectation(f, q, hg.ScoreFunction(), num_samples=2, generator=generator)
        return torch.cat([g.flatten(1) for g in torch.autograd.grad(value.sum(), leaves)], -1)

    return replicate


def test_it_may_stand_inside_an_expectation(generator: Generator) -> None:
    above = torch.tensor([0.3, -0.5], dtype=torch.float64, requires_grad=True)
    below = torch.tensor([[0.2, -1.0, 0.4], [0.0, 0.9, -0.3]], dtype=torch.float64)
    below.requires_grad_()
    q = hg.OneHotCategorical(logits=below)
    by_hand = above.softmax(-1) @ hg.importance_bound(elbo_of(q), q, hg.Exact(), 2)
    exact = torch.cat([g.flatten() for g in torch.autograd.grad(by_hand, (above, below))])
    verdict = unbiased(nested_gradients(hg.VIMCO()), exact, generator=generator)
    assert verdict, verdict.figures
    # the mutant: another bound
    assert not unbiased(nested_gradients(hg.Exact()), 1.1 * exact, generator=generator)


def test_without_gradients_there_is_the_value(generator: Generator) -> None:
    q = categories(5, 3)
    for estimator in (hg.VIMCO(), hg.ScoreFunction(), hg.StraightThrough()):
        with torch.no_grad():
            value = hg.importance_bound(elbo_of(q), q, estimator, 3, generator=generator)
        assert not value.requires_grad
        assert value.isfinite().all()


@pytest.mark.parametrize(
    "estimator", [hg.VIMCO(), hg.ScoreFunction(), hg.Exact()], ids=lambda e: e.label
)
def test_func_grad_is_backward_and_vmap_keeps_the_shape(
    estimator: Any, generator: Generator
) -> None:
    def loss(logits: Tensor, generator: Generator | None = None) -> Tensor:
        q = hg.OneHotCategorical(logits=logits)
        return hg.importance_bound(elbo_of(q), q, estimator, 3, generator=generator).sum()

    logits = torch.linspace(-1, 1, 18, dtype=torch.float64).view(6, 3).requires_grad_()
    (backward,) = torch.autograd.grad(loss(logits, generator.clone_state()), logits)
    functional = torch.func.grad(loss)(logits.detach(), generator)
    torch.testing.assert_close(functional, backward, rtol=0, atol=1e-14)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        mapped = torch.func.vmap(torch.func.grad(loss), randomness="different")(logits.detach())
    assert mapped.shape == (6, 3)
    assert mapped.isfinite().all()


class BoundOnly:
    """A user's estimator for bounds: of no family, and without a gradient of its own."""

    def bound_surrogate(
        self, log_weight: Function, q: Any, num_samples: int, generator: Generator | None
    ) -> Tensor:
        weights = log_weight(q.sample((num_samples,), generator=generator))
        return weights.logsumexp(0) - math.log(num_samples)


def test_a_custom_estimator_is_any_object_with_bound_surrogate(generator: Generator) -> None:
    q = categories(5, 3)
    own, vimco = (
        hg.importance_bound(elbo_of(q), q, estimator, 4, generator=generator.clone_state())
        for estimator in (BoundOnly(), hg.VIMCO())
    )
    torch.testing.assert_close(own, vimco, rtol=0, atol=1e-14)


# Weights of zero.


def ruled_out(z: Tensor) -> Tensor:
    """The first category is impossible."""
    return torch.where(z[..., 0] > 0, -torch.inf, joint_of(z))


@pytest.mark.parametrize(
    "estimator",
    [hg.VIMCO(), hg.ScoreFunction(), hg.StraightThrough(), hg.ReinMax()],
    ids=lambda e: e.label,
)
def test_some_samples_may_be_ruled_out(estimator: Any, generator: Generator) -> None:
    q = hg.OneHotCategorical(logits=torch.zeros(50, 4, dtype=torch.float64, requires_grad=True))

    def log_weight(z: Tensor) -> Tensor:
        return ruled_out(z) - q.log_prob(z)

    value = hg.importance_bound(log_weight, q, estimator, 20, generator=generator)
    assert value.isfinite().all()
    (gradient,) = torch.autograd.grad(value.sum(), q._scores)
    assert gradient.isfinite().all()
    assert gradient.count_nonzero() > 0


@pytest.mark.parametrize("estimator", [hg.VIMCO(), hg.ScoreFunction()], ids=lambda e: e.label)
def test_all_samples_ruled_out_is_an_error(estimator: Any, generator: Generator) -> None:
    q = hg.OneHotCategorical(logits=torch.tensor([[0.0, 0.0, 0.0], [200.0, 0.0, 0.0]]))
    with pytest.raises(ValueError, match=r"-inf for all samples of a bound.*element \(1,\)\. Use"):
        hg.importance_bound(ruled_out, q, estimator, 60, generator=generator)
    alone = hg.OneHotCategorical(logits=torch.tensor([200.0, 0.0, 0.0]))
    with pytest.raises(ValueError, match=r": 1 of 1 bounds\. Use more samples, or a q that keeps"):
        hg.importance_bound(ruled_out, alone, hg.VIMCO(), 2, generator=generator)
    unchecked = hg.OneHotCategorical(logits=torch.tensor([200.0, 0.0, 0.0]), validate_args=False)
    value = hg.importance_bound(ruled_out, unchecked, estimator, 2, generator=generator)
    assert not value.isfinite()
