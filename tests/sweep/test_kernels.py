"""The compiled kernels through all words, ten thousand million draws and thousands of cases."""

import math

import pytest
import torch
from ops.kernels import philox, programs, test_fuzz_bits, test_fuzz_categories, test_torch_modes
from ops.kernels.races import tail_wins, z_score
from ops.kernels.reasons import needs_kernels
from torch import Generator, Tensor

from hotgrad import ops

pytestmark = needs_kernels
PIECE = 1 << 17  # fits into the cache


def pieces() -> range:
    return range(-(2**31), 2**31, PIECE)


def words_from(start: int) -> Tensor:
    return torch.arange(start, start + PIECE, dtype=torch.int32)


@pytest.mark.parametrize("fraction", [0.37])
def test_all_words(fraction: float) -> None:
    """Finite, in the order of the words, and exact to a millionth."""
    unit = torch.tensor(philox.TO_UNIT, dtype=torch.float32)
    last = math.inf
    for start in pieces():
        words = words_from(start)
        found = programs.mapped("exponential", words, fraction)
        # on the left of 0 they fall, on the right they rise
        change = found.diff()
        assert bool((change <= 0).all()) if start < 0 else bool((change >= 0).all())
        ends = float(found[0]), float(found[-1])
        assert ends[0] <= last if start < 0 else ends[0] >= last or start == 0
        last = ends[1]
        assert min(ends) > 0
        assert max(ends) < 24.0001
        # equal words after rounding to float32 have equal results
        i_plus_s = words.float() + fraction
        kept = torch.cat([torch.ones(1, dtype=torch.bool), i_plus_s.diff() != 0])
        exact = -torch.log1p(-(i_plus_s[kept] * unit).double().abs()) / math.log(2)
        assert float((found[kept].double() / exact - 1).abs().max()) < 5e-7


@pytest.mark.parametrize("fraction", [0.37])
def test_all_words_of_logistic_noise(fraction: float) -> None:
    for start in pieces():
        found = programs.mapped("logistic", words_from(start), fraction)
        assert bool(found.isfinite().all())
        # log u / (1 - u): its tails meet at 0
        size = found.abs()
        change = size.diff()
        assert bool((change >= 0).all()) if start < 0 else bool((change <= 0).all())


def test_ten_thousand_million_draws_without_nan_or_infinity(generator: Generator) -> None:
    for draw in (ops.draw_gumbel, ops.draw_logistic):
        for _ in range(5_000_000_000 // PIECE + 1):
            # a sum of finite numbers of this size is finite
            assert math.isfinite(draw((PIECE,), generator=generator).sum().item())


@pytest.mark.parametrize("seed", range(10))
def test_random_cases(seed: int) -> None:
    test_fuzz_categories.check_many(400, seed)
    test_fuzz_bits.check_many(400, seed)


@pytest.mark.usefixtures("compiler")
def test_compiled_by_the_inductor(generator: Generator) -> None:
    logits = torch.randn(6, 5, generator=generator)
    test_torch_modes.check_compiled(logits, "inductor")


@pytest.mark.parametrize(
    ("gap", "num_tail", "trials"),
    [(20.5, 262_144, 100_000), (18.0, 129_280, 30_000), (20.0, 129_280, 60_000)],
)
def test_the_mass_of_many_rare_classes(
    gap: float, num_tail: int, trials: int, generator: Generator
) -> None:
    """In the first race 33 wins of the tail are due; noise of float32 uniforms gives none."""
    won = tail_wins(gap, num_tail, trials, 8, generator)
    assert won > 0
    assert abs(z_score(won, gap, num_tail, trials)) < 4
