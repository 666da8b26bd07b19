"""Which distributions are taken as q: this library's, torch's own of the same law, custom ones."""

from typing import Any

import torch
from torch import distributions as td

from hotgrad.distributions import copies
from hotgrad.distributions.flattened import Flattened
from hotgrad.distributions.independent import Independent


def as_law(q: Any) -> Any:
    """This library's counterpart of a torch distribution; other laws as they are.

    Of a `Joint` it is the law of all its unknowns in one vector.

    Raises:
        ValueError: q isn't a distribution, or one whose z isn't a discrete vector of floats.
    """
    if not isinstance(q, td.Distribution):
        raise ValueError(f"q must be a distribution, got {type(q).__name__}.")
    if isinstance(flattened := getattr(q, "flattened", None), Flattened):
        return flattened
    inside = getattr(q, "base_dist", None)
    if isinstance(getattr(inside, "flattened", None), Flattened):
        raise ValueError(
            "q is Independent of a Joint, whose unknowns have an event each. Use the Joint's own "
            "to_event(ndims)."
        )
    # Pyro's is a class of its own, which draws and scores as torch's does
    cls = type(q)
    alike = cls.sample is td.Independent.sample and cls.log_prob is td.Independent.log_prob
    if isinstance(q, td.Independent) and alike:
        inner = as_law(q.base_dist)
        return Independent(inner, q.reinterpreted_batch_ndims, validate_args=inner._validate_args)
    q = copies.counterpart(q)
    _refuse_other_laws(getattr(q, "law", q))
    return q


def _refuse_other_laws(law: Any) -> None:
    name = type(law).__name__
    if isinstance(law, (td.RelaxedOneHotCategorical, td.RelaxedBernoulli)):
        raise ValueError(
            f"q is {name}, a relaxed law. Give the discrete one, OneHotCategorical or Bernoulli, "
            "and GumbelSoftmax(temperature) as the estimator."
        )
    if law.has_rsample:
        raise ValueError(
            f"q is {name}, a continuous law: its samples have a gradient already, use q.rsample()."
        )
    if isinstance(law, td.Categorical):
        raise ValueError(
            "q is a Categorical, whose samples are integers. Use OneHotCategorical, whose samples "
            "are vectors."
        )
    if type(law).__module__.startswith("torch."):
        raise ValueError(
            f"q is {name}. Of torch's laws, expectation takes OneHotCategorical, Bernoulli and "
            "Independent of them."
        )
    cls: Any = type(law)
    # the compiler, which can't read a signature, meets what was accepted before
    if torch.compiler.is_compiling() or cls.sample is td.Distribution.sample:
        return
    if not copies.takes_generator(cls):
        raise ValueError(
            f"q is {name}, whose sample takes no generator. Give it one: "
            "sample(self, sample_shape=(), *, generator=None)."
        )
