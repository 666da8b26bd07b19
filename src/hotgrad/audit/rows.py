"""A trial as a plain dict of figures, which JSON and data frames hold."""

import math
from typing import Any

from hotgrad.audit.trial import Trial
from hotgrad.audit.verdict import Ranking

_POWERS = {"variance": 2}

Figures = dict[str, float | None]


def row_of(trial: Trial, ranking: Ranking, count: int) -> dict[str, Any]:
    """All that is known of an estimator at one temperature."""
    candidate, norm = trial.candidate, ranking.reference.norm
    absolute = _figures(trial, ranking)
    relative = {
        name: None if value is None or not norm else value / norm ** _POWERS.get(name, 1)
        for name, value in absolute.items()
    }
    exact = trial.measured is None
    cosine = 1.0 if trial.measured is None else trial.measured.cosine
    estimator = candidate.estimator
    return {
        "estimator": candidate.name,
        "temperature": candidate.temperature,
        "num_samples": trial.evaluations if exact else candidate.num_samples,
        **{
            fact: bool(getattr(estimator, fact, False))
            for fact in ("unbiased", "relaxes_f", "differentiates_f")
        },
        "evaluations": trial.evaluations,
        "milliseconds": trial.milliseconds,
        **relative,
        "cosine": cosine if norm and not trial.non_finite else None,
        **{f"absolute_{name}": value for name, value in absolute.items()},
        "replicates": count,
        "non_finite": trial.non_finite,
        "note": trial.note,
    }


def _figures(trial: Trial, ranking: Ranking) -> Figures:
    names = ("bias", "bias_low", "bias_high", "variance", "rmse", "error_at_budget")
    if trial.non_finite:
        return dict.fromkeys(names)
    measured = trial.measured
    if measured is None:
        return dict.fromkeys(names[:-1], 0.0) | {"error_at_budget": ranking.error(trial)}
    low, high = measured.bias_interval()
    return {
        "bias": math.sqrt(max(measured.bias_square, 0.0)),
        "bias_low": low,
        "bias_high": high,
        "variance": measured.variance,
        "rmse": trial.error,
        "error_at_budget": ranking.error(trial),
    }
