"""The noise: its distribution, its tails, and where its words come from."""

import math
from collections.abc import Callable

import pytest
import torch
from stats import cells_fit, distribution_fits, event_fits, gumbel_cdf, logistic_cdf
from torch import Tensor

from hotgrad import ops
from hotgrad.ops import noise as noise_module

KINDS = [
    pytest.param(ops.draw_gumbel, gumbel_cdf, id="gumbel"),
    pytest.param(ops.draw_logistic, logistic_cdf, id="logistic"),
]
DRAWS = [pytest.param(ops.draw_gumbel, id="gumbel"), pytest.param(ops.draw_logistic, id="logistic")]
FLOATS = [torch.float32, torch.float64]


def exponential(gumbel: Tensor) -> Tensor:
    return gumbel.double().neg().exp()


def words(*integers: int, dtype: torch.dtype) -> Tensor:
    """The random words for which the elements' integers are these."""
    if dtype == torch.float64:
        return torch.tensor(integers, dtype=torch.int64)
    padded = [*integers, *[0] * (len(integers) % 2)]
    return torch.tensor(padded, dtype=torch.int32).view(torch.int64)


def patch_bits(
    monkeypatch: pytest.MonkeyPatch,
    integers: Callable[[int], Tensor],
    fraction: float | None = None,
) -> None:
    """Replaces the words, given their count, and the fraction if there is one."""
    monkeypatch.setattr(noise_module, "_random_words", lambda count, *_: integers(count))
    if fraction is not None:
        monkeypatch.setattr(
            torch, "rand", lambda size, *, dtype, **_: torch.tensor(fraction, dtype=dtype)
        )


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("draw", "cdf"), KINDS)
def test_distribution(
    draw: Callable[..., Tensor],
    cdf: Callable[[Tensor], Tensor],
    dtype: torch.dtype,
    generator: torch.Generator,
) -> None:
    noise = draw((1000, 1000), dtype=dtype, generator=generator)
    assert noise.dtype == dtype
    assert distribution_fits(noise, cdf)
    assert not distribution_fits(1.02 * noise, cdf)  # mutant: a scale of 1.02


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("draw", DRAWS)
def test_half_precision_gets_single_precision_noise(
    draw: Callable[..., Tensor], dtype: torch.dtype
) -> None:
    assert draw((3,), dtype=dtype).dtype == torch.float32


def test_all_bits_of_the_words_are_random(generator: torch.Generator) -> None:
    """Integers next to 0 are as frequent as others; what becomes of them, the next tests tell."""
    drawn = noise_module._random_words(2**19, torch.device("cpu"), generator)

    def even(words: Tensor) -> bool:
        integers, cells = words.view(torch.int32).long(), torch.full((256,), 1 / 256)
        bytes_of = (integers >> place & 255 for place in (0, 8, 16, 24))
        return all(bool(cells_fit(torch.bincount(b, minlength=256), cells)) for b in bytes_of)

    assert even(drawn)
    # mutant: the 24 bits of a float32 uniform, of which -log is no smaller than 2^-24
    coarse = (torch.rand(2**20, generator=generator) - 0.5) * 2.0**32
    assert not even(coarse.to(torch.int32).view(torch.int64))
    assert float(-torch.tensor(1 - 2.0**-24).log()) > 5.5e-8


@pytest.mark.usefixtures("plain_kernels")
def test_a_class_of_probability_1e_8_wins_as_often_as_it_should(
    monkeypatch: pytest.MonkeyPatch, generator: torch.Generator
) -> None:
    """All its wins have |w| < 2^-22, so its noise is drawn conditional on that."""
    rows, calls, rare, near = 20_000, 50, 1e-8, 2.0**-22
    common = torch.cat([ops.draw_gumbel((rows,), generator=generator) for _ in range(calls)])

    def near_zero(count: int) -> Tensor:
        shape = (2 * count,)
        integers = torch.empty(shape, dtype=torch.int32).random_(-512, 512, generator=generator)
        return integers.view(torch.int64)

    patch_bits(monkeypatch, near_zero)
    noise = torch.cat([ops.draw_gumbel((rows,), generator=generator) for _ in range(calls)])
    logits = torch.tensor([rare, 1 - rare]).log()
    wins = int((logits[0] + noise > logits[1] + common).sum())
    assert event_fits(wins, rows * calls, rare / near)

    # mutant: float32 uniforms, of which four lie that near to 1
    near_one = 1 - (torch.arange(rows * calls) % 4 + 1) * 2.0**-24
    coarse = -(-near_one.log()).log()
    wins = int((logits[0] + coarse > logits[1] + common).sum())
    assert not event_fits(wins, rows * calls, rare / near)


@pytest.mark.usefixtures("plain_kernels")
def test_next_to_zero_the_noise_is_uniform(
    monkeypatch: pytest.MonkeyPatch, generator: torch.Generator
) -> None:
    """Given |w| < 2^-29, its size is uniform: no atoms, though only 8 integers are left."""

    def eight(count: int) -> Tensor:
        shape = (2 * count,)
        return (
            torch.empty(shape, dtype=torch.int32)
            .random_(-4, 4, generator=generator)
            .view(torch.int64)
        )

    def sizes() -> Tensor:
        calls = [ops.draw_gumbel((1,), generator=generator) for _ in range(5000)]
        return exponential(torch.cat(calls)) * 2.0**29

    patch_bits(monkeypatch, eight)
    assert distribution_fits(sizes(), lambda x: x.clamp(0, 1))
    patch_bits(monkeypatch, eight, fraction=0.5)  # mutant: no fraction
    assert not distribution_fits(sizes(), lambda x: x.clamp(0, 1))


@pytest.mark.usefixtures("plain_kernels")
@pytest.mark.parametrize("fraction", [0.0, 2.0**-24, 0.25, 0.5, 1 - 2.0**-24])
def test_every_word_next_to_zero_keeps_its_place(
    monkeypatch: pytest.MonkeyPatch, fraction: float
) -> None:
    integers = [-3, -2, -1, 0, 1, 2]
    patch_bits(monkeypatch, lambda _: words(*integers, dtype=torch.float32), fraction)
    place = (torch.tensor(integers, dtype=torch.float64) + fraction).abs() * 2.0**-31
    # the fraction 0 is read as the step below the smallest other one, 2^-25
    expected = torch.where(place == 0, 2.0**-56, place)
    torch.testing.assert_close(
        exponential(ops.draw_gumbel((6,))), expected, rtol=5e-6, atol=0, check_dtype=False
    )
    sign = torch.tensor([-1.0, -1.0, -1.0, 1.0, 1.0, 1.0])
    logistic = ops.draw_logistic((6,))
    assert torch.equal(logistic.sign(), sign)
    torch.testing.assert_close(
        logistic.abs().double(), -torch.logit(expected / 2), rtol=1e-6, atol=0
    )


@pytest.mark.usefixtures("plain_kernels")
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("draw", DRAWS)
def test_extreme_words_give_finite_noise(
    monkeypatch: pytest.MonkeyPatch, draw: Callable[..., Tensor], dtype: torch.dtype
) -> None:
    bits = torch.finfo(dtype).bits
    top = 2 ** (bits - 1)
    extremes = [-top, -top + 1, -top // 2, -2, -1, 0, 1, 2, top // 2, top - 2, top - 1]
    for fraction in (0.0, 2.0**-24, 0.5, 1 - torch.finfo(dtype).eps / 2, 1.0):
        patch_bits(monkeypatch, lambda _: words(*extremes, dtype=dtype), fraction)
        noise = draw((len(extremes),), dtype=dtype)
        assert noise.isfinite().all()
        assert noise.abs().max() < 1.5 * bits


@pytest.mark.usefixtures("plain_kernels")
def test_the_lower_tail_of_gumbel_noise_ends_where_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for dtype, lowest in ((torch.float32, -2.812), (torch.float64, -3.605)):
        top = 2 ** (torch.finfo(dtype).bits - 1)
        patch_bits(monkeypatch, lambda _: words(-top, top - 1, dtype=dtype), 0.5)  # noqa: B023
        noise = ops.draw_gumbel((2,), dtype=dtype)
        assert bool(((noise > lowest) & (noise < lowest + 0.002)).all())
    # the probability that is left out
    assert math.exp(-math.exp(2.812)) == pytest.approx(6e-8, rel=0.05)


@pytest.mark.parametrize("draw", DRAWS)
def test_generator_decides_everything(draw: Callable[..., Tensor]) -> None:
    before = torch.get_rng_state()
    first, again, other = (
        draw((100,), generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("draw", DRAWS)
def test_without_a_generator_the_global_one_is_used(draw: Callable[..., Tensor]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first, second = draw((100,)), draw((100,))
        torch.manual_seed(3)
        assert torch.equal(draw((100,)), first)
    assert not torch.equal(first, second)


def quantile_pairs(left: Tensor, right: Tensor) -> Tensor:
    """Counts of the 8 x 8 cells of two elements' quantiles."""
    cells = [(gumbel_cdf(x.double()) * 8).long().clamp(0, 7) for x in (left, right)]
    return torch.bincount(cells[0] * 8 + cells[1], minlength=64)


@pytest.mark.parametrize("lag", [1, 2])
def test_neighbours_are_independent(lag: int, generator: torch.Generator) -> None:
    noise = ops.draw_gumbel((200_000, 2 * lag), generator=generator)
    even = torch.full((64,), 1 / 64)
    assert cells_fit(quantile_pairs(noise[:, 0], noise[:, lag]), even)
    # mutant: one word for both elements
    assert not cells_fit(quantile_pairs(noise[:, 0], noise[:, 0]), even)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (7,), (2, 3, 5)])
@pytest.mark.parametrize("draw", DRAWS)
def test_any_shape(draw: Callable[..., Tensor], shape: tuple[int, ...], dtype: torch.dtype) -> None:
    noise = draw(torch.Size(shape), dtype=dtype)
    assert noise.shape == shape
    assert noise.is_contiguous()
    assert not noise.requires_grad


@pytest.mark.parametrize(("draw", "cdf"), KINDS)
def test_vmap(draw: Callable[..., Tensor], cdf: Callable[[Tensor], Tensor]) -> None:
    rows = torch.zeros(1000, 100)

    def noise(row: Tensor) -> Tensor:
        return draw(row.shape)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        different = torch.func.vmap(noise, randomness="different")(rows)
        same = torch.func.vmap(noise, randomness="same")(rows)
    assert distribution_fits(different, cdf)
    assert len(different.flatten().unique()) > 99_000
    # mutant: every row the same
    assert not distribution_fits(same.expand(1000, 100), cdf)


@pytest.mark.usefixtures("compiler")
def test_compiled_distribution() -> None:
    @torch.compile(fullgraph=True)
    def both(size: int) -> tuple[Tensor, Tensor]:
        return ops.draw_gumbel((size,)), ops.draw_logistic((size,), dtype=torch.float64)

    gumbel, logistic = both(1_000_000)
    assert distribution_fits(gumbel, gumbel_cdf)
    assert distribution_fits(logistic, logistic_cdf)
    assert not distribution_fits(
        gumbel[:10].repeat(100_000), gumbel_cdf
    )  # mutant: ten numbers for all
    pairs = [gumbel[offset::2][:400_000] for offset in (0, 1)]
    assert cells_fit(quantile_pairs(*pairs), torch.full((64,), 1 / 64))


def test_uniforms(generator: torch.Generator) -> None:
    u = ops.draw_uniform((1000, 1000), generator=generator)
    assert u.dtype == torch.float64
    assert distribution_fits(u, lambda x: x)
    assert not distribution_fits(u.pow(1.01), lambda x: x)  # mutant
    # the same words for the same seed, whatever the global state
    before = torch.get_rng_state()
    first, again, other = (
        ops.draw_uniform((3, 5), generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    for shape in ((), (0,), (3, 0), (2, 3, 5)):
        assert ops.draw_uniform(shape).shape == shape


def test_no_word_gives_a_uniform_of_0_or_1(monkeypatch: pytest.MonkeyPatch) -> None:
    top = 2**63
    extremes = [-top, -top + 1, -top + 4095, -top + 4096, -1, 0, top - 4097, top - 4096, top - 1]
    patch_bits(monkeypatch, lambda _: torch.tensor(extremes, dtype=torch.int64))
    u = ops.draw_uniform((len(extremes),))
    assert bool(((u > 0) & (u < 1)).all())
    assert bool((u.diff() >= 0).all())
    torch.testing.assert_close(u, torch.tensor(extremes).double() / 2 / top + 0.5)
    assert u[0] == 1 - u[-1] == 2.0**-53
    assert u[3] == 3 * u[0]
    # mutant: one bit more leaves no room for the half that keeps the lowest above 0
    assert (torch.tensor(-top) >> 11).double() + (2.0**52 + 0.5) == 0
