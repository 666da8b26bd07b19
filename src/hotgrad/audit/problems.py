"""Problems to audit that need nothing but torch, small enough to know the right answer."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hotgrad.distributions import Bernoulli, KSubset, PlackettLuceSubset
from hotgrad.ops.checks import check_choice

SUBSETS: dict[str, Any] = {"k-subset": KSubset, "plackett-luce": PlackettLuceSubset}


@dataclass(frozen=True)
class Problem:
    """An f and a q.

    Args:
        name: one word.
        text: one line that says what is minimised.
        f: `(num_samples, *batch, *event) -> (num_samples, *batch)`.
        q: the distribution of z.
    """

    name: str
    text: str
    f: Callable[[Tensor], Tensor]
    q: Any


def polynomial(num_bits: int = 128, power: float = 3.0, centre: float = 0.45) -> Problem:
    r"""Polynomial programming: $\mathbb{E} \frac{1}{n} \sum_i |z_i - c|^p$ over independent bits.

    The parameters are near 0, where training starts. The bits don't meet in f, so what one bit's
    gradient gets from the others is noise alone.

    Example:
        >>> from hotgrad.audit.problems import polynomial
        >>> problem = polynomial(num_bits=8)
        >>> problem.f(torch.zeros(1, 8))                        # 0.45 cubed
        tensor([0.0911])

    Reference: Bridging Discrete and Backpropagation: Straight-Through and Beyond (Liu, Dong, Liu,
    Yu, Gao, 2023), Section 5.1, https://arxiv.org/abs/2304.08612
    """
    generator = torch.Generator().manual_seed(0)
    logits = 0.02 * torch.rand(num_bits, generator=generator) - 0.01
    return Problem(
        "polynomial",
        f"mean of |z - {centre:g}|^{power:g} over {num_bits} independent bits",
        lambda z: (z - centre).abs().pow(power).mean(-1),
        Bernoulli(logits=logits).to_event(1),
    )


def subset(n: int = 10, k: int = 5, distribution: str = "k-subset") -> Problem:
    """The distance to a fixed point of exactly k of n: $|z - b|^2$ with $b_i$ standard normal.

    Args:
        n: items.
        k: how many are chosen.
        distribution: "k-subset" or "plackett-luce".

    Raises:
        ValueError: another distribution, k not in [0, n].

    Reference: Implicit MLE: Backpropagating Through Discrete Exponential Family Distributions
    (Niepert, Minervini, Franceschi, 2021), Section 6, https://arxiv.org/abs/2106.01798
    """
    check_choice("distribution", distribution, SUBSETS)
    generator = torch.Generator().manual_seed(0)
    target, logits = torch.randn(2, n, generator=generator)
    return Problem(
        "subset",
        f"squared distance of {k} of {n} items from a fixed point, {distribution}",
        lambda z: (z - target).square().sum(-1),
        SUBSETS[distribution](logits, k),
    )


def noisy_or(causes: int = 12, findings: int = 20) -> Problem:
    r"""Diagnosis: which causes z explain the findings x? Minus the log joint of a noisy-OR network.

    $$P(x_i = 0 \mid z) = \exp\Big(-a_i - \sum_j w_{ij} z_j\Big), \quad P(z_j = 1) = 0.1;$$

    each present cause has its own chance to bring a finding about, and a leak $a_i$ has one without
    any. The network and its findings are drawn once. q has independent causes, at even
    odds; less its entropy, the expectation is minus the evidence lower bound.

    Args:
        causes: bits of z.
        findings: observed.
    """
    generator = torch.Generator().manual_seed(0)
    linked = torch.rand(findings, causes, generator=generator) < 0.3
    weights = -torch.log1p(-0.9 * torch.rand(findings, causes, generator=generator)) * linked
    leak, prior = torch.full((findings,), 0.02), math.log(0.1 / 0.9)
    present = (torch.rand(causes, generator=generator) < 0.25).float()
    found = torch.rand(findings, generator=generator) < -torch.expm1(-leak - weights @ present)

    def minus_log_joint(z: Tensor) -> Tensor:
        rate = leak.to(z) + z @ weights.T.to(z)
        # log(1 - exp(-rate)) without cancellation; the leak keeps it finite
        likelihood = torch.where(found.to(z.device), torch.log(-torch.expm1(-rate)), -rate)
        return -likelihood.sum(-1) - (z * prior + math.log(0.9)).sum(-1)

    return Problem(
        "noisy-or",
        f"minus log joint of {causes} causes and {findings} findings, a noisy-OR network",
        minus_log_joint,
        Bernoulli(logits=torch.zeros(causes)).to_event(1),
    )
