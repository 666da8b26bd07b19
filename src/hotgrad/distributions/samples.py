"""Samples that come in pairs: what some distributions draw in one call."""

from typing import NamedTuple

from torch import Tensor


class RelaxedSample(NamedTuple):
    """A relaxed sample and its twin in unbounded space, which neither underflows nor rounds to 1.

    A tuple and not an attribute on a tensor, since attributes don't survive `clone`, `stack` or
    indexing.
    """

    value: Tensor
    """The sample, in [0, 1]."""
    twin: Tensor
    """Its logarithm (Concrete) or its logit (BinaryConcrete)."""


class Coupled(NamedTuple):
    """An outcome and two relaxed samples that lead to it, for control variates.

    All is differentiable in the parameters, but for the outcome itself.
    """

    hard: Tensor
    """The sample z, `(*sample_shape, *batch, *event)`."""
    log_prob: Tensor
    """Of what the second relaxed sample is conditional on, `(*sample_shape, *batch)`."""
    relaxed: Tensor
    """The relaxed sample whose noise led to z."""
    relaxed_given: Tensor
    """A relaxed sample whose noise was drawn anew, given the outcome."""


class Antithetic(NamedTuple):
    """Two samples of bits, each exact, from logistic noise and from its negative."""

    first: Tensor
    second: Tensor
    noise: Tensor
