"""The commands as a user types them; every bad input is exit status 2 and one line."""

import dataclasses
import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli.said import refused, stdout
from PIL import Image
from toy_runs import toy_dataset

from hotgrad import __version__, vae
from hotgrad_command.app import run

SMALL = [
    *("--epochs", "2", "--hidden", "16", "--num-latents", "4", "--accelerator", "cpu"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run on the digits, for every command that reads one."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    assert run(["train", *SMALL, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def a_copy(trained: Path, tmp_path: Path) -> Path:
    """Of the run on the digits, to be changed."""
    return shutil.copytree(trained, tmp_path / "copy")


@pytest.fixture(scope="module")
def bits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with bits, on an array of the user's own."""
    folder = tmp_path_factory.mktemp("runs")
    np.save(folder / "mine.npy", toy_dataset(200, (3, 5)).train.unflatten(-1, (3, 5)).numpy())
    data = ["--data", str(folder / "mine.npy"), "--targets", "dynamic"]
    out = ["--latent", "bernoulli", "--corruption", "mask", "--out", str(folder / "bits")]
    assert run(["train", *SMALL, *data, *out]) == 0
    return folder / "bits"


@pytest.fixture(scope="module")
def subsets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with 4 subsets, 2 of 5, and no word about the estimator."""
    folder = tmp_path_factory.mktemp("runs") / "subsets"
    size = ["--num-categories", "5", "--subset-size", "2"]
    assert run(["train", *SMALL, *size, "--latent", "k-subset", "--out", str(folder)]) == 0
    return folder


# train


def test_train_leaves_everything(trained: Path) -> None:
    assert sorted(path.name for path in trained.iterdir() if path.suffix != ".npz") >= [
        "checkpoint.safetensors",
        "config.json",
        "curves.png",
        "metrics.csv",
        "model.safetensors",
        "reconstructions.png",
        "samples.png",
    ]
    for picture in ("curves", "reconstructions", "samples"):
        with Image.open(trained / f"{picture}.png") as image:
            assert min(image.size) > 100
    config, shape = vae.RunFolder.open(trained).read_config()
    assert (config.epochs, config.hidden, config.num_latents, shape) == (2, (16,), 4, (8, 8))


def test_train_with_subsets_settles_the_estimator(subsets: Path) -> None:
    record = json.loads((subsets / "config.json").read_text())["config"]
    assert record["estimator"] == "straight-through"
    assert record["subset_size"] == 2
    assert vae.load(subsets).latent == vae.KSubsetLatent(4, 5, k=2)


def test_train_says_how_far_it_is_and_where_things_are(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    no_pictures: None,
) -> None:
    monkeypatch.chdir(tmp_path)
    out = stdout(capsys, "train", *SMALL, "--latent", "bernoulli")
    # a line an epoch, where there is no terminal
    lines = [line for line in out.splitlines() if ": epoch " in line]
    assert [line.split("  ")[0] for line in lines] == [f"digits: epoch {n}/2" for n in (1, 2)]
    assert all("ELBO -" in line and "temp. " in line for line in lines)
    assert "runs/digits-bernoulli holds" in out
    assert "metrics.csv" in out
    assert "Next: hotgrad evaluate runs/digits-bernoulli" in out
    assert max(map(len, out.splitlines())) <= 80
    assert (tmp_path / "runs" / "digits-bernoulli" / "model.safetensors").is_file()


def test_a_folder_with_brackets_in_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], no_pictures: None
) -> None:
    out = stdout(capsys, "train", *SMALL, "--out", tmp_path / "[bold]" / "[a]")
    assert "[bold]/[a] holds" in out


def test_resume_of_a_finished_run(
    trained: Path, capsys: pytest.CaptureFixture[str], no_pictures: None
) -> None:
    before = (trained / "model.safetensors").read_bytes()
    assert "holds" in stdout(capsys, "train", "--resume", "--out", trained)
    # the settings that it was started with may be repeated
    stdout(capsys, "train", "--resume", "--out", trained, *SMALL)
    assert (trained / "model.safetensors").read_bytes() == before


def test_resume_is_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "train", "--resume", "--out", trained, "--epochs", "5", "--seed", 9)
    assert "epochs, seed" in said
    assert "is not a run" in refused(capsys, "train", "--resume", "--out", tmp_path)
    assert "is not a run" in refused(capsys, "train", "--resume", "--out", tmp_path / "none")
    assert "--resume needs --out" in refused(capsys, "train", "--resume")


def test_a_checkpoint_cut_short(a_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (a_copy / "checkpoint.safetensors").read_bytes()
    for length in (0, 3, len(whole) // 2, len(whole) - 1):
        (a_copy / "checkpoint.safetensors").write_bytes(whole[:length])
        said = refused(capsys, "train", "--resume", "--out", a_copy)
        assert "checkpoint.safetensors is damaged, cut short" in said


def test_a_model_that_no_memory_holds_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    said = refused(capsys, "train", "--num-latents", 10**12, "--out", out)
    assert "parameters" in said
    assert "GB of memory" in said
    assert not out.exists()


def test_other_threads_are_told_in_one_line(
    a_copy: Path, capsys: pytest.CaptureFixture[str], no_pictures: None
) -> None:
    record = json.loads((a_copy / "config.json").read_text())
    record["threads"] += 1
    (a_copy / "config.json").write_text(json.dumps(record))
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert run(["train", "--resume", "--out", str(a_copy)]) == 0
    error = capsys.readouterr().err
    assert error.startswith(f"hotgrad: {a_copy} was started with {record['threads']} threads")
    assert error.count("\n") == 1


def test_nan_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", *SMALL, "--learning-rate", "1e30", "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("hotgrad: Training stopped: ")
    assert "at step 2" in error
    assert "Lower --learning-rate" in error
    assert error.count("\n") == 1


def test_help_shows_every_setting_and_every_choice(capsys: pytest.CaptureFixture[str]) -> None:
    page = stdout(capsys, "train", "--help")
    words = set(page.replace(",", " ").replace(".", " ").replace("│", " ").split())
    for field in dataclasses.fields(vae.Config):
        assert "--" + field.name.replace("_", "-") in words, field.name
    for name, values in vae.CHOICES.items():
        assert set(values) <= words, name
    for panel in ("Data", "Model", "Gradient", "Training", "Run"):
        assert f"─ {panel} ─" in page
    assert "learned_prior" not in page


CHANGED: list[dict[str, Any]] = [
    {
        "targets": "threshold",
        "corruption": "gaussian",
        "corruption_level": 0.1,
        "latent": "bernoulli",
        "num_latents": 3,
        "network": "linear",
        "estimator": "score-function",
        "baseline": "none",
        "num_samples": 2,
        "optimizer": "sgd",
        "learning_rate": 1e-4,
        "precision": "64-true",
    },
    {"latent": "k-subset", "num_categories": 4, "subset_size": 1, "hidden": (5, 4), "seed": 12},
    {
        "kl": "concrete",
        "prior_temperature": 0.9,
        "schedule": "exponential",
        "temperature": 0.8,
        "min_temperature": 0.4,
        "anneal_rate": 0.5,
        "anneal_every": 7,
        "prior": "learned",
    },
]
"""Settings of runs in which each has an effect."""


@pytest.mark.parametrize("changed", CHANGED, ids=("bits", "subsets", "concrete"))
def test_every_option_reaches_the_configuration(
    changed: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    no_pictures: None,
) -> None:
    everywhere = {"epochs": 1, "batch_size": 999, "accelerator": "cpu"}
    options = [
        f"--{name.replace('_', '-')}={','.join(map(str, value)) if name == 'hidden' else value}"
        for name, value in (changed | everywhere).items()
    ]
    stdout(capsys, "train", *options, "--out", tmp_path / "run")
    config, _ = vae.RunFolder.open(tmp_path / "run").read_config()
    assert config == vae.Config(**changed, **everywhere)
    untouched = {"data", "data_dir", "column", "likelihood", "devices"}
    touched = {name for changes in CHANGED for name in changes} | set(everywhere)
    assert {f.name for f in dataclasses.fields(vae.Config)} == touched | untouched


# evaluate


def test_evaluate_shows_a_table_and_keeps_the_figures(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = stdout(capsys, "evaluate", trained, "--num-samples", "20")
    record = json.loads((trained / "evaluation.json").read_text())
    assert "ELBO" in out
    assert f"{record['elbo']:.3f}" in out
    assert f"{record['bound']:.3f}" in out
    assert "300 test items" in " ".join(out.split())
    assert record["elbo"] == record["reconstruction"] - record["kl"]
    assert (record["items"], record["split"], record["bound_samples"]) == (300, "test", 20)
    generator = torch.Generator().manual_seed(0)
    items = vae.load_dataset("digits").test
    again = vae.evaluate(vae.load(trained), items, num_samples=20, generator=generator)
    assert record["bound"] == again.bound


def test_evaluate_json_is_json_alone_and_reproducible(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", trained, "--num-samples", "5", "--split", "valid", "--json"]
    first = stdout(capsys, *arguments)
    assert first.startswith("{")
    assert json.loads(first)["items"] == 200
    assert stdout(capsys, *arguments) == first
    assert stdout(capsys, *arguments, "--seed", "1") != first


def test_evaluate_of_bits_with_drawn_targets(
    bits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads(stdout(capsys, "evaluate", bits, "--num-samples", "5", "--json"))
    assert record["targets"] == "dynamic"
    assert record["elbo"] < 0


def test_evaluate_of_subsets(subsets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = json.loads(stdout(capsys, "evaluate", subsets, "--num-samples", "5", "--json"))
    assert record["elbo"] < record["bound"] < 0
    assert record["kl"] >= 0


# generate


def test_generate_a_picture(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "9 items in" in stdout(capsys, "generate", trained, "-n", "9")
    with Image.open(trained / "generated.png") as image:
        assert image.format == "PNG"
    assert "1 items in" in stdout(capsys, "generate", trained, "-n1", "--out", tmp_path / "a.png")


def test_generate_from_subsets(subsets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "3 items in" in stdout(capsys, "generate", subsets, "-n", "3")


def test_generate_an_array(bits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, name in ((0, "a"), (0, "b"), (1, "c")):
        stdout(capsys, "generate", bits, "-n", 6, "--seed", seed, "--out", tmp_path / f"{name}.npy")
    a, b, c = (np.load(tmp_path / f"{name}.npy") for name in "abc")
    assert a.shape == (6, 3, 5)
    assert a.dtype == np.float32
    assert 0 <= a.min() <= a.max() <= 1
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


# encode


def test_encode_categories(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "codes (300 x 4)" in stdout(capsys, "encode", trained)
    with np.load(trained / "codes-test.npz") as arrays:
        codes, probs = arrays["codes"], arrays["probs"]
    with torch.no_grad():
        q = vae.load(trained).encode(vae.load_dataset("digits").test)
    assert probs.shape == (300, 4, 10)
    np.testing.assert_array_equal(codes, q.logits.argmax(-1).numpy())
    np.testing.assert_allclose(probs, q.logits.softmax(-1).numpy(), rtol=1e-4)


def test_encode_bits(bits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "codes.npz"
    stdout(capsys, "encode", bits, "--split", "train", "--out", target)
    with np.load(target) as arrays:
        codes, probs = arrays["codes"], arrays["probs"]
    assert codes.shape == probs.shape
    assert codes.shape[1] == 4
    assert codes.dtype == np.uint8
    np.testing.assert_array_equal(codes, (probs > 0.5).astype(np.uint8))


def test_encode_subsets(subsets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "codes (300 x 4 x 5)" in stdout(capsys, "encode", subsets)
    with np.load(subsets / "codes-test.npz") as arrays:
        codes, probs = arrays["codes"], arrays["probs"]
    assert codes.dtype == np.uint8
    with torch.no_grad():
        q = vae.load(subsets).encode(vae.load_dataset("digits").test)
    chosen = q.logits.topk(2).indices.sort(-1).values
    np.testing.assert_array_equal(codes.nonzero()[-1].reshape(300, 4, 2), chosen.numpy())
    np.testing.assert_array_equal(codes.sum(-1), 2)
    np.testing.assert_allclose(probs.sum(-1), 2, rtol=1e-5)


def test_encode_other_data(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "other.npy", np.random.RandomState(0).rand(40, 8, 8))
    stdout(
        capsys,
        *["encode", trained, "--data", tmp_path / "other.npy", "--split", "train"],
        *["--out", tmp_path / "codes.npz"],
    )
    with np.load(tmp_path / "codes.npz") as arrays:
        assert arrays["codes"].shape == (32, 4)


# What is refused.


def test_train_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "bytes.npy", np.zeros((20, 4), dtype=np.uint8))
    whole = (tmp_path / "bytes.npy").read_bytes()
    (tmp_path / "short.npy").write_bytes(whole[:-5])
    np.save(tmp_path / "objects.npy", np.array([{}, 1], dtype=object))
    np.save(tmp_path / "nan.npy", np.full((20, 4), np.nan))
    np.save(tmp_path / "large.npy", np.full((20, 4), 7.0))
    np.save(tmp_path / "vector.npy", np.zeros((20, 16)))
    np.savez(tmp_path / "two.npz", a=np.zeros((20, 4)), b=np.zeros((20, 4)))
    out = tmp_path / "out"
    cases: list[tuple[list[str], str]] = [
        (["--data", "digitz"], "Did you mean 'digits'"),
        (["--data", str(tmp_path / "none.npy")], "no file"),
        (["--data", str(tmp_path / "short.npy")], "cut short"),
        (["--data", str(tmp_path / "objects.npy")], "nothing is ever unpickled"),
        (["--data", str(tmp_path / "nan.npy")], "NaN"),
        (["--data", str(tmp_path / "large.npy")], "--likelihood bernoulli needs values in [0, 1]"),
        (["--data", str(tmp_path / "two.npz")], "--column"),
        (["--data", str(tmp_path / "two.npz"), "--column", "c"], "has no array 'c'"),
        (["--column", "c"], "--column"),
        (["--data", "mnist"], "--data-dir"),
        (["--data", "mnist", "--data-dir", str(tmp_path)], "train-images-idx3-ubyte"),
        (["--data", "binarized-mnist", "--data-dir", str(tmp_path)], "binarized_mnist_train"),
        (["--latent", "gaussian"], "Unknown latent 'gaussian'"),
        (["--temperature", "0"], "--temperature must be positive"),
        (["--temperature", "nan"], "--temperature must be positive"),
        (["--hidden", "a,b"], "--hidden takes whole numbers"),
        (["--hidden", ""], "--hidden takes whole numbers"),
        (["--epochs", "0"], "--epochs must be an integer of at least 1"),
        (["--epochs", "many"], "--epochs"),
        (["--estimator", "exact", "--num-latents", "20"], "10^20 codes"),
        (["--estimator", "score-function"], "--num-samples"),
        (["--latent", "k-subset", "--subset-size", "10"], "less than --num-categories 10"),
        (["--latent", "k-subset", "--estimator", "reinmax"], "doesn't work with --latent k-subset"),
        (["--latent", "k-subset", "--kl", "concrete"], "--kl analytic"),
        (["--seed", str(2**70)], "--seed must be below"),
        (["--precision", "8-bit"], "Unknown precision"),
        (["--accelerator", "abacus"], "Unknown accelerator"),
        (["--accelerator", "mps"], "isn't available"),
        (["--epoch", "5"], "--epochs"),
        (["more"], "unexpected extra argument"),
    ]
    flat = ["--data", tmp_path / "vector.npy", "--network", "conv", "--out", out]
    assert "conv needs pictures" in refused(capsys, "train", *flat)
    for arguments, message in cases:
        said = refused(capsys, "train", *SMALL, "--out", out, *arguments)
        assert message in said, arguments
        assert not out.exists(), arguments
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == []


def test_train_refuses_a_folder_that_exists(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "train", *SMALL, "--out", tmp_path)
    assert f"{tmp_path} exists already" in said
    assert list(tmp_path.iterdir()) == []


def test_other_commands_refuse(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "narrow.npy", np.zeros((20, 4, 4)))
    np.save(tmp_path / "large.npy", np.full((20, 8, 8), 7.0))
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "folder.npz").mkdir()
    cases: list[tuple[list[object], str]] = [
        (["evaluate"], "RUN"),
        (["evaluate", tmp_path], "is not a run"),
        (["evaluate", trained, "--num-samples", "0"], "--num-samples must be"),
        (["evaluate", trained, "--split", "exam"], "--split is train, valid or test, got 'exam'"),
        (["evaluate", trained, "--seed", "-1"], "--seed"),
        (["generate", tmp_path / "none"], "is not a run"),
        (["generate", trained, "-n", "0"], "--count must be an integer of at least 1"),
        (["generate", trained, "--out", tmp_path / "a.jpg"], "--out ends in .png or .npy"),
        (["generate", trained, "--out", tmp_path / "no" / "a.png"], "is no folder"),
        (["generate", trained, "--out", tmp_path / "folder.png"], "it is a folder"),
        (["encode", trained, "--out", tmp_path / "a.csv"], "--out ends in .npz"),
        (["encode", trained, "--out", tmp_path / "no" / "a.npz"], "is no folder"),
        (["encode", trained, "--out", tmp_path / "folder.npz"], "it is a folder"),
        (
            ["encode", trained, "--split", "exam"],
            "Unknown --split 'exam'. Known: train, valid, test",
        ),
        (
            ["encode", trained, "--column", "x", "--out", tmp_path / "c.npz"],
            "--column names an array of --data FILE.npz",
        ),
        (["evaluate", trained, "--data", tmp_path / "narrow.npy"], "shape (4, 4); the model"),
        (["encode", trained, "--data", tmp_path / "narrow.npy"], "shape (4, 4); the model"),
        (["encode", trained, "--data", tmp_path / "large.npy"], "needs values in [0, 1]"),
        (["encode", trained, "--data", tmp_path / "none.npy"], "no file"),
        (["encode", tmp_path / "none"], "is not a run"),
        (["encode", tmp_path / "narrow.npy"], "is not a run"),
        (["bogus"], "No such command 'bogus'"),
        (["--bogus"], "No such option"),
    ]
    for arguments, message in cases:
        # what another test may have written isn't in the way
        out = ["--out", tmp_path / "c.npz"] if "encode" in arguments[:1] else []
        assert message in refused(
            capsys, *(arguments if "--out" in arguments else [*arguments, *out])
        )
    assert not any(path.name.startswith(".") for path in tmp_path.iterdir())


def test_a_damaged_model_is_refused_by_every_command(
    a_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = a_copy / "model.safetensors"
    for written in (*a_copy.glob("codes-*.npz"), *a_copy.glob("generated.*")):
        written.unlink()
    file.write_bytes(file.read_bytes()[:-5])
    for command in ("evaluate", "generate", "encode"):
        assert "is damaged, cut short" in refused(capsys, command, a_copy)
    file.unlink()
    for command in ("evaluate", "generate", "encode"):
        assert "hasn't finished" in refused(capsys, command, a_copy)


# The entry points.


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert stdout(capsys, "--version") == f"hotgrad {__version__}\n"
    for arguments in (["--help"], ["-h"], ["draw", "--help"], []):
        assert "Usage" in stdout(capsys, *arguments)


def test_the_module_runs_and_returns_its_status() -> None:
    """In a process of its own, as it is typed."""
    command = [sys.executable, "-m", "hotgrad", "draw", "--probs", "0.5,0.4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("hotgrad: --probs must sum to 1")
    assert done.stderr.count("\n") == 1
