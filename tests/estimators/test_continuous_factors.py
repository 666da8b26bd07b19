"""Continuous factors of a Joint: pathwise for them, whatever the estimator of the discrete ones.

The exact gradient is a sum over the discrete states of a quadrature over the continuous unknown.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributions as td
from estimators.cases import ESTIMATORS, Bowl
from stats import unbiased
from torch import Generator, Tensor

import hotgrad as hg

START = torch.tensor([0.4, -0.7, 0.5, 0.2], dtype=torch.float64)
STATES = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)


def joint(params: Tensor) -> hg.Joint:
    """Two bits, and a normal number whose mean and log-scale are learned."""
    return hg.Joint(
        bits=hg.Bernoulli(logits=params[..., :2]).to_event(1),
        number=td.Normal(params[..., 2], params[..., 3].exp()),
    )


def f(z: dict[str, Tensor]) -> Tensor:
    """Bits and number meet, and neither is smooth alone."""
    bits, number = z["bits"], z["number"]
    return (bits[..., 0] - 0.4 * number) ** 2 * (0.3 + bits[..., 1]) + bits.prod(-1) * number.sin()


def exact() -> tuple[Tensor, Tensor]:
    """Value and gradient: enumeration times Gauss-Hermite quadrature."""
    params = START.clone().requires_grad_()
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(60))
    number = params[2] + params[3].exp() * nodes
    chance = params[:2].sigmoid()
    probs = (STATES * chance + (1 - STATES) * (1 - chance)).prod(-1)
    values = f({"bits": STATES[:, None].expand(4, 60, 2), "number": number.expand(4, 60)})
    value = (probs[:, None] * values * weights / weights.sum()).sum()
    return value.detach(), torch.autograd.grad(value, params)[0]


def gradients(estimator: Callable[[Any], hg.Estimator], num_samples: int) -> Any:
    def replicate(n: int, generator: Generator) -> Tensor:
        params = START.expand(n, 4).clone().requires_grad_()
        q = joint(params)
        value = hg.expectation(f, q, estimator(q), num_samples=num_samples, generator=generator)
        return torch.autograd.grad(value.sum(), params)[0]

    return replicate


# a tenth of the largest coordinate; a number that is scored too is off by as much as it
SMALLEST_BIAS = 0.023
UNBIASED = [
    "Exact",
    "ScoreFunction(NoBaseline)",
    "ScoreFunction(LeaveOneOut)",
    "IndeCateR",
    "UnorderedSet",
    "ARM",
    "DisARM",
    "MuProp(NoBaseline)",
    "REBAR",
    "RELAX",
]


def frozen(estimator: str) -> Callable[[Any], hg.Estimator]:
    """Estimators that learn, as they are before they do."""

    def make(q: Any) -> Any:
        made: Any = hg.RELAX(Bowl(q), 0.4) if estimator == "RELAX" else ESTIMATORS[estimator](q)
        return made.eval() if isinstance(made, torch.nn.Module) else made

    return make


@pytest.mark.parametrize("estimator", UNBIASED)
def test_unbiased_estimators_stay_so(estimator: str, generator: Generator) -> None:
    _, right = exact()
    verdict = unbiased(
        gradients(frozen(estimator), 4), right, generator=generator, delta=SMALLEST_BIAS
    )
    assert verdict, verdict.figures


def test_a_score_that_takes_in_the_continuous_factor_is_seen(generator: Generator) -> None:
    class Twice(hg.ScoreFunction):
        """Mutant: the number's gradient is pathwise, and of the score function too."""

        def surrogate(self, f: Any, q: Any, num_samples: int, generator: Any) -> Tensor:
            value = super().surrogate(f, q, num_samples, generator)
            number = q.continuous["number"]
            tied = number.log_prob(number.mean.detach() + 0.5)
            return value + value.detach() * (tied - tied.detach())

    _, right = exact()
    wrong = gradients(lambda q: Twice(), 4)
    assert not unbiased(wrong, right, generator=generator, delta=SMALLEST_BIAS)


def test_the_value_is_the_mean_over_both() -> None:
    right, _ = exact()
    generator = torch.Generator().manual_seed(0)
    q = joint(START.expand(40_000, 4))
    for estimator in (hg.Exact(), hg.ScoreFunction(), hg.StraightThrough()):
        value = hg.expectation(f, q, estimator, num_samples=2, generator=generator)
        assert abs(value.mean() - right) < 5 * value.std() / 200


@pytest.mark.parametrize(
    "estimator",
    ["StraightThrough", "GumbelSoftmax", "ReinMax", "GumbelRao", "IMLE", "PerturbedMAP"],
)
def test_with_the_bits_known_every_estimator_gives_the_pathwise_gradient(estimator: str) -> None:
    """Certain bits leave an expectation over the number alone."""
    params = torch.tensor([torch.inf, -torch.inf, 0.5, 0.2], dtype=torch.float64)
    found = []
    for make in (ESTIMATORS[estimator], ESTIMATORS["Exact"]):
        leaf = params.expand(3, 4).clone().requires_grad_()
        q = joint(leaf)
        value = hg.expectation(
            f, q, make(q), num_samples=5, generator=torch.Generator().manual_seed(1)
        )
        found.append(torch.autograd.grad(value.sum(), leaf)[0][:, 2:])
    torch.testing.assert_close(*found)


def test_one_number_for_each_sample_and_the_same_for_all_that_is_asked_about_it() -> None:
    for estimator, per_sample in ((hg.REBAR(), 3), (hg.IndeCateR(), 3), (hg.DisARM(), 1)):
        asked: list[dict[str, Tensor]] = []

        def remembered(z: dict[str, Tensor], asked: Any = asked) -> Tensor:
            asked.append(z)
            return f(z)

        q = joint(START.expand(5, 4).clone().requires_grad_())
        hg.expectation(remembered, q, estimator, num_samples=4)
        numbers = torch.cat([z["number"] for z in asked])[:, 0]
        assert len(numbers) == 4 * per_sample
        assert len(numbers.unique()) == (2 if isinstance(estimator, hg.DisARM) else 4)


def test_a_sum_over_states_sees_every_number(generator: Generator) -> None:
    q = joint(START.clone().requires_grad_())
    same = [
        hg.expectation(f, q, hg.Exact(), num_samples=n, generator=generator.clone_state())
        for n in (1, 200)
    ]
    right, _ = exact()
    assert abs(same[1] - right) < 0.3
    assert same[0] != same[1]


@pytest.mark.parametrize(
    "estimator", [hg.VIMCO(), hg.ScoreFunction(), hg.REBAR().eval()], ids=lambda e: e.label
)
def test_the_bound_of_several_samples(estimator: Any, generator: Generator) -> None:
    """By the score function of everything, the number too: another way to the same gradient."""
    K = 2

    def log_joint(z: dict[str, Tensor]) -> Tensor:
        return f(z) - 0.5 * z["number"].square()

    def replicate(n: int, generator: Generator) -> Tensor:
        params = START.expand(n, 4).clone().requires_grad_()
        q = joint(params)
        value = hg.importance_bound(
            lambda z: log_joint(z) - q.unchecked().log_prob(z),
            q,
            estimator,
            K,
            generator=generator,
        )
        return torch.autograd.grad(value.sum(), params)[0]

    params = START.clone().requires_grad_()
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(24))
    weights = weights / weights.sum()
    number = params[2] + params[3].exp() * nodes
    chance = params[:2].sigmoid()
    probs = (STATES * chance + (1 - STATES) * (1 - chance)).prod(-1)
    points = {
        "bits": STATES[:, None].expand(4, 24, 2).reshape(96, 2),
        "number": number.expand(4, 24).reshape(96),
    }
    mass = (probs[:, None] * weights).reshape(96)
    log_weights = log_joint(points) - joint(params).log_prob(points)
    pairs = torch.logaddexp(log_weights[:, None], log_weights) - np.log(K)
    value = (mass[:, None] * mass * pairs).sum()
    (right,) = torch.autograd.grad(value, params)
    verdict = unbiased(replicate, right, generator=generator)
    assert verdict, verdict.figures


def test_a_layer_gives_all_unknowns() -> None:
    params = START.expand(6, 4).clone().requires_grad_()
    z = hg.StraightThrough().sample(joint(params), (7,))
    assert {name: tuple(value.shape) for name, value in z.items()} == {
        "bits": (7, 6, 2),
        "number": (7, 6),
    }
    sum(value.sum() for value in z.values()).backward()
    assert (params.grad != 0).all()


def test_the_generator_decides_and_the_global_one_is_left_alone(generator: Generator) -> None:
    q = hg.Joint(
        bit=hg.Bernoulli(logits=torch.zeros(3)),
        gamma=td.Gamma(torch.ones(3), torch.ones(3)),
        noise=hg.Gumbel(torch.zeros(3), torch.ones(3)),
    )
    before = torch.random.get_rng_state()
    values = [
        hg.expectation(
            lambda z: z["bit"] * z["gamma"] + z["noise"], q, hg.ScoreFunction(), generator=same
        )
        for same in (generator.clone_state(), generator)
    ]
    assert torch.equal(*values)
    assert torch.equal(torch.random.get_rng_state(), before)
