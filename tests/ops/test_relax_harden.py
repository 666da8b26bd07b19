"""Relaxations against their formulas, hard samples exactly 0 and 1, gradients where scores end."""

import math

import pytest
import torch
from torch import Generator, Tensor
from torch.autograd import gradcheck, gradgradcheck

from hotgrad import ops

INF = math.inf
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
HALVES = [torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", DTYPES)
def test_hard_samples_are_exactly_zero_and_one(dtype: torch.dtype, generator: Generator) -> None:
    scores = torch.randn(2000, 11, generator=generator).to(dtype)
    hard = ops.one_hot_argmax(scores, dtype)
    soft = (scores / 0.37).softmax(-1).requires_grad_()
    z = ops.straight_through(hard, soft)
    assert z.dtype == dtype
    assert torch.equal(z, hard)
    assert torch.equal(hard.sum(-1), torch.ones(2000, dtype=dtype))
    assert torch.equal(hard.argmax(-1), scores.argmax(-1))
    # mutant: the other order of the same three terms
    assert not torch.equal((hard + soft) - soft.detach(), hard)


def test_straight_through_has_the_soft_gradient() -> None:
    soft = torch.tensor([0.2, 0.8], requires_grad=True)
    hard = torch.tensor([0.0, 1.0], requires_grad=True)
    weights = torch.tensor([3.0, -1.0])
    (ops.straight_through(hard.detach(), soft) @ weights).backward()
    assert soft.grad is not None
    assert torch.equal(soft.grad, weights)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_one_hot_argmax_along_any_dimension(dim: int, generator: Generator) -> None:
    scores = torch.randn(3, 4, 5, generator=generator, requires_grad=True)
    hard = ops.one_hot_argmax(scores, torch.float64, dim)
    assert hard.dtype == torch.float64
    assert not hard.requires_grad
    assert torch.equal(hard.argmax(dim), scores.argmax(dim))
    assert torch.equal(hard.sum(dim), torch.ones_like(hard.sum(dim)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_threshold(dtype: torch.dtype) -> None:
    scores = torch.tensor([-INF, -1.0, 0.0, 1e-30, INF], requires_grad=True)
    bits = ops.threshold(scores, dtype)
    assert bits.dtype == dtype
    assert bits.tolist() == [0, 0, 0, 1, 1]


def test_formulas(generator: Generator) -> None:
    logits = torch.randn(6, 4, dtype=torch.float64, generator=generator)
    gumbel = ops.draw_gumbel((6, 4), dtype=torch.float64, generator=generator)
    weights = ((logits + gumbel) / 0.3).exp()
    soft = weights / weights.sum(-1, keepdim=True)
    torch.testing.assert_close(ops.gumbel_softmax(logits, gumbel, 0.3), soft)
    torch.testing.assert_close(ops.log_gumbel_softmax(logits, gumbel, 0.3), soft.log())
    torch.testing.assert_close(
        ops.gumbel_softmax(logits, gumbel, 0.3, dim=0), weights / weights.sum(0)
    )
    torch.testing.assert_close(ops.binary_concrete(logits, gumbel, 0.3), weights / (1 + weights))
    # mutant: the temperature on the logits alone
    assert not torch.allclose((logits / 0.3 + gumbel).softmax(-1), soft)


@pytest.mark.parametrize("shape", [(), (1,), (4, 1), (1, 3), (4, 3)])
def test_temperature_broadcasts(shape: tuple[int, ...], generator: Generator) -> None:
    logits = torch.randn(4, 3, generator=generator)
    tau = torch.rand(shape, generator=generator) + 0.1
    for relax in (ops.gumbel_softmax, ops.binary_concrete, ops.log_gumbel_softmax):
        torch.testing.assert_close(
            relax(logits, 0.2, tau), relax((logits + 0.2) / tau, 0.0, 1.0), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_is_relaxed_in_single_precision(
    dtype: torch.dtype, generator: Generator
) -> None:
    """Scores over a temperature of 1e-4 overflow float16, also where there is no noise."""
    logits = (100 * torch.randn(1000, 5, generator=generator)).to(dtype)
    noise = ops.draw_gumbel((1000, 5), dtype=dtype, generator=generator)
    for perturbation in (noise, 0.0):
        soft = ops.gumbel_softmax(logits, perturbation, 1e-4)
        assert soft.dtype == dtype
        torch.testing.assert_close(
            soft, ops.gumbel_softmax(logits.float(), perturbation, 1e-4).to(dtype)
        )
        assert soft.isfinite().all()
        assert ops.binary_concrete(logits, perturbation, 1e-4).isfinite().all()


def test_gradients(generator: Generator) -> None:
    logits = torch.randn(2, 4, dtype=torch.float64, generator=generator)
    noise = ops.draw_gumbel((2, 4), dtype=torch.float64, generator=generator)
    tau = torch.tensor([[0.7], [1.3]], dtype=torch.float64)
    mask = torch.tensor([False, False, True, False])

    def masked(relax: object) -> object:
        def function(logits: Tensor, tau: Tensor) -> Tensor:
            scores = torch.where(mask, -INF, logits)
            return relax(scores, noise, tau)[:, ~mask]  # type: ignore[operator]

        return function

    inputs = (logits.requires_grad_(), tau.requires_grad_())
    for relax in (ops.gumbel_softmax, ops.log_gumbel_softmax, ops.binary_concrete):
        assert gradcheck(masked(relax), inputs)
        assert gradgradcheck(masked(relax), inputs)


@pytest.mark.parametrize("tau", [0.5, torch.tensor(0.5), torch.tensor([[0.5], [2.0]])])
def test_masks_have_finite_gradients_also_to_the_temperature(tau: float | Tensor) -> None:
    logits = torch.tensor([[0.0, 1.0, -INF], [2.0, -INF, -INF]], requires_grad=True)
    temperature = torch.as_tensor(tau).requires_grad_()
    noise = torch.tensor([0.3, -0.2, 4.0])
    soft = ops.gumbel_softmax(logits, noise, temperature)
    assert torch.equal(soft == 0, logits == -INF)
    grads = torch.autograd.grad(soft[:, 0].sum(), (logits, temperature))
    assert all(grad.isfinite().all() for grad in grads)
    assert torch.equal(grads[0][logits == -INF], torch.zeros(3))

    certain = torch.tensor([INF, -INF, 0.4], requires_grad=True)
    bits = ops.binary_concrete(certain, noise, temperature)
    assert torch.equal(bits.reshape(-1, 3)[0, :2], torch.tensor([1.0, 0.0]))
    grads = torch.autograd.grad(bits.sum(), (certain, temperature))
    assert all(grad.isfinite().all() for grad in grads)
    assert torch.equal(grads[0][:2], torch.zeros(2))
