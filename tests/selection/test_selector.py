"""What the selector learns: planted columns, exactly k, by any estimator; and when it stops."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import hotgrad as hg
from hotgrad.estimators import row_wise_estimators
from hotgrad.selection import Progress, SubsetSelector
from hotgrad.selection.learner import DISTRIBUTIONS

Table = tuple[NDArray[np.float64], NDArray[Any]]
PLANTED = [2, 7, 11]


def planted(task: str, rows: int = 600) -> Table:
    """Fifteen columns of noise but for three; with classes, two of them only say it together."""
    random = np.random.default_rng(1)
    x = random.normal(size=(rows, 15))
    if task == "classification":
        return x, np.where((x[:, 2] * x[:, 7] > 0) ^ (x[:, 11] > 1), "up", "down")
    return x, x[:, 2] - x[:, 7] + np.exp(x[:, 11]) / 2 + 0.1 * random.normal(size=rows)


@pytest.fixture(scope="module", params=["classification", "regression"])
def fitted(request: pytest.FixtureRequest) -> SubsetSelector:
    # what two columns say together takes more rows and more steps to find
    rows, epochs = (1200, 120) if request.param == "classification" else (600, 60)
    selector = SubsetSelector(3, random_state=0, epochs=epochs, batch_size=rows // 5)
    selector.set_params(learning_rate=0.02, logits_learning_rate=0.02)
    selector.fit(*planted(request.param, rows))
    assert selector.task_ == request.param
    return selector


def test_planted_columns_are_found(fitted: SubsetSelector) -> None:
    assert fitted.get_support(indices=True).tolist() == PLANTED
    assert fitted.inclusion_probabilities_[PLANTED].min() > 0.6
    assert np.delete(fitted.inclusion_probabilities_, PLANTED).max() < 0.3


def test_reconstruction_takes_one_column_of_each_group() -> None:
    random = np.random.default_rng(0)
    sources = random.normal(size=(400, 4))
    # columns 0-4 tell the first source, 5-9 the second, ...
    x = np.repeat(sources, 5, axis=1) + 0.1 * random.normal(size=(400, 20))
    selector = SubsetSelector(4, random_state=0, epochs=80, logits_learning_rate=0.02).fit(x)
    assert selector.task_ == "reconstruction"
    assert (selector.get_support(indices=True) // 5).tolist() == [0, 1, 2, 3]


def test_columns_of_one_unit_count_by_their_variance() -> None:
    x = np.random.default_rng(0).normal(size=(300, 6)) * [1, 1, 10, 1, 10, 1]
    chosen = SubsetSelector(2, same_unit=True, random_state=0, epochs=60).fit(x)
    assert chosen.get_support(indices=True).tolist() == [2, 4]


def test_scale_and_shift_of_a_column_change_nothing() -> None:
    x, y = planted("classification")
    moved = x * np.logspace(-6, 6, 15) + np.linspace(-1, 1, 15) * 1e3 * np.logspace(-6, 6, 15)
    one = SubsetSelector(3, random_state=0, epochs=3).fit(x, y)
    two = SubsetSelector(3, random_state=0, epochs=3).fit(moved, y)
    np.testing.assert_allclose(one.logits_, two.logits_, atol=1e-3)


@pytest.mark.parametrize("k", [1, 4, 15])
def test_exactly_k_different_columns(k: int) -> None:
    x, y = planted("classification", rows=60)
    # copies are equally good, and constants equally bad: ties must not change the number
    x[:, 1:6] = x[:, :1]
    x[:, 6:] = 1.0
    selector = SubsetSelector(k, random_state=0, epochs=3).fit(x, y)
    assert selector.get_support().sum() == k
    assert len(set(selector.get_support(indices=True))) == k
    assert selector.transform(x).shape == (60, k)
    assert selector.inclusion_probabilities_.sum() == pytest.approx(k, rel=1e-5)


def test_probabilities_are_the_exact_marginals(fitted: SubsetSelector) -> None:
    q = hg.KSubset(torch.tensor(fitted.logits_).double(), 3)
    exact = (q.enumerate_support() * q.log_prob(q.enumerate_support()).exp()[:, None]).sum(0)
    np.testing.assert_allclose(fitted.inclusion_probabilities_, exact, rtol=1e-4)


OFFERED = row_wise_estimators(*DISTRIBUTIONS)


@pytest.mark.parametrize("estimator", [*OFFERED, hg.GumbelSoftmax(0.5)], ids=str)
def test_every_estimator_that_is_offered_works(estimator: Any) -> None:
    x = np.random.default_rng(0).normal(size=(250, 6))
    selector = SubsetSelector(2, estimator=estimator, hidden=(), random_state=0, epochs=20)
    selector.set_params(learning_rate=0.06, logits_learning_rate=0.06)
    selector.fit(x, 2 * x[:, 1] + x[:, 4])
    assert selector.get_support(indices=True).tolist() == [1, 4]


@pytest.mark.parametrize("batch_size", [1, 2])
def test_batches_are_as_large_as_the_estimator_needs(batch_size: int) -> None:
    """The score function's baseline is the mean of the batch's other rows."""
    x, y = planted("regression", rows=5)
    selector = SubsetSelector(1, estimator="score-function", epochs=1, batch_size=batch_size)
    selector.fit(x, y)
    with pytest.raises(ValueError, match="compares at least 2 rows with each other, got 1"):
        selector.partial_fit(x[:1], y[:1])


def test_the_kl_keeps_the_distribution_near_to_uniform() -> None:
    x, y = planted("regression")
    certainties = []
    for weight in (0.0, 3.0, 30.0):
        selector = SubsetSelector(3, kl_weight=weight, random_state=0, epochs=20)
        selector.set_params(logits_learning_rate=0.1).fit(x, y)
        certainties.append(selector.history_[-1]["certainty"])
    assert certainties[0] > certainties[1] > certainties[2]
    assert certainties[2] < certainties[0] - 0.1


def test_early_stopping_keeps_the_best_epoch() -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(80, 30)), random.integers(0, 2, 80)
    selector = SubsetSelector(5, patience=4, epochs=200, random_state=0, learning_rate=0.03)
    selector.fit(x, y)
    losses = [record["validation_loss"] for record in selector.history_]
    assert selector.n_epochs_ == len(losses) == int(np.argmin(losses)) + 5 < 200
    # what is kept is that epoch's distribution, not the last one's
    best = selector.history_[int(np.argmin(losses))]
    kept = selector.inclusion_probabilities_[selector.support_].mean()
    assert kept == pytest.approx(best["certainty"], rel=1e-5)
    assert best["certainty"] != selector.history_[-1]["certainty"]


def test_progress_is_told_after_every_epoch() -> None:
    x, y = planted("regression", rows=100)
    seen: list[Progress] = []
    selector = SubsetSelector(3, epochs=4, patience=9, random_state=0)
    selector.fit(x, y, progress=seen.append)
    assert [(at.epoch, at.epochs) for at in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [at.loss for at in seen] == [record["loss"] for record in selector.history_]
    assert all(at.validation_loss is not None for at in seen)


def test_without_patience_no_row_is_held_out() -> None:
    x, y = planted("regression", rows=100)
    seen: list[Progress] = []
    SubsetSelector(3, epochs=1, random_state=0).fit(x, y, progress=seen.append)
    assert seen[0].validation_loss is None


def test_several_quantities_are_a_regression() -> None:
    x = np.random.default_rng(0).normal(size=(400, 8))
    selector = SubsetSelector(2, random_state=0, epochs=60).fit(x, x[:, [6, 1]] * [1, 1e-3])
    assert selector.task_ == "regression"
    assert selector.get_support(indices=True).tolist() == [1, 6]
