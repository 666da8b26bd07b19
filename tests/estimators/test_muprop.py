"""MuProp: summed over its samples on every q, exact where f is linear, its mistakes seen."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from estimators.cases import DISTRIBUTIONS, WORKING, MeanNet, moving_average_with_a_past, tuples
from estimators.toys import FINITE, OwnMean, Toy, polynomial
from torch import Generator, Tensor

import hotgrad as hg
from hotgrad.estimators import muprop
from hotgrad.estimators.explicit_gradients import with_gradient

every_distribution = pytest.mark.parametrize("distribution", FINITE)


@pytest.fixture
def toy(distribution: str) -> Toy:
    return Toy(distribution)


@every_distribution
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("degree", [1, 2, 3])
def test_mean_value_and_gradient_are_exact(toy: Toy, degree: int, count: int) -> None:
    f = polynomial(toy, degree)
    value = toy.mean_of(hg.MuProp(), f, count)
    torch.testing.assert_close(value, toy.exact(f), rtol=0, atol=1e-12)
    assert toy.bias(hg.MuProp(), f, count) < 1e-12


BASELINES: dict[str, tuple[Callable[[Any], Any], int]] = {
    "LeaveOneOut, S=2": (lambda q: hg.LeaveOneOut(), 2),
    "LeaveOneOut, S=3": (lambda q: hg.LeaveOneOut(), 3),
    "MovingAverage": (lambda q: moving_average_with_a_past(), 2),
    "Learned": (lambda q: hg.Learned(MeanNet(q)), 2),
}


@every_distribution
@pytest.mark.parametrize("baseline", BASELINES)
def test_with_a_baseline_it_is_exact_too(toy: Toy, baseline: str) -> None:
    make, count = BASELINES[baseline]
    batch = toy.states[tuples(len(toy.states), count)].transpose(0, 1)
    assert toy.bias(hg.MuProp(make(toy.q(batch))), polynomial(toy, 3), count) < 1e-12


@every_distribution
def test_a_baseline_with_the_sample_in_it_is_seen(toy: Toy) -> None:
    assert toy.bias(hg.MuProp(OwnMean()), polynomial(toy, 3), 2) > 0.01


def without_its_mean(value: Tensor, carriers: Any, gradients: Any, label: str) -> Tensor:
    """The tangent is subtracted, and what it adds on average isn't given back."""
    return value


def added_twice(value: Tensor, carriers: Any, gradients: Any, label: str) -> Tensor:
    return with_gradient(value, carriers, [2 * gradient for gradient in gradients], label)


def without_the_slope(terms: Tensor, batch_dims: int) -> Tensor:
    """f at the mean is subtracted, its tangent isn't."""
    return torch.zeros(terms.shape[:batch_dims], dtype=terms.dtype)


@every_distribution
@pytest.mark.parametrize(
    ("name", "mutant"),
    [
        ("with_gradient", without_its_mean),
        ("with_gradient", added_twice),
        ("over_event", without_the_slope),
    ],
    ids=["without its mean", "added twice", "without the slope"],
)
def test_a_tangent_that_does_not_cancel_is_seen(
    toy: Toy, name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(muprop, name, mutant)
    assert toy.bias(hg.MuProp(), polynomial(toy, 3)) > 0.01


@pytest.mark.parametrize(
    "distribution", [distribution for name, distribution in WORKING if name == "MuProp(NoBaseline)"]
)
def test_a_linear_f_has_no_noise(distribution: str, generator: Generator) -> None:
    logits = DISTRIBUTIONS[distribution].logits((5,))
    q = DISTRIBUTIONS[distribution].make(logits)
    weight = torch.linspace(-1, 2, q.event_shape.numel(), dtype=torch.float64)

    def f(z: Tensor) -> Tensor:
        return (z.reshape((*z.shape[: z.ndim - len(q.event_shape)], -1)) * weight).sum(-1) + 3

    gradients = []
    for estimator in (hg.MuProp(), hg.Exact()):
        value = hg.expectation(f, q, estimator, generator=generator)
        gradients.append(torch.autograd.grad(value.sum(), logits)[0])
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)


def test_an_f_that_detaches_z_leaves_a_baseline(generator: Generator) -> None:
    """Its tangent is level: what remains is the score function against f at the mean."""
    logits = torch.tensor([0.4, -0.7], dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    q = hg.Bernoulli(logits=logits).to_event(1)

    def f(z: Tensor) -> Tensor:
        return scale * z.detach().sum(-1).square()

    value = hg.expectation(f, q, hg.MuProp(), generator=generator.clone_state())
    (gradient,) = torch.autograd.grad(value, logits)
    z = q.sample((1,), generator=generator)
    left = (f(z) - f(q.mean)).detach()
    (expected,) = torch.autograd.grad((left * q.log_prob(z)).sum(), logits)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-14)
