"""ReinMax's passes: the Jacobians that they claim, and exactness for every quadratic f."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from hotgrad import ops

INF = math.inf
Gradient = Callable[[Tensor, Tensor], Tensor]


def jacobian(point: Tensor) -> Tensor:
    return torch.diag(point) - torch.outer(point, point)


def test_categorical_tangent_has_the_softmax_jacobian_at_the_point() -> None:
    logits = torch.tensor([0.3, -1.0, 2.0, -INF], dtype=torch.float64)
    point = torch.tensor([0.2, 0.5, 0.3, 0.0], dtype=torch.float64)
    rows = torch.autograd.functional.jacobian(lambda x: ops.categorical_tangent(x, point), logits)
    torch.testing.assert_close(rows, jacobian(point))
    at_probs = torch.autograd.functional.jacobian(lambda x: x.softmax(-1), logits)
    torch.testing.assert_close(at_probs, jacobian(logits.softmax(-1)))
    # mutant: the Jacobian at the probabilities themselves is another one
    assert not torch.allclose(rows, at_probs)


def test_bernoulli_tangent_has_the_sigmoid_slope_at_the_point() -> None:
    logits = torch.tensor([-INF, -1.0, 4.0, INF], dtype=torch.float64, requires_grad=True)
    point = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64)
    (slope,) = torch.autograd.grad(ops.bernoulli_tangent(logits, point).sum(), logits)
    torch.testing.assert_close(slope, point * (1 - point))


def reinmax_pass(hard: Tensor, logits: Tensor) -> Tensor:
    mean = logits.softmax(-1)
    between = (hard + mean) / 2
    return ops.reinmax(
        hard, ops.categorical_tangent(logits, mean), ops.categorical_tangent(logits, between)
    )


def straight_through_pass(hard: Tensor, logits: Tensor) -> Tensor:
    return ops.straight_through(hard, logits.softmax(-1))


def summed_gradient(make: Gradient, f: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    """The estimate, summed over every outcome with its probability."""
    logits = logits.detach().requires_grad_()
    outcomes = torch.eye(len(logits), dtype=logits.dtype)
    values = f(make(outcomes, logits))
    (grad,) = torch.autograd.grad((logits.detach().softmax(-1) * values).sum(), logits)
    return grad


def exact_gradient(f: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    logits = logits.detach().requires_grad_()
    values = f(torch.eye(len(logits), dtype=logits.dtype))
    (grad,) = torch.autograd.grad((logits.softmax(-1) * values).sum(), logits)
    return grad


def test_exact_for_quadratic_f_and_biased_for_cubic(generator: Generator) -> None:
    logits = torch.randn(5, dtype=torch.float64, generator=generator)
    matrix = torch.randn(5, 5, dtype=torch.float64, generator=generator)
    slope = torch.randn(5, dtype=torch.float64, generator=generator)

    def quadratic(z: Tensor) -> Tensor:
        return ((z @ matrix) * z).sum(-1) + z @ slope

    def cubic(z: Tensor) -> Tensor:
        return (z @ slope).pow(3)

    exact = exact_gradient(quadratic, logits)
    torch.testing.assert_close(
        summed_gradient(reinmax_pass, quadratic, logits), exact, atol=1e-12, rtol=0
    )
    # mutants: plain straight-through isn't exact here, nor is ReinMax on a cubic
    first_order = summed_gradient(straight_through_pass, quadratic, logits)
    assert (first_order - exact).abs().max() > 1e-2
    third_order = summed_gradient(reinmax_pass, cubic, logits) - exact_gradient(cubic, logits)
    assert third_order.abs().max() > 1e-2


def test_exact_for_quadratic_f_of_a_bit() -> None:
    logit = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    mean = logit.sigmoid()
    total = torch.zeros((), dtype=torch.float64)
    for bit, prob in ((0.0, 1 - mean), (1.0, mean)):
        hard = torch.tensor(bit, dtype=torch.float64)
        between = (hard + mean) / 2
        z = ops.reinmax(
            hard, ops.bernoulli_tangent(logit, mean), ops.bernoulli_tangent(logit, between)
        )
        total = total + prob.detach() * (z - 0.45).square()
    (estimate,) = torch.autograd.grad(total, logit)
    (exact,) = torch.autograd.grad(logit.sigmoid() * (0.55**2 - 0.45**2), logit)
    assert estimate.item() == pytest.approx(exact.item(), abs=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_value_is_the_hard_sample(dtype: torch.dtype, generator: Generator) -> None:
    logits = torch.randn(1000, 7, generator=generator).to(dtype)
    hard = ops.one_hot_argmax(logits, dtype)
    assert torch.equal(reinmax_pass(hard, logits), hard)
