"""Successive softmaxes: the paper's sum where it lies between k-hot vectors, repaired elsewhere."""

import pytest
import torch
from torch import Generator, Tensor
from torch.autograd import gradcheck, gradgradcheck

from hotgrad import ops

INF = torch.inf
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def paper(scores: Tensor, k: int, temperature: float) -> Tensor:
    """Line by line."""
    alpha, total = scores, torch.zeros_like(scores)
    for _ in range(k):
        taken = (alpha / temperature).softmax(-1)
        total = total + taken
        alpha = alpha + torch.log(1 - taken)
    return total


def draw_scores(*shape: int, generator: Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("temperature", [0.2, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_it_is_the_papers_sum_where_no_entry_passes_1(
    k: int, temperature: float, generator: Generator
) -> None:
    scores = draw_scores(500, 9, generator=generator)
    literal = paper(scores, k, temperature)
    within = (literal <= 1 + 1e-12).all(-1)
    assert within.count_nonzero() > 50
    relaxed = ops.relaxed_top_k(scores, k, temperature)
    torch.testing.assert_close(relaxed[within], literal[within], rtol=0, atol=1e-12)
    # mutant: the temperature left out
    assert (relaxed - paper(scores, k, 1.3 * temperature)).abs().max() > 0.01


def test_what_is_above_1_is_shared_in_proportion_to_the_room() -> None:
    scores = torch.tensor([3.0, 1.0, 0.0], dtype=torch.float64)
    literal = paper(scores, 2, 2.0)
    assert literal[0] > 1.05
    above = literal[0] - 1
    room = 1 - literal[1:]
    expected = torch.cat([torch.ones(1).double(), literal[1:] + above * room / room.sum()])
    torch.testing.assert_close(ops.relaxed_top_k(scores, 2, 2.0), expected)


@pytest.mark.parametrize("size", [1.0, 50.0])
@pytest.mark.parametrize("k", [0, 1, 3, 6])
@pytest.mark.parametrize("temperature", [1e-3, 0.3, 1.0, 5.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_entries_lie_in_the_unit_interval_and_sum_to_k(
    dtype: torch.dtype, temperature: float, k: int, size: float, generator: Generator
) -> None:
    scores = (size * draw_scores(300, 8, generator=generator)).clamp(-size, size)
    scores[0] = scores[0, 0]
    scores[:, [2, 5]] = -INF  # k = 6 is all that is left
    relaxed = ops.relaxed_top_k(scores.to(dtype), k, temperature)
    eps = torch.finfo(dtype).eps
    assert relaxed.dtype == dtype
    assert (relaxed[:, [2, 5]] == 0).all()
    assert relaxed.min() >= 0
    assert relaxed.max() <= 1 + 2 * eps
    assert (relaxed.double().sum(-1) - k).abs().max() <= (8 + 4 * k) * eps


@pytest.mark.parametrize("gap", [1.0, 100.0])
def test_cold_it_is_the_hard_vector_however_far_a_score_leads(gap: float) -> None:
    scores = gap * torch.tensor([2.0, 7.0, 0.0, 5.0, 3.0, -INF])
    relaxed = ops.relaxed_top_k(scores, 3, 1e-3)
    assert torch.equal(relaxed, ops.k_hot(scores, 3, torch.float32))
    # mutant: a floor of the smallest float under 1 - a, which takes a far leader again
    alpha, again = scores, torch.zeros(6)
    for _ in range(3):
        taken = (alpha / 1e-3).softmax(-1)
        again = again + taken
        alpha = alpha + (1 - taken).clamp(min=torch.finfo(torch.float32).tiny).log()
    assert torch.equal(again, relaxed) == (gap == 1.0)


def test_one_of_n_is_a_softmax(generator: Generator) -> None:
    scores = draw_scores(20, 7, generator=generator)
    torch.testing.assert_close(ops.relaxed_top_k(scores, 1, 0.4), (scores / 0.4).softmax(-1))


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
def test_gradients(temperature: float, generator: Generator) -> None:
    scores = draw_scores(3, 6, generator=generator).requires_grad_()
    tau = torch.full((3, 1), temperature, dtype=torch.float64, requires_grad=True)

    def relax(scores: Tensor, tau: Tensor) -> Tensor:
        masked = torch.where(torch.tensor([False] * 5 + [True]), -INF, scores)
        return ops.relaxed_top_k(masked, 3, tau)

    assert gradcheck(relax, (scores, tau))
    assert gradgradcheck(relax, (scores, tau))


@pytest.mark.parametrize("k", [0, 1, 40, 100])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gradients_are_finite_at_a_low_temperature(
    dtype: torch.dtype, k: int, generator: Generator
) -> None:
    scores = (50 * draw_scores(20, 110, generator=generator)).clamp(-50, 50)
    scores = scores + ops.draw_gumbel((20, 110), dtype=torch.float64, generator=generator)
    scores[:, 100:] = -INF
    scores = scores.to(dtype).requires_grad_()
    (ops.relaxed_top_k(scores, k, 1e-3) * torch.linspace(-1, 2, 110)).sum().backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert (scores.grad[:, 100:] == 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_relaxed_in_single_precision(
    dtype: torch.dtype, generator: Generator
) -> None:
    scores = draw_scores(200, 7, generator=generator).to(dtype)
    expected = ops.relaxed_top_k(scores.float(), 3, 0.01).to(dtype)
    assert torch.equal(ops.relaxed_top_k(scores, 3, 0.01), expected)


@pytest.mark.parametrize("shape", [(), (1,), (4, 1)])
def test_temperature_broadcasts(shape: tuple[int, ...], generator: Generator) -> None:
    scores = draw_scores(4, 5, generator=generator)
    tau = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.1
    rows = [
        ops.relaxed_top_k(row, 2, float(t))
        for row, t in zip(scores, tau.expand(4, 1).flatten(), strict=True)
    ]
    torch.testing.assert_close(ops.relaxed_top_k(scores, 2, tau), torch.stack(rows))
