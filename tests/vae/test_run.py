"""Opening a run: what comes back is what was trained; damage is named, and never executed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from flips import flips
from toy_runs import toy_config, toy_dataset, train_toy

from hotgrad import vae
from hotgrad.tensor_files import read_tensors, write_tensors
from hotgrad.vae.latent import DISTRIBUTIONS


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


@pytest.mark.parametrize("latent", DISTRIBUTIONS)
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
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        vae.load(run)


def rewrite_model(run: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Another model with a checksum that is right."""
    tensors, said = read_tensors(run / "model.safetensors")
    change(tensors)
    write_tensors(run / "model.safetensors", tensors, said)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda its: its.pop("prior_logits"), "prior_logits is absent, expected float32 of shape"),
        (lambda its: its.update(stranger=torch.zeros(2)), "stranger is .*, expected absent"),
        (
            lambda its: its.update(prior_logits=torch.zeros(7)),
            r"prior_logits is float32 of shape \(7,\), expected float32 of shape \(6,\)",
        ),
        (
            lambda its: its.update(prior_logits=its["prior_logits"].half()),
            "prior_logits is float16 of shape .*, expected float32",
        ),
        (
            lambda its: its.update(prior_logits=its["prior_logits"].long()),
            "prior_logits is int64 of shape .*, expected float32",
        ),
        (lambda its: its["decoder.0.bias"].fill_(torch.nan), r"aren't finite, .* decoder\.0\.bias"),
        (lambda its: its["decoder.0.bias"].fill_(torch.inf), r"aren't finite, .* decoder\.0\.bias"),
    ],
)
def test_a_model_with_other_tensors(
    run: Path, change: Callable[[dict[str, torch.Tensor]], object], message: str
) -> None:
    rewrite_model(run, change)
    with pytest.raises(ValueError, match=rf"model\.safetensors .*{message}"):
        vae.load(run)


def test_a_model_in_double_precision_is_no_other(tmp_path: Path) -> None:
    trained = train_toy(tmp_path / "run", precision="64-true")
    for name, tensor in vae.load(tmp_path / "run").state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, trained.state_dict()[name].float())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden", [9]),
        ("num_latents", 10**15),
        ("likelihood", "gaussian"),
        ("latent", "k-subset"),
        ("prior", "uniform"),
    ],
)
def test_a_configuration_that_gives_the_weights_another_meaning(
    run: Path, name: str, value: Any
) -> None:
    edit_config(run, lambda record: record["config"].update({"estimator": "auto", name: value}))
    message = rf"config\.json says {name}=.*, but model\.safetensors was made with {name}="
    with pytest.raises(ValueError, match=message):
        vae.load(run)


def test_no_memory_is_asked_for_before_shapes_are_compared(run: Path) -> None:
    """With the settings edited in both files only the tensors tell, and 10^15 are never made."""
    tensors, said = read_tensors(run / "model.safetensors")
    edit_config(run, lambda record: record["config"].update(num_latents=10**15))
    changed = json.dumps({**json.loads(said), "num_latents": 10**15})
    write_tensors(run / "model.safetensors", tensors, changed)
    with pytest.raises(ValueError, match=r"doesn't fit config\.json: decoder.*, expected float32"):
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
    (lambda record: record.update(item_shape=[10**400, 4]), "item_shape must be below 2\\^63"),
    (lambda record: record["config"].update(num_latents=10**400), "must be below 2\\^63"),
    (lambda record: record["config"].update(temperature=10**400), "temperature must be positive"),
    (lambda record: record["config"].update(learning_rate="0.1"), "can't be read"),
]


@pytest.mark.parametrize(("change", "message"), BAD_CONFIGS)
def test_a_configuration_that_someone_edited(
    run: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    edit_config(run, change)
    with pytest.raises(ValueError, match=message) as caught:
        vae.load(run)
    assert "config.json" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "5", '"text"', "null", "\udcff", "[" * 10_000, '{"a":' * 10_000, "1" * 5000],
    ids=lambda text: repr(text[:9]),
)
def test_a_configuration_that_is_none(run: Path, text: str) -> None:
    (run / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=r"config\.json"):
        vae.load(run)


ODD = ["0.1", "", None, True, [], {}, [[]], -1, 0, 1.5, 1e400, -(10**400), 10**400, 2**63, 10**18]


def test_no_setting_does_more_than_be_refused(run: Path) -> None:
    """Each field with each odd value: refused in one line with the file's name, or harmless."""
    whole = (run / "config.json").read_text()
    messages = []
    for name in [*json.loads(whole)["config"], "item_shape"]:
        for value in ODD:
            record = json.loads(whole)
            (record if name == "item_shape" else record["config"])[name] = value
            (run / "config.json").write_text(json.dumps(record))
            try:
                vae.load(run)
            except ValueError as error:
                messages.append(str(error))
    assert len(messages) > 250
    assert all("config.json" in message and len(message) < 1000 for message in messages)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_no_flip_of_a_bit_gives_the_weights_another_meaning(run: Path, name: str) -> None:
    whole, expected = (run / name).read_bytes(), vae.load(run)
    messages = []
    for damaged in flips(whole, 150):
        (run / name).write_bytes(damaged)
        try:
            model = vae.load(run)
        except ValueError as error:
            messages.append(str(error))
            continue
        torch.testing.assert_close(model.state_dict(), expected.state_dict(), rtol=0, atol=0)
        assert (repr(model), model.latent) == (repr(expected), expected.latent)
    # config.json also holds what a model doesn't depend on
    assert len(messages) > (130 if name == "model.safetensors" else 20)
    assert all(str(run) in message for message in messages)
