"""Relaxed m-hot vectors: the distribution of the loop that draws a repeated column anew."""

import math
from typing import Any

import pytest
import torch
from distributions.subsets import counts_of, race_log_probs
from stats import cells_agree, cells_fit, samples_agree
from torch import Generator, Tensor

import hotgrad as hg
from hotgrad import ops

INF, NAN = math.inf, math.nan
PROBS, TAU = torch.tensor([0.7, 0.2, 0.06, 0.04], dtype=torch.float64), 0.5
LOGITS = PROBS.log()
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def column(n: int, generator: Generator) -> Tensor:
    noise = ops.draw_gumbel((n, len(LOGITS)), dtype=torch.float64, generator=generator)
    return ((LOGITS + noise) / TAU).softmax(-1)


def literal_loop(n: int, m: int, generator: Generator) -> Tensor:
    """S of n samples: columns one by one, each drawn anew while its winner is an earlier one's."""
    taken = torch.zeros(n, len(LOGITS), dtype=torch.bool)
    largest = torch.zeros(n, len(LOGITS), dtype=torch.float64)
    for _ in range(m):
        drawn = column(n, generator)
        while bool((again := taken.gather(1, drawn.argmax(1, keepdim=True)).squeeze(1)).any()):
            drawn[again] = column(int(again.sum()), generator)
        taken.scatter_(1, drawn.argmax(1, keepdim=True), True)
        largest = largest.maximum(drawn)
    return largest


def noise_for(n: int, m: int, generator: Generator) -> Tensor:
    shape = (n, m + 1, len(LOGITS))
    return ops.draw_gumbel(shape, dtype=torch.float64, generator=generator)


def without_loop(n: int, m: int, generator: Generator) -> Tensor:
    return hg.m_hot(LOGITS.expand(n, -1), m, TAU, generator=generator)


def with_the_ranking_noise(n: int, m: int, generator: Generator) -> Tensor:
    """Mutant: all columns are made from the noise that ranked the winners."""
    noise = noise_for(n, m, generator)[:, :1].expand(-1, m + 1, -1)
    return ops.columns_maximum(ops.relaxed_columns(LOGITS, noise, TAU))


def with_conditional_ranking(n: int, m: int, generator: Generator) -> Tensor:
    """Mutant: the m largest of one relaxed draw, the winners taken out one after another."""
    scores = (LOGITS + noise_for(n, m, generator)[:, 0]) / TAU
    largest = torch.zeros_like(scores)
    for _ in range(m):
        drawn = scores.softmax(-1)
        largest = largest.maximum(drawn)
        scores = scores.scatter(1, drawn.argmax(1, keepdim=True), -INF)
    return largest


def with_other_winners(n: int, m: int, generator: Generator) -> Tensor:
    """Mutant: the winners are those of equally likely sets."""
    noise = noise_for(n, m, generator)
    noise[:, 0] -= LOGITS
    return ops.columns_maximum(ops.relaxed_columns(LOGITS, noise, TAU))


def agrees_with_the_loop(first: Tensor, second: Tensor) -> bool:
    """Distributions of each entry, of each pair's difference, and of thirds together."""
    pairs = [(i, j) for i in range(4) for j in range(i)]
    level = 1e-6 / (5 + len(pairs))
    edges = second.quantile(torch.tensor([1 / 3, 2 / 3]).double(), 0)

    def cells(sample: Tensor) -> Tensor:
        place = (sample.unsqueeze(1) > edges).sum(1) @ torch.tensor([27, 9, 3, 1])
        return torch.bincount(place, minlength=81)

    return (
        all(samples_agree(first[:, i], second[:, i], alpha=level) for i in range(4))
        and all(
            samples_agree(first[:, i] - first[:, j], second[:, i] - second[:, j], alpha=level)
            for i, j in pairs
        )
        and bool(cells_agree(cells(first), cells(second), alpha=level))
    )


@pytest.mark.parametrize("m", [1, 2, 3])
def test_has_the_distribution_of_the_loop(m: int, generator: Generator) -> None:
    n = 50_000
    loop = literal_loop(n, m, generator)
    assert agrees_with_the_loop(without_loop(n, m, generator), loop)
    if m > 1:
        for mutant in (with_the_ranking_noise, with_conditional_ranking, with_other_winners):
            assert not agrees_with_the_loop(mutant(n, m, generator), loop)


@pytest.mark.parametrize("probs", [[0.7, 0.2, 0.06, 0.04], [0.999999, 5e-7, 3e-7, 2e-7]])
def test_hard_vectors_are_drawn_without_replacement(
    probs: list[float], generator: Generator
) -> None:
    """However much of the mass one class has: a loop would need millions of tries a column."""
    logits = torch.tensor(probs).log()
    hard = hg.m_hot(logits.expand(200_000, 4), 2, hard=True, generator=generator)
    assert cells_fit(counts_of(hard, 2), race_log_probs(logits, 2).exp())
    # mutant: the temperature sharpens the distribution itself
    assert not cells_fit(counts_of(hard, 2), race_log_probs(logits / 0.9, 2).exp())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tau", [1e-6, 0.1, 1.0, 100.0])
def test_values(tau: float, dtype: torch.dtype, generator: Generator) -> None:
    logits = (5 * torch.randn(300, 7, generator=generator)).to(dtype).requires_grad_()
    for m in (0, 1, 3, 7):
        soft = hg.m_hot(logits, m, tau, generator=generator)
        hard = hg.m_hot(logits, m, tau, True, generator=generator)
        assert soft.dtype == hard.dtype == dtype
        assert soft.shape == hard.shape == (300, 7)
        assert bool(((soft >= 0) & (soft <= 1)).all())
        assert bool(((hard == 0) | (hard == 1)).all())
        assert bool((hard.double().sum(-1) == m).all())
        for sample in (soft, hard):
            (grad,) = torch.autograd.grad((sample * sample).sum(), logits)
            assert grad.dtype == dtype
            assert grad.isfinite().all()


def test_columns_are_one_hot_with_distinct_winners(generator: Generator) -> None:
    logits = torch.randn(1000, 6, dtype=torch.float64, generator=generator)
    seeds = [torch.Generator().manual_seed(3) for _ in range(3)]
    columns = hg.m_hot_columns(logits, 3, 0.7, seeds[0])
    assert columns.shape == (1000, 6, 3)
    torch.testing.assert_close(columns.sum(1), torch.ones(1000, 3, dtype=torch.float64))
    winners = columns.argmax(1)
    assert bool((winners.sort(-1).values.diff(dim=-1) > 0).all())
    assert torch.equal(hg.m_hot(logits, 3, 0.7, generator=seeds[1]), columns.amax(-1))
    hard = hg.m_hot(logits, 3, 0.7, True, seeds[2])
    assert torch.equal(hard, torch.zeros_like(logits).scatter(1, winners, 1.0))


def test_the_gradient_takes_the_accepted_noise_as_fixed(generator: Generator) -> None:
    """dC / dlogits = (diag C - C C^T) / tau."""
    logits = torch.randn(50, 5, dtype=torch.float64, generator=generator).requires_grad_()
    weights = torch.randn(50, 5, 2, dtype=torch.float64, generator=generator)
    columns = hg.m_hot_columns(logits, 2, 0.4, generator)
    (grad,) = torch.autograd.grad((columns * weights).sum(), logits)
    fixed = columns.detach()
    centred = weights - (fixed * weights).sum(1, keepdim=True)
    torch.testing.assert_close(grad, (fixed * centred / 0.4).sum(-1))


def test_hard_vectors_have_the_relaxed_gradient() -> None:
    weights = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
    grads = []
    for hard in (False, True):
        logits = torch.linspace(-1, 1, 5).expand(50, 5).clone().requires_grad_()
        sample = hg.m_hot(logits, 2, 0.5, hard, torch.Generator().manual_seed(1))
        grads.append(torch.autograd.grad((sample * weights).sum(), logits)[0])
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (2, 1)])
def test_temperature_tensors(shape: tuple[int, ...]) -> None:
    """One for each row, even where there are as many rows as columns."""
    logits = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    tau = (torch.rand(shape, generator=torch.Generator().manual_seed(1)) + 0.1).requires_grad_()
    both = hg.m_hot_columns(logits, 2, tau, torch.Generator().manual_seed(2))
    cold = hg.m_hot_columns(logits, 2, 1.0, torch.Generator().manual_seed(2))
    each = tau.expand(2, 5).unsqueeze(-1) if shape else tau
    torch.testing.assert_close(both, (cold.log() / each).softmax(1))
    (grad,) = torch.autograd.grad(both.square().sum(), tau)
    assert grad.shape == shape
    assert grad.isfinite().all()


@pytest.mark.parametrize("hard", [False, True])
def test_masks(hard: bool, generator: Generator) -> None:
    logits = torch.tensor([0.3, -INF, 1.0, -2.0], requires_grad=True)
    for m in (1, 2, 3):
        sample = hg.m_hot(logits.expand(500, 4), m, 0.5, hard, generator)
        assert bool((sample[:, 1] == 0).all())
        (grad,) = torch.autograd.grad(sample.square().sum(), logits)
        assert grad.isfinite().all()
        assert grad[1] == 0


def test_generator_decides_everything() -> None:
    before = torch.get_rng_state()
    first, again, other = (
        hg.m_hot(torch.zeros(50, 6), 2, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("logits", "m", "message"),
    [
        (torch.tensor([1, 2]), 1, r"logits must be floating point, got dtype torch.int64"),
        ([0.0, 1.0], 1, "logits must be a tensor, got list"),
        (torch.tensor(0.0), 0, "logits needs a last dimension"),
        (torch.zeros(3), 4, "m must be an integer from 0 to n = 3, the number of items; got 4"),
        (torch.zeros(3), -1, "m must be an integer from 0 to n = 3, the number of items; got -1"),
        (torch.zeros(3), 2.0, "m must be an integer from 0 to n = 3.*got 2.0"),
        (torch.zeros(3), torch.tensor([1, 2, 1]), r"m must be one Python integer, got a tensor"),
        (torch.tensor([[0.0, 1.0], [NAN, 0.0]]), 1, r"1 of 4 are not, the first nan at \(1, 0\)"),
        (torch.tensor([0.0, INF]), 1, r"1 of 2 are not, the first inf at \(1,\)"),
        (
            torch.tensor([[0.0, 1.0], [0.0, -INF]]),
            2,
            r"m = 2 items can't be chosen where fewer are unmasked: row \(1,\) has 1 logits above",
        ),
    ],
)
def test_bad_input(logits: Any, m: Any, message: str) -> None:
    for hard in (False, True):
        with pytest.raises(ValueError, match=message):
            hg.m_hot(logits, m, hard=hard)
    with pytest.raises(ValueError, match=message):
        hg.m_hot_columns(logits, m)


@pytest.mark.parametrize("temperature", [0.0, -1.0, NAN, INF, torch.tensor([0.5, 0.0, 1.0])])
def test_bad_temperatures(temperature: float | Tensor) -> None:
    with pytest.raises(ValueError, match="temperature must be positive and finite"):
        hg.m_hot(torch.zeros(3), 2, temperature)
