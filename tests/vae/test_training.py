"""Training: a function of the configuration; every choice works; NaN stops it, its work kept."""

import csv
import json
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from toy_runs import toy_config, toy_dataset, train_toy

from hotgrad import vae
from hotgrad.vae import training
from hotgrad.vae.objective import Objective, build_objective
from hotgrad.vae.run import fingerprint
from hotgrad.vae.training import train

METRICS = ["step", "epoch", "split", "elbo", "reconstruction", "kl", "temperature", "seconds"]


def model_bytes(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def metrics(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# The result.


@pytest.mark.parametrize(
    ("latent", "estimator"),
    [
        ("categorical", "gumbel-softmax"),
        ("categorical", "score-function"),
        ("k-subset", "straight-through"),
    ],
)
def test_the_same_seed_gives_the_same_run(tmp_path: Path, latent: str, estimator: str) -> None:
    settings: dict[str, Any] = {
        "latent": latent,
        "estimator": estimator,
        "baseline": "moving-average",
        "targets": "dynamic",
        "corruption": "mask",
        "epochs": 2,
    }
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train_toy(tmp_path / name, seed=seed, **settings)
        torch.rand(3)
    assert model_bytes(tmp_path / "a") == model_bytes(tmp_path / "b")
    assert model_bytes(tmp_path / "a") != model_bytes(tmp_path / "c")


def test_the_global_generator_is_left_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    train_toy(tmp_path / "run")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "settings",
    [
        {"estimator": "gumbel-softmax"},
        {"estimator": "exact"},
        {"estimator": "score-function", "num_samples": 4},
        {"estimator": "reinmax", "latent": "bernoulli"},
        {"likelihood": "gaussian", "estimator": "exact"},
        {"kl": "concrete", "schedule": "constant", "temperature": 0.67},
        {"latent": "k-subset"},
        {"latent": "k-subset", "num_categories": 4, "prior": "learned"},
    ],
    ids=lambda settings: " ".join(map(str, settings.values())),
)
def test_the_bound_improves(tmp_path: Path, settings: dict[str, Any]) -> None:
    gains = []
    for seed in (1, 2, 3):
        out = tmp_path / str(seed)
        train_toy(out, toy_dataset(300), epochs=12, learning_rate=0.03, seed=seed, **settings)
        valid = [float(row["elbo"]) for row in metrics(out) if row["split"] == "valid"]
        gains.append(valid[-1] - valid[0])
    # Without a code, a pixel of two equally frequent kinds costs log 2, 11 nats in all. The median,
    # since one run in six settles there, without a code.
    assert statistics.median(gains) > 2


def choices() -> Iterator[dict[str, Any]]:
    # every estimator with every code and precision is in test_estimators.py
    fixed = {"accelerator", "precision", "estimator"}
    needed: dict[tuple[str, str], dict[str, Any]] = {
        ("baseline", "moving-average"): {"estimator": "score-function"},
        ("baseline", "learned"): {"estimator": "score-function", "num_samples": 2},
    }
    for name, values in vae.CHOICES.items():
        for value in values if name not in fixed else ():
            yield {**needed.get((name, value), {}), name: value}
    yield {"estimator": "score-function", "baseline": "none"}
    yield {"estimator": "muprop", "baseline": "learned"}
    yield {"latent": "bernoulli", "kl": "concrete"}
    yield {"latent": "bernoulli", "estimator": "score-function", "baseline": "learned"}
    yield {"latent": "k-subset", "prior": "learned", "precision": "bf16-mixed"}
    yield {"latent": "k-subset", "estimator": "score-function", "baseline": "learned"}
    yield {"hidden": (8, 6), "num_samples": 3}


@pytest.mark.parametrize(
    "settings",
    list(choices()),
    ids=lambda settings: " ".join(f"{k}={v}" for k, v in settings.items()),
)
def test_every_choice_trains(tmp_path: Path, settings: dict[str, Any]) -> None:
    run = tmp_path / "run"
    model = train_toy(run, **settings)
    assert not model.training
    rows = metrics(run)
    assert [row["split"] for row in rows] == ["train", "valid"]
    loaded = vae.load(run)
    for name, tensor in loaded.state_dict().items():
        assert bool(tensor.isfinite().all()), name
        torch.testing.assert_close(tensor, model.state_dict()[name].float())


def test_a_denoising_autoencoder_learns_the_clean_items(tmp_path: Path) -> None:
    assert brightness_learnt_blindly(tmp_path / "run") == pytest.approx(0.5, abs=0.1)


def test_the_test_sees_one_that_learns_the_corrupted_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Objective.forward

    def against_its_input(self: Objective, x: torch.Tensor, _: object, *rest: Any) -> Any:
        return forward(self, x, x, *rest)

    monkeypatch.setattr(Objective, "forward", against_its_input)
    assert brightness_learnt_blindly(tmp_path / "run") < 0.1


def brightness_learnt_blindly(out: Path) -> float:
    """Of what the model makes of nothing, where every pixel that it ever saw was masked."""
    settings: dict[str, Any] = {"corruption": "mask", "corruption_level": 1.0}
    model = train_toy(out, epochs=40, learning_rate=0.1, **settings)
    return model.reconstruct(torch.zeros(1, 16)).mean().item()


def test_a_learned_baseline_is_trained_with_the_model() -> None:
    config = toy_config(estimator="score-function", baseline="learned", num_samples=2)
    objective, optimizer = build_objective(config, (4, 4))
    names = [name for name, _ in objective.named_parameters() if name.startswith("estimator.")]
    assert len(names) == 4
    x = toy_dataset().train
    generator = torch.Generator().manual_seed(0)
    errors = []
    for _ in range(200):
        reconstruction, kl = objective(x, x, 1.0, generator)
        optimizer.zero_grad()
        ((kl - reconstruction) / len(x)).backward()
        optimizer.step()
        module: nn.Module = objective.estimator.baseline.module  # type: ignore[union-attr]
        with torch.no_grad():
            prediction = module(objective.model.encode(x).mean).squeeze(-1)
        errors.append((prediction.mean() - reconstruction.detach() / len(x)).square().item())
    assert errors[-1] < 0.1 * errors[0]


def test_the_baselines_weights_depend_on_the_seed_alone() -> None:
    config = toy_config(estimator="score-function", baseline="learned")
    states = []
    for _ in range(2):
        before = torch.get_rng_state()
        states.append(build_objective(config, (4, 4))[0].state_dict())
        assert torch.equal(torch.get_rng_state(), before)
        torch.rand(2)
    torch.testing.assert_close(*states, rtol=0, atol=0)


# What a run leaves.


def test_the_folder(tmp_path: Path) -> None:
    run = tmp_path / "deep" / "run"
    train_toy(run, epochs=3, seed=7, schedule="linear", temperature=1.0, min_temperature=0.5)
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoint.safetensors",
        "config.json",
        "metrics.csv",
        "model.safetensors",
    ]
    assert [path.name for path in run.parent.iterdir()] == ["run"]
    rows = metrics(run)
    assert list(rows[0]) == METRICS
    assert [row["epoch"] for row in rows] == ["1", "1", "2", "2", "3", "3"]
    assert [row["split"] for row in rows] == ["train", "valid"] * 3
    assert [row["step"] for row in rows] == ["2", "2", "4", "4", "6", "6"]
    for row in rows:
        difference = float(row["reconstruction"]) - float(row["kl"])
        assert float(row["elbo"]) == pytest.approx(difference, rel=1e-12)
        assert float(row["seconds"]) >= 0
    temperatures = [float(row["temperature"]) for row in rows[::2]]
    assert temperatures == pytest.approx([1 - 0.5 * step / 6 for step in (1, 3, 5)])


def test_an_estimator_without_a_temperature_reports_none(tmp_path: Path) -> None:
    heard: list[vae.Progress] = []
    config = toy_config(estimator="straight-through")
    vae.train(config, tmp_path / "run", dataset=toy_dataset(), listener=heard.append)
    assert {at.temperature for at in heard} == {None}
    assert {row["temperature"] for row in metrics(tmp_path / "run")} == {""}


def test_config_json_records_what_is_needed_to_repeat_it(tmp_path: Path) -> None:
    train_toy(tmp_path / "run", seed=7)
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert record["seed"] == 7
    assert record["item_shape"] == [4, 4]
    assert record["versions"]["torch"] == torch.__version__
    assert set(record["versions"]) >= {"hotgrad", "python", "numpy", "lightning-fabric"}
    # the items were made in Python: no name of a data set leads to them
    assert vae.Config.from_dict(record["config"]) == toy_config(seed=7, data="in-memory")
    assert record["data"] == fingerprint(toy_dataset())


def test_the_metrics_are_what_the_model_gives(tmp_path: Path) -> None:
    """A decoder of zeros scores log 2 a pixel and a code of fair coins costs nothing."""
    train_toy(tmp_path / "run", learning_rate=1e-12, likelihood="bernoulli")
    model = vae.build_model(toy_config(), (4, 4))
    train_row, _ = metrics(tmp_path / "run")
    x = toy_dataset().train
    with torch.no_grad():
        kl = torch.distributions.kl_divergence(model.encode(x), model.prior()).mean().item()
    assert float(train_row["kl"]) == pytest.approx(kl, rel=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_on_request(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    vae.train(toy_config(epochs=2), run, dataset=toy_dataset(), tensorboard=True)
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == {
        f"{name}/{split}"
        for name in ("elbo", "reconstruction", "kl", "temperature")
        for split in ("train", "valid")
    }
    points = [(point.step, point.value) for point in events.Scalars("elbo/valid")]
    rows = [row for row in metrics(run) if row["split"] == "valid"]
    assert [step for step, _ in points] == [int(row["step"]) for row in rows]
    assert [value for _, value in points] == pytest.approx([float(row["elbo"]) for row in rows])


def test_the_listener_hears_every_step(tmp_path: Path) -> None:
    heard: list[vae.Progress] = []
    config = toy_config(epochs=2, batch_size=7)
    vae.train(config, tmp_path / "run", dataset=toy_dataset(), listener=heard.append)
    assert [at.step for at in heard] == [1, 2, 3, 4, 5, 6]
    assert [at.epoch for at in heard] == [0, 0, 0, 1, 1, 1]
    assert {at.total_steps for at in heard} == {6}
    assert all(at.elbo < 0 and at.temperature and at.temperature > 0 for at in heard)


# What is refused, before anything is written.


def test_an_existing_folder_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("precious")
    with pytest.raises(ValueError, match=r"exists already.*--out.*--resume"):
        train_toy(tmp_path / "run")
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "mine.txt"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="exists already"):
        train_toy(tmp_path / "empty")


@pytest.mark.parametrize(
    ("settings", "dataset", "message"),
    [
        ({"network": "conv"}, toy_dataset(shape=(16,)), "network=conv needs pictures"),
        ({"accelerator": "mps"}, toy_dataset(), "accelerator=mps.*isn't available"),
        (
            {"num_latents": 10**12},
            toy_dataset(),
            "model has 34,000,000,000,288 parameters, .* takes at least 408,000 GB .* Use fewer",
        ),
        ({"num_latents": 2**61}, toy_dataset(), "model is too large for any machine.* Use fewer"),
        (
            {"num_latents": 2**60, "estimator": "relax", "network": "linear"},
            toy_dataset(shape=(1,)),
            "model is too large for any machine",
        ),
        (
            {},
            vae.Dataset(
                "wide", *[torch.full((5, 16), v) for v in (0.5, 0.5, 3.0)], (4, 4), False, "here"
            ),
            "needs values in \\[0, 1\\]; wide ranges from 0.5 to 3",
        ),
    ],
)
def test_what_doesn_t_fit_leaves_no_folder(
    tmp_path: Path, settings: dict[str, Any], dataset: vae.Dataset, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train_toy(tmp_path / "run", dataset, **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_can_t_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match=r"Can't make the folder .*run: .*file is no folder"):
        train_toy(tmp_path / "file" / "run")


# NaN.


def spoil(monkeypatch: pytest.MonkeyPatch, step: int, value: float) -> None:
    """Let the items that the encoder sees become bad in one step, counted from 1."""
    count = 0

    def corrupt(x: torch.Tensor, *_: object) -> torch.Tensor:
        nonlocal count
        count += 1
        return x * value if count == step else x

    monkeypatch.setattr(training, "corrupt", corrupt)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_stops_with_the_step_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    train_toy(tmp_path / "good", epochs=2)
    # 2 steps an epoch: step 6 is the last of the third
    spoil(monkeypatch, 6, value)
    run = tmp_path / "run"
    with pytest.raises(vae.NonFiniteLossError) as caught:
        train_toy(run, epochs=4)
    message = str(caught.value)
    assert re.search(r"loss is -?(nan|inf) at step 6\b", message)
    assert "after epoch 2, is kept" in message
    assert str(run / "model.safetensors") in message
    assert len(metrics(run)) == 4
    for tensor in vae.load(run).state_dict().values():
        assert bool(tensor.isfinite().all())
    # the schedule spans the run, so the good twin differs in its temperatures alone
    assert [row["step"] for row in metrics(run)] == [
        row["step"] for row in metrics(tmp_path / "good")
    ]


def test_the_kept_model_is_that_of_the_last_whole_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_toy(tmp_path / "good", epochs=2, schedule="constant")
    spoil(monkeypatch, 5, float("nan"))
    with pytest.raises(vae.NonFiniteLossError):
        train_toy(tmp_path / "run", epochs=4, schedule="constant")
    assert model_bytes(tmp_path / "run") == model_bytes(tmp_path / "good")
    # the cause is gone: the run goes on from there
    monkeypatch.undo()
    config = toy_config(epochs=4, schedule="constant")
    vae.train(config, tmp_path / "run", dataset=toy_dataset(), resume=True)
    assert len(metrics(tmp_path / "run")) == 8


def test_nan_in_the_first_epoch_says_that_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, 1, float("nan"))
    with pytest.raises(vae.NonFiniteLossError, match="at step 1, in the first epoch; there is no"):
        train_toy(tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["config.json"]


def test_weights_that_explode_in_an_epochs_last_step_are_not_kept(tmp_path: Path) -> None:
    """The loss of the only step is fine, what it does to the weights isn't: validation sees it."""
    with pytest.raises(vae.NonFiniteLossError, match=r"validation bound is .* after step 1"):
        train_toy(tmp_path / "run", batch_size=20, optimizer="sgd", learning_rate=1e38)
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_train_is_public() -> None:
    assert vae.train is train
