"""Noise given its outcome: it leads to the outcome, and over all outcomes it is plain noise."""

import itertools
import math

import pytest
import torch
from stats import distribution_fits, gumbel_cdf, logistic_cdf
from torch import Generator, Tensor
from torch.autograd import gradcheck, gradgradcheck

from hotgrad import ops

INF = math.inf
LOGITS = torch.tensor([1.0, -2.0, 0.5, -INF, 3.0], dtype=torch.float64)
POSSIBLE = [0, 1, 2, 4]


def one_hot(index: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(index, len(LOGITS)).double()


def draw_outcomes(n: int, generator: Generator) -> Tensor:
    noise = ops.draw_gumbel((n, len(LOGITS)), dtype=torch.float64, generator=generator)
    return ops.one_hot_argmax(LOGITS + noise, torch.float64)


def fresh(n: int, generator: Generator) -> Tensor:
    return ops.draw_gumbel((n, len(LOGITS)), dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_the_outcome_always_wins(scale: float, generator: Generator) -> None:
    for winner in POSSIBLE:
        outcome = one_hot(torch.tensor(winner))
        noise = ops.gumbel_given_outcome(LOGITS * scale, outcome, fresh(100_000, generator))
        assert bool(((LOGITS * scale + noise).argmax(-1) == winner).all())
    # mutant: noise that knows nothing of the outcome
    assert not bool(((LOGITS * scale + fresh(1000, generator)).argmax(-1) == 1).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_outcome_wins_up_to_rounding(dtype: torch.dtype, generator: Generator) -> None:
    logits = LOGITS.to(dtype)
    outcome = one_hot(torch.tensor([0, 1, 2, 4])).to(dtype).unsqueeze(1)
    noise = ops.draw_gumbel((4, 50_000, 5), dtype=dtype, generator=generator)
    noise = ops.gumbel_given_outcome(logits, outcome, noise)
    assert noise.dtype == torch.float32
    scores = logits + noise
    won = (scores * outcome).nan_to_num(0.0, neginf=0.0).sum(-1)
    ulps = 4 * torch.finfo(torch.float32).eps * scores.nan_to_num(neginf=0.0).abs().amax(-1)
    assert bool((won >= scores.amax(-1) - ulps).all())


def dropped_rate(logits: Tensor, outcome: Tensor, noise: Tensor) -> Tensor:
    """Mutant: the loser's arrival without its rate, -log(E_i + E_w)."""
    winner = torch.where(outcome > 0.5, noise, -INF).amax(-1, keepdim=True)
    right = ops.gumbel_given_outcome(logits, outcome, noise)
    return torch.where(outcome > 0.5, right, -torch.logaddexp(-noise, -winner))


def test_over_all_outcomes_it_is_gumbel_noise(generator: Generator) -> None:
    n = 200_000
    outcome = draw_outcomes(n, generator)
    noise = ops.gumbel_given_outcome(LOGITS, outcome, fresh(n, generator))
    cells = len(LOGITS)
    assert all(distribution_fits(noise[:, k], gumbel_cdf, alpha=1e-6 / cells) for k in range(cells))
    # two independent Gumbel variables differ by a logistic one
    pairs = list(itertools.combinations(range(cells), 2))
    assert all(
        distribution_fits(noise[:, i] - noise[:, j], logistic_cdf, alpha=1e-6 / len(pairs))
        for i, j in pairs
    )

    mutant = dropped_rate(LOGITS, outcome, fresh(n, generator))
    assert not distribution_fits(mutant[:, 1], gumbel_cdf)
    uniform = one_hot(torch.tensor(POSSIBLE).repeat(n // 4))
    mutant = ops.gumbel_given_outcome(LOGITS, uniform, fresh(n, generator))
    assert not distribution_fits(mutant[:, 4], gumbel_cdf)


def test_the_winning_score_says_nothing_of_the_winner(generator: Generator) -> None:
    """Whoever wins, the largest score is Gumbel around log-sum-exp."""
    for winner in POSSIBLE:
        outcome = one_hot(torch.tensor(winner))
        noise = ops.gumbel_given_outcome(LOGITS, outcome, fresh(100_000, generator))
        top = (LOGITS + noise).amax(-1)
        assert distribution_fits(top - LOGITS.logsumexp(0), gumbel_cdf)
        assert not distribution_fits(top - LOGITS.amax(), gumbel_cdf)  # mutant: another centre


@pytest.mark.parametrize("outcome", [0.0, 1.0])
@pytest.mark.parametrize("logit", [-3.0, 0.0, 0.7, 5.0])
def test_bits_have_the_truncated_distribution(
    logit: float, outcome: float, generator: Generator
) -> None:
    logits = torch.tensor(logit, dtype=torch.float64)
    plain = ops.draw_logistic((100_000,), dtype=torch.float64, generator=generator)
    noise = ops.logistic_given_outcome(logits, torch.tensor(outcome), plain)
    below = float(torch.sigmoid(-logits))  # P(noise < -logit), that is P(bit = 0)

    def truncated(x: Tensor) -> Tensor:
        lower, upper = ((0.0, below), (below, 1.0))[int(outcome)]
        return ((x.sigmoid() - lower) / (upper - lower)).clamp(0, 1)

    assert distribution_fits(noise, truncated)
    # mutant: the other outcome's noise
    other = ops.logistic_given_outcome(logits, torch.tensor(1 - outcome), plain)
    assert not distribution_fits(other, truncated)


def test_over_both_outcomes_it_is_logistic_noise(generator: Generator) -> None:
    logits = torch.tensor([-4.0, -0.3, 0.0, 2.0], dtype=torch.float64)

    def draw() -> Tensor:
        return ops.draw_logistic((200_000, 4), dtype=torch.float64, generator=generator)

    outcome = ops.threshold(logits + draw(), torch.float64)
    noise = ops.logistic_given_outcome(logits, outcome, draw())
    assert all(distribution_fits(noise[:, k], logistic_cdf, alpha=2.5e-7) for k in range(4))
    mutant = ops.logistic_given_outcome(-logits, outcome, draw())  # mutant: the sign of the logits
    assert not distribution_fits(mutant[:, 3], logistic_cdf)


def test_bits_always_come_out_as_given(generator: Generator) -> None:
    logits = torch.tensor([-INF, -1000.0, -5.0, 0.0, 5.0, 1000.0, INF], dtype=torch.float64)
    noise = ops.draw_logistic((100_000, 7), dtype=torch.float64, generator=generator)
    for outcome in (
        torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]),
        torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
    ):
        conditional = ops.logistic_given_outcome(logits, outcome, noise)
        assert conditional.isfinite().all()
        assert torch.equal(
            ops.threshold(logits + conditional, torch.float64), outcome.double().expand(100_000, 7)
        )


def test_gradients(generator: Generator) -> None:
    noise = fresh(3, generator)
    outcome = one_hot(torch.tensor([0, 4, 2]))
    mask = LOGITS == -INF

    def categories(scores: Tensor, noise: Tensor) -> Tensor:
        return ops.gumbel_given_outcome(torch.where(mask, -INF, scores), outcome, noise)

    def bits(scores: Tensor, noise: Tensor) -> Tensor:
        certain = torch.where(outcome > 0.5, INF, -INF)
        return ops.logistic_given_outcome(torch.where(mask, certain, scores), outcome, noise)

    scores = torch.randn(3, 5, dtype=torch.float64, generator=generator)
    inputs = (scores.requires_grad_(), noise.requires_grad_())
    for function in (categories, bits):
        assert gradcheck(function, inputs)
        assert gradgradcheck(function, inputs)


def test_gradients_are_finite_at_masks_and_certain_bits() -> None:
    logits = torch.tensor([INF, -INF, 0.0], requires_grad=True)
    outcome = torch.tensor([1.0, 0.0, 1.0])
    ops.logistic_given_outcome(logits, outcome, torch.tensor([0.3, -9.0, 9.0])).sum().backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad[:2], torch.zeros(2))
    assert logits.grad.isfinite().all()

    scores = torch.tensor([0.0, -INF, 1000.0, -1000.0], requires_grad=True)
    outcome = torch.tensor([1.0, 0.0, 0.0, 0.0])
    noise = ops.gumbel_given_outcome(scores, outcome, torch.tensor([0.3, 1.0, -2.0, 9.0]))
    assert noise.isfinite().all()
    noise.sum().backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert scores.grad[1] == 0
