"""`hotgrad select` as a user types it; bad input is exit status 2, one line, and no folder."""

import errno
import json
import os
import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cli import said
from data_files import real_data
from PIL import Image
from processes import PATIENCE, Process, Start, wait_until

from hotgrad.cli import select, selection_report
from hotgrad.estimators import ESTIMATORS, row_wise_estimators
from hotgrad.files import new_folder
from hotgrad.selection import scores
from hotgrad.selection.learner import DISTRIBUTIONS
from hotgrad.selection.rivals import rivals
from hotgrad_command.app import run

FAST = ["--epochs", "2"]
FILES = ["columns.csv", "scores.csv", "selection.json", "selection.png"]


def stdout(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    return said.stdout(capsys, "select", *arguments)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    return said.refused(capsys, "select", *arguments)


def table(**columns: Any) -> pd.DataFrame:
    """40 rows: three columns of numbers, and a target of two classes that the first tells."""
    random = np.random.RandomState(0)
    values = {name: random.randn(40) for name in ("a", "b", "c")}
    return pd.DataFrame({**values, "y": np.where(values["a"] > 0, "up", "down"), **columns})


@pytest.fixture(scope="module", autouse=True)
def few_trees() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("hotgrad.selection.rivals.TREES", 5)
        yield


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One selection, for every test that looks at what it left."""
    folder = tmp_path_factory.mktemp("runs") / "wine"
    arguments = ["select", "wine", "--target", "class", "--k", "3", *FAST, "--out", str(folder)]
    assert run(arguments) == 0
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what is said: the choice is scored beside nobody's."""
    monkeypatch.setattr(scores, "rivals", lambda task: {})


# What it leaves.


def test_the_folder_holds_names_scores_and_picture(wine: Path) -> None:
    assert sorted(path.name for path in wine.iterdir()) == FILES
    assert [path.name for path in wine.parent.iterdir()] == ["wine"]
    with Image.open(wine / "selection.png") as image:
        assert image.format == "PNG"
        assert min(image.size) > 400


def test_the_names(wine: Path) -> None:
    columns = said.rows(wine / "columns.csv")
    assert len(columns) == 13
    assert [row["chosen"] for row in columns] == ["1"] * 3 + ["0"] * 10
    assert "alcohol" in {row["column"] for row in columns}
    chances = [float(row["probability"]) for row in columns]
    assert sum(chances) == pytest.approx(3, abs=1e-3)
    assert chances[:3] == sorted(chances[:3], reverse=True)


def test_the_scores(wine: Path) -> None:
    scores = said.rows(wine / "scores.csv")
    assert [row["choice"] for row in scores] == ["hotgrad", *rivals("classification")]
    for row in scores:
        assert 0 <= float(row["score"]) <= 1
        assert 0 <= float(row["standard_error"]) < 0.1


def test_the_record_agrees_with_the_tables(wine: Path) -> None:
    record = json.loads((wine / "selection.json").read_text())
    assert (record["table"], record["target"], record["k"]) == ("wine", "class", 3)
    assert (record["task"], record["metric"]) == ("classification", "accuracy")
    assert (record["rows"], record["held_out"], record["epochs"]) == (178, 44, 2)
    for name, key in (("columns.csv", "columns"), ("scores.csv", "scores")):
        for row, item in zip(said.rows(wine / name), record[key], strict=True):
            for field, text in row.items():
                value = item[field]
                assert text == (str(int(value)) if isinstance(value, bool) else str(value))
    own = record["scores"][0]
    assert own["columns"] == [item["column"] for item in record["columns"] if item["chosen"]]


def test_what_it_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = stdout(capsys, "wine", "--target", "class", "-k", 2, *FAST)
    assert out.startswith("wine: 2 of 13 columns to predict class\n")
    assert "44 held-out rows of 178" in out
    record = json.loads(Path("runs/wine-2-columns/selection.json").read_text())
    for score in record["scores"]:
        line = next(line for line in out.splitlines() if f" {score['choice']} " in line)
        assert f"{score['score']:.3f} ± {score['standard_error']:.3f}" in line
    for column in record["scores"][0]["columns"]:
        assert column in out
    assert "runs/wine-2-columns holds" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.usefixtures("quick")
def test_json_is_json_alone_and_the_same_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["wine", "--target", "class", "--k", "2", *FAST, "--json", "--out"]
    first = stdout(capsys, *arguments, tmp_path / "a")
    assert json.loads(first) == json.loads((tmp_path / "a" / "selection.json").read_text())
    assert stdout(capsys, *arguments, tmp_path / "b") == first
    assert stdout(capsys, *arguments, tmp_path / "c", "--seed", 1) != first


# Tasks and tables.


def test_regression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["diabetes", "--target", "progression", "--k", 4, *FAST, "--json"]
    record = json.loads(stdout(capsys, *arguments, "--out", tmp_path / "a"))
    assert (record["task"], record["metric"]) == ("regression", "R²")
    assert [s["choice"] for s in record["scores"]] == ["hotgrad", *rivals("regression")]


@pytest.mark.parametrize("unit", [[], ["--same-unit"]])
def test_reconstruction(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], unit: list[str]
) -> None:
    arguments = ["digits", "--drop", "digit", "--k", 6, *unit, *FAST]
    out = stdout(capsys, *arguments, "--out", tmp_path / "a")
    assert "6 of 64 columns to rebuild all of them" in out
    record = json.loads((tmp_path / "a" / "selection.json").read_text())
    assert (record["task"], record["metric"]) == ("reconstruction", "mean squared error")
    assert record["same_unit"] is bool(unit)
    assert [s["choice"] for s in record["scores"]] == ["hotgrad", *rivals("reconstruction")]
    errors = {score["choice"]: score["score"] for score in record["scores"]}
    assert errors["all columns"] == pytest.approx(0, abs=1e-12)
    assert min(errors[name] for name in ("hotgrad", "random columns", "greedy forward")) > 0.1


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str) -> None:
    frame = table(id=[f"row {i}" for i in range(40)])
    path = tmp_path / f"mine.{suffix}"
    if suffix == "csv":
        frame.to_csv(path, index=False, sep=";", decimal=",")
    else:
        frame.to_parquet(path)
    arguments = [path, "--target", "y", "--drop", "id", "--k", 1, *FAST, "--json"]
    record = json.loads(stdout(capsys, *arguments, "--out", tmp_path / "a"))
    assert {item["column"] for item in record["columns"]} == {"a", "b", "c"}
    # the column that tells the class: the rivals can't miss it
    assert record["scores"][1]["columns"] == ["a"]


@pytest.mark.usefixtures("quick")
def test_imputation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table(g=[1.0, None] * 20).to_csv(tmp_path / "gaps.csv", index=False)
    arguments = [tmp_path / "gaps.csv", "--target", "y", "--k", 2, *FAST]
    assert "20 missing values in 1 column: g (20)" in refused(capsys, *arguments)
    out = stdout(capsys, *arguments, "--impute", "--out", tmp_path / "a")
    assert "20 missing values filled with medians of the training part" in out


def test_mice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = real_data("tables") / "tables" / "mice-protein.csv"
    arguments = [path, "--target", "class", "--k", 5, *FAST, "--out", tmp_path / "a"]
    said = refused(capsys, *arguments)
    assert "'MouseID' (such as '309_1')" in said
    arguments += ["--drop", "MouseID,Genotype,Treatment,Behavior"]
    assert "1,396 missing values" in refused(capsys, *arguments)
    out = stdout(capsys, *arguments, "--impute")
    assert "mice-protein.csv: 5 of 77 columns to predict class" in out


@pytest.mark.usefixtures("quick")
def test_the_task_that_was_inferred_is_told_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table().to_csv(tmp_path / "mine.csv", index=False)
    arguments = [tmp_path / "mine.csv", "--target", "y", "--k", 1, *FAST, "--out"]
    out = stdout(capsys, *arguments, tmp_path / "a")
    assert out.splitlines()[1] == "task: classification (2 different labels)"
    record = json.loads((tmp_path / "a" / "selection.json").read_text())
    assert record["task_inferred_from"] == "2 different labels"
    out = stdout(capsys, *arguments, tmp_path / "b", "--task", "classification")
    assert "task:" not in out


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("first", "task", "other"), [(1, "classification", "a quantity"), (2, "regression", "classes")]
)
def test_whole_numbers_that_could_be_either_are_asked_about(
    first: int, task: str, other: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    letters = np.arange(first, first + 26).repeat(6)
    frame = pd.DataFrame({"a": letters + 0.1, "b": np.arange(156) % 7, "letter": letters})
    frame.to_csv(tmp_path / "letters.csv", index=False)
    arguments = ["select", str(tmp_path / "letters.csv"), "--target", "letter", "-k", "1", *FAST]
    assert run([*arguments, "--json", "--out", str(tmp_path / "a")]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["task"] == task
    assert said.err.count("\n") == 1
    assert said.err.startswith("hotgrad: letter holds 26 different whole numbers")
    assert f"could be {other}. Say which: --task classification or --task regre" in said.err
    assert run([*arguments, "--task", task, "--out", str(tmp_path / "b")]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("quick")
def test_names_with_commas_are_dropped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = table(**{"weight, in kg": "x", "id": "z"})
    frame.to_csv(tmp_path / "mine.csv", index=False)
    arguments = [tmp_path / "mine.csv", "--target", "y", "--k", 1, *FAST, "--json"]
    said = refused(capsys, *arguments)
    _, option = said.strip().rstrip(".").split(": --drop ")
    (names,) = shlex.split(option)
    record = json.loads(stdout(capsys, *arguments, "--drop", names, "--out", tmp_path / "a"))
    assert record["drop"] == ["weight, in kg", "id"]
    assert {item["column"] for item in record["columns"]} == {"a", "b", "c"}


@pytest.mark.usefixtures("quick")
def test_names_that_a_spreadsheet_would_compute_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are written as they are: quoted, they could not be joined to the table."""
    name = "=cmd|' /C calc'!A0"
    table().rename(columns={"a": name}).to_csv(tmp_path / "mine.csv", index=False)
    arguments = ["select", str(tmp_path / "mine.csv"), "--target", "y", "-k", "1", *FAST]
    assert run([*arguments, "--out", str(tmp_path / "a")]) == 0
    assert f'1 names in columns.csv look like formulas to a spreadsheet, the first "{name}"' in (
        capsys.readouterr().err
    )
    assert name in {row["column"] for row in said.rows(tmp_path / "a" / "columns.csv")}


@pytest.mark.usefixtures("quick")
def test_results_are_printed_before_they_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **keywords: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(selection_report, "save_selection", full)
    out = tmp_path / "results"
    arguments = ["select", "wine", "--target", "class", "-k", "2", *FAST, "--out", str(out)]
    for as_json in (False, True):
        assert run([*arguments, *["--json"] * as_json]) == 2
        said = capsys.readouterr()
        assert said.err == f"hotgrad: {out}: No space left on device.\n"
        if as_json:
            assert len(json.loads(said.out)["scores"]) == 1
        else:
            assert said.out.count("±") == 1
        assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_overwrite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "results"
    arguments = ["wine", "--target", "class", "--out", out, *FAST, "-k"]
    stdout(capsys, *arguments, 2)
    (out / "notes.txt").write_text("mine")
    assert f"{out} exists already" in refused(capsys, *arguments, 3)
    assert json.loads((out / "selection.json").read_text())["k"] == 2
    stdout(capsys, *arguments, 3, "--overwrite")
    assert json.loads((out / "selection.json").read_text())["k"] == 3
    assert sorted(path.name for path in out.iterdir()) == sorted([*FILES, "notes.txt"])


def test_the_help_lists_the_estimators_that_work(capsys: pytest.CaptureFixture[str]) -> None:
    offered = row_wise_estimators(*DISTRIBUTIONS)
    assert offered == select.ESTIMATORS
    page = stdout(capsys, "--help")
    # the table's own lines aside
    words = re.sub(r"[\s│]+", " ", page)
    for name in offered:
        # a name may be broken at a hyphen
        assert re.search(name.replace("-", "- ?"), words), name
    for name in set(ESTIMATORS) - set(offered):
        assert not re.search(rf"\b{name}\b", words), name


@pytest.mark.usefixtures("quick")
def test_names_that_look_like_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {"a": "[bold]a[/bold]", "b": "[/]", "c": "$c$"}
    table().rename(columns=names).to_csv(tmp_path / "odd.csv", index=False)
    arguments = [tmp_path / "odd.csv", "--target", "y", "--k", 3, *FAST]
    out = stdout(capsys, *arguments, "--out", tmp_path / "[red]")
    for name in names.values():
        assert name in out
    assert "[red] holds" in out.replace("\n", "")


def test_help_shows_the_options_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    page = stdout(capsys, "--help")
    options = ["target", "drop", "impute", "same-unit", "k", "task", "estimator", "epochs"]
    for option in [*options, "seed", "out", "json"]:
        assert f"--{option} " in page
    assert "hotgrad select wine --target class --k 3" in page
    for panel in ("Data", "Choice", "Run"):
        assert f"─ {panel} ─" in page


# What is refused.


def test_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table().to_csv(tmp_path / "good.csv", index=False)
    text = (tmp_path / "good.csv").read_text()
    (tmp_path / "cut.csv").write_text(text[: text.rindex(",")])
    (tmp_path / "quote.csv").write_text('a,y\n1,"up\n2,down\n')
    (tmp_path / "twice.csv").write_text(text.replace("a,b,c,y", "a,b,b,y"))
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    table(t="x").to_csv(tmp_path / "text.csv", index=False)
    table(y=1).to_csv(tmp_path / "constant.csv", index=False)
    table(y=["up", None] * 20).to_csv(tmp_path / "gaps.csv", index=False)
    table(a=np.inf).to_csv(tmp_path / "infinite.csv", index=False)
    table(y=["x"] * 39 + ["y"]).to_csv(tmp_path / "lone.csv", index=False)
    table()[:2].to_csv(tmp_path / "short.csv", index=False)
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    cases: list[tuple[list[str], str]] = [
        (["none.csv"], "There is no file"),
        (["wein"], "Did you mean 'wine'"),
        (["."], "is a folder"),
        (["empty.csv"], "is empty"),
        (["picture.csv"], "is no table"),
        (["cut.csv", "--target", "y"], "cut off in the middle: its last row, line 41, has 3 of 4"),
        (["quote.csv"], "row that starts in line 2 isn't closed"),
        (["cut.parquet"], "is no whole Parquet file"),
        (["twice.csv"], "more than one column 'b'"),
        (["good.csv", "--target", "z"], "no column 'z'"),
        (["good.csv", "--target", "y", "--drop", "d"], "no column 'd'"),
        (["good.csv"], "1 of 4 columns aren't numbers: 'y' (such as 'up')"),
        (["text.csv", "--target", "y"], "leave them out: --drop t"),
        (["constant.csv", "--target", "y"], "one class only"),
        (["gaps.csv", "--target", "y", "--impute"], "The target 'y' misses 20 of 40 values"),
        (["infinite.csv", "--target", "y"], "infinite, or beyond 1e+100, in 1 column: a (40)"),
        (["lone.csv", "--target", "y"], "classes have a single row: 'y'"),
        (["short.csv", "--target", "y", "--k", "3"], "at least --k = 3 rows to learn from"),
        (["good.csv", "--target", "y", "--k", "0"], "--k must be an integer from 1 to 3"),
        (["good.csv", "--target", "y", "--k", "4"], "from 1 to 3"),
        (["good.csv", "--target", "y", "--k", "1.5"], "--k"),
        (["good.csv", "--target", "y", "--task", "ranking"], "Unknown --task 'ranking'"),
        (["good.csv", "--target", "y", "--task", "regression"], "--task classification"),
        (["good.csv", "--target", "y", "--task", "reconstruction"], "reconstruction has no target"),
        (["good.csv", "--drop", "y", "--task", "regression"], "regression needs a target"),
        (["good.csv", "--target", "y", "--epochs", "0"], "hotgrad: --epochs must be"),
        (["good.csv", "--target", "y", "--estimator", "magic"], "'magic'. Known: gumbel-softmax"),
        (["good.csv", "--target", "y", "--estimator", "rebar"], "rebar can't choose columns"),
        (["good.csv", "--target", "y", "--drop", '"a'], "--drop can't be read"),
        (["good.csv", "--target", "y", "--seed", "-1"], "--seed"),
        (["good.csv", "--tagret", "y"], "--target"),
        ([], "TABLE"),
    ]
    before = sorted(tmp_path.iterdir())
    for arguments, message in cases:
        place = [str(tmp_path / name) for name in arguments[:1] if "." in name]
        given = [*place, *arguments[len(place) :]]
        # the smallest k, where the case is about something else
        given = ["--k", "1", *given, "--out", str(tmp_path / "out")]
        assert message in refused(capsys, *given), arguments
        assert sorted(tmp_path.iterdir()) == before, arguments


def test_a_folder_that_exists_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "wine", "--target", "class", "--k", 2, "--out", tmp_path)
    assert f"{tmp_path} exists already" in said
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "out"
    assert "Can't make the folder" in refused(
        capsys, "wine", "--target", "class", "--k", 2, "--out", out
    )


def test_the_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def interrupted() -> None:
        with new_folder(tmp_path / "out") as draft:
            (draft / "columns.csv").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


# In processes of their own.


def interrupt(process: Process, until: Path) -> tuple[str, str]:
    """Sends Ctrl-C to a command once something lies in a folder, returns what it printed."""
    wait_until(lambda: until.is_dir() and any(until.iterdir()), process)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, error
    return out, error


def test_ctrl_c_is_one_line_and_leaves_nothing(tmp_path: Path, start: Start) -> None:
    folder = tmp_path / "runs"
    arguments = ["digits", "--target", "digit", "--epochs", "100000", "--out", str(folder / "a")]
    # the folder's draft is made when learning begins
    out, error = interrupt(start("select", *arguments), until=folder)
    assert (out, error.strip()) == ("", "hotgrad: stopped.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("background_job")
def test_ctrl_c_of_a_run_says_how_to_go_on(tmp_path: Path, start: Start) -> None:
    arguments = ["--epochs", "100000", "--accelerator", "cpu", "--out", str(tmp_path / "a")]
    _, error = interrupt(start("train", *arguments), until=tmp_path / "a")
    assert error.strip() == "hotgrad: stopped. A run goes on with --resume."
