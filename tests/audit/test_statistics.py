"""Bias without noise: the estimate, its interval, the jackknife, on gradients made to measure."""

import math
from collections.abc import Callable

import pytest
import torch
from audit.toys import at_least
from torch import Generator, Tensor

from hotgrad.audit.statistics import GROUPS, Measured, Tally, deviation_of_log_ratio

TIMES = 200


def tallied(gradients: Tensor, centre: Tensor, *, block: int = 37) -> Tally:
    tally = Tally(centre, len(gradients))
    for part in gradients.split(block):
        tally.add(part)
    return tally


def measured(gradients: Tensor, centre: Tensor) -> Measured:
    return Measured.of(tallied(gradients, centre), centre.new_zeros((0, len(centre))), 0.0)


def against_estimate(gradients: Tensor, reference: Tensor) -> Measured:
    """Measured by the mean of other gradients."""
    tally = tallied(reference, reference.new_zeros(reference.shape[-1]))
    means = tally.means
    centre, spread = means.mean(0), means - means.mean(0)
    return Measured.of(tallied(gradients, centre), spread, tally.variance / len(reference))


def normal(*shape: int, generator: Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.fixture
def gradients(generator: Generator) -> Tensor:
    return normal(100, 4, generator=generator) + 0.3


def test_figures_are_those_of_all_replicates_however_they_come(
    gradients: Tensor, generator: Generator
) -> None:
    centre = normal(4, generator=generator)
    result = measured(gradients, centre)
    deviations = gradients - centre
    cosine = torch.cosine_similarity(gradients, centre, dim=-1).mean()
    assert math.isclose(result.variance, float(gradients.var(0).sum()), rel_tol=1e-12)
    assert math.isclose(result.mean_square, float(deviations.square().sum(-1).mean()))
    assert math.isclose(result.cosine, float(cosine))
    assert math.isclose(
        measured(gradients, centre).bias_square,
        measured(gradients, centre).errors(math.inf).whole,
    )


def test_squared_bias_is_the_mean_product_of_different_replicates(gradients: Tensor) -> None:
    centre = torch.ones(4, dtype=torch.float64)
    products = (gradients - centre) @ (gradients - centre).T
    others = products.sum() - products.diagonal().sum()
    expected = float(others) / (100 * 99)
    assert math.isclose(measured(gradients, centre).bias_square, expected, rel_tol=1e-10)


def test_zero_estimates_have_no_direction() -> None:
    gradients = torch.zeros(20, 2, dtype=torch.float64)
    gradients[:5, 0] = 1.0
    result = measured(gradients, torch.tensor([2.0, 0.0], dtype=torch.float64))
    assert result.cosine == 0.25
    assert result.zeros == 15


def test_replicates_that_are_not_finite_are_counted_once_each() -> None:
    gradients = torch.ones(40, 3)
    gradients[3] = math.nan
    gradients[7, 1] = math.inf
    assert measured(gradients, torch.ones(3, dtype=torch.float64)).non_finite == 2


def test_figures_without_a_group_are_those_of_the_others(
    gradients: Tensor, generator: Generator
) -> None:
    reference = normal(60, 4, generator=generator)
    errors = against_estimate(gradients, reference).errors(3)
    size, others = 100 // GROUPS, 60 // GROUPS

    def error(rest: Tensor, of: Tensor) -> float:
        square = float((rest.mean(0) - of.mean(0)).square().sum())
        noise, its = float(rest.var(0).sum()), float(of.var(0).sum())
        return square - noise / len(rest) + noise / 3 - its / len(of)

    assert math.isclose(errors.whole, error(gradients, reference))
    for i in (0, GROUPS - 1):
        left = torch.cat([gradients[: i * size], gradients[(i + 1) * size :]])
        assert math.isclose(float(errors.without[i]), error(left, reference), rel_tol=1e-10)
        left = torch.cat([reference[: i * others], reference[(i + 1) * others :]])
        # all replicates of the reference say how noisy it is
        noise = float(reference.var(0).sum()) / len(left) - float(left.var(0).sum()) / len(left)
        expected = error(gradients, left) - noise
        assert math.isclose(float(errors.without_reference[i]), expected, rel_tol=1e-10)


def coverage(
    draw: Callable[[Generator], Measured], bias: float, generator: Generator
) -> tuple[int, int]:
    """How often the interval holds the bias, and how often it leaves out 0."""
    intervals = [draw(generator).bias_interval() for _ in range(TIMES)]
    return sum(low <= bias <= high for low, high in intervals), sum(low > 0 for low, _ in intervals)


SPREADS = {
    "one coordinate": torch.ones(1),
    "all alike": torch.ones(30),
    "unlike": torch.logspace(0, -2, 30),
}


@pytest.mark.parametrize("distance", [0.0, 1.0, 3.0, 20.0])
@pytest.mark.parametrize("spread", SPREADS.values(), ids=SPREADS)
def test_interval_holds_the_bias(spread: Tensor, distance: float, generator: Generator) -> None:
    """The distance is in standard errors of the mean, along the noisiest coordinate."""
    bias = distance / 10

    def draw(generator: Generator) -> Measured:
        gradients = normal(100, len(spread), generator=generator) * spread
        gradients[:, 0] += bias
        return measured(gradients, torch.zeros(len(spread), dtype=torch.float64))

    held, _ = coverage(draw, bias, generator)
    assert at_least(held, TIMES, 0.93)


@pytest.mark.parametrize("distance", [0.0, 1.0, 5.0])
def test_interval_holds_the_bias_where_the_exact_gradient_is_an_estimate(
    distance: float, generator: Generator
) -> None:
    bias = distance / 10

    def draw(generator: Generator) -> Measured:
        gradients = normal(100, 5, generator=generator)
        gradients[:, 0] += bias
        return against_estimate(gradients, normal(60, 5, generator=generator))

    held, _ = coverage(draw, bias, generator)
    assert at_least(held, TIMES, 0.93)


def test_interval_that_takes_noise_for_bias_is_seen(generator: Generator) -> None:
    """The mutant measures the distance of the means alone, as if the reference had no error."""

    def draw(generator: Generator) -> Measured:
        reference = normal(60, 5, generator=generator).mean(0)
        return measured(normal(100, 5, generator=generator), reference)

    held, _ = coverage(draw, 0.0, generator)
    assert not at_least(held, TIMES, 0.93)


def test_a_bias_of_six_standard_errors_is_seen(generator: Generator) -> None:
    def draw(generator: Generator) -> Measured:
        gradients = normal(100, 1, generator=generator) + 0.6
        return measured(gradients, torch.zeros(1, dtype=torch.float64))

    _, seen = coverage(draw, 0.6, generator)
    assert at_least(seen, TIMES, 0.97)


def test_gradients_without_noise_have_an_interval_of_one_point() -> None:
    result = measured(torch.full((20, 1), 0.5), torch.tensor([0.25], dtype=torch.float64))
    assert result.bias_interval() == (0.25, 0.25)
    right = measured(torch.full((20, 1), 0.25), torch.tensor([0.25], dtype=torch.float64))
    assert right.bias_interval() == (0.0, 0.0)


def test_an_estimate_below_zero_leaves_room_for_a_bias() -> None:
    """The replicates' mean is nearer to the exact gradient than chance would have it."""
    gradients = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(50, 1).flatten().unsqueeze(1)
    gradients[:7] = gradients[:7].flip(0)
    result = measured(gradients, torch.zeros(1, dtype=torch.float64))
    low, high = result.bias_interval()
    assert result.bias_square < 0
    assert low == 0
    assert high > 0.1


def test_sparse_gradients_that_never_meet_are_noisy(generator: Generator) -> None:
    """Each is 1 or -1 in one coordinate of many, so the groups' means are at right angles."""
    size = 400

    def draw(generator: Generator) -> Measured:
        gradients = torch.zeros(GROUPS, size, dtype=torch.float64)
        where = torch.randperm(size, generator=generator)[:GROUPS]
        signs = torch.randint(2, (GROUPS,), generator=generator).double() * 2 - 1
        gradients[torch.arange(GROUPS), where] = signs
        return measured(gradients, torch.zeros(size, dtype=torch.float64))

    held, seen = coverage(draw, 0.0, generator)
    assert (held, seen) == (TIMES, 0)
    assert draw(generator).bias_interval()[1] > 0.05


def test_deviation_of_the_log_ratio_is_the_one_that_repetition_shows(generator: Generator) -> None:
    logs, claimed, times = [], [], 2 * TIMES
    for _ in range(times):
        reference = normal(60, 3, generator=generator)
        first, second = (
            against_estimate(scale * normal(100, 3, generator=generator), reference).errors(4)
            for scale in (1.0, 1.5)
        )
        logs.append(math.log(second.whole / first.whole) / 2)
        claimed.append(deviation_of_log_ratio(first, second) ** 2)
    seen = float(torch.tensor(logs).var())
    # a variance from 400 draws is right to 7 %; the jackknife's own mean, to less
    assert 0.7 < seen / (sum(claimed) / times) < 1.4
