"""The selector in scikit-learn: its estimator checks, pipelines, grid search, clones and names."""

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from hotgrad.selection import SubsetSelector


@parametrize_with_checks(
    [
        SubsetSelector(1, epochs=2),
        SubsetSelector(1, epochs=2, task="reconstruction", same_unit=True, patience=1),
        SubsetSelector(1, epochs=2, estimator="gumbel-softmax", validation_fraction=0.0),
    ]
)
def test_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture
def frame() -> tuple[pd.DataFrame, "pd.Series[int]"]:
    """Six columns, of which `b` and `e` alone make the class."""
    values = np.random.default_rng(0).normal(size=(200, 6))
    table = pd.DataFrame(values, columns=list("abcdef"))
    return table, (table["b"] + table["e"] > 0).astype(int)


def test_names_go_in_and_out(frame: Any) -> None:
    table, y = frame
    selector = SubsetSelector(2, epochs=40, random_state=0).set_output(transform="pandas")
    chosen = selector.fit_transform(table, y)
    assert list(chosen.columns) == ["b", "e"]
    assert selector.get_feature_names_out().tolist() == ["b", "e"]
    assert selector.feature_names_in_.tolist() == list("abcdef")
    pd.testing.assert_frame_equal(chosen, table[["b", "e"]])


def test_in_a_pipeline_and_a_grid_search(frame: Any) -> None:
    table, y = frame
    pipeline = make_pipeline(SubsetSelector(1, epochs=20, random_state=0), LogisticRegression())
    search = GridSearchCV(pipeline, {"subsetselector__k": np.array([1, 2])}, cv=3).fit(table, y)
    assert search.best_params_ == {"subsetselector__k": 2}
    assert search.best_score_ > 0.9
    assert search.best_estimator_[:-1].get_feature_names_out().tolist() == ["b", "e"]


def test_a_clone_has_the_settings_and_nothing_learned(frame: Any) -> None:
    table, y = frame
    selector = SubsetSelector(2, epochs=2, hidden=(8,), random_state=0).fit(table, y)
    copy = clone(selector)
    assert copy.get_params() == selector.get_params()
    assert not hasattr(copy, "support_")


def test_a_pickled_selector_goes_on_to_the_same_choice(frame: Any) -> None:
    table, y = frame
    selector = SubsetSelector(2, random_state=0).partial_fit(table, y)
    copy = pickle.loads(pickle.dumps(selector))
    for each in (selector, copy):
        each.partial_fit(table, y)
    np.testing.assert_array_equal(selector.logits_, copy.logits_)


def test_same_random_state_same_result_and_torch_untouched(frame: Any) -> None:
    table, y = frame
    state, dtype = torch.get_rng_state(), torch.get_default_dtype()
    first = SubsetSelector(2, epochs=5, random_state=3).fit(table, y)
    again = SubsetSelector(2, epochs=5, random_state=3).fit(table, y)
    other = SubsetSelector(2, epochs=5, random_state=4).fit(table, y)
    np.testing.assert_array_equal(first.logits_, again.logits_)
    assert first.history_ == again.history_
    assert (first.logits_ != other.logits_).any()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_default_dtype() == dtype


def test_the_default_dtype_changes_nothing(frame: Any) -> None:
    table, y = frame
    expected = SubsetSelector(2, epochs=2, random_state=0).fit(table, y).logits_
    torch.set_default_dtype(torch.float64)
    try:
        logits = SubsetSelector(2, epochs=2, random_state=0).fit(table, y).logits_
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(logits, expected)
