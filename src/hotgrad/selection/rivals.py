"""Other ways of choosing k columns, one function each, behind one table of names.

A rival is a function of the training part that answers with one choice of k columns, or with
several where it draws at random.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression
from sklearn.linear_model import LogisticRegression, lars_path

from hotgrad.selection.holdout import Part
from hotgrad.selection.problems import Target
from hotgrad.selection.standardising import Floats

TREES = 200
RANDOM_DRAWS = 5
_L1_DOUBLINGS, _L1_HALVINGS = 20, 4

Choice = NDArray[np.intp]
Rival = Callable[[Part, str, int, int], Sequence[Choice]]
"""(training part, task, k, seed) to one or more choices of k columns."""


# Rivals that look at a target.


def mutual_information(train: Part, task: str, k: int, seed: int) -> Sequence[Choice]:
    """The k columns that each alone say most about the target.

    Reference:
        Estimating Mutual Information (Kraskov, Stögbauer and Grassberger, 2004),
        https://arxiv.org/abs/cond-mat/0305641
    """
    if task == "classification" and np.bincount(np.asarray(train.target)).max() < 2:
        # neighbours of one's own class are what it is told by
        return [_largest(np.zeros(train.features.shape[1]), k)]
    estimate = mutual_info_classif if task == "classification" else mutual_info_regression
    return [_largest(estimate(train.values, train.target, random_state=seed), k)]


def l1(train: Part, task: str, k: int, seed: int) -> Sequence[Choice]:
    """A linear model whose L1 penalty is lowered until k columns have weights other than 0.

    Where the last step lets in more than k, those with the largest weights count.

    Reference:
        Regression Shrinkage and Selection via the Lasso (Tibshirani, 1996),
        https://doi.org/10.1111/j.2517-6161.1996.tb02080.x
    """
    if task == "classification":
        return [_largest(_logistic_weights(train, k, seed), k)]
    target = np.asarray(train.target, dtype=np.float64)
    _, _, path = lars_path(train.values, target - target.mean(), method="lasso")
    alive = np.flatnonzero((path != 0).sum(axis=0) >= k)
    return [_largest(np.abs(path[:, alive[0] if len(alive) else -1]), k)]


def tree_importance(train: Part, task: str, k: int, seed: int) -> Sequence[Choice]:
    """The k columns whose splits lower the impurity most, over an ensemble of random trees.

    Reference:
        Extremely Randomized Trees (Geurts, Ernst and Wehenkel, 2006),
        https://doi.org/10.1007/s10994-006-6226-1
    """
    return [_largest(fit_trees(train.values, train.target, task, seed).feature_importances_, k)]


def fit_trees(
    inputs: Floats, target: Target | None, task: str, seed: int
) -> ExtraTreesClassifier | ExtraTreesRegressor:
    """The ensemble that ranks columns, and by which choices are scored."""
    trees = ExtraTreesClassifier if task == "classification" else ExtraTreesRegressor
    return trees(n_estimators=TREES, random_state=seed).fit(inputs, target)


def _logistic_weights(train: Part, k: int, seed: int) -> Floats:
    """Each column's largest weight, at about the strength that lets in the k-th column."""
    values, target = train.values.astype(np.float32), np.asarray(train.target)
    classes = np.eye(int(target.max()) + 1)[target.astype(np.int64)]
    slope = np.abs(values.T @ (classes - classes.mean(axis=0))).max()
    if slope < 1e-6 * len(values):  # no column says anything by itself
        return np.zeros(values.shape[1])
    model = LogisticRegression(
        l1_ratio=1.0, solver="saga", warm_start=True, max_iter=100, tol=1e-2, random_state=seed
    )

    def weights(strength: float) -> Floats:
        fitted: Floats = np.abs(model.set_params(C=strength).fit(values, target).coef_)
        return fitted.max(axis=0)

    # below 1 / slope every weight is 0
    low, high = 1 / slope, 2 / slope
    with warnings.catch_warnings():
        # which weights are 0 is settled before the others are
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = weights(high)
        for _ in range(_L1_DOUBLINGS):
            if (found > 0).sum() >= k:
                break
            low, high = high, 2 * high
            found = weights(high)
        for _ in range(_L1_HALVINGS):
            middle = (low * high) ** 0.5
            fewer = weights(middle)
            if (fewer > 0).sum() >= k:
                high, found = middle, fewer
            else:
                low = middle
    return found


# Rivals without a target.


def principal_features(train: Part, task: str, k: int, seed: int) -> Sequence[Choice]:
    """One column from each of k clusters of columns that load the principal components alike.

    Reference:
        Feature Selection Using Principal Feature Analysis (Lu, Cohen, Zhou and Tian, 2007),
        https://doi.org/10.1145/1291233.1291297
    """
    _, spread, axes = np.linalg.svd(train.values, full_matrices=False)
    kept = int(np.searchsorted(np.cumsum(spread**2), 0.9 * (spread**2).sum())) + 1
    loadings = np.abs(axes[: min(kept, k)]).T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer columns differ than k
        clusters = KMeans(k, n_init=10, random_state=seed).fit(loadings)
    distances = clusters.transform(loadings)
    nearest = np.full(len(loadings), -np.inf)
    for cluster in range(k):
        members = np.flatnonzero(clusters.labels_ == cluster)
        if len(members):
            closest = members[distances[members, cluster].argmin()]
            nearest[closest] = 0.0
    return [_largest(nearest, k)]


def greedy_forward(train: Part, task: str, k: int, seed: int) -> Sequence[Choice]:
    """One column after another, each the one that lowers the linear map's error most.

    With the Gram matrix G of what is not yet explained, column j would explain
    Σᵢ Gᵢⱼ² / Gⱼⱼ of the squares.

    Reference:
        An Efficient Greedy Method for Unsupervised Feature Selection (Farahat, Ghodsi and Kamel,
        2011), https://doi.org/10.1109/ICDM.2011.22
    """
    values = train.values
    gram = values.T @ values
    least = 1e-10 * max(gram.diagonal().max(), 1.0)
    taken: list[int] = []
    for _ in range(k):
        left = gram.diagonal()
        gain = np.where(left > least, (gram**2).sum(axis=0) / np.maximum(left, least), 0.0)
        gain[taken] = -np.inf
        best = int(gain.argmax())
        taken.append(best)
        if left[best] > least:
            gram = gram - np.outer(gram[:, best], gram[best]) / left[best]
    return [np.array(taken, dtype=np.intp)]


# Rivals for either.


def random_columns(train: Part, task: str, k: int, seed: int) -> Sequence[Choice]:
    """k columns drawn at random, several times."""
    generator = np.random.default_rng(seed)
    return [generator.permutation(train.features.shape[1])[:k] for _ in range(RANDOM_DRAWS)]


def all_columns(train: Part, task: str, k: int, seed: int) -> Sequence[Choice]:
    """Every column: what choosing costs."""
    return [np.arange(train.features.shape[1])]


SUPERVISED: Mapping[str, Rival] = {
    "mutual information": mutual_information,
    "L1": l1,
    "tree importance": tree_importance,
    "random columns": random_columns,
    "all columns": all_columns,
}
UNSUPERVISED: Mapping[str, Rival] = {
    "principal features": principal_features,
    "greedy forward": greedy_forward,
    "random columns": random_columns,
    "all columns": all_columns,
}


def rivals(task: str) -> Mapping[str, Rival]:
    """The rivals for a task, by name."""
    return UNSUPERVISED if task == "reconstruction" else SUPERVISED


def _largest(scores: Floats, k: int) -> Choice:
    """The places of the k largest; of equal ones the first."""
    return np.argsort(-scores, kind="stable")[:k]
