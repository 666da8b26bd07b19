"""Gradient estimators for E_q[f(z)], one family to a file."""

from hotgrad.estimators.base import Estimator, Pathwise
from hotgrad.estimators.baselines import LeaveOneOut, Learned, MovingAverage, NoBaseline
from hotgrad.estimators.exact import Exact
from hotgrad.estimators.relaxed import GumbelSoftmax
from hotgrad.estimators.score_function import ScoreFunction
from hotgrad.estimators.straight_through import (
    ReinMax,
    StraightThrough,
    StraightThroughGumbelSoftmax,
)

__all__ = [
    "Estimator",
    "Exact",
    "GumbelSoftmax",
    "Learned",
    "LeaveOneOut",
    "MovingAverage",
    "NoBaseline",
    "Pathwise",
    "ReinMax",
    "ScoreFunction",
    "StraightThrough",
    "StraightThroughGumbelSoftmax",
]
