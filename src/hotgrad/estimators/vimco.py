"""The score function for a bound of several samples: each learns from what it adds to the others.

Not an estimator of an expectation: the K samples share one value, the bound, and are told apart by
how the bound falls when one of them is replaced by a typical one.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hotgrad.distributions import DiscreteDistribution
from hotgrad.distributions.capabilities import CanSample, HasLogProb
from hotgrad.estimators.base import Function
from hotgrad.estimators.explicit_gradients import once_differentiable
from hotgrad.ops import widened


@dataclass(frozen=True)
class VIMCO:
    r"""The score function for a bound of several samples, with a signal for each.

    $\sum_k (L - L_{-k}) \nabla \log q(z_k) + \nabla L$, $L = \log \frac{1}{K} \sum_k w(z_k)$.

    In $L_{-k}$ the geometric mean of the other weights stands in for $w(z_k)$. Unbiased for the
    bound E[L], for any weights, also ones without a gradient; no tuning, and a far lower variance
    than one signal L for all samples. K evaluations of the weight, two at least. For
    `importance_bound` alone.

    Where all the others have weight 0, $L_{-k}$ is $-\infty$. The signal is then log K, the range
    of L at a given largest weight: the sample that the model allows becomes likelier.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> q = hg.OneHotCategorical(logits=logits)
        >>> joint = torch.tensor([0.1, 0.2, 0.3]).log()                 # log p(x, z)
        >>> log_weight = lambda z: z @ joint - q.log_prob(z)
        >>> hg.importance_bound(log_weight, q, hg.VIMCO(), num_samples=8).backward()
        >>> logits.grad.shape
        torch.Size([3])

    Reference: Variational Inference for Monte Carlo Objectives (Mnih, Rezende, 2016), Section 2.5,
    https://arxiv.org/abs/1602.06725
    """

    unbiased: ClassVar[bool] = True
    relaxes_f: ClassVar[bool] = False
    differentiates_f: ClassVar[bool] = False
    requires: ClassVar[tuple[type, ...]] = (CanSample, HasLogProb)
    least_samples: ClassVar[int] = 2
    paired: ClassVar[bool] = False
    label: ClassVar[str] = "VIMCO"

    def evaluations(self, q: DiscreteDistribution, num_samples: int) -> int:
        """How many weights one surrogate takes, for each element of the batch."""
        return num_samples

    def bound_surrogate(
        self,
        log_weight: Function,
        q: DiscreteDistribution,
        num_samples: int,
        generator: torch.Generator | None,
    ) -> Tensor:
        """L `(*batch,)`, whose backward is the estimate."""
        z = q.sample((num_samples,), generator=generator)
        log_weights = log_weight(z)
        log_prob: Tensor = q.log_prob(z)
        signal = learning_signal(log_weights.detach()).to(log_prob.dtype)
        score = (signal * (log_prob - log_prob.detach())).sum(0)
        return log_mean(log_weights) + once_differentiable(score, self.label, log_prob, log_weights)


def log_mean(log_weights: Tensor) -> Tensor:
    """L: the logarithm of the mean weight over the first dimension."""
    total = widened(log_weights).logsumexp(0)
    return (total - math.log(len(log_weights))).to(log_weights.dtype)


def learning_signal(log_weights: Tensor) -> Tensor:
    """L less L with each sample in turn replaced by the others' geometric mean, `(K, *batch)`."""
    wide = widened(log_weights)
    count = len(wide)
    # sums of weights before and after each; subtracting from the sum of all would cancel
    nothing = torch.full_like(wide[:1], -torch.inf)
    before = torch.cat([nothing, wide[:-1].logcumsumexp(0)])
    after = torch.cat([wide[1:].flip(0).logcumsumexp(0).flip(0), nothing])
    others = torch.logaddexp(before, after)
    left_out = torch.logaddexp(others, _mean_of_others(wide))
    signal = wide.logsumexp(0) - left_out
    return torch.where(left_out == -torch.inf, math.log(count), signal)


def _mean_of_others(log_weights: Tensor) -> Tensor:
    """The logarithm of the geometric mean of the other weights: -inf if one of them is 0."""
    zero = log_weights == -torch.inf
    finite = torch.where(zero, 0.0, log_weights)
    mean = finite.mean(0)
    others = mean + (mean - finite) / (len(finite) - 1)
    return torch.where(zero.sum(0) > zero.long(), -torch.inf, others)
