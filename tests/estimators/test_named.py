"""Estimators by name: each name gives its class, and what doesn't fit is refused."""

import pytest

import hotgrad as hg
from hotgrad.estimators import ESTIMATORS, at_temperature, has_temperature, make_estimator


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_name_gives_its_class(name: str) -> None:
    assert type(make_estimator(name, temperature=0.3)) is ESTIMATORS[name]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_it_is_known_which_estimators_have_a_temperature(name: str) -> None:
    with_temperature = {
        "gumbel-softmax",
        "straight-through-gumbel-softmax",
        "reinmax",
        "relaxed-top-k",
    }
    assert has_temperature(ESTIMATORS[name]) == (name in with_temperature)


def test_the_temperature_and_the_baseline_arrive() -> None:
    assert make_estimator("reinmax", temperature=1.5) == hg.ReinMax(temperature=1.5)
    baseline = hg.MovingAverage()
    estimator = make_estimator("score-function", baseline=baseline)
    assert isinstance(estimator, hg.ScoreFunction)
    assert estimator.baseline is baseline


def test_only_estimators_with_a_temperature_change() -> None:
    cold = at_temperature(hg.GumbelSoftmax(1.0), 0.1)
    assert cold == hg.GumbelSoftmax(0.1)
    straight = hg.StraightThrough()
    assert at_temperature(straight, 0.1) is straight


def test_unknown_names_and_misplaced_baselines_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Unknown estimator 'reinmx'\. Did you mean reinmax"):
        make_estimator("reinmx")
    with pytest.raises(ValueError, match="exact has no baseline"):
        make_estimator("exact", baseline=hg.NoBaseline())
