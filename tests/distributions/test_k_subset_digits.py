"""KSubset in float32 where its items' log-odds are large: nothing cancels."""

import pytest
import torch
from torch import Generator, Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.distributions import kl_divergence

import hotgrad as hg


@pytest.mark.parametrize("k", [13, 23, 24])
@pytest.mark.parametrize("gap", [30.0, 1e4])
def test_logits_far_apart_leave_entropy_and_divergence_their_digits(gap: float, k: int) -> None:
    """Items that are certain: what is missing to 1 multiplies their large log-odds."""
    logits = torch.cat([torch.full((12,), gap), torch.zeros(12)])
    other = torch.linspace(-1, 1, 24)
    q, prior = hg.KSubset(logits, k), hg.KSubset(other, k)
    exact, exact_prior = hg.KSubset(logits.double(), k), hg.KSubset(other.double(), k)
    torch.testing.assert_close(q.entropy().double(), exact.entropy(), rtol=3e-6, atol=3e-6)
    divergence = kl_divergence(q, prior).double()
    torch.testing.assert_close(divergence, kl_divergence(exact, exact_prior), rtol=3e-6, atol=3e-6)
    for found, expected in zip(q.marginals(), exact.marginals(), strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)


def test_one_minus_the_mean_has_no_digits_of_what_is_left_out() -> None:
    """The mutant of the test above."""
    q = hg.KSubset(torch.cat([torch.full((12,), 1e4), torch.zeros(12)]), 13)
    chosen, left_out = q.marginals()
    off = (1 - chosen) - left_out
    assert float((off * 1e4).abs().sum()) > 1e-3


def test_gradients_of_what_is_left_out(generator: Generator) -> None:
    scores = torch.randn(2, 6, dtype=torch.float64, generator=generator).requires_grad_()

    def left_out(scores: Tensor) -> Tensor:
        return hg.KSubset(scores, 2).marginals()[1]

    assert gradcheck(left_out, (scores,))
    assert gradgradcheck(left_out, (scores,), fast_mode=True)
    mapped = torch.func.vmap(lambda row: hg.KSubset(row, 2).marginals()[1])(scores.detach())
    torch.testing.assert_close(mapped, 1 - hg.KSubset(scores.detach(), 2).mean)
