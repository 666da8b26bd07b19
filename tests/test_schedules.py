"""Schedules: their values, their ends, and what they refuse."""

import dataclasses
import math
from typing import Any

import pytest

from hotgrad.schedules import Constant, Cosine, Exponential, Linear


def test_constant() -> None:
    assert [Constant(0.7)(step) for step in (0, 1, 10**9)] == [0.7] * 3


def test_exponential_falls_to_its_floor() -> None:
    schedule = Exponential(initial=2.0, rate=1e-3, floor=0.5)
    assert schedule(0) == 2.0
    assert schedule(100) == pytest.approx(2.0 * math.exp(-0.1))
    assert schedule(1386) > 0.5
    assert schedule(1387) == schedule(10**9) == 0.5


def test_exponential_moves_every_so_many_steps() -> None:
    schedule = Exponential(rate=1e-4, floor=0.1, every=500)
    assert {schedule(step) for step in range(500)} == {1.0}
    assert {schedule(step) for step in range(500, 1000)} == {math.exp(-0.05)}


def test_exponential_with_no_rate_is_constant() -> None:
    assert Exponential(rate=0.0)(10**9) == 1.0


@pytest.mark.parametrize("kind", [Linear, Cosine])
@pytest.mark.parametrize(("initial", "final"), [(1.0, 0.1), (0.1, 1.0), (1.0, 1e-20), (0.3, 0.3)])
def test_lines_and_cosines_end_exactly(kind: Any, initial: float, final: float) -> None:
    schedule = kind(initial, final, steps=10)
    assert schedule(0) == pytest.approx(initial, rel=1e-15)
    assert schedule(10) == schedule(11) == schedule(10**9) == final
    assert schedule(5) == pytest.approx((initial + final) / 2)
    values = [schedule(step) for step in range(12)]
    ordered = sorted(values, reverse=initial > final)
    assert values == pytest.approx(ordered)
    assert all(value > 0 for value in values)


def test_a_line_is_straight_and_a_cosine_isnt() -> None:
    assert Linear(1.0, 0.5, 100)(25) == pytest.approx(0.875)
    assert Cosine(1.0, 0.5, 100)(25) == pytest.approx(0.75 + 0.25 * math.cos(math.pi / 4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(0.0), "value must be positive and finite, got 0.0"),
        (lambda: Constant(math.nan), "value must be positive and finite, got nan"),
        (lambda: Constant("1"), "value must be a number or a tensor, got '1'"),  # type: ignore[arg-type]
        (lambda: Exponential(initial=-1.0), "initial must be positive and finite, got -1.0"),
        (lambda: Exponential(floor=0.0), "floor must be positive and finite, got 0.0"),
        (lambda: Exponential(rate=-1e-4), "rate must be at least 0 and finite, got -0.0001"),
        (lambda: Exponential(rate=math.nan), "rate must be at least 0 and finite, got nan"),
        (lambda: Exponential(every=0), "every must be an integer of at least 1, got 0"),
        (lambda: Linear(0.0, 1.0, 10), "initial must be positive"),
        (lambda: Linear(1.0, math.inf, 10), "final must be positive and finite, got inf"),
        (lambda: Linear(1.0, 0.5, 0), "steps must be an integer of at least 1, got 0"),
        (lambda: Cosine(1.0, 0.0, 10), "final must be positive and finite, got 0.0"),
        (lambda: Cosine(1.0, 0.5, 2.5), "steps must be an integer of at least 1, got 2.5"),  # type: ignore[arg-type]
    ],
)
def test_bad_schedules(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_schedules_are_frozen_values() -> None:
    assert Linear(1.0, 0.5, 10) == Linear(1.0, 0.5, 10)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Constant(0.5).value = 0.1  # type: ignore[misc]


@pytest.mark.parametrize(
    "schedule", [Constant(0.5), Exponential(), Linear(1.0, 0.5, 10), Cosine(1.0, 0.5, 10)], ids=str
)
@pytest.mark.parametrize("step", [-1, -(10**9), 0.5, math.nan, "3", None])
def test_a_step_is_a_number_from_zero(schedule: Any, step: Any) -> None:
    with pytest.raises(ValueError, match=r"step must be an integer of at least 0, got "):
        schedule(step)
