"""`hotgrad infer` as a user types it; bad input is exit status 2, one line, and no folder."""

import errno
import json
import os
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from cli import said
from PIL import Image

from hotgrad.audit.problems import noisy_or
from hotgrad.canvas import sheet
from hotgrad.cli import terminal
from hotgrad.estimators import ESTIMATORS
from hotgrad.files import new_folder
from hotgrad.inference import exact_posterior, load, plot
from hotgrad_command.app import run

FAST = ["--steps", "30", "--num-samples", "4"]
FILES = ["fit.json", "fit.png", "fit.safetensors", "marginals.csv"]

MINE = """
    import sys
    import torch
    from torch import nn
    import hotgrad as hg

    def q():
        return hg.Bernoulli(logits=torch.tensor([0.3, -0.2])).to_event(1)

    def agree():
        "Two bits that agree."
        return (lambda z: 2 * z.prod(-1) - z.sum(-1) / 2), q()

    def named():
        parts = hg.Joint(
            kept=hg.Bernoulli(logits=torch.zeros(30)).to_event(1),
            kind=hg.OneHotCategorical(logits=torch.zeros(3)),
        )
        return (lambda z: z["kept"] @ torch.linspace(-3, 3, 30) + 5 * z["kind"][..., 2]), parts

    class Maker(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(0.1))

        def forward(self, x):
            return hg.Bernoulli(logits=self.weight * x).to_event(1)

    def marked_up():
        both = hg.Joint(**{"rain[bold]": q(), "sun": q()})
        return (lambda z: z["rain[bold]"].sum(-1) * z["sun"].sum(-1)), both

    def amortised():
        x = torch.tensor([[-1.0, 2.0], [3.0, -2.0], [1.0, 1.0]])
        return (lambda z, x: (z * x).sum(-1)), Maker(), x

    def talks():
        print("made")
        return agree()

    def ignores():
        both = hg.Joint(seen=q(), unseen=q())
        return (lambda z: z["seen"] @ torch.tensor([1.0, -1.0])), both

    def breaks_off():
        calls = []
        def log_joint(z):
            calls.append(1)
            return z.sum(-1) * (torch.nan if len(calls) == 40 else 1.0)
        return log_joint, hg.Bernoulli(logits=torch.zeros(2)).to_event(1)

    def fails():
        raise RuntimeError("the data are gone\\nsecond line")

    def number():
        return 3

    def swapped():
        return q(), lambda z: z.sum(-1)

    def four():
        return 1, 2, 3, 4

    def misshapen():
        return (lambda z: z), q()

    def impossible():
        return (lambda z: z.sum(-1) - torch.inf), q()

    def wrong_value():
        def log_joint(z):
            raise ValueError("no such row")
        return log_joint, q()

    def exits():
        sys.exit(0)

    def exits_late():
        def log_joint(z):
            sys.exit("enough")
        return log_joint, q()

    def unbound():
        return (lambda z: z.sum(-1)), hg.Bernoulli(logits=torch.zeros(2))

    def uneven():
        return (lambda z, x: z.sum(-1)), q(), (torch.ones(2), torch.ones(3))

    three = 3
"""


def stdout(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    return said.stdout(capsys, "infer", *arguments)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    return said.refused(capsys, "infer", *arguments)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own, where results without --out go.

    The picture, which `noisy` looks at, is a blank one, written as a picture is: drawing takes
    longer than all else together.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plot, "picture_of", lambda fit, title: sheet(100, 100, title))
    return tmp_path


@pytest.fixture
def mine(here: Path) -> Iterator[str]:
    """A file of the user's in the current folder, which is called as a module of Python's own."""
    (here / "calendar.py").write_text(textwrap.dedent(MINE))
    path = sys.path.copy()
    yield "calendar.py"
    sys.path[:] = path
    sys.modules.pop("hotgrad_own_calendar", None)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """One inference, for every test that looks at what it left."""
    folder = tmp_path_factory.mktemp("runs") / "noisy"
    arguments = ["noisy-or", "--estimator", "disarm", "--steps", "200", "--out", str(folder)]
    with pytest.MonkeyPatch.context() as patch, terminal.console.capture() as capture:
        patch.chdir(folder.parent)
        assert run(["infer", *arguments]) == 0
    return folder, capture.get()


# What it leaves.


def test_the_folder_holds_fit_record_table_and_picture(noisy: tuple[Path, str]) -> None:
    folder, _ = noisy
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert [path.name for path in folder.parent.iterdir()] == ["noisy"]
    with Image.open(folder / "fit.png") as image:
        assert image.format == "PNG"
        assert min(image.size) > 1000


def test_the_fit_can_be_loaded(noisy: tuple[Path, str]) -> None:
    folder, _ = noisy
    record = json.loads((folder / "fit.json").read_text())
    problem = noisy_or()
    result = load(folder / "fit.safetensors", log_joint=lambda z: -problem.f(z))
    assert result.marginals.tolist() == pytest.approx(record["marginals"]["z"])
    assert result.elbo == record["elbo"]
    assert len(result.trace.bounds) == record["steps"]
    assert (result.reason, result.converged) == (record["reason"], record["converged"])


def test_the_record_and_the_table_hold_the_exact_posterior(noisy: tuple[Path, str]) -> None:
    folder, _ = noisy
    record = json.loads((folder / "fit.json").read_text())
    problem = noisy_or()
    exact = exact_posterior(problem.q, lambda z: -problem.f(z))
    assert record["exact_marginals"]["z"] == pytest.approx(exact.marginals.tolist())
    assert record["diagnosis"]["exact"]["log_evidence"] == pytest.approx(float(exact.log_evidence))
    assert record["objective"] == "elbo, DisARM, 16 samples"
    table = said.rows(folder / "marginals.csv")
    assert [row["index"] for row in table] == list(map(str, range(12)))
    assert [float(row["probability"]) for row in table] == record["marginals"]["z"]
    assert [float(row["exact"]) for row in table] == record["exact_marginals"]["z"]


def test_what_it_prints(noisy: tuple[Path, str]) -> None:
    folder, out = noisy
    record = json.loads((folder / "fit.json").read_text())
    words = " ".join(out.split())
    assert out.startswith("noisy-or: which of 12 causes explain what was found\n")
    assert record["reason"][1:] in words
    assert record["diagnosis"]["verdict"] in words
    assert f"│ {record['marginals']['z'][0]:.3f} │" in out
    assert f"│ {record['exact_marginals']['z'][0]:.3f} │" in out
    assert "noisy holds fit.json fit.png fit.safetensors marginals.csv" in words


def test_the_same_seed_finds_the_same(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    def found(seed: int, out: str) -> str:
        text = stdout(capsys, f"{mine}:agree", *FAST, "--seed", seed, "--out", out, "--json")
        assert json.loads(text) == json.loads((Path(out) / "fit.json").read_text())
        return text.replace(f'"seed": {seed}', "")

    once, again, other = found(1, "a"), found(1, "b"), found(2, "c")
    assert once == again
    assert once != other


# What can be inferred.


def test_a_problem_of_ones_own(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = stdout(capsys, f"{mine}:agree", *FAST)
    assert out.startswith("agree: Two bits that agree\n")
    assert Path("runs/infer-agree/fit.png").is_file()


def test_a_module_of_ones_own(mine: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / mine).rename(here / "inferred_by_a_user.py")
    assert stdout(capsys, "inferred_by_a_user:agree", *FAST).startswith("agree: ")
    sys.modules.pop("inferred_by_a_user")


def test_a_file_in_another_folder_finds_its_neighbours(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", sys.path.copy())
    (here / "deep").mkdir()
    (here / "deep" / "neighbour_of_a_user.py").write_text(textwrap.dedent(MINE))
    (here / "deep" / "main.py").write_text("from neighbour_of_a_user import agree")
    assert stdout(capsys, "deep/main.py:agree", *FAST).startswith("agree: ")
    for name in ("neighbour_of_a_user", "hotgrad_own_main"):
        monkeypatch.delitem(sys.modules, name)


def test_named_unknowns_many_and_few(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = stdout(capsys, f"{mine}:named", "--steps", 100)
    assert "the 8 likeliest of 30" in out
    assert "the 8 least certain" in out
    assert "likeliest ┃ probability" in out
    assert "exact ┃" not in out
    table = said.rows(Path("runs/infer-named/marginals.csv"))
    kinds = [row for row in table if row["unknown"] == "kind"]
    assert [row["category"] for row in kinds] == ["0", "1", "2"]
    assert float(kinds[2]["probability"]) > 0.9
    assert all(row["exact"] == "" for row in table)
    assert "│      │         2 │" in out
    first = out.partition("the 8 likeliest of 30")[2].splitlines()[1]
    top = max((row for row in table if row["unknown"] == "kept"), key=lambda r: r["probability"])
    assert f"[{top['index']}]" in first


def test_a_name_may_look_like_markup(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "┃ rain[bold] ┃" in stdout(capsys, f"{mine}:marked_up", *FAST)


def test_a_module_makes_q_of_the_data(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    stdout(capsys, f"{mine}:amortised", *FAST, "--batch-size", 2)
    table = said.rows(Path("runs/infer-amortised/marginals.csv"))
    assert [row["index"] for row in table] == ["0 0", "0 1", "1 0", "1 1", "2 0", "2 1"]
    record = json.loads(Path("runs/infer-amortised/fit.json").read_text())
    assert torch.tensor(record["marginals"]["z"]).shape == (3, 2)


def test_what_a_users_function_prints_is_not_json(
    mine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["infer", f"{mine}:talks", *FAST, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["problem"] == "talks"
    assert captured.err == "made\n"


def test_warnings_are_a_line_each(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["infer", f"{mine}:ignores", *FAST]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hotgrad: log_joint ignores 'unseen': ")


def test_a_fit_that_diverged_is_shown_and_written_with_status_1(
    mine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["infer", f"{mine}:breaks_off", *FAST, "--budget", "1"]) == 1
    captured = capsys.readouterr()
    words = " ".join(captured.out.split())
    assert re.search(r"Diverged: step \d+ failed\. log_joint returned nan at", words)
    assert "The state of step 0 is kept" in words
    # told once, and in the command's own words
    assert captured.err == (
        "hotgrad: the fit diverged. If the model is right, try --step-size 0.01.\n"
    )
    for python in ("optimizer", "functools", "lr="):
        assert python not in captured.out
    record = json.loads(Path("runs/infer-breaks_off/fit.json").read_text())
    assert record["outcome"] == "diverged"
    assert not record["converged"]
    assert record["exact_marginals"] == {}
    assert load("runs/infer-breaks_off/fit.safetensors").outcome == "diverged"


# How it is fitted.


@pytest.mark.parametrize(
    ("options", "label"),
    [
        (["--estimator", "gumbel-softmax", "--temperature", "0.3"], "elbo, GumbelSoftmax, "),
        (["--estimator", "rebar", "--temperature", "0.3"], "elbo, REBAR, "),
        (["--estimator", "relax"], "elbo, RELAX, "),
        (["--estimator", "exact"], "elbo, Exact, "),
        (["--estimator", "vimco", "--objective", "importance"], "importance, VIMCO"),
        (["--step-size", "0.01"], "elbo, ScoreFunction"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options(
    options: list[str], label: str, mine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads(stdout(capsys, f"{mine}:agree", "--steps", 5, *options, "--json"))
    assert record["objective"].startswith(label)
    fitted = load("runs/infer-agree/fit.safetensors")
    size = 0.01 if "--step-size" in options else 0.1
    assert fitted.trace.step_sizes[0] == size


def test_a_smaller_budget_leaves_the_exact_posterior_out(
    mine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = stdout(capsys, f"{mine}:agree", *FAST, "--budget", 3)
    assert "4 states, more than the budget of 3" in " ".join(out.split())


# Bad input.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'PROBLEM'"),
        (["nosy-or"], "Unknown problem 'nosy-or'. Did you mean noisy-or?"),
        (["noisy-or", "--estimator", "disrm"], "Unknown estimator 'disrm'. Did you mean disarm?"),
        (
            ["noisy-or", "--estimator", "exact", "--num-samples", "4"],
            "--num-samples changes nothing here: it needs an estimator that samples",
        ),
        (["noisy-or", "--temperature", "1"], "score-function has no temperature: leave out"),
        (["noisy-or", "--estimator", "vimco"], "VIMCO is for the bound of several samples"),
        (
            ["noisy-or", "--estimator", "gumbel-softmax", "--temperature", "0"],
            "--temperature must be positive and finite",
        ),
        (["noisy-or", "--estimator", "unordered-set", "--num-samples", "1"], "UnorderedSet"),
        (["noisy-or", "--num-samples", "0"], "--num-samples must be an integer of at least 1"),
        (["noisy-or", "--steps", "0"], "--steps must be an integer of at least 1, got 0"),
        (["noisy-or", "--budget", "0"], "--budget must be an integer of at least 1, got 0"),
        (["noisy-or", "--step-size", "0"], "--step-size must be a positive, finite number"),
        (["noisy-or", "--objective", "elb"], "Unknown objective 'elb'. Did you mean elbo?"),
        (["noisy-or", "--batch-size", "3"], "--batch-size needs data"),
        (["noisy-or", "--seed", "-1"], "--seed"),
        (["absent.py:problem"], "There is no file absent.py."),
        (["mine.py"], "mine.py is a file: name the function in it too, such as mine.py:problem."),
        (["absent_module:problem"], "There is no module absent_module"),
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
        ("agre", "calendar.py has no function agre. Did you mean agree?"),
        ("three", "calendar.py:three is an int, not a function"),
        ("fails", "calendar.py:fails() failed: RuntimeError: the data are gone (calendar.py, line"),
        ("number", "returned an int. It takes nothing and returns (log_joint, q), or"),
        ("four", "returned a tuple of 4."),
        ("swapped", "returned (an Independent, a function)."),
        ("misshapen", "log_joint must have shape ("),
        ("impossible", "It is -inf everywhere"),
        ("wrong_value", "wrong_value failed: ValueError: no such row (calendar.py, line"),
        ("exits", "calendar.py:exits() failed: it called sys.exit(0) (calendar.py, line"),
        ("exits_late", "exits_late failed: it called sys.exit('enough') (calendar.py, line"),
        ("unbound", "use q.to_event(1)"),
        ("uneven", "All parts of the data must have the same length"),
        ("", "A problem of your own is module:function, or file.py:function"),
    ],
)
def test_bad_problems_of_ones_own(
    function: str, message: str, mine: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, f"{mine}:{function}", *FAST)
    assert not list(here.glob("runs/*"))


def test_a_critic_needs_a_distribution(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = refused(capsys, f"{mine}:amortised", *FAST, "--estimator", "relax")
    assert "relax needs a critic made for q, which is a function here" in found


def test_a_file_that_cannot_be_loaded(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "cut.py").write_text("1 / 0")
    found = refused(capsys, "cut.py:problem")
    assert "cut.py can't be imported: ZeroDivisionError: division by zero (cut.py, line 1)" in found
    assert "hotgrad_own_cut" not in sys.modules


def test_a_file_that_ends_the_process_is_told(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "ending.py").write_text("import sys\nsys.exit(0)")
    for place in ("ending.py", "ending"):
        found = refused(capsys, f"{place}:problem")
        assert f"{place} can't be imported: it called sys.exit(0) (ending.py, line 2)" in found
    assert "hotgrad_own_ending" not in sys.modules


def test_a_folder_that_exists_is_not_touched(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "kept").mkdir()
    (here / "kept" / "note.txt").write_text("mine")
    found = refused(capsys, "noisy-or", "--out", here / "kept")
    assert "kept exists already. Choose another name with --out, or" in found
    assert [path.name for path in (here / "kept").iterdir()] == ["note.txt"]


def test_an_earlier_run_is_replaced_if_asked(
    mine: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"{mine}:agree", *FAST, "--out", "kept"]
    stdout(capsys, *arguments)
    (here / "kept" / "note.txt").write_text("mine")
    before = (here / "kept" / "fit.safetensors").read_bytes()
    assert "--overwrite" in refused(capsys, *arguments, "--seed", 1)
    assert (here / "kept" / "fit.safetensors").read_bytes() == before
    out = stdout(capsys, *arguments, "--seed", 1, "--overwrite")
    assert (here / "kept" / "fit.safetensors").read_bytes() != before
    assert json.loads((here / "kept" / "fit.json").read_text())["seed"] == 1
    assert sorted(path.name for path in (here / "kept").iterdir()) == [*FILES, "note.txt"]
    assert "kept holds" in out


def test_two_cannot_write_one_folder(
    mine: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused before anything is fitted, rather than at the end."""
    with new_folder(here / "both") as draft:
        (draft / "fit.json").write_text("{}")
        found = refused(capsys, f"{mine}:wrong_value", "--out", "both")
    assert "Another process is writing both right now" in found
    assert [path.name for path in (here / "both").iterdir()] == ["fit.json"]


@pytest.mark.parametrize(
    ("name", "as_json"), [*((name, False) for name in FILES), ("fit.png", True)]
)
def test_a_full_disk_loses_no_result(
    name: str,
    as_json: bool,
    mine: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They are printed before they are written; what failed is named, and nothing is left."""

    def full(draft: Path, path: Path) -> Path:
        if path.name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return rename(draft, path)

    rename = Path.replace
    monkeypatch.setattr(Path, "replace", full)
    options = ["--json"] if as_json else []
    assert run(["infer", f"{mine}:agree", *FAST, "--out", "full", *options]) == 2
    captured = capsys.readouterr()
    assert captured.err == f"hotgrad: {Path('full', name)}: No space left on device.\n"
    if as_json:
        assert json.loads(captured.out)["problem"] == "agree"
    else:
        assert "Trust the marginals" in captured.out
    assert not Path("full").exists()
    assert not list(Path().glob(".*"))


def test_the_help_says_what_to_try(capsys: pytest.CaptureFixture[str]) -> None:
    out = stdout(capsys, "--help")
    for word in ("noisy-or", "mine.py:problem", "--estimator", "--batch-size", "--json"):
        assert word in out
    assert all(name in out for name in (*ESTIMATORS, "vimco"))
    assert "The exit status is 0; 1 if the fit diverged" in " ".join(out.split())
