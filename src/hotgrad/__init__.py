"""Gradients through discrete random choices, right, fast and measured.

One expectation; the estimator is an argument:

    loss = hg.expectation(f, q, hg.GumbelSoftmax(temperature=0.5), num_samples=4).mean()

`hg.vae`, `hg.selection` and `hg.inference` are imported when they are first used.
"""

from importlib import import_module
from types import ModuleType

from hotgrad import distributions, estimators, ops, schedules
from hotgrad.audit import Audit, audit
from hotgrad.distributions import (
    Bernoulli,
    BinaryConcrete,
    Concrete,
    DiscreteDistribution,
    ExponentialFamily,
    Gumbel,
    HardConcrete,
    Independent,
    Joint,
    KSubset,
    OneHotCategorical,
    PlackettLuceSubset,
    monte_carlo_kl,
)
from hotgrad.estimators import (
    ARM,
    IMLE,
    REBAR,
    RELAX,
    VIMCO,
    Critic,
    DisARM,
    Estimator,
    Exact,
    GappedStraightThrough,
    GumbelRao,
    GumbelSoftmax,
    IndeCateR,
    Learned,
    LearnedTemperature,
    LeaveOneOut,
    MovingAverage,
    MuProp,
    NoBaseline,
    Pathwise,
    PerturbedMAP,
    ReinMax,
    RelaxedTopK,
    ScoreFunction,
    StraightThrough,
    StraightThroughGumbelSoftmax,
    UnorderedSet,
)
from hotgrad.expectation import expectation
from hotgrad.extras import needing
from hotgrad.functional import binary_concrete, gumbel_softmax, m_hot, m_hot_columns
from hotgrad.importance import importance_bound
from hotgrad.vocabulary import sample_embedding, sample_index

__version__ = "0.1.0"

__all__ = [
    "ARM",
    "IMLE",
    "REBAR",
    "RELAX",
    "VIMCO",
    "Audit",
    "Bernoulli",
    "BinaryConcrete",
    "Concrete",
    "Critic",
    "DisARM",
    "DiscreteDistribution",
    "Estimator",
    "Exact",
    "ExponentialFamily",
    "GappedStraightThrough",
    "Gumbel",
    "GumbelRao",
    "GumbelSoftmax",
    "HardConcrete",
    "IndeCateR",
    "Independent",
    "Joint",
    "KSubset",
    "Learned",
    "LearnedTemperature",
    "LeaveOneOut",
    "MovingAverage",
    "MuProp",
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
    "UnorderedSet",
    "audit",
    "binary_concrete",
    "distributions",
    "estimators",
    "expectation",
    "gumbel_softmax",
    "importance_bound",
    "m_hot",
    "m_hot_columns",
    "monte_carlo_kl",
    "ops",
    "sample_embedding",
    "sample_index",
    "schedules",
]

_APPLICATIONS = {"inference": "infer", "selection": "select", "vae": "train"}
"""Each with the extra that it needs: `import hotgrad` needs torch alone, and stays fast."""


def __getattr__(name: str) -> ModuleType:
    if name not in _APPLICATIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needing(_APPLICATIONS[name], f"{__name__}.{name}"):
        return import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_APPLICATIONS})
