"""Which task a target is for: told by its values, and in doubt where they could mean either."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.io
from data_files import real_data

from hotgrad.selection import SubsetSelector
from hotgrad.selection.targets import infer_task

RANDOM = np.random.default_rng(0)
AGES = np.clip(RANDOM.normal(45, 12, 5000).round(), 17, 90)
SURE, DOUBT = False, True


@pytest.mark.parametrize(
    ("target", "task", "in_doubt"),
    [
        # classes for sure
        (["x", "y", "x"], "classification", SURE),
        ([True, False], "classification", SURE),
        (np.array([1, 2, 3] * 9, dtype=object), "classification", SURE),
        ([0, 1], "classification", SURE),
        ([-1, 1, 1], "classification", SURE),
        ([3, 5, 6] * 5, "classification", SURE),
        (list(range(20)) * 5, "classification", SURE),
        # quantities for sure
        ([0.5, 1.0] * 20, "regression", SURE),
        (np.array([0.5, 1.0] * 20, dtype=object), "regression", SURE),
        ([1.0, np.inf] * 20, "regression", SURE),
        (np.ones((9, 2)), "regression", SURE),
        (range(40), "regression", SURE),
        (RANDOM.integers(0, 300, 400), "regression", SURE),
        # letters, and persons of whom there are few pictures each
        (list(range(1, 27)) * 60, "classification", DOUBT),
        (list(range(40)) * 4, "classification", DOUBT),
        # few, but rare
        (list(range(20)) * 4, "classification", DOUBT),
        ([3, 8, 8, 15, 4, 9, 11], "regression", DOUBT),
        # many that come often: their numbers don't start at 0 or 1, or some are rare
        (AGES, "regression", DOUBT),
        (RANDOM.binomial(60, 0.5, 2000), "regression", DOUBT),
        (list(range(2, 28)) * 60, "regression", DOUBT),
    ],
)
def test_the_task_is_told_by_the_values(target: Any, task: str, in_doubt: bool) -> None:
    inferred = infer_task(np.asarray(target))
    assert inferred.task == task
    assert bool(inferred.doubt) is in_doubt


def test_the_reason_counts() -> None:
    assert infer_task(np.arange(1, 27).repeat(300)).reason == (
        "26 different whole numbers, from 1 to 26, in 7,800 rows"
    )
    assert infer_task(np.array(["a", "b", "a"])).reason == "2 different labels"
    assert infer_task(np.array([1.5, 2.5])).reason == "numbers with fractions"


def test_the_letters_of_isolet_are_classes() -> None:
    table = scipy.io.loadmat(real_data("tables") / "tables" / "isolet.mat")
    letters = table["Y"].ravel()
    assert len(np.unique(letters)) == 26
    assert infer_task(letters).task == "classification"


X = np.random.default_rng(0).normal(size=(208, 3))


@pytest.mark.parametrize(
    ("y", "taken"),
    [
        (np.arange(1, 27).repeat(8), r"classes \(classification\), though they could be a quanti"),
        (np.arange(2, 28).repeat(8), r"a quantity \(regression\), though they could be classes"),
    ],
)
def test_the_selector_warns_where_whole_numbers_could_be_either(y: Any, taken: str) -> None:
    with pytest.warns(UserWarning, match=f"y holds 26 different .* taken for {taken}") as caught:
        selector = SubsetSelector(1, epochs=1).fit(X, y)
    assert caught[0].filename == __file__
    assert "Say which: task='classification' or task='regression'" in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SubsetSelector(1, epochs=1, task=selector.task_).fit(X, y)


def test_numbers_among_objects_are_numbers() -> None:
    selector = SubsetSelector(1, epochs=1).fit(X, X[:, 0].astype(object))
    assert selector.task_ == "regression"


@pytest.mark.parametrize("gap", [None, pd.NA], ids=str)
@pytest.mark.parametrize("task", ["auto", "classification"])
def test_labels_with_gaps(gap: Any, task: str) -> None:
    y = np.array(["a", "b"] * 104, dtype=object)
    y[:3] = gap
    with pytest.raises(ValueError, match=r"y misses 3 of 208 values\. Leave those rows out"):
        SubsetSelector(1, task=task, epochs=1).fit(X, y)


def test_labels_that_have_no_order() -> None:
    y = np.array(["a", 1] * 104, dtype=object)
    with pytest.raises(ValueError, match=r"y mixes int and str, .* y\.astype\(str\)"):
        SubsetSelector(1, epochs=1).fit(X, y)
