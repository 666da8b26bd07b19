"""Every random number of the library is drawn here: Gumbel and logistic noise with resolved tails.

A float32 uniform has steps of 2^-24, so noise made from one can never let a class of probability
1e-9 win. Here an element is a signed 32-bit integer i plus a fraction s in (0, 1) that the elements
of one call share:

    w = (i + s) / 2^31,   uniform on (-1, 1), resolved to 2^-56 around 0.

Marginally w is uniform to that resolution, because i and s are independent. Sharing s couples two
elements only where both are closer to 0 than 2^-31 times a few, which is rarer than any probability
that one float can hold. It halves the price: the bits are what drawing costs on a CPU.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def noise_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype that noise is drawn in: at least float32, since half-precision noise would tie."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def draw_gumbel(
    shape: Sequence[int],
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Standard Gumbel noise, -log E with E ~ Exp(1).

    E = -log1p(-|w|) keeps the lower tail of E, which decides whether a rare class wins, as fine as
    floats are. float16 and bfloat16 get float32 noise.
    """
    w = _signed_uniform(shape, dtype, device, generator)
    # in place from here on: w is ours alone, and a pass less over the memory is a tenth of the time
    return w.abs_().neg_().log1p_().neg_().log_().neg_()


def draw_logistic(
    shape: Sequence[int],
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Standard logistic noise, log u - log(1 - u), with both tails resolved.

    The sign is the sign of w and the size is -logit(|w| / 2), so no tail is computed from a number
    near 1.
    """
    w = _signed_uniform(shape, dtype, device, generator)
    return torch.logit(w.abs().mul_(0.5)).copysign_(w)


def _signed_uniform(
    shape: Sequence[int],
    dtype: torch.dtype,
    device: torch.device | str | None,
    generator: torch.Generator | None,
) -> Tensor:
    """Uniform on (-1, 1), never 0 and never +-1, with fine steps around 0."""
    dtype = noise_dtype(dtype)
    size = math.prod(shape)
    word = torch.int64 if dtype == torch.float64 else torch.int32
    bits = torch.finfo(dtype).bits
    # one call for 64 bits costs what one for 32 does: float32 takes two elements out of each
    count = (size * bits + 63) // 64
    words = torch.randint(-(2**63), 2**63 - 1, (count,), device=device, generator=generator)
    fraction = torch.rand((), dtype=dtype, device=device, generator=generator)
    # i + s is 0 only for s = 0 or 1; the largest rounds to 2^(bits-1), where the scale keeps w < 1
    eps = torch.finfo(dtype).eps
    fraction = fraction.clamp(min=eps / 4, max=1 - eps / 2)
    scale = 2.0 ** (1 - bits) * (1 - eps / 2)
    integers = words.view(word)[:size].view(tuple(shape))
    return integers.to(dtype).add_(fraction).mul_(scale)
