"""The value of a hard sample, the gradient of a soft one."""

from typing import Any

import pytest
import torch
from torch import Generator, Tensor

import hotgrad as hg
from hotgrad import ops
from hotgrad.ops import harden

SIZES = [10, 2 * harden.LARGE]


@pytest.mark.parametrize("size", SIZES)
def test_value_and_gradients_of_any_order(size: int, generator: Generator) -> None:
    hard, x = (torch.randn(3, size, generator=generator).double() for _ in range(2))
    x.requires_grad_()
    for soft in (x.square(), x.square().mean(0)):
        z = ops.straight_through(hard.clone(), soft)
        assert torch.equal(z, hard)
        (found,) = torch.autograd.grad((z * hard).square().sum(), x, create_graph=True)
        above = (2 * hard**3).sum_to_size(soft.shape)
        (expected,) = torch.autograd.grad(soft, x, above, retain_graph=True)
        torch.testing.assert_close(found, expected)
        (second,) = torch.autograd.grad(found.sum(), x)
        assert bool(second.isfinite().all())


@pytest.mark.parametrize("size", SIZES)
def test_it_may_be_changed_in_place(size: int) -> None:
    x = torch.ones(size, requires_grad=True)
    z = ops.straight_through(torch.ones(size), 3 * x)
    z.mul_(2)
    z[0] = 5
    z.sum().backward()
    assert x.grad is not None
    assert (x.grad[0], x.grad[1]) == (0, 6)


@pytest.mark.parametrize(
    "estimator",
    [
        hg.StraightThrough(),
        hg.StraightThroughGumbelSoftmax(0.5),
        hg.GappedStraightThrough(0.5),
        hg.GumbelRao(0.5, 3),
        hg.ReinMax(),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_estimators_do_the_same_with_large_samples(
    estimator: Any, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, weight = (torch.randn(50, 10, generator=generator) for _ in range(2))
    logits.requires_grad_()

    def sample_and_gradient(large: int) -> tuple[Tensor, Tensor]:
        monkeypatch.setattr(harden, "LARGE", large)
        q = hg.OneHotCategorical(logits=logits)
        z = estimator.sample(q, generator=generator.clone_state())
        (gradient,) = torch.autograd.grad((z * weight).sum(), logits)
        return z.detach(), gradient

    (large, its), (small, other) = sample_and_gradient(1), sample_and_gradient(10**6)
    assert torch.equal(large, small)
    torch.testing.assert_close(its, other)
