"""A diagnosis as plain dicts, which JSON and data frames hold."""

import math
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from hotgrad.inference.findings import READINGS, Findings
from hotgrad.inference.marginals import Worst


def rows_of(found: Findings) -> list[dict[str, Any]]:
    """A dict for each row of the batch, None for what isn't finite."""
    columns: dict[str, Tensor] = {
        "elbo": found.elbos,
        "bound": found.bounds,
        "pareto_k": found.pareto_k,
        "effective_samples": found.effective_samples,
        "impossible": found.impossible,
    }
    if found.exact is not None:
        columns["log_evidence"] = found.exact.log_evidence
        columns["kl"] = found.exact.kl
        columns["posterior_entropy"] = found.exact.entropy
    places = torch.ones_like(found.elbos).nonzero().tolist()
    readings = found.readings.flatten().tolist()
    rows = [
        {"row": place, "reading": READINGS[reading]}
        for place, reading in zip(places, readings, strict=True)
    ]
    for name, column in columns.items():
        for row, value in zip(rows, column.flatten().tolist(), strict=True):
            row[name] = _or_none(value)
    return rows


def as_dict(found: Findings, verdict: str) -> dict[str, Any]:
    """Everything but the marginals."""
    exact = found.exact
    return {
        "verdict": verdict,
        "num_samples": found.num_samples,
        "elbo": _or_none(found.elbo),
        "bound": _or_none(found.bound),
        "reliable_k": found.reliable_k,
        "worst_marginal": _worst(found.worst),
        "exact": None
        if exact is None
        else {
            "states": exact.states,
            "log_evidence": float(exact.log_evidence.sum()),
            "kl": _or_none(float(exact.kl.sum())),
            "worst_marginal": _worst(exact.worst),
        },
        "not_exact": found.not_exact,
        "rows": rows_of(found),
    }


def _worst(worst: Worst) -> dict[str, Any]:
    figures = {name: _or_none(getattr(worst, name)) for name in ("fitted", "reference", "error")}
    return asdict(worst) | {"index": list(worst.index)} | figures


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
