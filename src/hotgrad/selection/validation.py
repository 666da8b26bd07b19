"""Checks of what a selector is given, in scikit-learn's manner: when it is fitted."""

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from hotgrad.estimators import (
    ESTIMATORS,
    Estimator,
    StraightThrough,
    make_estimator,
    missing_methods,
    row_wise_estimators,
)
from hotgrad.estimators.base import label_of
from hotgrad.ops.checks import (
    as_shape,
    check_choice,
    check_count,
    check_flag,
    check_number,
    check_positive,
    plain_number,
    shown,
)
from hotgrad.selection.learner import DISTRIBUTIONS


def check_k(k: Any, columns: int, rows: int, name: str = "k") -> int:
    """The number of columns to choose, as a Python integer; `name` is what its user calls it.

    Raises:
        ValueError: it isn't an integer from 1 to the number of columns, or there are fewer rows.
    """
    k = plain_number(k)
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= columns:
        raise ValueError(
            f"{name} must be an integer from 1 to {columns}, the number of columns (n_features = "
            f"{columns}), got {shown(k)}."
        )
    if rows < k:
        raise ValueError(
            f"Expected at least {name} = {k} rows to learn from, got n_samples = {rows}. Lower "
            f"{name}, or give more rows."
        )
    return k


def check_selector(selector: Any) -> None:
    """Raises ValueError if one of a selector's settings is out of its range."""
    for name in ("batch_size", "epochs", "patience"):
        value = getattr(selector, name)
        if value is not None or name == "batch_size":
            check_count(value, name)
    if selector.hidden is not None:
        as_shape(selector.hidden, "hidden", minimum=1)
    check_positive(selector.learning_rate, "learning_rate")
    check_positive(selector.logits_learning_rate, "logits_learning_rate")
    check_flag(selector.same_unit, "same_unit")
    check_number(selector.kl_weight, "kl_weight", lambda beta: beta >= 0, "a number of at least 0")
    check_number(
        selector.validation_fraction,
        "validation_fraction",
        lambda share: 0 <= share < 1,
        "a number in [0, 1)",
    )


def check_estimator(estimator: Estimator | str | None) -> Estimator:
    """The estimator of the logits' gradient, from itself or its name.

    Raises:
        ValueError: an unknown name, no estimator, or one that doesn't work with subsets or doesn't
            score one subset a row.
    """
    if estimator is None:
        return StraightThrough()
    offered = row_wise_estimators(*DISTRIBUTIONS)
    if isinstance(estimator, str):
        if estimator not in ESTIMATORS:
            check_choice("estimator", estimator, offered)
        known, name = estimator, estimator
    else:
        if isinstance(estimator, type) or not hasattr(estimator, "surrogate"):
            raise ValueError(
                "estimator must be an estimator such as StraightThrough(), or the name of one of "
                f"{', '.join(offered)}; got {estimator!r}."
            )
        known = next((name for name, cls in ESTIMATORS.items() if type(estimator) is cls), "")
        name = label_of(estimator)
    works = (
        known in offered
        if known
        else not all(missing_methods(estimator, distribution) for distribution in DISTRIBUTIONS)
    )
    if not works:
        raise ValueError(
            f"The estimator {name} can't choose columns, where every row sees one random subset of "
            f"its own. Use one of {', '.join(offered)}."
        )
    return make_estimator(estimator) if isinstance(estimator, str) else estimator


def draw_seed(random_state: Any) -> int:
    """A seed from what scikit-learn takes for a source of randomness.

    Raises:
        ValueError: it is none.
    """
    try:
        source = check_random_state(random_state)
    except ValueError as error:
        raise ValueError(
            "random_state must be None, an integer from 0 to 2^32 - 1, or a NumPy RandomState; got "
            f"{shown(random_state)}."
        ) from error
    return int(source.randint(np.iinfo(np.int32).max))


def check_numeric(table: Any) -> None:
    """Raises ValueError if a table holds text or complex numbers; it names a data frame's columns.

    An array of objects may hold numbers, which is seen when they are converted.
    """
    kind = getattr(getattr(table, "dtype", None), "kind", "")
    if kind in "SU" and kind:
        raise ValueError(f"X holds text (dtype {table.dtype}). Encode it as numbers.")
    if kind == "c":
        raise ValueError(
            f"Complex data not supported: X holds dtype {table.dtype}. Split real and imaginary "
            "parts into columns."
        )
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
