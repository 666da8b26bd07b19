"""What the kernels make of a word: as fine next to 0 as floats are, and finite everywhere."""

import math

import pytest
import torch
from ops.kernels import philox, programs
from torch import Tensor

FRACTIONS = [2.0**-24, 0.1, 0.25, 0.5, 0.75, 1 - 2.0**-24]
TOP = 2**31
NEAR_0 = torch.arange(-1000, 1000)
EXTREMES = torch.tensor([-TOP, -TOP + 1, -TOP // 2, TOP // 2, TOP - 129, TOP - 128, TOP - 1])
POWERS = torch.tensor([sign * (2**b + d) for b in range(31) for d in (-1, 0) for sign in (1, -1)])


def exact_w(words: Tensor, fraction: float) -> Tensor:
    i_plus_s = words.float() + fraction
    return (i_plus_s * torch.tensor(philox.TO_UNIT, dtype=torch.float32)).double()


def relative_error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() / exact - 1).abs().max())


@pytest.fixture
def words(generator: torch.Generator) -> Tensor:
    drawn = torch.randint(-TOP, TOP, (100_000,), generator=generator)
    return torch.cat([NEAR_0, EXTREMES, POWERS, drawn]).to(torch.int32)


@pytest.mark.parametrize("fraction", FRACTIONS)
def test_exponential(words: Tensor, fraction: float) -> None:
    found = programs.mapped("exponential", words, fraction)
    exact = -torch.log1p(-exact_w(words, fraction).abs()) / math.log(2)
    assert relative_error(found, exact) < 5e-7
    # the tail that lets a rare class win, to the last digit that the fraction has
    assert found.min() > 0
    assert found.min() < 2.0**-31
    assert found.max() < 24.0001
    order = (words.float() + fraction).abs().sort().indices
    assert bool((found[order].diff() >= 0).all())


def test_the_smallest_exponential() -> None:
    smallest = programs.mapped("exponential", torch.tensor([0, -1]).int(), 2.0**-24)
    assert smallest[0] == pytest.approx(2.0**-55 / math.log(2), rel=1e-6)
    assert smallest[1] == pytest.approx(2.0**-31 / math.log(2), rel=1e-6)


@pytest.mark.parametrize("fraction", FRACTIONS)
def test_logistic(words: Tensor, fraction: float) -> None:
    found = programs.mapped("logistic", words, fraction)
    w = exact_w(words, fraction)
    exact = torch.logit(w.abs() / 2).copysign(w) / math.log(2)
    torch.testing.assert_close(found.double(), exact, rtol=5e-7, atol=5e-7)
    assert torch.equal(found.signbit(), w < 0)


def test_log2(generator: torch.Generator) -> None:
    exponents = torch.randint(-125, 127, (100_000,), generator=generator)
    numbers = torch.rand(100_000, generator=generator).add(1).ldexp(exponents)
    near_1 = 1 + torch.linspace(-1e-3, 1e-3, 4001)
    x = torch.cat([numbers, near_1[near_1 != 1], 1 - torch.tensor([2.0**-24, 2.0**-20])])
    assert relative_error(programs.mapped("log2", x), x.double().log2()) < 5e-7
    assert float(programs.mapped("log2", torch.ones(3)).abs().max()) == 0


def test_exp2(generator: torch.Generator) -> None:
    x = torch.rand(100_000, generator=generator) * 250 - 125
    x = torch.cat([x, torch.linspace(-2, 2, 4001), torch.arange(-125.0, 127.0)])
    assert relative_error(programs.mapped("exp2", x), x.double().exp2()) < 5e-7
    low = torch.tensor([-math.inf, -3.4e38, -1e6, -1000.0, -126.0, -125.0001])
    assert torch.equal(programs.mapped("exp2", low), torch.zeros(6))


def test_exp2_of_nan_of_any_bits() -> None:
    bits = [0x7FC00000, 0x7F800001, 0x7FFFFFFF, 0x7FC000FF, -1, -0x7FFFFF, -0x3FFFFF, -0x400000]
    nan = torch.tensor(bits, dtype=torch.int64).to(torch.int32).view(torch.float32)
    assert bool(nan.isnan().all())
    assert bool(programs.mapped("exp2", nan).isnan().all())
