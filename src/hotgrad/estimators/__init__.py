"""Gradient estimators for E_q[f(z)], one family to a file."""

from hotgrad.estimators.base import Estimator, missing_methods
from hotgrad.estimators.baselines import Learned, LeaveOneOut, MovingAverage, NoBaseline
from hotgrad.estimators.control_variate import REBAR, RELAX
from hotgrad.estimators.coupled import ARM, DisARM
from hotgrad.estimators.critic import Critic
from hotgrad.estimators.exact import Exact
from hotgrad.estimators.gumbel_straight_through import (
    GappedStraightThrough,
    GumbelRao,
    StraightThroughGumbelSoftmax,
)
from hotgrad.estimators.independent_parts import IndeCateR
from hotgrad.estimators.learned_temperature import LearnedTemperature
from hotgrad.estimators.muprop import MuProp
from hotgrad.estimators.pathwise import Pathwise
from hotgrad.estimators.perturb_and_map import IMLE, PerturbedMAP
from hotgrad.estimators.registry import (
    ESTIMATORS,
    at_temperature,
    has_baseline,
    has_temperature,
    make_estimator,
    row_wise_estimators,
)
from hotgrad.estimators.relaxed import GumbelSoftmax, RelaxedTopK
from hotgrad.estimators.score_function import ScoreFunction
from hotgrad.estimators.straight_through import ReinMax, StraightThrough
from hotgrad.estimators.unordered_set import UnorderedSet
from hotgrad.estimators.vimco import VIMCO

__all__ = [
    "ARM",
    "ESTIMATORS",
    "IMLE",
    "REBAR",
    "RELAX",
    "VIMCO",
    "Critic",
    "DisARM",
    "Estimator",
    "Exact",
    "GappedStraightThrough",
    "GumbelRao",
    "GumbelSoftmax",
    "IndeCateR",
    "Learned",
    "LearnedTemperature",
    "LeaveOneOut",
    "MovingAverage",
    "MuProp",
    "NoBaseline",
    "Pathwise",
    "PerturbedMAP",
    "ReinMax",
    "RelaxedTopK",
    "ScoreFunction",
    "StraightThrough",
    "StraightThroughGumbelSoftmax",
    "UnorderedSet",
    "at_temperature",
    "has_baseline",
    "has_temperature",
    "make_estimator",
    "missing_methods",
    "row_wise_estimators",
]
