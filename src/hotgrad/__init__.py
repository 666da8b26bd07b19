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
    KSubset,
    OneHotCategorical,
    PlackettLuceSubset,
    monte_carlo_kl,
)
from hotgrad.estimators import (
    IMLE,
    Estimator,
    Exact,
    GumbelSoftmax,
    Learned,
    LeaveOneOut,
    MovingAverage,
    NoBaseline,
    Pathwise,
    PerturbedMAP,
    ReinMax,
    RelaxedTopK,
    ScoreFunction,
    StraightThrough,
    StraightThroughGumbelSoftmax,
)
from hotgrad.expectation import expectation
from hotgrad.functional import binary_concrete, gumbel_softmax, m_hot, m_hot_columns

__version__ = "0.1.0"

__all__ = [
    "IMLE",
    "Bernoulli",
    "BinaryConcrete",
    "Concrete",
    "Estimator",
    "Exact",
    "Gumbel",
    "GumbelSoftmax",
    "HardConcrete",
    "Independent",
    "KSubset",
    "Learned",
    "LeaveOneOut",
    "MovingAverage",
    "NoBaseline",
    "OneHotCategorical",
    "Pathwise",
    "PerturbedMAP",
    "PlackettLuceSubset",
    "ReinMax",
    "RelaxedTopK",
    "ScoreFunction",
    "StraightThrough",
    "StraightThroughGumbelSoftmax",
    "binary_concrete",
    "distributions",
    "estimators",
    "expectation",
    "gumbel_softmax",
    "m_hot",
    "m_hot_columns",
    "monte_carlo_kl",
    "ops",
    "schedules",
]
