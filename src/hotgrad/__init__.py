"""Gradients through discrete random choices, right, fast and measured.

One expectation; the estimator is an argument:

    loss = hg.expectation(f, q, hg.GumbelSoftmax(temperature=0.5), num_samples=4).mean()
"""

from hotgrad import distributions, estimators, ops, schedules
from hotgrad.distributions import (
    Bernoulli,
    BinaryConcrete,
    Concrete,
    Gumbel,
    HardConcrete,
    Independent,
    OneHotCategorical,
    monte_carlo_kl,
)
from hotgrad.estimators import (
    Estimator,
    Exact,
    GumbelSoftmax,
    Learned,
    LeaveOneOut,
    MovingAverage,
    NoBaseline,
    Pathwise,
    ReinMax,
    ScoreFunction,
    StraightThrough,
    StraightThroughGumbelSoftmax,
)
from hotgrad.expectation import expectation
from hotgrad.functional import binary_concrete, gumbel_softmax

__version__ = "0.1.0"

__all__ = [
    "Bernoulli",
    "BinaryConcrete",
    "Concrete",
    "Estimator",
    "Exact",
    "Gumbel",
    "GumbelSoftmax",
    "HardConcrete",
    "Independent",
    "Learned",
    "LeaveOneOut",
    "MovingAverage",
    "NoBaseline",
    "OneHotCategorical",
    "Pathwise",
    "ReinMax",
    "ScoreFunction",
    "StraightThrough",
    "StraightThroughGumbelSoftmax",
    "binary_concrete",
    "distributions",
    "estimators",
    "expectation",
    "gumbel_softmax",
    "monte_carlo_kl",
    "ops",
    "schedules",
]
