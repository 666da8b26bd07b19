"""Which distributions are taken as q: this library's, torch's own of the same kind, custom ones."""

from typing import Any

import torch
from torch import distributions as td

from hotgrad.distributions import copies
from hotgrad.distributions.discrete import DiscreteDistribution
from hotgrad.distributions.independent import Independent
from hotgrad.distributions.joint_vector import NamedFactors


def as_distribution(q: Any) -> DiscreteDistribution:
    """This library's counterpart of a torch distribution; other discrete ones as they are.

    Of a `Joint` it is the distribution of all its discrete unknowns in one vector.

    Raises:
        ValueError: q isn't a distribution, or one whose z isn't a discrete vector of floats.
    """
    if not isinstance(q, td.Distribution):
        raise ValueError(f"q must be a distribution, got {type(q).__name__}.")
    if isinstance(q, NamedFactors):
        return q.vector
    inside: Any = getattr(q, "base_dist", None)
    if isinstance(inside, NamedFactors) and inside is not inside.vector:
        raise ValueError(
            "q is Independent of a Joint, whose unknowns have an event each. Use the Joint's own "
            "to_event(ndims)."
        )
    ours = _ours(q)
    for base in getattr(ours, "bases", (ours,)):
        _check_discrete(base)
    accepted: DiscreteDistribution = ours
    return accepted


def as_factor(q: Any) -> Any:
    """A factor of a `Joint`: what `as_distribution` makes of it, or a continuous one as it is."""
    inside = q
    while isinstance(inside, td.Independent):
        inside = inside.base_dist
    is_number = isinstance(inside, td.Distribution) and inside.has_rsample
    if is_number and not isinstance(inside, (td.RelaxedOneHotCategorical, td.RelaxedBernoulli)):
        return q
    return as_distribution(q)


def _ours(q: Any) -> Any:
    # Pyro's Independent is a class of its own, which draws and scores as torch's does
    cls = type(q)
    alike = cls.sample is td.Independent.sample and cls.log_prob is td.Independent.log_prob
    if isinstance(q, td.Independent) and alike:
        inner = _ours(q.base_dist)
        return Independent(inner, q.reinterpreted_batch_ndims, validate_args=inner._validate_args)
    return copies.counterpart(q)


def _check_discrete(base: Any) -> None:
    cls: Any = type(base)
    name = cls.__name__
    if isinstance(base, (td.RelaxedOneHotCategorical, td.RelaxedBernoulli)):
        raise ValueError(
            f"q is {name}, a relaxed distribution. Give the discrete one, OneHotCategorical or "
            "Bernoulli, and GumbelSoftmax(temperature) as the estimator."
        )
    if base.has_rsample:
        raise ValueError(
            f"q is {name}, a continuous distribution: its samples have a gradient already, use "
            "q.rsample(); or Joint(name=...) of it and discrete ones."
        )
    if isinstance(base, td.Categorical):
        raise ValueError(
            "q is a Categorical, whose samples are integers. Use OneHotCategorical, whose samples "
            "are vectors."
        )
    if cls.__module__.startswith("torch."):
        raise ValueError(
            f"q is {name}. Of torch's distributions, expectation takes OneHotCategorical, "
            "Bernoulli and Independent of them."
        )
    if not isinstance(base, DiscreteDistribution):
        raise ValueError(
            f"q is {name}, which isn't a DiscreteDistribution. Make it a subclass of "
            "hg.DiscreteDistribution, or of the distribution of this library that it varies."
        )
    # the compiler, which can't read a signature, meets what was accepted before
    if torch.compiler.is_compiling() or copies.takes_generator(cls):
        return
    raise ValueError(
        f"q is {name}, whose sample takes no generator. Give it one: "
        "sample(self, sample_shape=(), *, generator=None)."
    )
