"""`hotgrad audit` as a user types it; bad input is exit status 2, one line, and no folder."""

import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from audit.toys import quick_audits
from cli import said
from PIL import Image
from toy_runs import toy_dataset

import hotgrad as hg
from hotgrad import vae
from hotgrad.cli import audit
from hotgrad.cli.training_advice import advice
from hotgrad_command.app import run

FAST = ["--replicates", "40"]
FEW = ["--estimators", "straight-through,score-function"]
FILES = ["audit.csv", "audit.json", "audit.png"]

MINE = """
    import torch
    import hotgrad as hg
    from hotgrad.audit.problems import Problem, subset

    def q():
        return hg.Bernoulli(logits=torch.tensor([0.3, -0.2])).to_event(1)

    def agree():
        "Two bits that should agree."
        return (lambda z: (z[..., 0] - z[..., 1]).square()), q()

    def ready():
        return subset(n=4, k=2)

    def talks():
        def f(z):
            print("asked")
            return z.sum(-1)
        print("made")
        return f, q()

    def wrong_value():
        def f(z):
            raise ValueError("no such row")
        return f, q()

    def fails():
        raise RuntimeError("the data are gone\\nsecond line")

    def number():
        return 3

    def triple():
        return 1, 2, 3

    def swapped():
        return q(), lambda z: z.sum(-1)

    def too_wide():
        return (lambda z: z @ torch.ones(7)), q()

    def misshapen():
        return (lambda z: z), q()

    def not_finite():
        return (lambda z: z.sum(-1) / 0), q()

    def hard_alone():
        def f(z):
            if not bool(((z == 0) | (z == 1)).all()):
                raise TypeError("bits alone")
            return z.sum(-1)
        return f, q()

    three = 3
"""


def stdout(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    return said.stdout(capsys, "audit", *arguments)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    return said.refused(capsys, "audit", *arguments)


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    with quick_audits():
        yield


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own, where results without --out go."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def mine(here: Path) -> Iterator[str]:
    """A module of the user's in the current folder; its name."""
    name = "problems_of_a_user"
    (here / f"{name}.py").write_text(textwrap.dedent(MINE))
    path = sys.path.copy()
    yield name
    sys.path[:] = path
    sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def subset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One audit, for every test that looks at what it left."""
    folder = tmp_path_factory.mktemp("runs") / "subset"
    assert run(["audit", "subset", *FAST, "--out", str(folder)]) == 0
    return folder


# What it leaves.


def test_the_folder_holds_table_record_and_picture(subset: Path) -> None:
    assert sorted(path.name for path in subset.iterdir()) == FILES
    assert [path.name for path in subset.parent.iterdir()] == ["subset"]
    with Image.open(subset / "audit.png") as image:
        assert image.format == "PNG"
        assert min(image.size) > 1000


def test_the_record(subset: Path) -> None:
    record = json.loads((subset / "audit.json").read_text())
    assert record["problem"] == "subset"
    assert (record["seed"], record["num_samples"], record["replicates"]) == (0, 1, 40)
    assert record["reference"]["states"] == 252
    assert record["verdict"].startswith("For 12 evaluations of f a step, ")
    assert "ReinMax" in record["refused"]
    measured = {row["estimator"] for row in record["rows"]}
    assert {"StraightThrough", "IMLE", "Exact"} <= measured
    assert not measured & set(record["refused"])


def test_the_table_agrees_with_the_record(subset: Path) -> None:
    record = json.loads((subset / "audit.json").read_text())
    table = said.rows(subset / "audit.csv")
    assert len(table) == len(record["rows"])
    for line, row in zip(table, record["rows"], strict=True):
        assert line == {key: "" if value is None else str(value) for key, value in row.items()}


def test_what_it_prints(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = stdout(capsys, "subset", *FAST, *FEW)
    assert out.startswith("subset: squared distance of 5 of 10 items from a fixed point")
    assert "summed over all 252 states" in out
    record = json.loads(Path("runs/audit-subset/audit.json").read_text())
    assert record["verdict"] in " ".join(out.split())
    for row in record["rows"]:
        assert any(line.startswith(row["estimator"]) for line in out.splitlines())
    assert "runs/audit-subset holds" in out
    assert "hg.expectation(f, q, hg.StraightThrough(), num_samples=12)" in out
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_table_fits_the_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit.console, "_width", width)
    out = stdout(capsys, "noisy-or", *FAST, "--estimators", "straight-through-gumbel-softmax,imle")
    table = out.partition("holds")[0]
    assert max(map(len, table.splitlines())) <= min(width, 100)
    for word in ("StraightThroughGumbelSoftmax", "evals", "bias (95 %)", "noise", "error"):
        assert word in table
    assert ("milliseconds" in table) is (width >= 100)


def test_the_same_seed_finds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    def found(seed: int, out: str) -> Any:
        text = stdout(capsys, "subset", *FAST, *FEW, "--seed", seed, "--out", out, "--json")
        record = json.loads(text)
        assert record == json.loads((Path(out) / "audit.json").read_text())
        return [{**row, "milliseconds": None} for row in record["rows"]]

    once, again, other = found(1, "a"), found(1, "b"), found(2, "c")
    assert once == again
    # of a name that has baselines, with and without
    baselines = {f"ScoreFunction({name})" for name in ("LeaveOneOut", "NoBaseline")}
    assert {row["estimator"] for row in once} == {"StraightThrough", *baselines}
    assert once != other


# What can be audited.


@pytest.mark.parametrize(
    ("problem", "states"), [("polynomial", None), ("noisy-or", 4096), ("vae", 4096)]
)
def test_the_other_problems(
    problem: str, states: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["--estimators", "reinmax", "--temperatures", "1"]
    chosen += ["--items", "3"] if problem == "vae" else []
    record = json.loads(stdout(capsys, problem, *FAST, *chosen, "--json"))
    assert record["reference"]["states"] == states
    assert [row["estimator"] for row in record["rows"]] == ["ReinMax"]
    assert record["rows"][0]["bias_low"] > 0 or problem != "noisy-or"


def test_the_power_of_the_polynomial(capsys: pytest.CaptureFixture[str]) -> None:
    out = stdout(capsys, "polynomial", *FAST, *FEW, "--power", 1.5)
    assert "|z - 0.45|^1.5" in out.splitlines()[0]


def test_a_problem_of_ones_own(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = stdout(capsys, f"{mine}:agree", *FAST, *FEW)
    assert out.startswith("agree: Two bits that should agree\n")
    assert Path("runs/audit-agree/audit.png").is_file()
    assert stdout(capsys, f"{mine}:ready", *FAST, *FEW).startswith("subset: ")
    assert stdout(capsys, f"{mine}.py:agree", *FAST, *FEW, "--out", "again").startswith("agree: ")


def test_what_a_users_function_prints_is_not_json(
    mine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["audit", f"{mine}:talks", *FAST, *FEW, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["problem"] == "talks"
    assert captured.err.startswith("made\nasked\n")


def test_an_f_that_takes_hard_samples_alone(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["--estimators", "gumbel-softmax,disarm", "--temperatures", "1"]
    record = json.loads(stdout(capsys, f"{mine}:hard_alone", *FAST, *chosen, "--json"))
    assert [row["estimator"] for row in record["rows"]] == ["DisARM"]
    assert "relaxed values" in record["refused"]["GumbelSoftmax"]


@pytest.mark.parametrize("latent", ["categorical", "bernoulli", "k-subset"])
def test_a_trained_run(latent: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    np.save(here / "toy.npy", toy_dataset(60).train.unflatten(-1, (4, 4)).numpy())
    config = vae.Config(
        data=str(here / "toy.npy"),
        latent=latent,
        num_latents=2,
        num_categories=4,
        hidden=(8,),
        epochs=1,
        corruption="mask",
        accelerator="cpu",
    )
    vae.train(config, here / "a run")
    out = stdout(capsys, "--run", here / "a run", "--items", 2, *FAST, *FEW)
    assert out.startswith("a run: the encoder's gradient for 2 items: ")
    record = json.loads(Path("runs/audit-a run/audit.json").read_text())
    assert (
        record["reference"]["states"] == {"categorical": 16, "bernoulli": 4, "k-subset": 36}[latent]
    )
    assert "hotgrad train --estimator " in out
    assert "Can't" not in out


# What is measured.


def test_temperatures_samples_and_budgets(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["--estimators", "gumbel-softmax,relax,exact", "--temperatures", "2,0.5,0.5"]
    counts = ["--num-samples", 2, "--evaluations", 6, "--budget", 100]
    record = json.loads(stdout(capsys, "noisy-or", *FAST, *chosen, *counts, "--json"))
    tempered = [row for row in record["rows"] if row["estimator"] == "GumbelSoftmax"]
    assert sorted(row["temperature"] for row in tempered) == [0.5, 2.0]
    assert all(row["num_samples"] == 2 for row in tempered)
    assert record["evaluations"] == 6
    assert "RELAX" in {row["estimator"] for row in record["rows"]}
    assert "Exact" in record["refused"]


@pytest.mark.parametrize(
    ("estimator", "python", "shell"),
    [
        (hg.StraightThrough(), "hg.StraightThrough()", "--estimator straight-through"),
        (
            hg.GumbelSoftmax(0.5),
            "hg.GumbelSoftmax(temperature=0.5)",
            "--estimator gumbel-softmax --schedule constant --temperature 0.5",
        ),
        (hg.ScoreFunction(), "hg.ScoreFunction()", "--estimator score-function"),
        (
            hg.ScoreFunction(hg.NoBaseline()),
            "hg.ScoreFunction(hg.NoBaseline())",
            "--estimator score-function --baseline none",
        ),
        (hg.MuProp(), "hg.MuProp()", "--estimator muprop --baseline none"),
        (
            hg.MuProp(hg.LeaveOneOut()),
            "hg.MuProp(hg.LeaveOneOut())",
            "--estimator muprop",
        ),
        (hg.REBAR(), "hg.REBAR()", "--estimator rebar"),
        (
            hg.RELAX(hg.Critic((2,))),
            "hg.RELAX(hg.Critic(q.event_shape))",
            "--estimator relax",
        ),
    ],
    ids=[
        "plain",
        "tempered",
        "baseline",
        "no baseline",
        "muprop",
        "muprop and baseline",
        "rebar",
        "relax",
    ],
)
def test_advice_makes_what_was_best(estimator: Any, python: str, shell: str) -> None:
    q = hg.Bernoulli(logits=torch.zeros(2)).to_event(1)
    found = hg.audit(lambda z: (z.sum(-1) - 0.4).square(), q, [estimator], replicates=20)
    (line,) = advice(found, trains_vae=False)
    assert f"hg.expectation(f, q, {python}, num_samples=" in line
    made = eval(python, {"hg": hg, "q": q})
    assert made.label == estimator.label
    (line,) = advice(found, trains_vae=True)
    assert f"hotgrad train {shell} --num-samples " in line


def test_exactness_needs_no_samples() -> None:
    q = hg.Bernoulli(logits=torch.zeros(2)).to_event(1)
    found = hg.audit(lambda z: z.sum(-1), q, [hg.Exact()], replicates=20)
    assert list(advice(found, trains_vae=False)) == [
        "Train with the best: hg.expectation(f, q, hg.Exact())"
    ]


# Bad input.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Name a problem (polynomial, subset, noisy-or, vae, or file.py:function), or"),
        (["vae", "--run", "x"], "one of the two"),
        (["polynomal"], "Unknown problem 'polynomal'. Did you mean polynomial?"),
        (["--run", "absent"], "absent is not a run"),
        (["vae", "--items", "0"], "--items must be an integer of at least 1, got 0"),
        (["vae", "--items", "999"], "--items is 999, but there are 300 test items"),
        (["polynomial", "--power", "nan"], "f returned non-finite values"),
        (["subset", "--estimators", "reinmx"], "Unknown estimator 'reinmx'. Did you mean reinmax?"),
        (["subset", "--estimators", ""], "Unknown estimator ''"),
        (["subset", "--estimators", "arm"], "None of the estimators works with subset. ARM: needs"),
        (["subset", "--temperatures", "hot"], "numbers with commas between, such as 0.1,0.5,1"),
        (["subset", "--temperatures", "0"], "a temperature must be positive and finite"),
        (["subset", "--num-samples", "0"], "--num-samples must be an integer of at least 1"),
        (["subset", "--replicates", "3"], "--replicates must be an integer of at least 20, got 3"),
        (["subset", "--evaluations", "0"], "--evaluations must be an integer of at least 1"),
        (["subset", "--budget", "0"], "budget must be an integer of at least 1"),
        (["subset", "--seed", "-1"], "--seed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_options(
    arguments: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, *arguments)
    assert not list(here.glob("runs/*"))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("agre", "has no function agre. Did you mean agree?"),
        ("three", ":three is an int, not a function"),
        ("fails", ":fails() failed: RuntimeError: the data are gone (problems_of_a_user.py, line"),
        (
            "wrong_value",
            "wrong_value's f failed: ValueError: no such row (problems_of_a_user.py, line",
        ),
        ("number", ":number() returned an int. It takes nothing and returns (f, q)"),
        ("triple", ":triple() returned a tuple of 3."),
        ("swapped", ":swapped() returned (an Independent, a function)."),
        ("too_wide", "size mismatch"),
        ("misshapen", "f must return one value per sample"),
        ("not_finite", "finite"),
        ("", "A problem of your own is module:function"),
    ],
)
def test_bad_problems_of_ones_own(
    function: str, message: str, mine: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, f"{mine}:{function}", *FAST)
    assert not list(here.glob("runs/*"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("absent_module", None, "There is no module absent_module: neither absent_module.py in"),
        ("broken_module", "import not_there_at_all", "No module named 'not_there_at_all'"),
        ("cut_module", "def problem(:", "cut_module can't be imported: SyntaxError"),
        (
            "failing_module",
            "1 / 0",
            "ZeroDivisionError: division by zero (failing_module.py, line 1).",
        ),
    ],
)
def test_bad_modules(
    name: str,
    text: str | None,
    message: str,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "path", sys.path.copy())
    if text is not None:
        (here / f"{name}.py").write_text(text)
    assert message in refused(capsys, f"{name}:problem")


def test_a_folder_that_exists_is_not_touched(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "kept").mkdir()
    (here / "kept" / "note.txt").write_text("mine")
    said = refused(capsys, "subset", "--out", here / "kept")
    assert "kept exists already. Choose another name with --out, or" in said
    assert [path.name for path in (here / "kept").iterdir()] == ["note.txt"]


def test_the_help_shows_every_problem(capsys: pytest.CaptureFixture[str]) -> None:
    out = stdout(capsys, "--help")
    for word in ("polynomial", "subset", "noisy-or", "vae", "--run", "mine.py:problem"):
        assert word in out
