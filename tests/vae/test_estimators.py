"""Every estimator in the autoencoder: it trains, learns what it can learn, and resumes with it."""

import csv
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from toy_runs import toy_config, toy_dataset, train_toy

import hotgrad as hg
from hotgrad import vae
from hotgrad.estimators import ESTIMATORS, has_temperature
from hotgrad.vae.checkpoint import load_checkpoint
from hotgrad.vae.objective import Objective, build_objective
from hotgrad.vae.pairings import WORKING

PAIRS = [(latent, name) for latent, names in WORKING.items() for name in names]
LEARNING = ["rebar", "relax"]


def descend(objective: Objective, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    """The loss of each step, as the training loop has it."""
    x = toy_dataset().train.round()
    noise = torch.Generator().manual_seed(1)
    losses = []
    for _ in range(steps):
        reconstruction, kl = objective(x, x, 0.5, noise)
        loss = (kl - reconstruction) / len(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(("latent", "name"), PAIRS)
def test_the_loss_falls(latent: str, name: str) -> None:
    settings = {"num_samples": 2, "num_categories": 3, "learning_rate": 0.03, "seed": 1}
    config = toy_config(latent=latent, estimator=name, temperature=0.5, **settings)
    losses = descend(*build_objective(config, (4, 4)), steps=100)
    # a code that says nothing costs log 2 a pixel, 11 nats; one that tells the two kinds apart,
    # log 2 in all
    assert statistics.mean(losses[:5]) > 10
    assert statistics.mean(losses[-10:]) < 4


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
@pytest.mark.parametrize(("latent", "name"), PAIRS)
def test_every_other_precision(tmp_path: Path, latent: str, name: str, precision: str) -> None:
    settings = {"latent": latent, "estimator": name, "num_categories": 3, "num_samples": 2}
    model = train_toy(tmp_path / "run", precision=precision, **settings)
    loaded = vae.load(tmp_path / "run").state_dict()
    for key, tensor in model.state_dict().items():
        assert bool(tensor.isfinite().all()), key
        torch.testing.assert_close(loaded[key], tensor.float())


def refusal(attempt: Callable[[], object]) -> str | None:
    """The advice in the message, if there is one."""
    try:
        attempt()
    except ValueError as error:
        return re.findall(r"Use (num_samples=\d+)", str(error))[0]
    return None


@pytest.mark.parametrize(("latent", "name"), PAIRS)
def test_as_many_samples_as_an_expectation_takes(latent: str, name: str) -> None:
    settings = {"latent": latent, "estimator": name}
    objective, _ = build_objective(toy_config(**settings, num_samples=4), (4, 4))
    x = toy_dataset().train
    for n in (1, 2, 3, 4):
        told = refusal(lambda n=n: toy_config(**settings, num_samples=n))
        assert told == refusal(lambda n=n: objective.model(x, objective.estimator, num_samples=n))


# What an estimator learns.


def variance(model: vae.VAE, estimator: hg.Estimator) -> float:
    """Of the gradient to the encoder's logits."""
    x = toy_dataset().train
    logits = model.encoder(x).detach().expand(500, -1, -1).clone().requires_grad_()
    hg.expectation(
        lambda z: model.log_likelihood(x, z),
        model.latent.distribution(logits),
        estimator,
        generator=torch.Generator().manual_seed(3),
    ).sum().backward()
    assert logits.grad is not None
    return logits.grad.var(0).sum().item()


@pytest.mark.parametrize("latent", ["categorical", "bernoulli"])
@pytest.mark.parametrize(("name", "remains"), [("rebar", 0.9), ("relax", 0.1)])
def test_it_learns_to_lower_the_variance(latent: str, name: str, remains: float) -> None:
    config = toy_config(latent=latent, estimator=name, num_categories=3, temperature=5.0)
    objective, _ = build_objective(config, (4, 4))
    assert isinstance(objective.estimator, nn.Module)
    # the model stays as it is, so that there is one variance to lower
    descend(objective, torch.optim.Adam(objective.estimator.parameters(), 0.02), steps=200)
    fresh = build_objective(config, (4, 4))[0]
    learnt = variance(fresh.model, objective.estimator.eval())
    assert isinstance(fresh.estimator, nn.Module)
    assert learnt < remains * variance(fresh.model, fresh.estimator.eval())


@pytest.mark.parametrize("name", LEARNING)
def test_it_learns_in_the_runs_own_steps(name: str) -> None:
    objective, optimizer = build_objective(toy_config(estimator=name), (4, 4))
    optimised = {p for group in optimizer.param_groups for p in group["params"]}
    assert optimised == set(objective.parameters())
    before = {key: p.detach().clone() for key, p in objective.named_parameters()}
    descend(objective, optimizer, steps=3)
    learnt = [key for key in before if key.startswith("estimator.")]
    assert len(learnt) == {"rebar": 2, "relax": 5}[name]
    for key, parameter in objective.named_parameters():
        assert not torch.equal(parameter, before[key]), key


@pytest.mark.parametrize("name", LEARNING)
def test_it_is_in_the_checkpoint_and_not_in_the_model(tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    train_toy(run, estimator=name, epochs=2)
    kept = load_checkpoint(run / "checkpoint.safetensors").objective
    fresh = build_objective(toy_config(estimator=name), (4, 4))[0].state_dict()
    assert set(kept) == set(fresh)
    moved = [key for key in kept if not torch.equal(kept[key], fresh[key])]
    assert "estimator.log_temperature" in moved
    assert set(vae.load(run).state_dict()) == {
        key.removeprefix("model.") for key in fresh if key.startswith("model.")
    }


@pytest.mark.parametrize("name", LEARNING)
def test_a_resumed_run_ends_as_one_left_in_peace(tmp_path: Path, name: str) -> None:
    class Stop(Exception):
        pass

    def stop(progress: vae.Progress) -> None:
        if progress.epoch == 2:
            raise Stop

    config = toy_config(estimator=name, targets="dynamic", epochs=4)
    states: list[dict[str, Any]] = []
    for folder, listener in (("peaceful", lambda _: None), ("run", stop)):
        out = tmp_path / folder
        try:
            vae.train(config, out, dataset=toy_dataset(), listener=listener)
        except Stop:
            vae.train(config, out, dataset=toy_dataset(), resume=True)
        states.append(load_checkpoint(out / "checkpoint.safetensors").objective)
    torch.testing.assert_close(*states, rtol=0, atol=0)


@pytest.mark.parametrize("name", LEARNING)
def test_what_it_learns_depends_on_the_seed_alone(name: str) -> None:
    states = []
    for seed in (1, 1, 2):
        before = torch.get_rng_state()
        states.append(
            build_objective(toy_config(estimator=name, seed=seed), (4, 4))[0].state_dict()
        )
        assert torch.equal(torch.get_rng_state(), before)
        torch.rand(2)
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)
    critics = [key for key in states[0] if key.endswith("inner.weight")]
    assert len(critics) == (name == "relax")
    assert all(not torch.equal(states[0][key], states[2][key]) for key in critics)


# The temperature.


@pytest.mark.parametrize("name", ["rebar", "relax"])
def test_a_learnt_temperature_is_reported(tmp_path: Path, name: str) -> None:
    heard: list[vae.Progress] = []
    config = toy_config(estimator=name, temperature=0.7, epochs=2, learning_rate=0.01)
    vae.train(config, tmp_path / "run", dataset=toy_dataset(), listener=heard.append)
    temperatures = [at.temperature for at in heard]
    assert temperatures[0] == pytest.approx(0.7)
    assert temperatures[-1] != temperatures[0]
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert float(last["temperature"]) == temperatures[-1]


@pytest.mark.parametrize("name", WORKING["bernoulli"])
def test_the_schedule_reaches_those_that_have_a_temperature(name: str) -> None:
    settings = {"estimator": name, "latent": "bernoulli", "num_samples": 2, "temperature": 0.7}
    objective, _ = build_objective(toy_config(**settings), (4, 4))
    scheduled = objective.temperature(0.3)
    if_any = {True: 0.3, False: pytest.approx(0.7) if name in LEARNING else None}
    assert scheduled == if_any[has_temperature(ESTIMATORS[name])]
