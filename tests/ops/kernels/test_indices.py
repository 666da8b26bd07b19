"""The numbers of categories alone: of a race of few, else from the masses of blocks."""

import math

import pytest
import torch
from ops.kernels import philox
from ops.kernels.reasons import needs_kernels
from stats import cells_fit
from torch import Generator, Tensor

from hotgrad.ops.kernels import categories, fused

pytestmark = needs_kernels
INF = math.inf
SIZES = [1, 2, 3, 40, 50, 51, 63, 64, 65, 128, 200, 1000, 5000]


def indices(logits: Tensor, num_samples: int, key: int) -> Tensor:
    drawn, well = fused.functions().indices(logits, num_samples, key)
    assert well
    return drawn


def masked_logits(size: int, generator: Generator, rows: int = 3) -> Tensor:
    logits = 2 * torch.randn(rows, size, generator=generator)
    if size > 2:
        logits[1] = logits[1].masked_fill(torch.rand(size, generator=generator) < 0.6, -INF)
        logits[1, -1] = 0.0
    return logits


@pytest.mark.parametrize("size", [size for size in SIZES if size > 50])
def test_the_category_at_which_the_sum_of_masses_passes_a_uniform_number(
    size: int, generator: Generator
) -> None:
    logits, key, num_samples = masked_logits(size, generator), 1234, 700
    drawn = indices(logits, num_samples, key)
    assert drawn.shape == (num_samples, 3)
    u = philox.uniforms(range(num_samples * 3), key).view(num_samples, 3)
    probs = logits.double().softmax(-1)
    upper = probs.cumsum(-1).T.unsqueeze(0).expand(num_samples, -1, -1)
    index = drawn.unsqueeze(1)
    assert bool((probs.expand(num_samples, 3, size).gather(2, drawn.unsqueeze(-1)) > 0).all())
    # within float32's precision of the masses
    assert bool((upper.gather(1, index).squeeze(1) > u - 1e-6).all())
    below = (upper - probs.T).gather(1, index).squeeze(1)
    assert bool((below < u + 1e-6).all())


@pytest.mark.parametrize("size", SIZES)
def test_frequencies(size: int, generator: Generator) -> None:
    logits = masked_logits(size, generator)
    n = 20_000
    drawn = indices(logits, n, 99)
    for row, probs in enumerate(logits.double().softmax(-1)):
        counts = torch.bincount(drawn[:, row], minlength=size)
        assert cells_fit(counts, probs)
        if size > 1:  # mutant: the category next to it
            assert not cells_fit(counts.roll(1), probs)


def test_draws_are_independent(generator: Generator) -> None:
    """Of one another and of other rows'."""
    drawn = indices(torch.zeros(2, 5), 50_000, 3)
    even = torch.full((25,), 1 / 25)
    for one, other in ((drawn[:, 0], drawn[:, 1]), (drawn[:-1, 0], drawn[1:, 0])):
        assert cells_fit(torch.bincount(5 * one + other, minlength=25), even)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [1, 50, 64, 65, 300])
def test_rows_without_a_possible_category(size: int, dtype: torch.dtype) -> None:
    for bad in (-INF, math.nan, INF):
        logits = torch.zeros(5, size, dtype=dtype)
        logits[1, :] = -INF
        logits[1, -1] = bad
        drawn, well = fused.functions().indices(logits, 4, 7)
        assert not well
        if size > 50:
            assert bool((drawn[:, 1] == -1).all())
        rest = drawn[:, [0, 2, 3, 4]]
        assert bool(((rest >= 0) & (rest < size)).all())


@pytest.mark.parametrize("size", [1, 7, 40, 300, 1024, 1025, 3000])
def test_winners_are_those_of_the_relaxed_sample(size: int, generator: Generator) -> None:
    """The same race, whose relaxed sample comes back row by row."""
    logits = torch.randn(37, size, generator=generator)
    hard, soft = categories.hard_and_relaxed_categories(logits, 0.7, (), generator.clone_state())
    _, unit = categories.hard_and_relaxed_categories(logits, 1.0, (), generator.clone_state())
    key = fused.draw_key(generator)
    index, well = fused.functions().winners(logits, (), key)
    assert well
    assert torch.equal(index, hard.argmax(-1))
    for first, last in ((0, 37), (0, 1), (5, 30), (36, 37)):
        for temperature, whole in ((0.7, soft), (1.0, unit)):
            rows = fused.functions().relaxed_rows(logits, temperature, key, first, last)
            torch.testing.assert_close(rows, whole[first:last])


def test_one_possible_category_wins_always(generator: Generator) -> None:
    for size in (1, 65, 300):
        for place in {0, size // 2, size - 1}:
            logits = torch.full((2, size), -INF)
            logits[:, place] = torch.tensor([1e30, -1e30])
            assert bool((indices(logits, 50, 7) == place).all())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_draws_what_the_same_numbers_draw(
    dtype: torch.dtype, generator: Generator
) -> None:
    for size in SIZES:
        logits = masked_logits(size, generator).to(dtype)
        assert torch.equal(indices(logits, 50, 7), indices(logits.float(), 50, 7))


def test_shapes_and_keys() -> None:
    logits = torch.zeros(2, 3, 100)
    first = indices(logits, 5, 1)
    assert (first.shape, first.dtype) == ((5, 2, 3), torch.int64)
    assert indices(logits[0, 0], 5, 1).shape == (5,)
    assert torch.equal(indices(logits, 5, 1), first)
    assert not torch.equal(indices(logits, 5, 2), first)
    # a draw is that of its place, whatever is drawn after it
    assert torch.equal(indices(logits, 9, 1)[:5], first)


def test_large_and_distant_logits() -> None:
    """Blocks whose largest logits are far apart, and numbers whose exponential is none."""
    logits = torch.full((4, 200), -1e4)
    logits[0, 150], logits[1, 3], logits[1, 199] = 1e4, 900.0, 900.0 + math.log(3)
    logits[2], logits[2, 70] = torch.finfo(torch.float32).min, torch.finfo(torch.float32).max
    drawn = indices(logits, 4000, 11)
    assert set(drawn[:, 0].tolist()) == {150}
    assert set(drawn[:, 1].tolist()) == {3, 199}
    assert cells_fit(torch.bincount(drawn[:, 1] // 199), torch.tensor([0.25, 0.75]))
    assert set(drawn[:, 2].tolist()) == {70}
    assert cells_fit(torch.bincount(drawn[:, 3], minlength=200), torch.full((200,), 1 / 200))
