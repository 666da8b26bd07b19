"""Gradient estimators for E_q[f(z)], one family to a file."""

from hotgrad.estimators.base import Estimator, Pathwise
from hotgrad.estimators.baselines import Learned, LeaveOneOut, MovingAverage, NoBaseline
from hotgrad.estimators.exact import Exact
from hotgrad.estimators.named import ESTIMATORS, at_temperature, has_temperature, make_estimator
from hotgrad.estimators.relaxed import GumbelSoftmax
from hotgrad.estimators.score_function import ScoreFunction
from hotgrad.estimators.straight_through import (
    ReinMax,
    StraightThrough,
    StraightThroughGumbelSoftmax,
)

__all__ = [
    "ESTIMATORS",
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
    "at_temperature",
    "has_temperature",
    "make_estimator",
]
