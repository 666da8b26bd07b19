"""What the selector refuses, and what it says then."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

import hotgrad as hg
from hotgrad.estimators import ESTIMATORS, row_wise_estimators
from hotgrad.selection import SubsetSelector
from hotgrad.selection.learner import DISTRIBUTIONS

X = np.random.default_rng(0).normal(size=(30, 5))
Y = np.arange(30) % 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 0}, "k must be an integer from 1 to 5, .* got 0"),
        ({"k": 6}, "from 1 to 5, the number of columns .* got 6"),
        ({"k": 2.0}, "k must be an integer .* got 2.0"),
        ({"k": True}, "k must be an integer .* got True"),
        ({"task": "clasification"}, "Did you mean classification"),
        ({"estimator": "straight-thru"}, "Did you mean straight-through"),
        ({"estimator": hg.StraightThrough}, "such as StraightThrough"),
        ({"estimator": hg.VIMCO()}, r"the name of one of gumbel-softmax, .* got VIMCO"),
        ({"same_unit": "no"}, "same_unit must be True or False, got 'no'"),
        ({"same_unit": 2}, "same_unit must be True or False, got 2"),
        ({"hidden": (0,)}, r"hidden must be a tuple of integers of at least 1, got \(0,\)"),
        ({"epochs": 0}, "epochs must be an integer of at least 1"),
        ({"patience": 1.5}, "patience must be an integer"),
        ({"batch_size": None}, "batch_size must be an integer"),
        ({"learning_rate": 0.0}, "learning_rate must be a positive, finite number, got 0.0"),
        (
            {"logits_learning_rate": float("inf")},
            "logits_learning_rate must be a positive, finite number, got inf",
        ),
        ({"kl_weight": -1.0}, "kl_weight must be a number of at least 0, got -1.0"),
        ({"validation_fraction": 1.0}, r"validation_fraction must be a number in \[0, 1\)"),
    ],
    ids=str,
)
def test_settings_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SubsetSelector(**{"k": 2, "epochs": 1, **settings}).fit(X, Y)


@pytest.mark.parametrize(
    ("x", "y", "task", "message"),
    [
        (X[:4], Y[:4], "auto", "at least k = 5 rows .* n_samples = 4"),
        (np.ones((30, 5)), Y, "auto", "each of the 5 columns is the same"),
        (np.ones((30, 5)), None, "auto", "each of the 5 columns is the same"),
        (X, np.zeros(30, dtype=int), "auto", "at least 2 classes, got 1 class"),
        (X, np.full(30, 0.5), "auto", r"constant \(0.5 in every row\)"),
        (X, np.full(30, 2.0), "regression", r"constant \(2 in every row\)"),
        (X, np.c_[Y, np.ones(30)] * 0.5, "auto", "constant .* output 1"),
        (X, None, "classification", "requires y to be passed, but the target y is None"),
        (X, np.array(["a", "b", "c"] * 10), "regression", "needs a numeric y"),
        (np.where(X > 2, np.nan, X), Y, "auto", "Input X contains NaN"),
        (np.where(X > 2, np.inf, X), Y, "auto", "Input X contains infinity"),
        (X, np.where(Y == 0, np.nan, Y), "auto", "Input y contains NaN"),
        (X, Y[:-1], "auto", "inconsistent numbers of samples"),
        (X[:, 0], Y, "auto", "Expected 2D array"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_tables_that_nothing_can_be_learned_from(x: Any, y: Any, task: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SubsetSelector(5, task=task, epochs=1).fit(x, y)


REFUSED = [name for name in ESTIMATORS if name not in row_wise_estimators(*DISTRIBUTIONS)]


@pytest.mark.parametrize("estimator", [*REFUSED, hg.Exact(), hg.IndeCateR(), hg.REBAR()], ids=str)
def test_estimators_that_cannot_choose_columns(estimator: Any) -> None:
    with pytest.raises(ValueError, match=r"can't choose columns.* Use one of gumbel") as caught:
        SubsetSelector(2, estimator=estimator, epochs=1).fit(X, Y)
    named = str(caught.value).split("Use one of ")[1].rstrip(".").split(", ")
    assert named == row_wise_estimators(*DISTRIBUTIONS)


class AsksTwice(hg.estimators.Estimator):
    """A user's own, which asks about twice as many subsets as there are rows."""

    unbiased, relaxes_f, differentiates_f = True, False, False

    def surrogate(self, f: Any, q: Any, num_samples: int, generator: Any) -> Any:
        return f(q.sample((2 * num_samples,), generator=generator)).mean(0)


def test_an_estimator_of_ones_own_that_asks_too_much() -> None:
    with pytest.raises(ValueError, match="AsksTwice can't choose columns: it asks about 60 subse"):
        SubsetSelector(2, estimator=AsksTwice(), epochs=1).fit(X, Y)


def test_text_columns_are_named() -> None:
    frame = pd.DataFrame(X, columns=list("abcde")).assign(
        city="Rome", kind=pd.Categorical(["x"] * 30)
    )
    with pytest.raises(ValueError, match=r"2 of 7 columns hold text: \['city', 'kind'\]"):
        SubsetSelector(2, epochs=1).fit(frame, Y)


def test_a_loss_that_explodes_names_the_remedy() -> None:
    with pytest.raises(ValueError, match="Lower learning_rate"):
        SubsetSelector(2, learning_rate=1e30, epochs=20, random_state=0).fit(X, X[:, 0])


def test_labels_that_the_first_piece_lacks() -> None:
    selector = SubsetSelector(2).partial_fit(X, Y)
    with pytest.raises(ValueError, match=r"y holds \[2\].* Pass all labels as classes="):
        selector.partial_fit(X, Y + 1)
