"""Divergences: closed forms where the pair has one, an estimate for relaxed distributions.

The closed forms are registered with torch, so `torch.distributions.kl_divergence` finds them, for
independent parts too. They stay finite, with finite gradients, where a mask rules out the same
categories on both sides.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Distribution
from torch.distributions import Independent as TorchIndependent
from torch.distributions import OneHotCategorical as TorchOneHotCategorical
from torch.distributions.kl import kl_divergence, register_kl

from hotgrad import ops
from hotgrad.distributions import arguments
from hotgrad.distributions.bernoulli import Bernoulli
from hotgrad.distributions.binary_concrete import BinaryConcrete
from hotgrad.distributions.categorical import OneHotCategorical
from hotgrad.distributions.concrete import Concrete
from hotgrad.distributions.independent import Independent
from hotgrad.distributions.joint import Joint
from hotgrad.distributions.k_subset import KSubset
from hotgrad.ops import checks

Relaxed = Concrete | BinaryConcrete | Independent


def _check_pair(p: Distribution, q: Distribution) -> None:
    """Refuse distributions of other events than each other's, or batches that don't broadcast."""
    if p.event_shape == q.event_shape and checks.broadcasts(p.batch_shape, q.batch_shape):
        return
    raise ValueError(
        "The KL divergence needs the same event shape, and batch shapes that broadcast: got "
        f"{type(p).__name__} of batch {tuple(p.batch_shape)} and event {tuple(p.event_shape)}, and "
        f"{type(q).__name__} of batch {tuple(q.batch_shape)} and event {tuple(q.event_shape)}."
    )


@register_kl(TorchOneHotCategorical, OneHotCategorical)  # type: ignore[untyped-decorator]
@register_kl(OneHotCategorical, TorchOneHotCategorical)  # type: ignore[untyped-decorator]
@register_kl(OneHotCategorical, OneHotCategorical)  # type: ignore[untyped-decorator]
def _kl_categorical(p: TorchOneHotCategorical, q: TorchOneHotCategorical) -> Tensor:
    """sum_k p_k (log p_k - log q_k)."""
    _check_pair(p, q)
    if not isinstance(p, OneHotCategorical):
        p = OneHotCategorical(**arguments.parameter_of(p), validate_args=False)
    if not isinstance(q, OneHotCategorical):
        q = OneHotCategorical(**arguments.parameter_of(q), validate_args=False)
    dtype = torch.promote_types(p.logits.dtype, q.logits.dtype)
    return _weighted_log_ratio(p.log_probs, q.log_probs).sum(-1).to(dtype)


@register_kl(TorchBernoulli, Bernoulli)  # type: ignore[untyped-decorator]
@register_kl(Bernoulli, TorchBernoulli)  # type: ignore[untyped-decorator]
@register_kl(Bernoulli, Bernoulli)  # type: ignore[untyped-decorator]
def _kl_bernoulli(p: TorchBernoulli, q: TorchBernoulli) -> Tensor:
    """p (log p - log q) + (1 - p) (log(1 - p) - log(1 - q))."""
    _check_pair(p, q)
    if not isinstance(p, Bernoulli):
        p = Bernoulli(**arguments.parameter_of(p), validate_args=False)
    if not isinstance(q, Bernoulli):
        q = Bernoulli(**arguments.parameter_of(q), validate_args=False)
    dtype = torch.promote_types(p.logits.dtype, q.logits.dtype)
    a, b = ops.widened(p.logits), ops.widened(q.logits)
    if ops.plain(a) and ops.plain(b):
        # p (a - b) + log(1 - p) - log(1 - q) for log-odds a, b: half the passes over memory
        return (a.sigmoid() * (a - b) + F.logsigmoid(-a) - F.logsigmoid(-b)).to(dtype)
    one = _weighted_log_ratio(F.logsigmoid(a), F.logsigmoid(b))
    zero = _weighted_log_ratio(F.logsigmoid(-a), F.logsigmoid(-b))
    return (one + zero).to(dtype)


@register_kl(KSubset, KSubset)  # type: ignore[untyped-decorator]
def _kl_k_subset(p: KSubset, q: KSubset) -> Tensor:
    """That of the independent bits at p's marginals, less the log-ratio of their counts."""
    if p.k != q.k or p.event_shape != q.event_shape:
        raise ValueError(
            "The KL divergence between two KSubset needs the same k and n, got "
            f"{p.k} of {p.event_shape[0]} and {q.k} of {q.event_shape[0]}."
        )
    _check_pair(p, q)
    dtype = torch.promote_types(p.logits.dtype, q.logits.dtype)
    odds_p, count_p = p.log_odds_and_log_prob_of_k()
    odds_q, count_q = q.log_odds_and_log_prob_of_k()
    mean, rest = p.marginals()
    if ops.plain(odds_p) and ops.plain(odds_q):
        # one logsigmoid for each: of the likelier value under p, and what the other one adds
        likely = torch.where(odds_p > 0, 1.0, -1.0)
        a, b = likely * odds_p, likely * odds_q
        unlikely = torch.where(odds_p > 0, rest, mean)
        bits = F.logsigmoid(a) - F.logsigmoid(b) - unlikely * (a - b)
        return (bits.sum(-1) - count_p + count_q).to(dtype)
    chosen = mean * torch.where(mean == 0, 0.0, F.logsigmoid(odds_p) - F.logsigmoid(odds_q))
    left_out = rest * (F.logsigmoid(-odds_p) - F.logsigmoid(-odds_q))
    return ((chosen + left_out).sum(-1) - count_p + count_q).to(dtype)


@register_kl(TorchIndependent, Independent)  # type: ignore[untyped-decorator]
@register_kl(Independent, TorchIndependent)  # type: ignore[untyped-decorator]
@register_kl(Independent, Independent)  # type: ignore[untyped-decorator]
def _kl_independent(p: TorchIndependent[Any], q: TorchIndependent[Any]) -> Tensor:
    """The sum over the parts."""
    _check_pair(p, q)
    parts = min(p.reinterpreted_batch_ndims, q.reinterpreted_batch_ndims)
    divergence = kl_divergence(_within(p, parts), _within(q, parts))
    return ops.over_event(divergence, divergence.ndim - parts)


def _within(product: TorchIndependent[Any], parts: int) -> Distribution:
    """What is left inside when so many dimensions are taken out of the event again."""
    rest = product.reinterpreted_batch_ndims - parts
    return TorchIndependent(product.base_dist, rest) if rest else product.base_dist


@register_kl(Concrete, Concrete)  # type: ignore[untyped-decorator]
@register_kl(BinaryConcrete, BinaryConcrete)  # type: ignore[untyped-decorator]
def _kl_relaxed(p: Distribution, q: Distribution) -> Tensor:
    """Always raises."""
    raise NotImplementedError(
        f"{type(p).__name__} has no KL divergence in closed form. Use monte_carlo_kl(p, q)."
    )


@register_kl(Joint, Joint)  # type: ignore[untyped-decorator]
def _kl_joint(p: Joint, q: Joint) -> Tensor:
    """The sum over the unknowns."""
    if set(p.factors) != set(q.factors):
        raise ValueError(
            "The KL divergence between two Joint needs the same names, got "
            f"{checks.listed(sorted(p.factors))} and {checks.listed(sorted(q.factors))}."
        )
    terms = [kl_divergence(factor, q[name]) for name, factor in p.factors.items()]
    return torch.stack(terms).sum(0)


def _weighted_log_ratio(log_p: Tensor, log_q: Tensor) -> Tensor:
    """p (log p - log q), 0 where p is 0, +inf where only q rules the state out."""
    p = log_p.exp()
    if ops.plain(log_p) and ops.plain(log_q):
        return p * (log_p - log_q)
    return p * torch.where(p == 0, 0.0, log_p - log_q)


def monte_carlo_kl(
    p: Relaxed,
    q: Relaxed,
    *,
    num_samples: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""An unbiased estimate of KL(p || q) between relaxed distributions, with a pathwise gradient.

    $$\frac{1}{S} \sum_{s=1}^{S} \log p(z_s) - \log q(z_s), \quad z_s \sim p.$$

    Two Concrete distributions have no closed form. Samples are scored in their twins' unbounded
    space, so the estimate is finite at any temperature, and +inf where the two mask different
    categories. A single estimate may be negative.

    Args:
        p: `Concrete` or `BinaryConcrete`, or `to_event` of them.
        q: a distribution of the same kind.
        num_samples: S.
        generator: the source of randomness.

    Returns:
        `(*batch,)`, in nats.

    Raises:
        ValueError: another kind of distribution, or two different kinds.

    Example:
        >>> p = hg.Concrete(0.5, logits=torch.tensor([1.0, 0.0]))
        >>> q = hg.Concrete(0.5, logits=torch.zeros(2))
        >>> generator = torch.Generator().manual_seed(0)
        >>> kl = hg.monte_carlo_kl(p, q, num_samples=1000, generator=generator)
        >>> 0.05 < kl.item() < 0.2
        True

    Reference: The Concrete Distribution (Maddison, Mnih, Teh, 2016), appendix C,
    https://arxiv.org/abs/1611.00712
    """
    num_samples = checks.check_count(num_samples, "num_samples")
    kinds = [type(getattr(one, "bases", (one,))[0]) for one in (p, q)]
    for kind in kinds:
        if not hasattr(kind, "log_prob_of_twin"):
            raise ValueError(
                f"monte_carlo_kl takes Concrete or BinaryConcrete, got {kind.__name__}. "
                "Discrete distributions have a closed form: torch.distributions.kl_divergence."
            )
    if kinds[0] is not kinds[1]:
        raise ValueError(
            "monte_carlo_kl takes two distributions of one kind, got "
            f"{kinds[0].__name__} and {kinds[1].__name__}."
        )
    _check_pair(p, q)
    # in the twin's space, since the Jacobians, large at a low temperature, cancel
    twin = p.rsample_with_twin((num_samples,), generator=generator).twin
    return (p.log_prob_of_twin(twin) - q.log_prob_of_twin(twin)).mean(0)
