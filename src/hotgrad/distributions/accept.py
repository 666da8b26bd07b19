"""Which distributions are taken as q: this library's, torch's own of the same law, custom ones."""

from typing import Any

from torch import distributions as td

from hotgrad.distributions import base
from hotgrad.distributions.bernoulli import Bernoulli
from hotgrad.distributions.categorical import OneHotCategorical
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
    if type(q) is td.Independent:
        inner = as_law(q.base_dist)
        return Independent(inner, q.reinterpreted_batch_ndims, validate_args=inner._validate_args)
    for theirs, ours in (
        (td.OneHotCategorical, OneHotCategorical),
        (td.Bernoulli, Bernoulli),
    ):
        # a class that draws in its own way is a law of its own
        if isinstance(q, theirs) and type(q).sample is theirs.sample:
            return ours(**base.parameter_of(q), validate_args=q._validate_args)
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
