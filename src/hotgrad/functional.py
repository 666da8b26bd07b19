"""Plain functions of logits, for those who want a sample with a gradient and nothing else."""

import torch
from torch import Tensor

from hotgrad import ops
from hotgrad.distributions import PlackettLuceSubset
from hotgrad.ops import checks, parameters
from hotgrad.ops.kernels import bits, categories


def gumbel_softmax(
    logits: Tensor,
    tau: float | Tensor = 1.0,
    hard: bool = False,
    eps: float = 1e-10,
    dim: int = -1,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Relaxed one-hot samples: a drop-in for `torch.nn.functional.gumbel_softmax`.

    $$y = \mathrm{softmax}((\mathrm{logits} + g) / \tau), \quad g_k \sim \mathrm{Gumbel}(0, 1).$$

    A batch of logits gives a batch of samples: one choice among k for each of d features is logits
    `(d, k)` and a result `(d, k)`, the transpose of the k x d matrix whose columns are the samples.

    The hard vector is an exact categorical sample; the gradient is biased, less so at a small tau,
    where it is noisier. Several times faster than torch's function on a CPU, with noise that lets a
    class of probability 1e-8 win as often as it should.

    Args:
        logits: unnormalised log-probabilities, any shape; -inf masks a class.
        tau: temperature, a positive number or a tensor that broadcasts against the logits.
        hard: return exact one-hot vectors that carry the relaxed sample's gradient
            (straight-through).
        eps: unused; torch's function has it.
        dim: the dimension of the categories.
        generator: the source of randomness; torch's global one by default. Leave it out under
            `torch.utils.checkpoint`: the backward pass computes anew what lies inside, the
            generator has moved on by then, and the gradient is that of another sample. The global
            one is put back (seed it by `torch.manual_seed`). Leave it out under `torch.compile`
            too, which keeps the draw out of its graph, and with `fullgraph=True` refuses.

    Returns:
        A tensor of the logits' shape and dtype, summing to 1 along `dim`.

    Raises:
        ValueError: integer logits, tau that isn't positive or doesn't broadcast, a dimension that
            isn't there, `hard` that is no bool; on the CPU also NaN logits or a row that is all
            -inf.

    Example:
        >>> logits = torch.tensor([2.0, 0.0, -1.0], requires_grad=True)
        >>> generator = torch.Generator().manual_seed(0)
        >>> y = hg.gumbel_softmax(logits, tau=0.5, generator=generator)
        >>> y.shape, bool((y.sum() - 1).abs() < 1e-6)
        (torch.Size([3]), True)

    Reference: Categorical Reparameterization with Gumbel-Softmax (Jang, Gu, Poole, 2016), Eq. 2 and
    Section 2.2, https://arxiv.org/abs/1611.01144
    """
    checks.check_flag(hard, "hard")
    tau = checks.check_temperature(tau, "tau", for_hard="hard=True")
    parameters.check_parameter(logits, "logits", event_dims=1, dim=dim)
    checks.check_broadcasts(tau, logits.shape, "tau")
    checks.check_generator(generator)
    if not hard:
        return categories.relaxed_categories(logits, tau, (), generator, dim, check=True)
    pair = categories.hard_and_relaxed_categories(logits, tau, (), generator, dim, check=True)
    return ops.straight_through(*pair)


def binary_concrete(
    logits: Tensor,
    temperature: float | Tensor = 1.0,
    hard: bool = False,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Relaxed bits.

    $$y = \sigma((\mathrm{logits} + l) / \tau), \quad l \sim \mathrm{Logistic}(0, 1).$$

    The rounded value is an exact Bernoulli sample; the gradient is biased, less so at a small
    temperature, where it is noisier.

    Args:
        logits: log-odds, any shape; +-inf is a bit that is certain.
        temperature: a positive number or a tensor that broadcasts against the logits.
        hard: return exact bits that carry the relaxed sample's gradient (straight-through).
        generator: the source of randomness, as in `gumbel_softmax`.

    Returns:
        A tensor of the logits' shape and dtype, in [0, 1].

    Raises:
        ValueError: integer logits, a temperature that isn't positive or doesn't broadcast; on the
            CPU also NaN logits.

    Example:
        >>> y = hg.binary_concrete(torch.zeros(4), temperature=0.5, hard=True)
        >>> bool(((y == 0) | (y == 1)).all())
        True

    Reference: The Concrete Distribution (Maddison, Mnih, Teh, 2016), Section 3.3 and appendix B,
    https://arxiv.org/abs/1611.00712
    """
    checks.check_flag(hard, "hard")
    temperature = checks.check_temperature(temperature, for_hard="hard=True")
    parameters.check_parameter(logits, "logits", event_dims=0)
    checks.check_broadcasts(temperature, logits.shape, "temperature")
    checks.check_generator(generator)
    if hard:
        sample, soft = bits.hard_and_relaxed_bits(logits, temperature, generator=generator)
    else:
        soft = bits.relaxed_bits(logits, temperature, generator=generator)
    if parameters.seen_as_nan(soft):
        parameters.check_bit_logits(logits)
    return ops.straight_through(sample, soft) if hard else soft


def m_hot(
    logits: Tensor,
    m: int,
    temperature: float | Tensor = 0.1,
    hard: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Relaxed m-hot vectors: the row-wise maximum of m relaxed one-hot columns, no winner twice.

    $$S_k = \max_j C_{jk}, \quad C_j = \mathrm{softmax}((\mathrm{logits} + g_j) / \tau),$$

    where a column whose largest entry is an earlier column's would be drawn anew. Here nothing is:
    the m distinct winners are the m largest perturbed logits, and each column is drawn given its
    winner. The same distribution, as fast for (0.999999, rest) as for equal probabilities. So the
    hard vector is an exact sample of `PlackettLuceSubset`: m classes drawn one after another
    without replacement. The gradient takes the noise that was accepted as fixed; it is biased, less
    so at a small temperature, where it is noisier.

    Args:
        logits: unnormalised log-probabilities, `(*batch, n)`; -inf masks a class.
        m: how many of the n classes.
        temperature: a positive number, or a tensor that broadcasts against the logits.
        hard: return exact m-hot vectors that carry the relaxed sample's gradient
            (straight-through).
        generator: the source of randomness, as in `gumbel_softmax`.

    Returns:
        A tensor of the logits' shape and dtype, in [0, 1]. A relaxed one doesn't sum to m exactly.

    Raises:
        ValueError: integer logits, m that isn't an integer in [0, n], a temperature that isn't
            positive or doesn't broadcast; on the CPU also NaN logits or a row with fewer than m
            unmasked classes.

    Example:
        >>> z = hg.m_hot(torch.tensor([2.0, 1.0, 0.0, -1.0]), 2, hard=True)
        >>> z.sum(), sorted(z.unique().tolist())
        (tensor(2.), [0.0, 1.0])
    """
    checks.check_flag(hard, "hard")
    q, temperature = _winners(logits, m, temperature, generator)
    if hard:
        sample, soft = q.hard_and_relaxed_sample(temperature, generator=generator)
    else:
        soft = q.relaxed_sample(temperature, generator=generator)
    if parameters.seen_as_nan(soft):
        parameters.check_subset_logits(logits, q.k, "m")
    return ops.straight_through(sample, soft) if hard else soft


def m_hot_columns(
    logits: Tensor,
    m: int,
    temperature: float | Tensor = 0.1,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""The matrix V = [C_1, .., C_m] whose row-wise maximum `m_hot` returns.

    Each column is a relaxed one-hot vector; their largest entries are in m different rows. From a
    generator in the same state, `m_hot` has these columns.

    Args:
        logits: unnormalised log-probabilities, `(*batch, n)`; -inf masks a class.
        m: how many columns.
        temperature: a positive number, or a tensor that broadcasts against the logits.
        generator: the source of randomness, as in `gumbel_softmax`.

    Returns:
        `(*batch, n, m)` in the logits' dtype; each column sums to 1.

    Raises:
        ValueError: what `m_hot` refuses.

    Example:
        >>> V = hg.m_hot_columns(torch.zeros(5), 2)
        >>> V.shape, bool(((V.sum(0) - 1).abs() < 1e-6).all())
        (torch.Size([5, 2]), True)
    """
    q, temperature = _winners(logits, m, temperature, generator)
    columns = q.relaxed_columns(q.draw_noise(generator=generator), temperature)
    if parameters.seen_as_nan(columns):
        parameters.check_subset_logits(logits, q.k, "m")
    return columns.transpose(-1, -2)


def _winners(
    logits: Tensor, m: int, temperature: float | Tensor, generator: torch.Generator | None
) -> tuple[PlackettLuceSubset, float | Tensor]:
    """The distribution of the m winners, and the temperature, all arguments being right."""
    temperature = checks.check_temperature(temperature, for_hard="hard=True")
    parameters.check_parameter(logits, "logits", event_dims=1)
    m = checks.check_subset_size(m, logits.shape[-1], "m")
    checks.check_broadcasts(temperature, logits.shape, "temperature")
    checks.check_generator(generator)
    return PlackettLuceSubset(logits, m, validate_args=False), temperature
