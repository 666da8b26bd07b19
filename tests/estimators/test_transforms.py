"""Estimators under torch.compile and torch.func: the same numbers, or the same distribution."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from estimators.cases import (
    DISTRIBUTIONS,
    ESTIMATORS,
    EVERY,
    JOINED,
    WORKING,
    Probe,
    moving_average_with_a_past,
    thinned,
)
from estimators.targets import (
    LOGIT,
    relaxed_objective_slope,
    smooth,
    straight_through_slope,
)
from stats import unbiased
from torch import Generator, Tensor, nn

import hotgrad as hg

# torch 2.10's compiler knows neither gamma variables nor a Joint that is made where it compiles
OLD = torch.__version__.startswith("2.10.")

PATHWISE = [
    hg.GumbelSoftmax(0.5),
    hg.StraightThrough(),
    hg.StraightThroughGumbelSoftmax(0.5),
    hg.ReinMax(),
    hg.IMLE(2.0),
    hg.PerturbedMAP(),
]
MORE = [hg.GappedStraightThrough(0.5), hg.GumbelRao(0.5, num_inner=3)]
SUBSETS: list[tuple[type, list[hg.Estimator]]] = [
    (hg.KSubset, [hg.StraightThrough(), hg.IMLE(2.0), hg.PerturbedMAP()]),
    (
        hg.PlackettLuceSubset,
        [
            hg.GumbelSoftmax(0.5),
            hg.StraightThroughGumbelSoftmax(0.5),
            hg.RelaxedTopK(0.5),
            hg.GumbelRao(0.5, num_inner=3),
            hg.IMLE(2.0, "sum-of-gamma"),
            hg.PerturbedMAP(),
        ],
    ),
]


def category_loss(logits: Tensor) -> Tensor:
    """With one estimator, and the distribution made inside."""
    q = hg.OneHotCategorical(logits=logits).to_event(1)
    estimator = hg.StraightThroughGumbelSoftmax(0.5)
    return hg.expectation(pair, q, estimator, num_samples=4).mean()


def category_losses(logits: Tensor) -> Tensor:
    """With each pathwise estimator."""
    q = hg.OneHotCategorical(logits=logits).to_event(1)
    return torch.stack(
        [hg.expectation(pair, q, estimator, num_samples=4).mean() for estimator in PATHWISE]
    )


def bit_losses(logits: Tensor) -> Tensor:
    """With those whose gradients are made by hand."""
    q = hg.Bernoulli(logits=logits).to_event(2)
    estimators = [hg.ReinMax(), hg.IMLE(2.0), *MORE]
    return torch.stack(
        [hg.expectation(pair, q, estimator, num_samples=4).mean() for estimator in estimators]
    )


def subset_losses(logits: Tensor) -> Tensor:
    return torch.stack(
        [
            hg.expectation(
                pair, distribution(logits, 2).to_event(1), estimator, num_samples=4
            ).mean()
            for distribution, estimators in SUBSETS
            for estimator in estimators
            if not (OLD and isinstance(estimator, hg.IMLE))
        ]
    )


def pair(z: Tensor) -> Tensor:
    weight = torch.linspace(-1, 1, z.shape[-1], dtype=z.dtype)
    return ((z * weight).sum((-1, -2)) - 0.3).square()


@pytest.mark.parametrize(
    ("losses", "backend"),
    [
        # the slower a compiler, the fewer are given to it; all are traced
        (category_loss, "inductor"),
        (bit_losses, "aot_eager"),
        (category_losses, "eager"),
        (subset_losses, "eager"),
    ],
    ids=["a category", "bits", "categories", "subsets"],
)
@pytest.mark.usefixtures("compiler")
# torch's own tracing of an autograd.Function does what torch deprecates
@pytest.mark.filterwarnings("ignore:.*Function.* should not be instantiated:DeprecationWarning")
def test_compiled_whole_the_pathwise_give_the_same_numbers(
    losses: Callable[[Tensor], Tensor], backend: str
) -> None:
    # without this the compiler draws other random numbers than torch does
    with torch._inductor.config.patch(fallback_random=True):
        assert_same_numbers(losses, torch.compile(losses, fullgraph=True, backend=backend))


def evaluated_losses(logits: Tensor) -> Tensor:
    """Of all others, made inside; one scores its distribution by a quadrature."""
    bits, subsets = hg.Bernoulli(logits=logits).to_event(2), hg.PlackettLuceSubset(logits, 2)
    pairs: list[tuple[hg.Estimator, Any]] = [
        (hg.Exact(), bits),
        (hg.ScoreFunction(), subsets.to_event(1)),
        (hg.IndeCateR(), bits),
        (hg.ARM(), bits),
        (hg.DisARM(), bits),
        (hg.MuProp(), bits),
        *((learner, bits) for learner in LEARNERS),
    ]
    if OLD:
        return torch.stack([hg.expectation(pair, q, one, num_samples=4).mean() for one, q in pairs])
    joint = hg.Joint(bits=bits, kinds=hg.OneHotCategorical(logits=logits).to_event(1))
    # the first lists its states, the second relaxes them
    of_joint = [
        hg.expectation(lambda z: pair(z["bits"] - z["kinds"]), joint, one, num_samples=4).mean()
        for one in (hg.UnorderedSet(), hg.GumbelSoftmax(0.5))
    ]
    return torch.stack(
        [hg.expectation(pair, q, one, num_samples=4).mean() for one, q in pairs] + of_joint
    )


LEARNERS = [
    hg.ScoreFunction(moving_average_with_a_past()).eval(),
    hg.ScoreFunction(hg.Learned(nn.Sequential(nn.Flatten(-2), nn.Linear(6, 1)))),
    hg.REBAR(),
    hg.RELAX(lambda y, mean: (y - mean).square().sum((-1, -2))),
]


@pytest.mark.usefixtures("compiler")
# what a class lacks is traced in place of remembered
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a .functools.lru_cache:UserWarning")
@pytest.mark.filterwarnings("ignore:.*Function.* should not be instantiated:DeprecationWarning")
def test_compiled_whole_the_others_give_the_same_numbers() -> None:
    compiled = torch.compile(evaluated_losses, fullgraph=True, backend="eager")
    assert_same_numbers(evaluated_losses, compiled)


def assert_same_numbers(
    losses: Callable[[Tensor], Tensor], compiled: Callable[[Tensor], Tensor]
) -> None:
    """And gradients, compiled once for any number of rows."""
    for rows in (5, 3):
        results = []
        for function in (losses, compiled):
            logits = DISTRIBUTIONS["OneHotCategorical.to_event(1)"].logits((rows,), torch.float32)
            # a compiler that settles for the first number raises
            torch._dynamo.mark_dynamic(logits, 0)
            torch.manual_seed(0)
            value = function(logits)
            results.append((value, torch.autograd.grad(value.sum(), logits)[0]))
        torch.testing.assert_close(*results, rtol=1e-5, atol=1e-6)


def evaluating(q: Any) -> hg.Estimator:
    """A moving average that stays: torch.func lets no function update a buffer in place."""
    return hg.ScoreFunction(moving_average_with_a_past()).eval()


FUNCTIONAL = ESTIMATORS | {"ScoreFunction(MovingAverage)": evaluating}


@pytest.mark.parametrize(("estimator", "distribution"), thinned(WORKING + JOINED))
def test_func_grad_is_backward(estimator: str, distribution: str, generator: Generator) -> None:
    logits = EVERY[distribution].logits((5,))
    f = Probe(EVERY[distribution].make(logits), torch.float64)

    def loss(logits: Tensor, chosen: hg.Estimator, generator: Generator) -> Tensor:
        q = EVERY[distribution].make(logits)
        return hg.expectation(f.values, q, chosen, num_samples=4, generator=generator).sum()

    chosen = FUNCTIONAL[estimator](EVERY[distribution].make(logits))
    (backward,) = torch.autograd.grad(loss(logits, chosen, generator.clone_state()), logits)
    functional = torch.func.grad(loss)(logits.detach(), chosen, generator)
    torch.testing.assert_close(functional, backward, rtol=0, atol=1e-14)


UP = torch.tensor(LOGIT, dtype=torch.float64).sigmoid()
BEFORE = torch.tensor(LOGIT - 0.8, dtype=torch.float64).sigmoid()
STEP = smooth(torch.tensor(1.0, dtype=torch.float64)) - smooth(torch.tensor(0.0).double())
CASES: dict[str, tuple[hg.Estimator, Callable[[Tensor], Tensor], Callable[[], float]]] = {
    name: (estimator, smooth, lambda: float(UP * (1 - UP) * STEP))
    for name, estimator in {
        "Exact": hg.Exact(),
        "ScoreFunction": hg.ScoreFunction(),
        "ARM": hg.ARM(),
        "DisARM": hg.DisARM(),
        "MuProp": hg.MuProp(),
        "REBAR": hg.REBAR(),
        "RELAX": hg.RELAX(lambda y, mean: 2 * y.square() - mean),
        "IndeCateR": hg.IndeCateR(),
        "UnorderedSet": hg.UnorderedSet(),
    }.items()
} | {
    "GumbelSoftmax": (hg.GumbelSoftmax(0.7), smooth, lambda: relaxed_objective_slope(LOGIT, 0.7)),
    "StraightThroughGumbelSoftmax": (
        hg.StraightThroughGumbelSoftmax(0.7),
        smooth,
        lambda: straight_through_slope(LOGIT, 0.7),
    ),
    "GumbelRao": (hg.GumbelRao(0.7), smooth, lambda: straight_through_slope(LOGIT, 0.7)),
    "StraightThrough": (hg.StraightThrough(), lambda z: 3 * z, lambda: float(UP * (1 - UP) * 3)),
    "ReinMax": (hg.ReinMax(), lambda z: (z + 1).square(), lambda: float(UP * (1 - UP) * 3)),
    "IMLE": (hg.IMLE(0.8), lambda z: 3 * z, lambda: float((UP - BEFORE) * 3 / 0.8)),
    "PerturbedMAP": (hg.PerturbedMAP(), lambda z: 3 * z, lambda: float(UP * (1 - UP) * 3)),
}


def mapped_gradients(case: str) -> Callable[[int, Generator], Tensor]:
    """`(n, 1)` gradients for a bit, by vmap over grad, from torch's global generator."""
    estimator, f, _ = CASES[case]

    def replicate(n: int, generator: Generator) -> Tensor:
        def loss(logit: Tensor) -> Tensor:
            return hg.expectation(f, hg.Bernoulli(logits=logit), estimator, num_samples=2)

        torch.manual_seed(int(torch.randint(2**40, (), generator=generator)))
        logits = torch.full((n,), LOGIT, dtype=torch.float64)
        return torch.func.vmap(torch.func.grad(loss), randomness="different")(logits).unsqueeze(-1)

    return replicate


@pytest.mark.usefixtures("forked_rng")
@pytest.mark.parametrize("case", CASES)
def test_vmap_of_grad_has_the_right_mean(case: str, generator: Generator) -> None:
    target = torch.tensor([CASES[case][2]()], dtype=torch.float64)
    verdict = unbiased(mapped_gradients(case), target, generator=generator)
    assert verdict, verdict.figures
    # the mutant: a mean that is a tenth off
    assert not unbiased(mapped_gradients(case), 1.1 * target, generator=generator)


# for a bit these sum over both states
WITHOUT_NOISE = {"Exact", "StraightThrough", "IndeCateR", "UnorderedSet"}


@pytest.mark.usefixtures("forked_rng")
@pytest.mark.parametrize("case", sorted(set(CASES) - WITHOUT_NOISE))
def test_vmap_draws_differently_for_each_element(case: str, generator: Generator) -> None:
    # 200 pairs of fair bits don't all agree by chance
    assert len(mapped_gradients(case)(200, generator).unique()) > 1


@pytest.mark.usefixtures("forked_rng")
@pytest.mark.parametrize(("estimator", "distribution"), thinned(WORKING + JOINED))
def test_vmap_over_every_distribution_gives_finite_values_in_shape(
    estimator: str, distribution: str
) -> None:
    logits = EVERY[distribution].logits((6,))
    # a learned baseline is made for a distribution without a batch
    chosen = FUNCTIONAL[estimator](EVERY[distribution].make(logits[0]))

    f = Probe(EVERY[distribution].make(logits), torch.float64)

    def value(logits: Tensor) -> Tensor:
        q = EVERY[distribution].make(logits)
        return hg.expectation(f.values, q, chosen, num_samples=2)

    gradients, mapped = torch.func.vmap(torch.func.grad_and_value(value), randomness="different")(
        logits
    )
    assert mapped.shape == (6,)
    assert mapped.isfinite().all()
    assert gradients.shape == logits.shape
    assert gradients.isfinite().all()


@pytest.mark.parametrize("distribution", EVERY)
def test_vmap_of_the_exact_sum_is_the_batch(distribution: str) -> None:
    logits = EVERY[distribution].logits((6,))

    f = Probe(EVERY[distribution].make(logits), torch.float64)

    def value(logits: Tensor) -> Tensor:
        return hg.expectation(f.values, EVERY[distribution].make(logits), hg.Exact())

    torch.testing.assert_close(torch.func.vmap(value)(logits), value(logits), rtol=0, atol=1e-13)
