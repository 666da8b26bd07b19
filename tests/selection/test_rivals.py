"""Each rival finds what it is made to find, and every choice is scored alike."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import accuracy_score, mean_squared_error, r2_score

from hotgrad.selection import rivals, scores
from hotgrad.selection.holdout import Part, hold_out
from hotgrad.selection.problems import TASKS, pose
from hotgrad.selection.scores import METRICS, compare, score_rows

PLANTED = {3, 7, 11}


def parts(task: str, rows: int = 240, columns: int = 14) -> tuple[Part, Part]:
    """Columns of noise, three of which tell the target; as a table that is split."""
    random = np.random.RandomState(0)
    values = random.randn(rows, columns)
    told = values[:, 3] + values[:, 7] - values[:, 11]
    frame = pd.DataFrame(values, columns=[f"c{i}" for i in range(columns)])
    if task != "reconstruction":
        frame["y"] = np.digitize(told, [-1, 1]) if task == "classification" else told
    target = None if task == "reconstruction" else "y"
    return hold_out(pose(frame, k=3, target=target), 3, seed=0)


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals, "TREES", 20)


CASES = [(task, name) for task in TASKS for name in rivals.rivals(task)]


def chosen(task: str, name: str, part: Part, k: int, seed: int = 0) -> list[list[int]]:
    return [choice.tolist() for choice in rivals.rivals(task)[name](part, task, k, seed)]


@pytest.mark.parametrize(("task", "name"), CASES)
@pytest.mark.parametrize("k", [1, 5, 14])
def test_k_different_columns_and_the_same_again(task: str, name: str, k: int) -> None:
    train, _ = parts(task)
    choices = chosen(task, name, train, k)
    for choice in choices:
        assert len(set(choice)) == len(choice) == (14 if name == "all columns" else k)
        assert set(choice) <= set(range(14))
    assert chosen(task, name, train, k) == choices


@pytest.mark.parametrize(("task", "name"), CASES)
def test_constant_and_repeated_columns_do_no_harm(task: str, name: str) -> None:
    """No warning either; the tests make errors of them."""
    train, _ = parts(task)
    features = train.features.assign(constant=0.0, again=train.features["c3"], more=0.0)
    (choice, *_) = chosen(task, name, Part(features, train.target), 16)
    assert len(set(choice)) == len(choice) >= 16


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("name", ["mutual information", "L1", "tree importance"])
def test_the_columns_that_tell_the_target_are_found(task: str, name: str) -> None:
    train, _ = parts(task, rows=1000)
    (choice,) = chosen(task, name, train, 3)
    assert set(choice) == PLANTED
    # the mutant: with a target that says nothing, they aren't
    mixed = Part(train.features, np.random.RandomState(1).permutation(train.target))
    (choice,) = chosen(task, name, mixed, 3)
    assert set(choice) != PLANTED


@pytest.mark.parametrize("classes", [2, 3])
def test_l1_lets_columns_in_one_after_another(classes: int) -> None:
    """As many as asked for, though the target is told by all columns, the first most."""
    random = np.random.RandomState(0)
    values = random.randn(600, 6)
    told = values @ 2.0 ** -np.arange(6)
    edges = np.quantile(told, np.arange(1, classes) / classes)
    part = Part(pd.DataFrame(values), np.digitize(told, edges))
    for k in (1, 2, 3):
        (choice,) = chosen("classification", "L1", part, k)
        assert set(choice) == set(range(k))


def test_l1_where_no_column_says_anything_by_itself() -> None:
    bits = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]] * 10, dtype=float)
    part = Part(pd.DataFrame(bits), (bits.prod(axis=1) > 0).astype(np.int64))
    assert chosen("classification", "L1", part, 1) == [[0]]


def test_the_lasso_of_orthonormal_columns_keeps_the_largest_products() -> None:
    values = np.random.RandomState(0).randn(60, 8)
    columns, _ = np.linalg.qr(values - values.mean(axis=0))
    target = columns @ np.array([3.0, -8.0, 0.1, 5.0, -0.2, 1.0, 7.0, -2.0])
    part = Part(pd.DataFrame(columns), target)
    for k in range(1, 9):
        (choice,) = chosen("regression", "L1", part, k)
        assert set(choice) == set([1, 6, 3, 0, 7, 5, 4, 2][:k])


def test_greedy_forward_takes_the_column_that_lowers_the_error_most() -> None:
    random = np.random.RandomState(0)
    values = random.randn(80, 4) @ random.randn(4, 12) + 0.3 * random.randn(80, 12)
    values -= values.mean(axis=0)
    part = Part(pd.DataFrame(values), None)
    (choice,) = chosen("reconstruction", "greedy forward", part, 5)
    taken: list[int] = []
    for _ in range(5):
        errors = {}
        for column in set(range(12)) - set(taken):
            inputs = values[:, [*taken, column]]
            fitted = LinearRegression().fit(inputs, values).predict(inputs)
            errors[column] = float(((fitted - values) ** 2).sum())
        taken.append(min(errors, key=errors.__getitem__))
    assert choice == taken


def test_principal_features_takes_one_of_each_kind() -> None:
    """Columns that are nearly the same load the components alike."""
    random = np.random.RandomState(0)
    kinds = np.repeat(np.arange(4), [3, 4, 2, 5])
    values = random.randn(200, 4)[:, kinds] + 0.05 * random.randn(200, len(kinds))
    part = Part(pd.DataFrame((values - values.mean(axis=0)) / values.std(axis=0)), None)
    (choice,) = chosen("reconstruction", "principal features", part, 4)
    assert sorted(kinds[choice]) == [0, 1, 2, 3]


def test_random_columns_follow_the_seed() -> None:
    train, _ = parts("regression")
    choices = chosen("regression", "random columns", train, 5)
    assert len(choices) == rivals.RANDOM_DRAWS
    assert len(set(map(tuple, choices))) == len(choices)
    assert chosen("regression", "random columns", train, 5, seed=1) != choices


@pytest.mark.parametrize("task", TASKS)
def test_scores_are_the_well_known_ones(task: str) -> None:
    train, test = parts(task)
    columns = np.array([0, 3, 7])
    rows = score_rows(train, test, columns, task, seed=5)
    assert rows.shape == (len(test.features),)
    inputs, held = train.features.iloc[:, columns].to_numpy(), test.features.iloc[:, columns]
    if task == "reconstruction":
        predicted = LinearRegression().fit(inputs, train.features).predict(held.to_numpy())
        expected = mean_squared_error(test.features, predicted)
    else:
        trees = ExtraTreesClassifier if task == "classification" else ExtraTreesRegressor
        model = trees(n_estimators=rivals.TREES, random_state=5).fit(inputs, train.target)
        score = accuracy_score if task == "classification" else r2_score
        expected = score(test.target, model.predict(held.to_numpy()))
    assert rows.mean() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("task", TASKS)
def test_compare(task: str) -> None:
    train, test = parts(task)
    calls: list[tuple[int, int]] = []
    scores = compare(
        train, test, ["c7", "c3", "c11"], task=task, seed=0, progress=lambda *c: calls.append(c)
    )
    by_name = {score.choice: score for score in scores}
    assert list(by_name) == ["hotgrad", *rivals.rivals(task)]
    assert calls == [(i, len(scores)) for i in range(len(scores) + 1)]
    own = by_name["hotgrad"]
    assert own.columns == ("c7", "c3", "c11")
    rows = score_rows(train, test, np.array([7, 3, 11]), task, 0)
    assert own.score == pytest.approx(rows.mean())
    assert own.standard_error == pytest.approx(rows.std(ddof=1) / len(rows) ** 0.5)
    assert by_name["random columns"].columns == ()
    assert len(by_name["all columns"].columns) == 14
    # the right columns beat chance; lower is better for an error
    sign = -1 if task == "reconstruction" else 1
    assert METRICS[task].direction == ("lower is better" if sign < 0 else "higher is better")
    best = by_name["all columns"] if task == "reconstruction" else own
    assert sign * best.score > sign * by_name["random columns"].score


@pytest.mark.parametrize("task", TASKS)
def test_held_out_rows_change_no_choice(task: str) -> None:
    train, test = parts(task)
    target = None if test.target is None else test.target[::-1]
    other = Part(test.features.iloc[::-1] * 3, target)
    one, two = (compare(train, held, ["c0"], task=task, seed=0) for held in (test, other))
    assert [score.columns for score in one] == [score.columns for score in two]
    assert [score.score for score in one] != [score.score for score in two]


def test_one_held_out_row_has_no_standard_error() -> None:
    train, test = parts("reconstruction")
    single = Part(test.features.iloc[:1], None)
    scores = compare(train, single, ["c0"], task="reconstruction", seed=0)
    assert {score.standard_error for score in scores} == {None}


def test_a_single_row_of_each_class_is_ranked_all_the_same() -> None:
    table = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [4.0, 3.0, 1.0, 2.0], "y": [0, 1, 0, 1]})
    train, test = hold_out(pose(table, k=1, target="y"), 1, seed=0)
    assert len(compare(train, test, ["a"], task="classification", seed=0)) == 6


@pytest.mark.parametrize("task", TASKS)
def test_of_a_large_table_a_sample_is_learned_from(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = parts(task)
    seen: list[int] = []

    def watching(train: Part, task: str, k: int, seed: int) -> list[np.ndarray]:
        seen.append(len(train.features))
        return [np.arange(k)]

    monkeypatch.setattr(scores, "rivals", lambda task: {"watching": watching})
    whole = compare(train, test, ["c0"], task=task, seed=0)
    monkeypatch.setattr(scores, "MOST_ROWS", 50)
    sampled, again = (compare(train, test, ["c0"], task=task, seed=0) for _ in range(2))
    assert seen == [len(train.features), 50, 50]
    assert sampled == again != whole
