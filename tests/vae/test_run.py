"""Opening a run: what comes back is what was trained; damage is named, and never executed."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from toy_runs import toy_config, toy_dataset, train_toy

from hotgrad import vae
from hotgrad.vae.checkpoint import load_checkpoint
from hotgrad.vae.latent import LAWS


@pytest.fixture
def run(tmp_path: Path) -> Path:
    train_toy(tmp_path / "run", prior="learned")
    return tmp_path / "run"


def edit_config(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    file = run / "config.json"
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))


def resume(run: Path, **changes: Any) -> vae.VAE:
    config = toy_config(prior="learned", **changes)
    return vae.train(config, run, dataset=toy_dataset(), resume=True)


@pytest.mark.parametrize("latent", LAWS)
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_load_gives_the_trained_model(tmp_path: Path, latent: str, likelihood: str) -> None:
    trained = train_toy(tmp_path / "run", latent=latent, likelihood=likelihood)
    loaded = vae.load(tmp_path / "run")
    assert not loaded.training
    x = toy_dataset().test
    outputs = [
        (model.encode(x).mean, model.reconstruct(x), generated(model))
        for model in (trained, loaded)
    ]
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=0)


def generated(model: vae.VAE) -> torch.Tensor:
    return model.generate(5, generator=torch.Generator().manual_seed(0))


def test_a_path_may_be_a_string(run: Path) -> None:
    assert vae.load(str(run)).latent == vae.CategoricalLatent(3, 2)


def test_load_leaves_the_global_generator_alone(run: Path) -> None:
    before = torch.get_rng_state()
    vae.load(run)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(ValueError, match=r"is not a run: it holds no config\.json"):
            vae.load(path)
        with pytest.raises(ValueError, match="is not a run"):
            resume(path)


def test_an_unfinished_run(run: Path) -> None:
    (run / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"no model\.safetensors.*hasn't finished.*--resume"):
        vae.load(run)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 50, 0.5, -1])
def test_a_model_cut_short(run: Path, length: float) -> None:
    file = run / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: int(length * len(whole)) if length == 0.5 else int(length)])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged or cut short"):
        vae.load(run)


def test_a_model_of_another_shape(run: Path) -> None:
    edit_config(run, lambda record: record["config"].update(hidden=[9]))
    with pytest.raises(ValueError, match=r"doesn't fit config\.json: decoder.*, expected \("):
        vae.load(run)


def test_a_model_with_other_tensors(run: Path) -> None:
    file = run / "model.safetensors"
    tensors = safetensors.torch.load_file(file)
    del tensors["prior_logits"]
    safetensors.torch.save_file({**tensors, "stranger": torch.zeros(2)}, file)
    with pytest.raises(ValueError, match="prior_logits is absent, expected"):
        vae.load(run)


BAD_CONFIGS: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (lambda record: record["config"].update(colour=1), "Unknown settings: colour"),
    (lambda record: record["config"].update(latent="quaternion"), "Unknown latent"),
    (lambda record: record["config"].update(epochs="5"), "epochs must be an integer"),
    (lambda record: record["config"].update(learning_rate="fast"), "can't be read"),
    (lambda record: record["config"].update(hidden=None), "can't be read"),
    (lambda record: record["config"].update(data=5), "data must be a string"),
    (lambda record: record.update(config=5), "can't be read"),
    (lambda record: record.pop("config"), "lacks 'config'"),
    (lambda record: record.pop("item_shape"), "lacks 'item_shape'"),
    (lambda record: record.update(item_shape="ab"), "item_shape"),
    (lambda record: record.update(item_shape=[4, -4]), "item_shape"),
    (lambda record: record.update(item_shape=[4.0, 4]), "item_shape"),
    (lambda record: record.update(item_shape=None), "can't be read"),
]


@pytest.mark.parametrize(("change", "message"), BAD_CONFIGS)
def test_a_configuration_that_someone_edited(
    run: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    edit_config(run, change)
    with pytest.raises(ValueError, match=message) as caught:
        vae.load(run)
    assert "config.json" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '"text"', "null", "\udcff"])
def test_a_configuration_that_is_none(run: Path, text: str) -> None:
    (run / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=r"config\.json"):
        vae.load(run)


# Checkpoints.


@pytest.mark.parametrize("length", [*range(12), 100, 1000, 0.25, 0.5, 0.9, -200, -22, -1])
def test_a_checkpoint_cut_short(run: Path, length: float) -> None:
    file = run / "checkpoint.pt"
    whole = file.read_bytes()
    file.write_bytes(whole[: int(length * len(whole)) if 0 < length < 1 else int(length)])
    with pytest.raises(ValueError, match=r"checkpoint\.pt is damaged or cut short"):
        resume(run)
    # the model, which is whole, still opens
    vae.load(run)


def test_a_checkpoint_of_noise(run: Path) -> None:
    for seed in range(20):
        noise = torch.randint(256, (300,), generator=torch.Generator().manual_seed(seed))
        (run / "checkpoint.pt").write_bytes(bytes(noise.tolist()))
        with pytest.raises(ValueError, match="damaged or cut short"):
            resume(run)


def test_a_checkpoint_with_something_else_in_it(run: Path) -> None:
    for content in ({"epoch": 1}, [1, 2], torch.zeros(2)):
        torch.save(content, run / "checkpoint.pt")
        with pytest.raises(ValueError, match="is not a checkpoint of a run: expected"):
            resume(run)


@pytest.mark.parametrize("changes", [{"hidden": (9,)}, {"optimizer": "sgd"}])
def test_a_checkpoint_of_another_run(run: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    train_toy(tmp_path / "other", prior="learned", **changes)
    (tmp_path / "other" / "checkpoint.pt").replace(run / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"checkpoint\.pt doesn't fit"):
        resume(run)


class Malicious:
    """Unpickling it makes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def test_a_malicious_checkpoint_is_not_executed(run: Path, tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    checkpoint = torch.load(run / "checkpoint.pt", weights_only=True)
    torch.save({**checkpoint, "rows": Malicious(trace)}, run / "checkpoint.pt")
    with pytest.raises(ValueError, match="damaged or cut short"):
        resume(run)
    for file in ("checkpoint.pt", "model.safetensors"):
        (run / file).write_bytes(pickle.dumps(Malicious(trace)))
    with pytest.raises(ValueError, match="damaged or cut short"):
        resume(run)
    with pytest.raises(ValueError, match="damaged or cut short"):
        vae.load(run)
    assert not trace.exists()
    # the mutant: a plain unpickling would have
    pickle.loads((run / "checkpoint.pt").read_bytes())
    assert trace.exists()


def test_a_checkpoint_holds_plain_values_only(run: Path) -> None:
    checkpoint = load_checkpoint(run / "checkpoint.pt", torch.device("cpu"))
    assert checkpoint["epoch"] == 1
    assert checkpoint["step"] == 2
    assert len(checkpoint["rows"]) == 2
