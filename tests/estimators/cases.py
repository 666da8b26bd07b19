"""The lists that the estimators' suites run over, and laws whose randomness is given beforehand.

A new estimator adds a line to ESTIMATORS, a new law a line to LAWS.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import hotgrad as hg

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
BATCHES = [(), (5,), (2, 3)]


class MeanNet(nn.Module):
    """A baseline's module for any law: a weighted sum of the marginals."""

    def __init__(self, q: Any) -> None:
        super().__init__()
        self.batch_dims = len(q.batch_shape)
        self.scale = nn.Parameter(torch.tensor(0.7, dtype=q.mean.dtype))

    def forward(self, mean: Tensor) -> Tensor:
        return self.scale * mean.flatten(self.batch_dims).sum(-1, keepdim=True)


def warmed_up(dtype: torch.dtype = torch.float32) -> hg.MovingAverage:
    """A moving average that has a past: without one it is no baseline at all."""
    baseline = hg.MovingAverage(decay=0.5)
    baseline.centre(torch.full((3,), 0.8, dtype=dtype), None)
    return baseline


ESTIMATORS: dict[str, Callable[[Any], hg.Estimator]] = {
    "Exact": lambda q: hg.Exact(),
    "ScoreFunction(NoBaseline)": lambda q: hg.ScoreFunction(hg.NoBaseline()),
    "ScoreFunction(LeaveOneOut)": lambda q: hg.ScoreFunction(hg.LeaveOneOut()),
    "ScoreFunction(MovingAverage)": lambda q: hg.ScoreFunction(warmed_up()),
    "ScoreFunction(Learned)": lambda q: hg.ScoreFunction(hg.Learned(MeanNet(q))),
    "GumbelSoftmax": lambda q: hg.GumbelSoftmax(temperature=0.5),
    "StraightThrough": lambda q: hg.StraightThrough(),
    "StraightThroughGumbelSoftmax": lambda q: hg.StraightThroughGumbelSoftmax(temperature=0.5),
    "ReinMax": lambda q: hg.ReinMax(temperature=1.2),
}
SAMPLING = {name: make for name, make in ESTIMATORS.items() if name != "Exact"}
PATHWISE = {name: make for name, make in ESTIMATORS.items() if isinstance(make(None), hg.Pathwise)} \
    if False else {}


@dataclass(frozen=True)
class LawCase:
    """A law over logits of shape `(*batch, *event)`, some of them masked."""

    make: Callable[[Tensor], Any]
    event: tuple[int, ...]
    masks: tuple[tuple[tuple[int, ...], float], ...] = ()

    def logits(self, batch: tuple[int, ...] = (), dtype: torch.dtype = torch.float64) -> Tensor:
        """A leaf; the same values in every dtype, up to rounding."""
        generator = torch.Generator().manual_seed(len(batch))
        values = torch.randn(batch + self.event, generator=generator, dtype=torch.float64)
        for where, value in self.masks:
            values[(..., *where)] = value
        return values.to(dtype).requires_grad_()
