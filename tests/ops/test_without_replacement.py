"""Drawing joint states without replacement, and what each of the drawn counts."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from stats import cells_fit, distribution_fits
from torch import Generator, Tensor

from hotgrad import ops
from hotgrad.ops import without_replacement
from hotgrad.ops.without_replacement import log_lateness

DOUBLE = torch.float64


def chance_first(rates: list[float], rest: float) -> float:
    """P(these come before the rest, in any order): the sum over all orders."""
    total = 0.0
    for order in itertools.permutations(rates):
        # from the last to the first, so that small rates aren't lost beside large ones
        left, chance = rest, 1.0
        for rate in reversed(order):
            left += rate
            chance *= rate / left
        total += chance
    return total


def by_hand(rates: list[float], rest: float, values: list[float]) -> tuple[Tensor, Tensor]:
    """p(s) R(set, s), and the same times (f(s) - B_s), with a sum over orders for each set."""
    members = range(len(rates))

    def without(*gone: int) -> float:
        return chance_first([rates[i] for i in members if i not in gone], rest)

    weights = [rates[s] * without(s) / without() for s in members]
    of_scores = []
    for s in members:
        baseline = rates[s] * values[s]
        for other in members:
            if other != s:
                baseline += rates[other] * without(s, other) / without(s) * values[other]
        of_scores.append(weights[s] * (values[s] - baseline))
    return torch.tensor(weights, dtype=DOUBLE), torch.tensor(of_scores, dtype=DOUBLE)


VALUES = [0.3, -1.1, 2.0, 5.0, -0.4]
UNSCALED: dict[str, tuple[list[float], float]] = {
    "two": ([0.5, 0.2], 0.3),
    "three": ([0.1, 0.3, 0.2], 0.4),
    "five": ([0.1, 0.3, 0.2, 0.05, 0.15], 0.2),
    "little left": ([0.6, 0.3999], 1e-4),
    "almost nothing left": ([0.7, 0.2, 0.1], 1e-30),
    "one has it all": ([1.0, 1e-12, 1e-30], 1e-14),
    "rare": ([1e-30, 2e-30, 1e-12], 1.0),
    "very unlike": ([0.9, 1e-3, 1e-6, 1e-9, 0.1], 1e-7),
}
SETS = {
    name: ([rate / (sum(rates) + rest) for rate in rates], rest / (sum(rates) + rest))
    for name, (rates, rest) in UNSCALED.items()
}


def clock_of(rates: list[float], rest: float, dtype: torch.dtype = DOUBLE) -> ops.SetClock:
    log_probs, log_rest = (torch.tensor(x, dtype=DOUBLE).log().to(dtype) for x in (rates, rest))
    return ops.SetClock(log_probs, log_rest)


@pytest.mark.parametrize("name", SETS)
def test_weights_are_the_ratios_of_the_sets_probabilities(name: str) -> None:
    rates, rest = SETS[name]
    values = VALUES[: len(rates)]
    weights, of_scores = by_hand(rates, rest, values)
    clock, given = clock_of(rates, rest), torch.tensor(values, dtype=DOUBLE)
    torch.testing.assert_close(clock.weights(), weights, rtol=1e-11, atol=0)
    torch.testing.assert_close(clock.score_weights(given), of_scores, rtol=1e-11, atol=1e-14)
    single = clock_of(rates, rest, torch.float32)
    torch.testing.assert_close(single.weights().double(), weights, rtol=2e-5, atol=0)
    torch.testing.assert_close(
        single.score_weights(given.float()).double(), of_scores, rtol=2e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", ["two", "three", "five", "very unlike"])
def test_wrong_weights_are_far_off(name: str) -> None:
    rates, rest = SETS[name]
    weights, _ = by_hand(rates, rest, VALUES[: len(rates)])
    probs = torch.tensor(rates, dtype=DOUBLE)
    # without R; and with everything as the rest, the set too
    assert float((probs / probs.sum() - weights).abs().max()) > 1e-3 * rest
    assert float((clock_of(rates, 1.0).weights() - weights).abs().max()) > 1e-3 * rest


@pytest.mark.parametrize("name", SETS)
def test_weights_sum_to_one_before_they_are_divided_by_their_sum(name: str) -> None:
    clock = clock_of(*SETS[name])
    assert float((clock.density * clock.shares).sum()) == pytest.approx(1, abs=1e-13)


def test_of_two_the_baseline_is_the_papers() -> None:
    rates, rest = SETS["two"]
    values = torch.tensor([0.7, -2.0], dtype=DOUBLE)
    clock = clock_of(rates, rest)
    probs = torch.tensor(rates, dtype=DOUBLE)
    centred = values - (probs * values + (1 - probs) * values.flip(0))
    torch.testing.assert_close(clock.score_weights(values), clock.weights() * centred)


@pytest.mark.parametrize("members", [2, 17, 64])
def test_large_sets_agree_with_the_races_quadrature(members: int, generator: Generator) -> None:
    log_probs = 3 * torch.randn(3, members + 1, generator=generator, dtype=DOUBLE)
    log_probs = log_probs.log_softmax(-1)
    clock = ops.SetClock(log_probs[:, :-1], log_probs[:, -1])
    chosen = torch.ones_like(log_probs)
    chosen[:, -1] = 0.0
    whole = ops.log_prob_of_set(log_probs, chosen, members)
    # one member gone, in each row of a matrix
    gone = torch.eye(members, members + 1, dtype=torch.bool)
    others = torch.where(gone, -math.inf, log_probs.unsqueeze(1))
    left = ops.log_prob_of_set(others, chosen.unsqueeze(1) * ~gone, members - 1)
    expected = (log_probs[:, :-1] + left - whole.unsqueeze(-1)).exp()
    torch.testing.assert_close(clock.weights(), expected, rtol=1e-9, atol=0)


def test_the_whole_support_counts_by_its_probabilities() -> None:
    probs = torch.tensor([[0.5, 0.3, 0.2, 0.0], [1.0, 0.0, 0.0, 0.0]], dtype=DOUBLE)
    values = torch.tensor([1.0, -2.0, 4.0, 7.0], dtype=DOUBLE).expand(2, 4)
    clock = ops.SetClock(probs.log(), torch.full((2,), -math.inf, dtype=DOUBLE))
    torch.testing.assert_close(clock.weights(), probs, rtol=0, atol=1e-14)
    centred = values - (probs * values).sum(-1, keepdim=True)
    torch.testing.assert_close(clock.score_weights(values), probs * centred, rtol=0, atol=1e-14)


def test_what_all_values_have_in_common_has_no_weight() -> None:
    clock = clock_of(*SETS["five"], torch.float32)
    values = torch.tensor(VALUES)
    plain, lifted = clock.score_weights(values), clock.score_weights(values + 1000)
    torch.testing.assert_close(lifted, plain, rtol=0, atol=1e-3)
    assert not clock.score_weights(torch.full((5,), 3.0)).abs().max() > 1e-6


# The sampler: two parts of three states, of which the first three joint states are kept.

PARTS = torch.tensor([[0.5, 0.3, 0.2], [0.7, 0.1, 0.2]], dtype=DOUBLE)
JOINT = (PARTS[0].unsqueeze(-1) * PARTS[1]).flatten()


def chance_of_order(order: tuple[int, ...]) -> float:
    """Of drawing these joint states one after another."""
    gone, chance = 0.0, 1.0
    for state in order:
        chance *= float(JOINT[state]) / (1 - gone)
        gone += float(JOINT[state])
    return chance


def draw(n: int, width: int, generator: Generator) -> Any:
    log_probs = PARTS.log().unsqueeze(1).expand(2, n, 3)
    noise = ops.draw_gumbel((2, n, width, 3), dtype=DOUBLE, generator=generator)
    return ops.first_arrivals(log_probs, noise)


def orders_fit(arrivals: Any) -> Any:
    """The joint distribution of the states in their order, all cells."""
    joint = 3 * arrivals.choices[0] + arrivals.choices[1]
    width = joint.shape[-1]
    code = (joint * 9 ** torch.arange(width)).sum(-1)
    probs = torch.zeros(9**width, dtype=DOUBLE)
    for order in itertools.permutations(range(9), width):
        probs[sum(state * 9**i for i, state in enumerate(order))] = chance_of_order(order)
    return cells_fit(torch.bincount(code, minlength=9**width), probs)


def independent_times(log_probs: Tensor, noise: Tensor) -> Tensor:
    """Mutant: children come as they would by themselves, after their parent and not with it."""
    return -(log_probs + noise)


def first_of_equals(log_probs: Tensor, noise: Tensor) -> Tensor:
    """Mutant: the noise of the first prefix for all of them."""
    return log_lateness(log_probs, noise[..., :1, :].expand_as(noise))


@pytest.mark.parametrize("width", [1, 2, 3])
def test_states_come_in_their_order_without_replacement(width: int, generator: Generator) -> None:
    arrivals = draw(300_000, width, generator)
    verdict = orders_fit(arrivals)
    assert verdict, verdict.figures
    joint = JOINT[3 * arrivals.choices[0] + arrivals.choices[1]]
    torch.testing.assert_close(arrivals.log_probs.exp(), joint, rtol=1e-13, atol=0)
    left = 1 - joint.sum(-1)
    torch.testing.assert_close(arrivals.log_rest.exp(), left, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("mutant", [independent_times, first_of_equals])
def test_a_beam_with_dropped_conditioning_is_seen(
    mutant: Callable[..., Tensor], generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(without_replacement, "log_lateness", mutant)
    assert not orders_fit(draw(300_000, 2, generator))


def test_lateness_is_exponential_at_each_ones_own_rate(generator: Generator) -> None:
    log_rates = torch.tensor([0.5, 0.3, 0.2], dtype=DOUBLE).log()
    noise = ops.draw_gumbel((100_000, 3), dtype=DOUBLE, generator=generator)
    late = log_lateness(log_rates, noise)
    first = (log_rates + noise).argmax(-1)
    assert torch.equal(late.argmin(-1), first)
    assert bool((late.amin(-1) == torch.finfo(DOUBLE).min).all())
    for winner, other in itertools.permutations(range(3), 2):
        times = late[first == winner, other].exp() * log_rates[other].exp()
        verdict = distribution_fits(times, lambda t: -torch.expm1(-t))
        assert verdict, verdict.figures
    raw = (-(log_rates + noise)).exp()  # mutant: from time 0 on
    assert not distribution_fits(raw[first == 0, 1] * 0.3, lambda t: -torch.expm1(-t))


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE], ids=str)
def test_impossible_states_leave_empty_places_at_the_end(
    dtype: torch.dtype, generator: Generator
) -> None:
    log_probs = torch.tensor([[0.0, -math.inf], [0.7, 0.3]], dtype=dtype)
    log_probs[1] = log_probs[1].log()
    noise = ops.draw_gumbel((2, 50, 4, 2), dtype=dtype, generator=generator)
    arrivals = ops.first_arrivals(log_probs.unsqueeze(1).expand(2, 50, 2), noise)
    assert bool((arrivals.log_probs[:, :2].exp().sum(-1) - 1).abs().max() < 1e-6)
    assert bool((arrivals.log_probs[:, 2:] == -math.inf).all())
    assert bool((arrivals.log_rest == -math.inf).all())
    assert bool((arrivals.choices[0, :, :2] == 0).all())


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE], ids=str)
def test_the_rest_is_known_where_it_is_tiny(dtype: torch.dtype, generator: Generator) -> None:
    # one state has all but 1e-30 of each of 20 parts; the second-likeliest are 20 equals
    log_probs = torch.tensor([0.0, math.log(1e-30)], dtype=dtype).expand(20, 100, 2)
    noise = ops.draw_gumbel((20, 100, 3, 2), dtype=dtype, generator=generator)
    arrivals = ops.first_arrivals(log_probs, noise)
    expected = torch.tensor([1.0, 1e-30, 1e-30], dtype=DOUBLE).log().expand(100, 3)
    torch.testing.assert_close(arrivals.log_probs.double(), expected, rtol=1e-6, atol=0)
    rest = torch.full((100,), math.log(18e-30), dtype=DOUBLE)
    torch.testing.assert_close(arrivals.log_rest.double(), rest, rtol=1e-6, atol=0)
    # which two, is left to chance
    assert len(arrivals.choices.movedim(1, 0).unique(dim=0)) > 50


def test_of_many_parts_all_paths_are_distinct_and_add_up(generator: Generator) -> None:
    log_probs = (2 * torch.randn(128, 30, 2, generator=generator)).log_softmax(-1)
    noise = ops.draw_gumbel((128, 30, 16, 2), generator=generator)
    choices, joint, rest = ops.first_arrivals(log_probs, noise)
    assert all(len(row.unique(dim=0)) == 16 for row in choices.permute(1, 2, 0))
    added = log_probs.gather(-1, choices).sum(0)
    torch.testing.assert_close(joint, added, rtol=1e-5, atol=0)
    torch.testing.assert_close(
        torch.cat([joint, rest.unsqueeze(-1)], -1).logsumexp(-1), torch.zeros(30), atol=1e-5, rtol=0
    )
