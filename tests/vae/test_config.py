"""A configuration checks itself when it is made, and survives JSON."""

import dataclasses
import json
from typing import Any

import pytest

from hotgrad import schedules
from hotgrad.vae import CHOICES, Config


def test_it_survives_json() -> None:
    config = Config(hidden=(64, 32), estimator="reinmax", data_dir="somewhere", seed=3)
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_a_list_of_widths_is_the_same_run_as_a_tuple() -> None:
    assert Config(hidden=[64, 32]) == Config(hidden=(64, 32))  # type: ignore[arg-type]


def test_it_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().seed = 1  # type: ignore[misc]


def test_missing_settings_have_their_defaults() -> None:
    assert Config.from_dict({"seed": 4}) == Config(seed=4)


@pytest.mark.parametrize("name", sorted(CHOICES))
def test_each_choice_is_a_setting_whose_default_is_known(name: str) -> None:
    assert getattr(Config(), name) in CHOICES[name]


@pytest.mark.parametrize("name", sorted(CHOICES))
def test_an_unknown_choice_names_the_known_ones(name: str) -> None:
    with pytest.raises(ValueError, match=f"Unknown {name} 'nonsense'.*{CHOICES[name][-1]}"):
        Config(**{name: "nonsense"})


def test_a_near_miss_is_suggested() -> None:
    with pytest.raises(ValueError, match="Did you mean bernoulli"):
        Config(latent="bernouli")


BAD: list[tuple[dict[str, Any], str]] = [
    ({"epochs": 0}, "epochs must be an integer of at least 1, got 0"),
    ({"epochs": 1.5}, "epochs must be an integer"),
    ({"epochs": True}, "epochs must be an integer"),
    ({"batch_size": -1}, "batch_size"),
    ({"num_latents": 0}, "num_latents"),
    ({"num_categories": 1}, "num_categories must be an integer of at least 2"),
    ({"num_samples": 0}, "num_samples"),
    ({"devices": 0}, "devices"),
    ({"anneal_every": 0}, "anneal_every"),
    ({"seed": -1}, "seed"),
    ({"seed": 2**63}, "seed must be below"),
    ({"hidden": (8, 0)}, "a width in hidden"),
    ({"hidden": 8}, "hidden must be a tuple"),
    ({"temperature": 0.0}, "temperature must be positive and finite, got 0"),
    ({"temperature": float("nan")}, "temperature must be positive and finite, got nan"),
    ({"min_temperature": -1.0}, "min_temperature"),
    ({"prior_temperature": float("inf")}, "prior_temperature"),
    ({"learning_rate": 0.0}, "learning_rate must be positive, got 0"),
    ({"learning_rate": float("nan")}, "learning_rate must be positive, got nan"),
    ({"learning_rate": float("inf")}, "learning_rate"),
    ({"corruption_level": 0.0}, "corruption_level"),
    ({"corruption_level": float("nan")}, "corruption_level"),
    ({"anneal_rate": -1.0, "schedule": "exponential"}, "rate must be at least 0"),
    ({"data": 5}, "data must be a string, got int"),
    ({"column": 5}, "column must be a string, got int"),
    ({"kl": "concrete", "estimator": "reinmax"}, "kl=concrete.*gumbel-softmax.*reinmax"),
    ({"estimator": "score-function"}, "leave-one-out.*num_samples=2"),
    ({"targets": "dynamic", "likelihood": "gaussian"}, "likelihood=bernoulli"),
    ({"estimator": "exact"}, r"10\^20 codes.*fewer num_latents"),
    ({"estimator": "exact", "latent": "bernoulli"}, r"2\^20 codes"),
]


@pytest.mark.parametrize(("settings", "message"), BAD, ids=lambda value: str(value)[:40])
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**settings)


def test_unknown_settings_are_named() -> None:
    with pytest.raises(ValueError, match="Unknown settings: colour, size"):
        Config.from_dict({"size": 1, "colour": 2})


def test_exact_is_allowed_up_to_its_budget() -> None:
    assert Config(estimator="exact", latent="bernoulli", num_latents=16).num_latents == 16
    with pytest.raises(ValueError, match=r"2\^17"):
        Config(estimator="exact", latent="bernoulli", num_latents=17)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", schedules.Constant(1.0)),
        ("exponential", schedules.Exponential(1.0, 1e-4, 0.5, 500)),
        ("linear", schedules.Linear(1.0, 0.5, 70)),
        ("cosine", schedules.Cosine(1.0, 0.5, 70)),
    ],
)
def test_schedules(name: str, expected: object) -> None:
    config = Config(schedule=name, min_temperature=0.5, anneal_rate=1e-4, anneal_every=500)
    assert config.make_schedule(70) == expected
