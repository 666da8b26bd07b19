"""A problem is posed only if it makes sense, and nothing is learned from held-out rows."""

import shlex
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hotgrad.selection.column_names import drop_option, split_names
from hotgrad.selection.holdout import hold_out
from hotgrad.selection.problems import pose


def frame(rows: int = 40, **columns: Any) -> pd.DataFrame:
    random = np.random.RandomState(0)
    numbers = {name: random.randn(rows) for name in ("a", "b", "c")}
    return pd.DataFrame({**numbers, **columns})


# Tasks.


@pytest.mark.parametrize(
    ("target", "task", "classes"),
    [
        (["x", "y"] * 20, "classification", ("x", "y")),
        ([True, False] * 20, "classification", ("False", "True")),
        ([3, 1, 2, 1] * 10, "classification", ("1", "2", "3")),
        ([1.0, 0.0] * 20, "classification", ("0.0", "1.0")),
        (list(range(20)) * 2, "classification", tuple(map(str, range(20)))),
        (list(range(40)), "regression", ()),
        (np.linspace(0, 1, 40), "regression", ()),
        ([0.5, 1.0] * 20, "regression", ()),
    ],
)
def test_the_task_is_told_by_the_target(target: Any, task: str, classes: tuple[str, ...]) -> None:
    problem = pose(frame(y=target), k=2, target="y")
    assert (problem.task, problem.classes) == (task, classes)
    assert list(problem.features) == ["a", "b", "c"]
    assert problem.target is not None
    if classes:
        named = [problem.classes[code] for code in problem.target.astype(int)]
        assert named == [str(value) for value in target]
    else:
        np.testing.assert_array_equal(problem.target, target)


def test_the_task_may_be_named() -> None:
    few = frame(y=[1, 2] * 20)
    assert pose(few, k=1, target="y", task="regression").task == "regression"
    assert pose(few, k=1, task="reconstruction").task == "reconstruction"
    assert pose(few, k=1).task == "reconstruction"
    halves = frame(y=[0.5, 1.5] * 20)
    assert pose(halves, k=1, target="y", task="classification").classes == ("0.5", "1.5")


def test_every_kind_of_number_is_a_number() -> None:
    table = frame(
        bits=[True, False] * 20,
        whole=pd.array([1, None] * 20, dtype="Int64"),
        maybe=pd.Series([True, None] * 20, dtype=object),
        small=np.arange(40, dtype=np.float32),
        nothing=pd.Series([None] * 40, dtype=object),
    )
    features = pose(table, k=1, impute=True).features
    assert set(map(str, features.dtypes)) == {"float64"}
    assert features["bits"].tolist() == [1.0, 0.0] * 20
    assert features["whole"].isna().sum() == features["maybe"].isna().sum() == 20
    assert features["nothing"].isna().all()


def test_columns_may_be_dropped() -> None:
    problem = pose(frame(id=["x"] * 40), k=1, drop=["id", "b"])
    assert list(problem.features) == ["a", "c"]


NAMED = ["id", "weight, in kg", 'a "big" one', "row id", "x;y"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("id", ["id"]),
        ("id,row id", ["id", "row id"]),
        ("id, row id ,", ["id", "row id"]),
        ("weight, in kg", ["weight, in kg"]),
        ('id,"weight, in kg"', ["id", "weight, in kg"]),
        ('"weight, in kg", "a ""big"" one"', ["weight, in kg", 'a "big" one']),
        ('a "big" one,x;y', ['a "big" one', "x;y"]),
        ("weight,id", ["weight", "id"]),
    ],
)
def test_names_with_commas_and_quotes_can_be_dropped(text: str, names: list[str]) -> None:
    assert split_names(text, NAMED) == names


@pytest.mark.parametrize("count", range(1, len(NAMED) + 1))
def test_the_option_that_a_message_names_drops_these_columns(count: int) -> None:
    option, value = shlex.split(drop_option(NAMED[:count]))
    assert option == "--drop"
    assert split_names(value, NAMED) == NAMED[:count]


def test_a_quote_that_is_left_open() -> None:
    with pytest.raises(ValueError, match=r"--drop can't be read: .* in double quotes"):
        split_names('id,"weight', NAMED)


# What is refused.


@pytest.mark.parametrize(
    ("columns", "settings", "message"),
    [
        ({}, {"target": "d"}, "no column 'd'"),
        ({"weight": range(40)}, {"target": "wieght"}, "Did you mean 'weight'"),
        ({}, {"drop": ["A1"]}, "no column 'A1'"),
        ({"y": 1.5}, {"target": "y"}, "'y' is 1.5 in every row: one class only"),
        ({"y": "x"}, {"target": "y"}, "'y' is 'x' in every row: one class only"),
        ({"y": [1, None] * 20}, {"target": "y", "impute": True}, "misses 20 of 40 values"),
        ({"y": ["u", "v"] * 20}, {"target": "y", "task": "regression"}, "holds 'u'"),
        ({"y": [0.5, np.inf] * 20}, {"target": "y"}, "'y' holds values that are infinite"),
        ({}, {"task": "classification"}, "classification needs a target"),
        ({}, {"target": "a", "task": "reconstruction"}, "reconstruction has no target"),
        ({}, {"target": "a", "task": "regresion"}, "Did you mean regression"),
        ({}, {"target": "a", "drop": ["a"]}, "both the target and to be dropped"),
        ({}, {"k": 0}, "--k must be an integer from 1 to 3.* got 0"),
        ({}, {"k": 4}, "--k must be an integer from 1 to 3.* got 4"),
        ({}, {"k": 3, "target": "a"}, "from 1 to 2"),
        ({"s": "x", "t": ["1", "?"] * 20}, {}, r"2 of 5 .*'s' \(such as 'x'\), 't' \(such as '\?'"),
        ({"s": "x"}, {}, "--drop s"),
        ({"s, t": "x", "u": "y"}, {}, """--drop '"s, t",u'"""),
        ({"n" * 2000: "x"}, {}, r"n{30,50}…n+' \(such as 'x'\)"),
        ({"day": pd.Timestamp("2024-01-01")}, {}, "aren't numbers: 'day'"),
        ({"g": [1, None] * 20, "h": [None, 1, 2, 3] * 10}, {}, r"30 .*: g \(20\), h \(10\)"),
        ({"g": [1, -np.inf] * 20}, {"impute": True}, r"infinite.* in 1 column: g \(20\)"),
        ({"g": [1, 1e200] * 20}, {}, r"beyond 1e\+100, in 1 column: g \(20\)"),
    ],
)
def test_refused(columns: dict[str, Any], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pose(frame(**columns), **{"k": 1, **settings})


def test_fewer_rows_than_k() -> None:
    with pytest.raises(ValueError, match=r"at least --k = 3 rows .* n_samples = 2"):
        pose(frame(rows=2), k=3)
    with pytest.raises(ValueError, match=r"3 rows.* 1 of them held out"):
        hold_out(pose(frame(rows=3), k=3), 3, seed=0)


def test_many_columns_are_not_all_listed() -> None:
    wide = pd.DataFrame(np.eye(100), columns=[f"name {i}" for i in range(100)])
    with pytest.raises(ValueError, match=r"It has 100: .* and 92 more") as caught:
        pose(wide, k=1, target="y")
    assert len(str(caught.value)) < 250
    with pytest.raises(ValueError, match="and 92 more") as caught:
        pose(wide.astype(str) + "x", k=1)
    assert len(str(caught.value)) < 600
    with pytest.raises(ValueError, match="and 92 more"):
        pose(wide.where(wide == 0), k=1)


# Holding out.


def test_a_quarter_is_held_out_by_class() -> None:
    table = frame(rows=100, y=["x"] * 80 + ["y"] * 20)
    train, test = hold_out(pose(table, k=1, target="y"), 1, seed=0)
    assert np.bincount(train.target.astype(int)).tolist() == [60, 15]
    assert np.bincount(test.target.astype(int)).tolist() == [20, 5]
    assert not set(train.features.index) & set(test.features.index)
    assert set(train.features.index) | set(test.features.index) == set(range(100))


def test_rows_keep_their_targets() -> None:
    table = frame(rows=60)
    table["y"] = table["a"] * 3 - 1
    train, test = hold_out(pose(table, k=1, target="y"), 1, seed=1)
    for part in (train, test):
        np.testing.assert_allclose(part.target, table["y"].iloc[part.features.index])


def test_the_seed_decides_the_split() -> None:
    problem = pose(frame(), k=1)
    one, again, other = (hold_out(problem, 1, seed)[1].features.index for seed in (0, 0, 1))
    assert one.equals(again)
    assert not one.equals(other)


def test_nothing_is_learned_from_held_out_rows() -> None:
    """Whatever stands in the held-out rows, the training part stays the same."""
    table = frame(rows=80, g=[1.0, 2.0, None, 4.0] * 20)
    train, test = hold_out(pose(table, k=1, impute=True), 1, seed=0)
    table.loc[test.features.index, ["a", "g"]] = 1e6
    again, changed = hold_out(pose(table, k=1, impute=True), 1, seed=0)
    pd.testing.assert_frame_equal(train.features, again.features)
    assert not test.features.equals(changed.features)


def test_gaps_are_filled_with_the_training_median() -> None:
    table = frame(rows=80, g=[1.0, 2.0, None, 40.0] * 20)
    train, test = hold_out(pose(table, k=1, impute=True), 1, seed=0)
    known = table["g"].iloc[train.features.index].dropna()
    filled = table["g"].iloc[train.features.index].fillna(known.median())
    expected = (known.median() - filled.mean()) / filled.std(ddof=0)
    for part in (train, test):
        gaps = table["g"].iloc[part.features.index].isna().to_numpy()
        assert gaps.any()
        np.testing.assert_allclose(part.features["g"][gaps], expected)


def test_scales() -> None:
    table = frame(rows=80, large=np.arange(80) * 100.0, constant=0.1)
    own, _ = hold_out(pose(table, k=1), 1, seed=0)
    np.testing.assert_allclose(own.features.mean(), 0, atol=1e-12)
    np.testing.assert_allclose(own.features.var(ddof=0), [1, 1, 1, 1, 0], atol=1e-12)
    shared, _ = hold_out(pose(table, k=1), 1, seed=0, same_unit=True)
    raw = table.iloc[shared.features.index].var(ddof=0)
    np.testing.assert_allclose(
        shared.features.var(ddof=0), raw / raw.mean(), rtol=1e-10, atol=1e-12
    )


def test_a_class_of_one_row() -> None:
    problem = pose(frame(y=["x"] * 39 + ["y"]), k=1, target="y")
    with pytest.raises(ValueError, match="1 of 2 classes have a single row: 'y'"):
        hold_out(problem, 1, seed=0)


def test_a_column_without_a_value_to_learn_from() -> None:
    problem = pose(frame(g=[None] * 40), k=1, impute=True)
    with pytest.raises(ValueError, match=r"No median fills 'g'.*--drop g"):
        hold_out(problem, 1, seed=0)


def test_columns_that_never_change() -> None:
    problem = pose(pd.DataFrame({"a": [0.1] * 40, "b": 3, "y": [1, 2] * 20}), k=1, target="y")
    with pytest.raises(ValueError, match="each of the 2 columns is the same in every row"):
        hold_out(problem, 1, seed=0)


def test_a_held_out_target_that_never_changes() -> None:
    problem = pose(frame(y=[0.0] * 39 + [0.5]), k=1, target="y")
    with pytest.raises(ValueError, match="target is 0 in all 10 held-out rows"):
        hold_out(problem, 1, seed=0)


@pytest.mark.parametrize("classes", [2, 8])
def test_two_rows_of_each_class_are_enough(classes: int) -> None:
    table = frame(rows=2 * classes, y=[f"class {i}" for i in range(classes)] * 2)
    train, test = hold_out(pose(table, k=1, target="y"), 1, seed=0)
    assert len(set(train.target.tolist())) == len(set(test.target.tolist())) == classes
