"""Pure functions of tensors: the lowest layer, which every estimator and distribution is built on.

Noise is an argument everywhere; only `hotgrad.ops.noise` and `hotgrad.ops.kernels` draw it. So
whatever is built on the others is a deterministic function of (logits, noise) and can be tested by
summing or integrating over its noise.
"""

from hotgrad.ops import k_of_n
from hotgrad.ops.conditional import gumbel_given_outcome, logistic_given_outcome
from hotgrad.ops.events import like_event, over_event
from hotgrad.ops.gap import gap_noise_of_bits, gap_noise_of_categories
from hotgrad.ops.harden import k_hot, one_hot_argmax, straight_through, threshold
from hotgrad.ops.m_hot import columns_maximum, relaxed_columns
from hotgrad.ops.noise import added, draw_gumbel, draw_logistic, draw_sum_of_gamma, draw_uniform
from hotgrad.ops.perturb import (
    Perturbed,
    map_with_finite_difference,
    map_with_slope,
    perturbed,
    perturbed_by_gumbel,
    perturbed_by_logistic,
)
from hotgrad.ops.precision import centred, plain, saturating, widened
from hotgrad.ops.race import log_prob_of_order, log_prob_of_set, race_marginals
from hotgrad.ops.race_noise import gumbel_given_order, gumbel_given_set
from hotgrad.ops.reinmax import bernoulli_tangent, categorical_tangent, reinmax
from hotgrad.ops.relax import (
    before_noise,
    binary_concrete,
    gumbel_softmax,
    log_gumbel_softmax,
    tempered,
)
from hotgrad.ops.softmax import log_softmax, softmax
from hotgrad.ops.top_k import relaxed_top_k
from hotgrad.ops.without_replacement import Arrivals, SetClock, first_arrivals

__all__ = [
    "Arrivals",
    "Perturbed",
    "SetClock",
    "added",
    "before_noise",
    "bernoulli_tangent",
    "binary_concrete",
    "categorical_tangent",
    "centred",
    "columns_maximum",
    "draw_gumbel",
    "draw_logistic",
    "draw_sum_of_gamma",
    "draw_uniform",
    "first_arrivals",
    "gap_noise_of_bits",
    "gap_noise_of_categories",
    "gumbel_given_order",
    "gumbel_given_outcome",
    "gumbel_given_set",
    "gumbel_softmax",
    "k_hot",
    "k_of_n",
    "like_event",
    "log_gumbel_softmax",
    "log_prob_of_order",
    "log_prob_of_set",
    "log_softmax",
    "logistic_given_outcome",
    "map_with_finite_difference",
    "map_with_slope",
    "one_hot_argmax",
    "over_event",
    "perturbed",
    "perturbed_by_gumbel",
    "perturbed_by_logistic",
    "plain",
    "race_marginals",
    "reinmax",
    "relaxed_columns",
    "relaxed_top_k",
    "saturating",
    "softmax",
    "straight_through",
    "tempered",
    "threshold",
    "widened",
]
