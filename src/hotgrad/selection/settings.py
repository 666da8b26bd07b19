"""Checks of what a selector is given, in scikit-learn's manner: when it is fitted."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from hotgrad.estimators import Estimator, Exact, StraightThrough, make_estimator
from hotgrad.ops.checks import check_count


def check_k(k: Any, columns: int, rows: int) -> int:
    """The number of columns to choose, as a Python integer.

    Raises:
        ValueError: it isn't an integer from 1 to the number of columns, or there are fewer rows.
    """
    if not _is_integer(k) or not 1 <= k <= columns:
        raise ValueError(
            f"k must be an integer from 1 to {columns}, the number of columns (n_features = "
            f"{columns}), got {k!r}."
        )
    if rows < k:
        raise ValueError(
            f"Expected at least k = {k} rows to learn from, got n_samples = {rows}. Lower k, or "
            "give more rows."
        )
    return int(k)


def check_selector(selector: Any) -> None:
    """Raises ValueError if one of a selector's numbers is out of its range."""
    for name in ("batch_size", "epochs", "patience"):
        value = getattr(selector, name)
        if value is not None or name == "batch_size":
            check_count(int(value) if _is_integer(value) else value, name)
    for width in selector.hidden or ():
        check_count(int(width) if _is_integer(width) else width, "a width in hidden")
    for name in ("learning_rate", "logits_learning_rate"):
        _check_number(selector, name, lambda value: 0 < value < math.inf, "positive and finite")
    _check_number(selector, "kl_weight", lambda value: 0 <= value < math.inf, "at least 0")
    _check_number(selector, "validation_fraction", lambda value: 0 <= value < 1, "in [0, 1)")


def _is_integer(value: Any) -> bool:
    """Also one of NumPy's, as grids of settings hold them."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _check_number(
    selector: Any, name: str, is_good: Callable[[float], bool], expected: str
) -> None:
    value = getattr(selector, name)
    is_number = _is_integer(value) or isinstance(value, (float, np.floating))
    if not is_number or not is_good(value):
        raise ValueError(f"{name} must be a number, {expected}, got {value!r}.")


def check_estimator(estimator: Estimator | str | None) -> Estimator:
    """The estimator of the logits' gradient, from itself or its name.

    Raises:
        ValueError: an unknown name, no estimator, or one that doesn't score one subset a row.
    """
    if estimator is None:
        return StraightThrough()
    if isinstance(estimator, str):
        estimator = make_estimator(estimator)
    if not hasattr(estimator, "surrogate") or isinstance(estimator, type):
        raise ValueError(
            "estimator must be the name of one or an estimator such as StraightThrough(), got "
            f"{estimator!r}."
        )
    if isinstance(estimator, Exact):
        raise ValueError(
            "Exact() sums over all subsets, while every row here draws one of its own. "
            "Use StraightThrough()."
        )
    return estimator


def check_text_columns(table: Any) -> None:
    """Raises ValueError if columns of a data frame hold text; it names them."""
    if not (hasattr(table, "columns") and hasattr(table, "select_dtypes")):
        return
    texts = [
        name
        for name, column in table.select_dtypes(["object", "string", "category"]).items()
        if column.map(type).eq(str).any()
    ]
    if texts:
        raise ValueError(
            f"{len(texts)} of {table.shape[1]} columns hold text: {texts[:8]}. "
            "Encode them as numbers, or drop them."
        )
