"""The built-in problems: what they minimise, by hand."""

import math
from itertools import product
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

import hotgrad as hg
from hotgrad.audit.problems import Problem, noisy_or, polynomial, subset

MAKERS = {
    "polynomial": lambda: polynomial(num_bits=6),
    "subset": subset,
    "subset, plackett-luce": lambda: subset(distribution="plackett-luce"),
    "noisy-or": lambda: noisy_or(causes=5),
}


@pytest.fixture(params=MAKERS)
def problem(request: pytest.FixtureRequest) -> Problem:
    return MAKERS[request.param]()


def test_values_have_the_shape_and_a_gradient_between_the_vertices(
    problem: Problem, generator: Generator
) -> None:
    z = problem.q.sample((7,), generator=generator)
    assert problem.f(z).shape == (7,)
    between = torch.rand(z.shape, generator=generator).requires_grad_()
    values = problem.f(between)
    (slope,) = torch.autograd.grad(values.sum(), between)
    assert values.isfinite().all()
    assert slope.isfinite().all()
    assert (slope != 0).any()


def test_each_is_the_same_every_time(problem: Problem, request: pytest.FixtureRequest) -> None:
    again = MAKERS[request.node.callspec.params["problem"]]()
    z = problem.q.sample((3,), generator=Generator())
    assert torch.equal(problem.q.logits, again.q.logits)
    assert torch.equal(problem.f(z), again.f(z))


def test_the_polynomials_optimum_is_all_zero() -> None:
    problem = polynomial(num_bits=4, power=1.5)
    states = problem.q.enumerate_support()
    values = problem.f(states)
    assert values.argmin() == 0
    assert float(values.min()) == pytest.approx(0.45**1.5)


def test_subset_is_of_the_distribution_that_is_named() -> None:
    assert isinstance(subset(8, 3).q, hg.KSubset)
    assert isinstance(subset(8, 3, "plackett-luce").q, hg.PlackettLuceSubset)
    assert subset(8, 3).q.k == 3
    with pytest.raises(
        ValueError, match=r"Unknown distribution 'k-subsets'\. Did you mean k-subset"
    ):
        subset(distribution="k-subsets")


def cells(function: Any) -> dict[str, Tensor]:
    """The tensors that a closure holds, by name."""
    names = function.__code__.co_freevars
    held = (cell.cell_contents for cell in function.__closure__)
    return {n: value for n, value in zip(names, held, strict=True) if isinstance(value, Tensor)}


def test_noisy_or_is_the_product_of_its_chances() -> None:
    problem = noisy_or(causes=3, findings=4)
    held = cells(problem.f)
    for state in product((0, 1), repeat=3):
        joint = math.prod(0.1 if on else 0.9 for on in state)
        for i in range(4):
            absent = math.exp(-float(held["leak"][i]))
            for j, on in enumerate(state):
                absent *= math.exp(-float(held["weights"][i, j])) if on else 1.0
            joint *= 1 - absent if held["found"][i] else absent
        value = float(problem.f(torch.tensor([state], dtype=torch.float64)))
        assert value == pytest.approx(-math.log(joint), rel=1e-5)
