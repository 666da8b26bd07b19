"""Estimators by name: each name gives its class, and what doesn't fit is refused."""

from typing import Any

import pytest
from torch import Tensor

import hotgrad as hg
from hotgrad.estimators import ESTIMATORS, at_temperature, has_temperature, make_estimator


def critic(y: Tensor, mean: Tensor) -> Tensor:
    return (y - mean).sum(-1)


# what a name needs beside itself
NEEDS: dict[str, dict[str, Any]] = {"relax": {"critic": critic}}


def test_every_estimator_of_the_package_has_a_name() -> None:
    classes = {
        cls for cls in vars(hg).values() if isinstance(cls, type) and issubclass(cls, hg.Estimator)
    }
    assert classes - {hg.Estimator, hg.Pathwise, hg.LearnedTemperature} == set(ESTIMATORS.values())


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_name_gives_its_class(name: str) -> None:
    made = make_estimator(name, temperature=0.3, **NEEDS.get(name, {}))
    assert type(made) is ESTIMATORS[name]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_it_is_known_which_estimators_have_a_temperature(name: str) -> None:
    with_temperature = {
        "gumbel-softmax",
        "straight-through-gumbel-softmax",
        "gumbel-rao",
        "gapped-straight-through",
        "reinmax",
        "relaxed-top-k",
    }
    assert has_temperature(ESTIMATORS[name]) == (name in with_temperature)


def test_temperature_baseline_and_critic_arrive() -> None:
    assert make_estimator("reinmax", temperature=1.5) == hg.ReinMax(temperature=1.5)
    assert make_estimator("gumbel-rao", temperature=0.1) == hg.GumbelRao(temperature=0.1)
    rebar = make_estimator("rebar", temperature=0.3)
    assert isinstance(rebar, hg.REBAR)
    assert rebar.temperature.item() == pytest.approx(0.3)
    relax = make_estimator("relax", temperature=0.3, critic=critic)
    assert isinstance(relax, hg.RELAX)
    assert relax.critic is critic
    assert relax.temperature.item() == pytest.approx(0.3)
    baseline = hg.MovingAverage()
    estimator = make_estimator("score-function", baseline=baseline)
    assert isinstance(estimator, hg.ScoreFunction)
    assert estimator.baseline is baseline
    muprop = make_estimator("muprop", baseline=baseline)
    assert isinstance(muprop, hg.MuProp)
    assert muprop.baseline is baseline


def test_only_estimators_with_a_temperature_change() -> None:
    cold = at_temperature(hg.GumbelSoftmax(1.0), 0.1)
    assert cold == hg.GumbelSoftmax(0.1)
    straight = hg.StraightThrough()
    assert at_temperature(straight, 0.1) is straight
    # what it learns is its own
    rebar = hg.REBAR()
    assert at_temperature(rebar, 0.1) is rebar


def test_unknown_names_and_misplaced_baselines_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Unknown estimator 'reinmx'\. Did you mean reinmax"):
        make_estimator("reinmx")
    with pytest.raises(ValueError, match=r"Unknown estimator \[\]\."):
        make_estimator([])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"exact has no baseline.*score-function and muprop"):
        make_estimator("exact", baseline=hg.NoBaseline())


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_critic_goes_to_relax_alone(name: str) -> None:
    others = sorted(set(ESTIMATORS) - {"relax"})
    if_given = {other: {"critic": critic} for other in others} | {"relax": {}}
    why = dict.fromkeys(others, f"{name} has no critic; only relax does") | {
        "relax": r"relax needs a critic, such as Critic\(q\.event_shape\)"
    }
    with pytest.raises(ValueError, match=why[name]):
        make_estimator(name, **if_given[name])
