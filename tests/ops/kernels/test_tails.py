"""A rare class wins as often as it should, also one that a float32 uniform never lets win."""

import math

import pytest
from ops.kernels.races import tail_wins, z_score
from ops.kernels.reasons import needs_kernels
from stats import event_fits
from torch import Generator

from hotgrad import ops

MOST_OF_A_FLOAT32_UNIFORM = 16.64
DRAWS, PIECE = 300_000_000, 1 << 20


@needs_kernels
def test_gumbel_noise_beyond_the_reach_of_a_float32_uniform(generator: Generator) -> None:
    level = 16.7
    assert -math.log(-math.log1p(-(2.0**-24))) < MOST_OF_A_FLOAT32_UNIFORM < level
    hits = sum(
        int((ops.draw_gumbel((PIECE,), generator=generator) > level).sum())
        for _ in range(DRAWS // PIECE)
    )
    drawn = DRAWS // PIECE * PIECE
    assert event_fits(hits, drawn, -math.expm1(-math.exp(-level)))
    # mutant: noise that ends before
    assert not event_fits(0, drawn, -math.expm1(-math.exp(-level)))


@pytest.mark.parametrize("gap", [8.0, 12.0])
def test_the_mass_of_many_rare_classes(gap: float, generator: Generator) -> None:
    trials, num_tail = 1024, 20_000
    won = tail_wins(gap, num_tail, trials, 64, generator)
    assert abs(z_score(won, gap, num_tail, trials)) < 4
