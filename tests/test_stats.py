"""The checkers checked: right figures pass, wrong ones don't, invalid tests are refused."""

import math

import pytest
import torch
from stats import (
    InvalidTestError,
    cells_agree,
    cells_fit,
    distribution_fits,
    event_fits,
    integral,
    log_ratio_below,
    samples_agree,
    unbiased,
)
from torch import Generator, Tensor


def test_cells() -> None:
    probs = torch.tensor([[0.1, 0.2], [0.7, 0.0]])
    off = torch.tensor([[0.103, 0.2], [0.697, 0.0]])
    assert cells_fit((probs * 1e6).long(), probs)
    assert not cells_fit((off * 1e6).long(), probs)
    impossible = torch.tensor([[10, 20], [70, 1]])
    assert not cells_fit(impossible, probs)
    with pytest.raises(InvalidTestError, match="sum to"):
        cells_fit(torch.tensor([1, 1]), torch.tensor([0.5, 0.4]))


def test_event() -> None:
    assert event_fits(0, 1000, 1e-3)
    assert not event_fits(0, 1000, 2e-2)


def test_distribution(generator: Generator) -> None:
    sample = torch.rand(100_000, generator=generator)
    assert distribution_fits(sample, lambda x: x)
    assert not distribution_fits(sample.square(), lambda x: x)
    assert not distribution_fits((sample * 50).round() / 50, lambda x: x)


def test_two_samples(generator: Generator) -> None:
    first, second = (
        torch.rand(100_000, generator=generator),
        torch.rand(50_000, generator=generator),
    )
    assert samples_agree(first, second)
    assert not samples_agree(first, second.square())
    assert not samples_agree(first, 1.03 * second)
    cells = [torch.bincount((5 * sample).long(), minlength=5) for sample in (first, second)]
    assert cells_agree(*cells)
    assert not cells_agree(cells[0], torch.tensor([10_500, 9500, 10_000, 10_000, 10_000]))


def test_unbiased(generator: Generator) -> None:
    exact = torch.tensor([1.0, -0.5])

    def replicate(n: int, generator: Generator) -> Tensor:
        return exact + torch.randn(n, 2, generator=generator)

    assert unbiased(replicate, exact, generator=generator)
    assert not unbiased(lambda n, g: 1.05 * replicate(n, g), exact, generator=generator)
    assert not unbiased(lambda n, g: -replicate(n, g), exact, generator=generator)
    with pytest.raises(InvalidTestError, match="smaller toy"):
        unbiased(lambda n, g: 1000 * replicate(n, g), exact, generator=generator)


def test_unbiased_refuses_a_distribution_with_a_heavy_tail(generator: Generator) -> None:
    def replicate(n: int, generator: Generator) -> Tensor:
        rare = torch.rand(n, 1, generator=generator) < 1e-3
        return torch.where(rare, 1.0, torch.randn(n, 1, generator=generator) * 1e-3)

    with pytest.raises(InvalidTestError, match="skewness"):
        unbiased(replicate, torch.tensor([1e-3]), generator=generator, delta=1e-3)


def test_log_ratio(generator: Generator) -> None:
    noise = torch.randn(20_000, 3, generator=generator)
    spread = torch.tensor([1.0, 2.0, 0.0])
    assert log_ratio_below(0.9 * noise * spread, noise * spread) < 0
    assert log_ratio_below(noise, noise) == 0
    assert log_ratio_below(1.01 * noise, noise) > 0
    # replicates that aren't paired decide less
    other = torch.randn(20_000, 3, generator=generator)
    assert 0 < log_ratio_below(0.99 * other, noise) < 0.1


def test_integral() -> None:
    assert integral(torch.exp, 0.0, 1.0).item() == pytest.approx(math.e - 1, abs=1e-14)
    assert integral(lambda x: (x > 0.3).double(), 0.0, 0.3, 1.0).item() == pytest.approx(0.7)
