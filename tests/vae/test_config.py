"""A configuration checks itself when it is made, and survives JSON."""

import copy
import dataclasses
import json
from typing import Any

import pytest
import torch

import hotgrad as hg
from hotgrad import schedules
from hotgrad.estimators import ESTIMATORS, make_estimator
from hotgrad.vae import CHOICES, Config, make_latent
from hotgrad.vae.latent import DISTRIBUTIONS
from hotgrad.vae.pairings import WORKING


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
    ({"hidden": (8, 0)}, r"hidden must be a tuple of integers of at least 1, got \(8, 0\)"),
    ({"hidden": 8}, "hidden must be a tuple"),
    ({"temperature": 0.0}, "temperature must be positive and finite, got 0"),
    ({"temperature": float("nan")}, "temperature must be positive and finite, got nan"),
    ({"min_temperature": -1.0}, "min_temperature"),
    ({"prior_temperature": float("inf")}, "prior_temperature"),
    ({"learning_rate": 0.0}, "learning_rate must be a positive, finite number, got 0"),
    ({"learning_rate": float("nan")}, "learning_rate must be a positive, finite number, got nan"),
    ({"learning_rate": "0.1"}, "learning_rate must be a positive, finite number, got '0.1'"),
    ({"corruption_level": "0.1"}, "corruption_level must be above 0 and at most 1, got '0.1'"),
    ({"corruption_level": 1.5}, "corruption_level must be above 0 and at most 1, got 1.5"),
    ({"anneal_rate": "0.1"}, "anneal_rate must be at least 0 and finite, got '0.1'"),
    ({"learning_rate": float("inf")}, "learning_rate"),
    ({"corruption_level": 0.0}, "corruption_level"),
    ({"corruption_level": float("nan")}, "corruption_level"),
    ({"anneal_rate": -1.0, "schedule": "exponential"}, "anneal_rate must be at least 0"),
    ({"data": 5}, "data must be a string, got 5"),
    ({"column": 5}, "column must be a string, got 5"),
    ({"kl": "concrete", "estimator": "reinmax"}, "kl=concrete.*gumbel-softmax.*reinmax"),
    (
        {"estimator": "score-function"},
        "baseline=leave-one-out needs num_samples of at least 2, got 1. Use num_samples=2 or anot",
    ),
    (
        {"estimator": "disarm", "latent": "bernoulli"},
        "estimator=disarm needs num_samples of at least 2, got 1. Use num_samples=2.$",
    ),
    (
        {"estimator": "arm", "latent": "bernoulli", "num_samples": 5},
        "estimator=arm draws samples in pairs: num_samples must be even, got 5. Use num_samples=6",
    ),
    ({"estimator": "muprop"}, "muprop with baseline=leave-one-out needs num_samples of at least 2"),
    ({"estimator": "unordered-set"}, "estimator=unordered-set needs num_samples of at least 2"),
    ({"estimator": "arm", "num_samples": 2}, "estimator=arm doesn't work with latent=categorical"),
    ({"targets": "dynamic", "likelihood": "gaussian"}, "likelihood=bernoulli"),
    ({"estimator": "exact"}, r"10\^20 codes.*fewer num_latents"),
    ({"estimator": "exact", "latent": "bernoulli"}, r"2\^20 codes"),
    ({"estimator": "exact", "latent": "k-subset", "num_latents": 3}, r"C\(10, 5\)\^3 codes"),
    ({"estimator": "exact", "latent": "k-subset", "num_categories": 10**9}, r"C\(1000000000, "),
    (
        {"estimator": "indecater", "latent": "k-subset", "num_categories": 20},
        r"estimator=indecater lists the C\(20, 10\) states of a variable, more than 65,536. Use",
    ),
    (
        {"estimator": "unordered-set", "num_categories": 2**16 + 1, "num_samples": 2},
        "estimator=unordered-set lists the 65537 states of a variable, more than 65,536",
    ),
    ({"subset_size": -1}, "subset_size must be an integer of at least 0, got -1"),
    ({"subset_size": 2.0}, "subset_size must be an integer"),
    ({"subset_size": True}, "subset_size must be an integer"),
    ({"latent": "k-subset", "subset_size": 10}, "less than num_categories=10, got 10"),
    ({"latent": "k-subset", "subset_size": 11}, "less than num_categories=10, got 11"),
    ({"latent": "k-subset", "kl": "concrete"}, "k-subset has no relaxation.*kl=analytic"),
    (
        {"latent": "k-subset", "estimator": "reinmax"},
        "estimator=reinmax doesn't work with latent=k-subset. Use one of straight-through,",
    ),
    (
        {"latent": "bernoulli", "estimator": "relaxed-top-k"},
        "Unknown estimator 'relaxed-top-k'.*Known: auto, gumbel-softmax,",
    ),
]


@pytest.mark.parametrize(("settings", "message"), BAD, ids=lambda value: str(value)[:40])
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**settings)


def test_unknown_settings_are_named() -> None:
    with pytest.raises(ValueError, match="Unknown settings: colour, size"):
        Config.from_dict({"size": 1, "colour": 2})


@pytest.mark.parametrize(
    ("latent", "estimator", "size"),
    [
        ("categorical", "gumbel-softmax", 0),
        ("bernoulli", "gumbel-softmax", 0),
        ("k-subset", "straight-through", 5),
    ],
)
def test_what_is_left_open_is_settled(latent: str, estimator: str, size: int) -> None:
    config = Config(latent=latent)
    assert (config.estimator, config.subset_size) == (estimator, size)
    assert Config(latent=latent, estimator="auto", subset_size=0) == config
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("start", DISTRIBUTIONS)
@pytest.mark.parametrize("latent", DISTRIBUTIONS)
def test_what_was_left_open_is_chosen_anew_by_replace(start: str, latent: str) -> None:
    settings: dict[str, Any] = {"num_categories": 6, "num_latents": 3}
    config = dataclasses.replace(Config(latent=start), latent=latent, **settings)
    assert config == Config(latent=latent, **settings)
    assert repr(config) == repr(Config(latent=latent, **settings))
    # again, and from a copy of it
    again = dataclasses.replace(copy.deepcopy(config), latent=start, num_categories=10)
    assert again == Config(latent=start, num_latents=3)


def test_what_was_asked_for_is_kept_by_replace() -> None:
    config = Config(latent="k-subset", subset_size=4, estimator="straight-through")
    larger = dataclasses.replace(config, num_categories=20)
    assert (larger.estimator, larger.subset_size) == ("straight-through", 4)
    with pytest.raises(ValueError, match="estimator=reinmax doesn't work with latent=k-sub"):
        dataclasses.replace(Config(estimator="reinmax"), latent="k-subset")
    # what a file says was asked for
    read = Config.from_dict(json.loads(json.dumps(Config(estimator="reinmax").to_dict())))
    with pytest.raises(ValueError, match="estimator=reinmax doesn't work with latent=k-sub"):
        dataclasses.replace(read, latent="k-subset")


def test_half_of_an_odd_number_is_rounded_down() -> None:
    assert Config(latent="k-subset", num_categories=3).subset_size == 1
    assert Config(latent="k-subset", num_categories=3, subset_size=2).subset_size == 2


@pytest.mark.parametrize("latent", DISTRIBUTIONS)
def test_an_estimator_is_admitted_where_it_works(latent: str) -> None:
    """What a configuration admits is what an expectation takes, and nothing else."""
    code = make_latent(latent, 2, 3, 1)
    admitted = set()
    for name in ESTIMATORS:
        q = code.distribution(torch.zeros(code.size, requires_grad=True))
        critic = hg.Critic(code.event_shape) if name == "relax" else None
        estimator = make_estimator(name, critic=critic)
        try:
            hg.expectation(lambda z: z.flatten(1).sum(-1), q, estimator, num_samples=2)
            admitted.add(name)
        except NotImplementedError:
            with pytest.raises(ValueError, match=name):
                Config(latent=latent, estimator=name, num_latents=2, num_samples=2)
        else:
            assert Config(latent=latent, estimator=name, num_latents=2, num_samples=2)
    assert admitted == set(WORKING[latent])


# config.json of a run that was made before codes could be subsets
OLD = (
    '{"data": "digits", "data_dir": null, "column": null, "targets": "grey", "corruption": "none", '
    '"corruption_level": 0.25, "latent": "bernoulli", "num_latents": 20, "num_categories": 10, '
    '"network": "mlp", "hidden": [256], "likelihood": "bernoulli", "prior": "uniform", '
    '"estimator": "reinmax", "baseline": "leave-one-out", "num_samples": 1, "kl": "analytic", '
    '"prior_temperature": 0.5, "schedule": "cosine", "temperature": 1.0, "min_temperature": 0.3, '
    '"anneal_rate": 0.0001, "anneal_every": 500, "epochs": 100, "batch_size": 100, '
    '"optimizer": "adam", "learning_rate": 0.001, "seed": 0, "accelerator": "auto", "devices": 1, '
    '"precision": "32-true"}'
)


def test_an_old_run_is_the_same_run() -> None:
    assert Config.from_dict(json.loads(OLD)) == Config(latent="bernoulli", estimator="reinmax")


def test_exact_is_allowed_up_to_its_budget() -> None:
    assert Config(estimator="exact", latent="bernoulli", num_latents=16).num_latents == 16
    with pytest.raises(ValueError, match=r"2\^17"):
        Config(estimator="exact", latent="bernoulli", num_latents=17)
    # 252^2 is below 2^16, as is C(65536, 1)
    assert Config(estimator="exact", latent="k-subset", num_latents=2).num_latents == 2
    assert Config(
        estimator="exact", latent="k-subset", num_latents=1, num_categories=2**16, subset_size=1
    )


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
