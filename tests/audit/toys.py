"""Small problems with known answers, and how measured figures are held against those."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

import hotgrad as hg
from hotgrad.audit import measurement
from hotgrad.audit.table import Row

LOGIT = 0.4


def one_bit(dtype: torch.dtype = torch.float64) -> Any:
    return hg.Bernoulli(logits=torch.tensor(LOGIT, dtype=dtype))


def bits(count: int = 3, *batch: int) -> Any:
    logits = torch.linspace(-0.5, 0.7, count, dtype=torch.float64)
    return hg.Bernoulli(logits=logits.expand(*batch, count)).to_event(1)


def cubic(z: Tensor) -> Tensor:
    """Of the bits in the last dimension, far from linear."""
    return (z.sum(-1) - 1.2).abs().pow(3)


@contextmanager
def quick_audits(*, learning_steps: int = 20) -> Iterator[None]:
    """Audits that learn little, and take the times once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measurement, "ROUNDS", 1)
        patch.setattr(measurement, "LEARNING_STEPS", learning_steps)
        yield


def row_of(audit: hg.Audit, name: str, temperature: float | None = None) -> Row:
    (row,) = (
        row
        for row in audit.rows
        if row["estimator"] == name and temperature in (None, row["temperature"])
    )
    return row


def figures(audit: hg.Audit) -> list[dict[str, Any]]:
    """The rows without what differs each time."""
    return [{k: v for k, v in row.items() if k != "milliseconds"} for row in audit.rows]


def may_be(row: Mapping[str, Any], bias: float) -> bool:
    """Whether the bias lies in the interval, made two and a half times as wide.

    So about five standard errors, which chance exceeds once in a million audits.
    """
    middle = (row["bias_low"] + row["bias_high"]) / 2
    return bool(abs(bias - middle) <= 2.5 * (row["bias_high"] - row["bias_low"]) / 2)


def at_least(hits: int, total: int, prob: float, *, alpha: float = 1e-6) -> bool:
    """Whether an event that has at least this probability may have come about so rarely."""
    return bool(stats.binom.cdf(hits, total, prob) > alpha)
