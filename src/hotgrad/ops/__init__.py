"""Pure functions of tensors: the lowest floor, which every estimator and law is written on.

Noise is an argument everywhere; only `hotgrad.ops.noise` draws it. So whatever is built on this
floor is a deterministic function of (logits, noise) and can be tested by summing or integrating
over its noise.
"""

from hotgrad.ops.conditional import gumbel_given_outcome, logistic_given_outcome
from hotgrad.ops.harden import one_hot_argmax, straight_through, threshold
from hotgrad.ops.noise import draw_gumbel, draw_logistic
from hotgrad.ops.reinmax import bernoulli_tangent, categorical_tangent, reinmax
from hotgrad.ops.relax import binary_concrete, gumbel_softmax, log_gumbel_softmax, tempered
from hotgrad.ops.softmax import log_softmax, softmax

__all__ = [
    "bernoulli_tangent",
    "binary_concrete",
    "categorical_tangent",
    "draw_gumbel",
    "draw_logistic",
    "gumbel_given_outcome",
    "gumbel_softmax",
    "log_gumbel_softmax",
    "log_softmax",
    "logistic_given_outcome",
    "one_hot_argmax",
    "reinmax",
    "softmax",
    "straight_through",
    "tempered",
    "threshold",
]
