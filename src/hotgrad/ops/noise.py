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
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hotgrad.ops import checks
from hotgrad.ops.kernels import fused


class _Form(NamedTuple):
    """How words become noise of a dtype."""

    integer: torch.dtype
    bits: int
    least_fraction: float
    most_fraction: float
    scale: float


def _form(dtype: torch.dtype, integer: torch.dtype) -> _Form:
    eps, bits = torch.finfo(dtype).eps, torch.finfo(dtype).bits
    # i + s is 0 only for s = 0 or 1; the largest rounds to 2^(bits-1), where the scale keeps w < 1
    return _Form(integer, bits, eps / 4, 1 - eps / 2, 2.0 ** (1 - bits) * (1 - eps / 2))


_FORMS = {
    torch.float32: _form(torch.float32, torch.int32),
    torch.float64: _form(torch.float64, torch.int64),
}


def noise_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype that noise is drawn in: at least float32, since half-precision noise would tie."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def source(generator: torch.Generator | None) -> dict[str, Any]:
    """What torch's drawing functions take, as keywords: nothing at all in place of None.

    With `generator=` they take no symbolic sizes, also where it is None: what is compiled or
    exported for any batch size would fail at the second one.

    Raises:
        ValueError: it is neither None nor a generator of torch's.
    """
    checks.check_generator(generator)
    return {} if generator is None else {"generator": generator}


def draw_gumbel(
    shape: Sequence[int],
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Standard Gumbel noise, -log E with E ~ Exp(1).

    E = -log1p(-|w|) keeps the lower tail of E, which decides whether a rare class wins, as fine as
    floats are. Its upper tail, which decides nothing, ends where |w| rounds to 1: so the noise is
    never below -2.812 in float32, which leaves out a probability of 6e-8, nor below -3.605 in
    float64. float16 and bfloat16 get float32 noise.
    """
    if _fused(dtype, device, shape):
        return fused.noise("gumbel", shape, generator)
    i_plus_s, scale = _signed_words(shape, dtype, device, generator)
    # in place: the numbers are ours alone, and every pass over the memory counts
    return i_plus_s.abs_().mul_(-scale).log1p_().neg_().log_().neg_()


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
    if _fused(dtype, device, shape):
        return fused.noise("logistic", shape, generator)
    i_plus_s, scale = _signed_words(shape, dtype, device, generator)
    return torch.logit(i_plus_s.abs().mul_(scale / 2)).copysign_(i_plus_s)


def _fused(dtype: torch.dtype, device: torch.device | str | None, shape: Sequence[int]) -> bool:
    """Whether the compiled functions draw this noise."""
    if not fused.draws() or noise_dtype(dtype) != torch.float32 or 0 in shape:
        return False
    if device is None and torch.compiler.is_compiling():
        return False  # the compiler doesn't say what the default device is
    return torch.device(device or torch.get_default_device()).type == "cpu"


def added(noise: Tensor, logits: Tensor) -> Tensor:
    """Noise that is nobody else's, of the samples' shape, plus the logits."""
    # in place, which spares memory; vmap may have drawn one noise for all that it maps
    return noise.add_(logits) if checks.values_readable(noise, logits) else noise + logits


EULER_GAMMA = 0.5772156649015329
SUM_OF_GAMMA_TERMS = 10


def draw_sum_of_gamma(
    shape: Sequence[int],
    k: int,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Noise of which any k elements sum to a standard Gumbel variable, but for 0.001 of its cdf.

    A Gumbel variable is the limit of $\sum_{i=1}^s E_i / i - \log s$ with $E_i$ ~ Exp(1), and an
    exponential one is the sum of k variables that follow Gamma(1/k). So each element is

        sum over i <= s of Gamma(1/k) / i, centred, and what the terms beyond s = 10 amount to.

    The paper leaves those out. Here a normal number of their variance stands for them: without it
    most elements tie at the lowest value once k is in the hundreds, since a Gamma(1/k) variable is
    nearly always 0.

    Reference: Implicit MLE: Backpropagating Through Discrete Exponential Family Distributions
    (Niepert, Minervini, Franceschi, 2021), Theorem 1, https://arxiv.org/abs/2106.01798
    """
    # with k = 0 nothing is chosen, by whatever noise
    k = max(k, 1)
    options: Any = {"dtype": noise_dtype(dtype), "device": device}
    terms = range(1, SUM_OF_GAMMA_TERMS + 1)
    rest = math.pi**2 / 6 - sum(1 / i**2 for i in terms)
    noise = torch.randn(tuple(shape), **source(generator), **options) * math.sqrt(rest / k)
    alpha = torch.full(tuple(shape), 1 / k, **options)
    for i in terms:
        noise += torch._standard_gamma(alpha, **source(generator)) / i
    return noise + (EULER_GAMMA - sum(1 / i for i in terms)) / k


def draw_seed(generator: torch.Generator) -> int:
    """A seed for another generator."""
    return int(torch.randint(2**62, (), generator=generator, device=generator.device))


def draw_uniform(
    shape: Sequence[int],
    *,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Uniforms on (0, 1) in float64, never 0 and never 1."""
    words = _random_words(math.prod(shape), device, generator).view(tuple(shape))
    # 52 bits and a half: with one bit more the half would be rounded away, and 0 come out
    return (words >> 12).to(torch.float64).add_(2.0**51 + 0.5).mul_(2.0**-52)


def _signed_words(
    shape: Sequence[int],
    dtype: torch.dtype,
    device: torch.device | str | None,
    generator: torch.Generator | None,
) -> tuple[Tensor, float]:
    """i + s, and the scale that makes it w: uniform on (-1, 1), never 0 and never +-1."""
    dtype = noise_dtype(dtype)
    form = _FORMS[dtype]
    size = math.prod(shape)
    # one call for 64 bits costs what one for 32 does: float32 takes two elements out of each
    words = _random_words((size * form.bits + 63) // 64, device, generator)
    fraction = torch.rand((), dtype=dtype, device=device, **source(generator))
    integers = _integers(words, size, form).view(tuple(shape)).to(dtype)
    return integers.add_(fraction.clamp(form.least_fraction, form.most_fraction)), form.scale


def _integers(words: Tensor, size: int, form: _Form) -> Tensor:
    """The first `size` integers of the form's bits, of which a word has one or two."""
    if form.bits == 64:
        return words
    if not _by_rules():
        return words.view(form.integer)[:size]
    # the same by shifts: to slice them would bind a graph to what half the size rounds to, and
    # neither torch.jit nor older vmaps view another dtype
    index = torch.arange(size, device=words.device)
    return (words[index >> 1] << (32 - 32 * (index & 1))) >> 32


def _random_words(
    count: int, device: torch.device | str | None, generator: torch.Generator | None
) -> Tensor:
    """Random 64-bit words."""
    if _by_rules():
        # the call that compilers and vmap know (`random_.from` is no Python, in which make_fx
        # writes), slower for its modulo; the highest bit turned, so that a generator gives the same
        # words either way
        words = torch.randint(-(2**63), 2**63 - 1, (count,), device=device, **source(generator))
        return words ^ -(2**63)
    words = torch.empty(count, dtype=torch.int64, device=device)
    return words.random_(-(2**63), None, **source(generator))


def _by_rules() -> bool:
    """Whether all must be said in operations for which vmap, compilers and tracers have rules."""
    return checks.recorded() or torch._C._functorch.maybe_current_level() is not None
