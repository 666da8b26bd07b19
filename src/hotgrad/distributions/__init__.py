"""Laws of discrete choices, and the relaxed laws that stand in for them."""

from hotgrad.distributions.accept import as_law
from hotgrad.distributions.base import RelaxedSample
from hotgrad.distributions.bernoulli import Bernoulli
from hotgrad.distributions.binary_concrete import BinaryConcrete
from hotgrad.distributions.categorical import OneHotCategorical
from hotgrad.distributions.concrete import Concrete
from hotgrad.distributions.gumbel import Gumbel
from hotgrad.distributions.hard_concrete import HardConcrete
from hotgrad.distributions.independent import Independent
from hotgrad.distributions.joint import Joint
from hotgrad.distributions.k_subset import KSubset
from hotgrad.distributions.kl import monte_carlo_kl
from hotgrad.distributions.plackett_luce import PlackettLuceSubset

__all__ = [
    "Bernoulli",
    "BinaryConcrete",
    "Concrete",
    "Gumbel",
    "HardConcrete",
    "Independent",
    "Joint",
    "KSubset",
    "OneHotCategorical",
    "PlackettLuceSubset",
    "RelaxedSample",
    "as_law",
    "monte_carlo_kl",
]
