"""Gradient estimators for E_q[f(z)], one family to a file."""

from hotgrad.estimators.base import Estimator, Pathwise, missing_methods
from hotgrad.estimators.baselines import Learned, LeaveOneOut, MovingAverage, NoBaseline
from hotgrad.estimators.exact import Exact
from hotgrad.estimators.named import ESTIMATORS, at_temperature, has_temperature, make_estimator
from hotgrad.estimators.perturb_and_map import IMLE, PerturbedMAP
from hotgrad.estimators.relaxed import GumbelSoftmax, RelaxedTopK
from hotgrad.estimators.score_function import ScoreFunction
from hotgrad.estimators.straight_through import (
    ReinMax,
    StraightThrough,
    StraightThroughGumbelSoftmax,
)

__all__ = [
    "ESTIMATORS",
    "IMLE",
    "Estimator",
    "Exact",
    "GumbelSoftmax",
    "Learned",
    "LeaveOneOut",
    "MovingAverage",
    "NoBaseline",
    "Pathwise",
    "PerturbedMAP",
    "ReinMax",
    "RelaxedTopK",
    "ScoreFunction",
    "StraightThrough",
    "StraightThroughGumbelSoftmax",
    "at_temperature",
    "has_temperature",
    "make_estimator",
    "missing_methods",
]
