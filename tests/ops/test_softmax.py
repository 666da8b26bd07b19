"""The softmax of short rows: torch's numbers, gradients and masks, whatever the shape."""

import math

import pytest
import torch
from torch import Generator
from torch.autograd import gradcheck, gradgradcheck

from hotgrad import ops

PAIRS = [(ops.softmax, torch.softmax), (ops.log_softmax, torch.log_softmax)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(3,), (5, 1), (5, 2), (4, 3, 10), (5, 40), (0, 3), (2, 0, 3)])
def test_agrees_with_torch(
    shape: tuple[int, ...], dtype: torch.dtype, generator: Generator
) -> None:
    scores = (3 * torch.randn(shape, generator=generator)).to(dtype)
    for ours, theirs in PAIRS:
        for dim in range(-len(shape), len(shape)):
            actual = ours(scores, dim)
            assert actual.dtype == dtype
            assert actual.is_contiguous()
            # two roundings of numbers of the size of the scores; torch's own last-dimension kernel
            # rounds half precision more coarsely than that
            exact = theirs(scores.double(), dim)
            size = 2 * max([1.0, *scores.abs().flatten().tolist()])
            torch.testing.assert_close(
                actual.double(),
                exact,
                rtol=2 * torch.finfo(dtype).eps,
                atol=size * torch.finfo(dtype).eps,
            )


def test_masks_and_gradients(generator: Generator) -> None:
    scores = torch.randn(4, 3, dtype=torch.float64, generator=generator).requires_grad_()
    masked = scores.detach().clone().index_fill_(1, torch.tensor([1]), -math.inf)
    assert torch.equal(ops.softmax(masked)[:, 1], torch.zeros(4, dtype=torch.float64))
    assert bool((ops.log_softmax(masked)[:, 1] == -math.inf).all())
    assert ops.softmax(torch.full((2, 2), -math.inf)).isnan().all()
    for ours, _ in PAIRS:
        assert gradcheck(ours, (scores,))
        assert gradgradcheck(ours, (scores,))
        leaf = masked.clone().requires_grad_()
        (grad,) = torch.autograd.grad(ours(leaf)[:, 0].sum(), leaf)
        assert grad.isfinite().all()


def test_vmap(generator: Generator) -> None:
    scores = torch.randn(6, 4, 3, generator=generator)
    for ours, theirs in PAIRS:
        torch.testing.assert_close(torch.func.vmap(ours)(scores), theirs(scores, -1))
        torch.testing.assert_close(
            torch.func.vmap(ours, in_dims=2)(scores), theirs(scores, 1).movedim(2, 0)
        )
