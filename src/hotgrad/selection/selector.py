"""A scikit-learn selector that learns by gradients with which k columns a network does best.

The columns' distribution is over subsets of exactly k, so that no column is ever chosen twice,
and its logits are learned together with the network that sees the chosen columns alone.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from hotgrad.estimators import Estimator
from hotgrad.progress import told
from hotgrad.selection import validation
from hotgrad.selection.learner import Progress, shown_on
from hotgrad.selection.targets import check_labels, check_task, infer_task
from hotgrad.selection.training import Training


class SubsetSelector(SelectorMixin, BaseEstimator):  # type: ignore[misc]  # sklearn has no types
    r"""Chooses the k columns of a table with which a network does its task best.

    A network sees x ∘ z, the row x with all columns but those of the subset z set to their mean.
    Subset and network are learned together, by gradients:

    $$\min_{\phi, w} \; \frac{1}{N} \sum_{x, y} \mathbb{E}_{z \sim q_\phi} [\ell(y,
    \mathrm{net}_w(x \circ z))] + \frac{\beta}{N} \mathrm{KL}(q_\phi \,\|\, \text{uniform}),$$

    with q the distribution of k-subsets that has one logit for each column. The KL keeps the logits
    of columns that make no difference at 0, where otherwise noise would carry them off. At the end
    the k columns with the largest logits are chosen: the most probable subset.

    The table is never copied: batches are taken from it row by row and standardised by the columns'
    moments, so that a memory-mapped file may be larger than memory.

    Args:
        k: how many columns.
        task: `classification` (cross-entropy), `regression` (squared error; y may have several
            columns) or `reconstruction` of all columns (squared error; y is ignored). With `auto`,
            no y means reconstruction, text and booleans mean classes, numbers with fractions a
            quantity. Whole numbers are classes if at most 20 are different, or if they count
            classes of about equal size, such as 26 letters from 1 to 26; where they could be
            either, a warning says what they were taken for.
        estimator: of the gradient that the logits get, or its name. By default
            `StraightThrough()`: on `KSubset`, whose marginals are exact, the SIMPLE estimator. One
            that needs Gumbel noise, such as `GumbelSoftmax()`, is given a `PlackettLuceSubset`.
        hidden: widths of the network's hidden layers; by default `(64,)`, and none for
            reconstruction.
        same_unit: whether all columns share a unit, as pixels do: they then keep their scales, and
            a column that hardly varies counts for little. Otherwise each is divided by its
            standard deviation.
        kl_weight: β, in nats for the whole table: 1 is that of a variational bound. However few the
            rows, a certain choice costs at most 0.4 nats a row. Falls like the learning rates, so
            that the choice becomes clear.
        epochs: passes over the rows; by default as many as make about 3,000 steps, at most 500.
        batch_size: rows a step.
        learning_rate: of the network, with Adam. Falls to nothing along a cosine.
        logits_learning_rate: of the logits, likewise.
        validation_fraction: of the rows, held out where there is a `patience`.
        patience: stop when the loss on the rows held out has not improved for so many epochs, and
            keep the best epoch's choice. None never stops early, and learns from all rows.
        random_state: of the split, the initial weights, the batches and the subsets.

    Attributes:
        support_: `(columns,)` whether each column is chosen.
        inclusion_probabilities_: `(columns,)` each column's probability of being chosen under the
            learned distribution; they sum to k.
        logits_: `(columns,)` of that distribution.
        task_: the task that was meant.
        classes_: the labels, for classification.
        history_: a dictionary an epoch: epoch, loss, validation_loss, certainty.
        n_epochs_: how many there were.
        n_features_in_: columns of the table.
        feature_names_in_: their names, where it had any.

    Raises:
        ValueError: by `fit` and `partial_fit`: k isn't an integer in [1, columns] or the rows are
            fewer than k; values are missing, infinite or text; y is missing where the task needs
            it, has one class only or is constant; a setting is out of its range.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(500, 8))
        >>> same_sign = x[:, 2] * x[:, 5] > 0  # neither column says anything alone
        >>> selector = SubsetSelector(2, epochs=100, random_state=0).fit(x, same_sign)
        >>> selector.get_support(indices=True).tolist()
        [2, 5]

    Reference: Concrete Autoencoders for Differentiable Feature Selection and Reconstruction (Abid,
    Balin, Zou, 2019), https://arxiv.org/abs/1901.09346; SIMPLE: A Gradient Estimator for k-Subset
    Sampling (Ahmed, Zeng, Niepert, Van den Broeck, 2023), https://arxiv.org/abs/2210.01941
    """

    def __init__(
        self,
        k: int = 10,
        *,
        task: str = "auto",
        estimator: Estimator | str | None = None,
        hidden: Sequence[int] | None = None,
        same_unit: bool = False,
        kl_weight: float = 10.0,
        epochs: int | None = None,
        batch_size: int = 128,
        learning_rate: float = 1e-2,
        logits_learning_rate: float = 1e-2,
        validation_fraction: float = 0.1,
        patience: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.k = k
        self.task = task
        self.estimator = estimator
        self.hidden = hidden
        self.same_unit = same_unit
        self.kl_weight = kl_weight
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.logits_learning_rate = logits_learning_rate
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        progress: Callable[[Progress], None] | bool | None = None,
    ) -> Self:
        """Learn which columns to choose.

        Args:
            X: `(rows, columns)` of numbers: an array, a memory-mapped file or a data frame.
            y: `(rows,)` classes or quantities, `(rows, outputs)` quantities, or None.
            progress: True shows how far it is, on the error stream; a function is called after
                every epoch.

        Returns:
            The selector.
        """
        X, y = self._checked(X, y, first=True)
        self._training = self._begin(X, y)
        with told(progress, "the epoch's record", "choosing", "select", shown_on) as listener:
            return self._learned(self._training.run(X, y, listener))

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None) -> Self:
        """Go through some rows once more, and choose anew.

        For tables that come in pieces. Learning rates don't fall and nothing is held out, so that
        it can go on; moments are those of all rows so far.

        Args:
            X: `(rows, columns)`; the first call needs at least 2 rows and k.
            y: as for `fit`.
            classes: all labels, in the first call, where its rows don't have all of them.

        Returns:
            The selector.
        """
        first = not hasattr(self, "_training")
        X, y = self._checked(X, y, first=first)
        if first:
            self._training = self._begin(X, y, classes)
            self.history_: list[dict[str, Any]] = []
        return self._learned([*self.history_, self._training.continue_with(X, y)])

    def _checked(self, X: Any, y: Any, first: bool) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Table and target as arrays, not copied where they are arrays already."""
        check_task(self.task, y)
        validation.check_numeric(X)
        if y is None or self.task == "reconstruction":
            X = validate_data(self, X, reset=first, ensure_min_samples=2 if first else 1)
            y = None
        else:
            check_labels(y)
            X, y = validate_data(
                self, X, y, reset=first, multi_output=True, ensure_min_samples=2 if first else 1
            )
        return X, y

    def _begin(self, X: NDArray[Any], y: NDArray[Any] | None, classes: Any = None) -> Training:
        rows, columns = X.shape
        k = validation.check_k(self.k, columns, rows)
        validation.check_selector(self)
        self.task_ = self._task_for(y)
        seed = validation.draw_seed(self.random_state)
        return Training(self, k, self.task_, columns, y, classes, seed)

    def _task_for(self, y: NDArray[Any] | None) -> str:
        """The task that is meant; warns where the target leaves it in doubt."""
        if self.task != "auto":
            return self.task
        if y is None:
            return "reconstruction"
        inferred = infer_task(y)
        if inferred.doubt:
            ask = "task='classification' or task='regression'"
            warnings.warn(inferred.warning("y", ask), stacklevel=4)
        return inferred.task

    def _learned(self, history: list[dict[str, Any]]) -> Self:
        """Keep what the course has led to."""
        learner = self._training.learner
        if self._training.classes is not None:
            self.classes_ = self._training.classes
        self.history_, self.n_epochs_ = history, len(history)
        self.logits_ = learner.logits.detach().numpy().copy()
        self.inclusion_probabilities_ = learner.q.mean.detach().numpy().copy()
        self.support_ = learner.q.mode.numpy().astype(bool)
        return self

    def _get_support_mask(self) -> NDArray[np.bool_]:
        check_is_fitted(self, "support_")
        return self.support_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.task in ("classification", "regression")
        tags.target_tags.multi_output = True
        return tags
