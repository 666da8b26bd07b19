"""Scores of chosen columns: the same downstream model is trained on each choice.

It is trained on the training part, of a large one on a sample, and scored on the held-out rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LinearRegression

from hotgrad.selection.holdout import Part
from hotgrad.selection.rivals import TREES, Choice, fit_trees, rivals
from hotgrad.selection.standardising import Floats

MOST_ROWS = 10_000
"""That rivals and the downstream model learn from: the time of trees grows with the rows."""


@dataclass(frozen=True)
class Metric:
    """What the held-out score is."""

    name: str
    model: str
    best: float

    @property
    def direction(self) -> str:
        """Which way is better, in words."""
        return "higher is better" if self.best == 1.0 else "lower is better"


METRICS = {
    "classification": Metric("accuracy", f"{TREES} extremely randomised trees", 1.0),
    "regression": Metric("R²", f"{TREES} extremely randomised trees", 1.0),
    "reconstruction": Metric(
        "mean squared error", "a linear map to all columns (of mean variance 1)", 0.0
    ),
}


@dataclass(frozen=True)
class Score:
    """A held-out score; where several choices were drawn, their mean.

    Args:
        choice: who chose.
        score: by the task's metric.
        standard_error: of the score, as far as it comes from which rows were held out; None where
            a single one was.
        columns: the columns; empty where several choices were drawn.
    """

    choice: str
    score: float
    standard_error: float | None
    columns: tuple[str, ...]


def compare(
    train: Part,
    test: Part,
    chosen: Sequence[str],
    *,
    task: str,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Score]:
    """Scores chosen columns beside as many that each rival chooses from the same training part.

    Args:
        train: what rivals and the downstream model learn from; of more than `MOST_ROWS` rows, as
            many that are drawn at random.
        test: what the downstream model is scored on.
        chosen: names of the k columns.
        task: classification, regression or reconstruction.
        seed: of the trees and the random draws.
        progress: called with (done, total) before the first score and after each.

    Returns:
        The chosen columns' score under the name "hotgrad", then the rivals' scores.
    """
    train = _sample(train, seed)
    names = train.features.columns
    own = np.array([names.get_loc(name) for name in chosen], dtype=np.intp)
    contenders = {"hotgrad": lambda *_: [own], **rivals(task)}
    scores: list[Score] = []
    for name, choose in contenders.items():
        progress(len(scores), len(contenders))
        choices = choose(train, task, len(own), seed)
        rows = np.mean([score_rows(train, test, choice, task, seed) for choice in choices], axis=0)
        error = float(rows.std(ddof=1) / len(rows) ** 0.5) if len(rows) > 1 else None
        columns = tuple(names[choices[0]]) if len(choices) == 1 else ()
        scores.append(Score(name, float(rows.mean()), error, columns))
    progress(len(contenders), len(contenders))
    return scores


def _sample(train: Part, seed: int) -> Part:
    if len(train.features) <= MOST_ROWS:
        return train
    rows = np.random.default_rng(seed).permutation(len(train.features))[:MOST_ROWS]
    target = None if train.target is None else train.target[rows]
    return Part(train.features.iloc[rows], target)


def score_rows(train: Part, test: Part, columns: Choice, task: str, seed: int) -> Floats:
    """What each held-out row adds to the score; the mean over the rows is the score."""
    inputs, held = train.values[:, columns], test.values[:, columns]
    if train.target is None or test.target is None:
        decoder = LinearRegression().fit(inputs, train.values)
        squares: Floats = (decoder.predict(held) - test.values) ** 2
        return squares.mean(axis=1)
    predicted = fit_trees(inputs, train.target, task, seed).predict(held)
    if task == "classification":
        return (predicted == test.target).astype(np.float64)
    return 1 - (predicted - test.target) ** 2 / test.target.var()
