"""Samples drawn in one call: the noise and what is made of it, fused where there are kernels.

The only place beside `hotgrad.ops.noise` that draws. Everything that needs a relaxed sample of bits
or categories, distributions, estimators and plain functions alike, gets it from `categories` and
`bits`. Each has the plain way, which is made of torch's functions and works everywhere, and hands
over to `fused`, which knows when the compiled functions can be used.
"""

__all__ = ["bits", "categories", "fused", "fused_samples", "indices"]
