"""Distributions of discrete choices, and the relaxed ones that stand in for them."""

from hotgrad.distributions.accept import as_distribution
from hotgrad.distributions.bernoulli import Bernoulli
from hotgrad.distributions.binary_concrete import BinaryConcrete
from hotgrad.distributions.categorical import OneHotCategorical
from hotgrad.distributions.concrete import Concrete
from hotgrad.distributions.discrete import DiscreteDistribution
from hotgrad.distributions.exponential_family import ExponentialFamily
from hotgrad.distributions.gumbel import Gumbel
from hotgrad.distributions.hard_concrete import HardConcrete
from hotgrad.distributions.independent import Independent
from hotgrad.distributions.joint import Joint
from hotgrad.distributions.k_subset import KSubset
from hotgrad.distributions.kl import monte_carlo_kl
from hotgrad.distributions.plackett_luce import PlackettLuceSubset
from hotgrad.distributions.samples import Antithetic, Coupled, RelaxedSample
from hotgrad.distributions.written_down import from_description

__all__ = [
    "Antithetic",
    "Bernoulli",
    "BinaryConcrete",
    "Concrete",
    "Coupled",
    "DiscreteDistribution",
    "ExponentialFamily",
    "Gumbel",
    "HardConcrete",
    "Independent",
    "Joint",
    "KSubset",
    "OneHotCategorical",
    "PlackettLuceSubset",
    "RelaxedSample",
    "as_distribution",
    "from_description",
    "monte_carlo_kl",
]
