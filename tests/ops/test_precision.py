"""Logits near 0 before noise is added, and gradients that stay finite on their way."""

import math

import pytest
import torch
from torch import Generator, Tensor
from torch.autograd import gradcheck, gradgradcheck

from hotgrad import ops

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_centred_rows_have_a_maximum_of_0(
    dtype: torch.dtype, dim: int, generator: Generator
) -> None:
    logits = (torch.randn(4, 5, generator=generator) - 1000).to(dtype).requires_grad_()
    moved = ops.centred(logits, dim)
    assert moved.dtype == ops.noise.noise_dtype(dtype)
    assert torch.equal(moved.amax(dim), torch.zeros_like(moved.amax(dim)))
    exact = logits.double() - logits.double().amax(dim, keepdim=True)
    torch.testing.assert_close(moved.double(), exact, rtol=0, atol=1e-4)
    (grad,) = torch.autograd.grad(moved.sum(), logits)
    assert torch.equal(grad, torch.ones_like(logits))


def test_small_logits_stay_as_they_are(generator: Generator) -> None:
    logits = torch.randn(4, 5, generator=generator)
    assert ops.centred(logits) is logits
    assert ops.plain(logits)
    for bad in (INF, -INF, NAN, 101.0, -101.0):
        assert not ops.plain(logits.index_fill(1, torch.tensor([2]), bad))
    # mapped by vmap, where nothing may be looked at, it is the same but for the constant
    moved = torch.func.vmap(ops.centred)(logits)
    torch.testing.assert_close(moved, logits - logits.amax(-1, keepdim=True))


def test_masks_stay_masks() -> None:
    lowest, highest = torch.finfo(torch.float32).min, torch.finfo(torch.float32).max
    rows = [
        ([1e9, -INF, 1e9], [0.0, -INF, 0.0]),
        ([-INF, -INF, -INF], [-INF, -INF, -INF]),
        ([lowest, lowest, lowest], [0.0, 0.0, 0.0]),
        ([lowest, highest, 0.0], [-INF, 0.0, -highest]),
        ([INF, 0.0, -INF], [INF, -highest, -INF]),
    ]
    for row, expected in rows:
        assert torch.equal(ops.centred(torch.tensor(row)), torch.tensor(expected))


def test_temperatures_of_the_categories_own_leave_the_logits_in_place() -> None:
    """Divided by several numbers, a constant is no common one."""
    logits = 1000 + torch.arange(6.0).view(2, 3)
    for shape in ((), (1,), (2, 1)):
        moved = ops.before_noise(logits, torch.full(shape, 0.5))
        assert torch.equal(moved.amax(-1), torch.zeros(2))
    for shape in ((3,), (1, 3), (2, 3)):
        assert torch.equal(ops.before_noise(logits, torch.full(shape, 0.5)), logits)
    assert torch.equal(ops.before_noise(logits, torch.full((2, 1), 0.5), 0), logits)
    assert torch.equal(ops.before_noise(logits, torch.full((3,), 0.5), 0).amax(0), torch.zeros(3))


def test_saturating_is_the_identity_with_a_finite_gradient() -> None:
    x = torch.rand(3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(ops.saturating, (x,))
    assert gradgradcheck(ops.saturating, (x,))
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        info = torch.finfo(dtype)
        leaf = torch.full((2,), info.tiny, dtype=dtype, requires_grad=True)

        def logarithm(values: Tensor) -> Tensor:
            return (1000 * ops.saturating(values).log()).sum()

        (grad,) = torch.autograd.grad(logarithm(leaf), leaf)
        assert grad.dtype == dtype
        assert torch.equal(grad, torch.full_like(leaf, info.max))
        assert torch.equal(torch.func.grad(logarithm)(leaf.detach()), grad)
        plain = (1000 * leaf.to(torch.float32).log()).sum()
        assert not torch.autograd.grad(plain, leaf)[0].isfinite().all()  # mutant: a plain cast
