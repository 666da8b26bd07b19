"""Relaxed samples drawn in one call: the noise and the relaxation that a kernel would fuse.

The only place beside `hotgrad.ops.noise` that draws. Everything that needs a relaxed sample of bits
or categories, distributions, estimators and plain functions alike, gets it here.
"""

from hotgrad.ops.kernels.bits import hard_and_relaxed_bits, relaxed_bits, relaxed_bits_with_logit
from hotgrad.ops.kernels.categories import (
    hard_and_relaxed_categories,
    relaxed_categories,
    relaxed_categories_with_log,
)

__all__ = [
    "hard_and_relaxed_bits",
    "hard_and_relaxed_categories",
    "relaxed_bits",
    "relaxed_bits_with_logit",
    "relaxed_categories",
    "relaxed_categories_with_log",
]
