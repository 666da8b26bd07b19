"""Coupled bits: two samples from one noise, and the gradient from how f differs between them."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from hotgrad.distributions import DiscreteDistribution
from hotgrad.distributions.capabilities import CanBeAntithetic
from hotgrad.distributions.samples import Antithetic
from hotgrad.estimators.base import Estimator, Function
from hotgrad.estimators.explicit_gradients import with_gradient
from hotgrad.ops import like_event


class _Coupled(Estimator):
    """The mean over pairs of (f(z) - f(z')) times a weight for each logit."""

    unbiased = True
    relaxes_f = False
    differentiates_f = False
    requires = (CanBeAntithetic,)
    least_samples = 2
    paired = True

    def surrogate(
        self,
        f: Function,
        q: DiscreteDistribution,
        num_samples: int,
        generator: torch.Generator | None,
    ) -> Tensor:
        """The mean of f over both halves of the pairs, with the gradient tied to the logits."""
        bases = cast(tuple[CanBeAntithetic, ...], q.bases)
        pairs = [base.antithetic((num_samples // 2,), generator=generator) for base in bases]
        first = q.join([pair.first for pair in pairs])
        values = f(torch.cat([first, q.join([pair.second for pair in pairs])]))
        differences = values.detach()[: num_samples // 2] - values.detach()[num_samples // 2 :]
        weights = [
            self._weight(base.logits.detach(), pair)
            for base, pair in zip(bases, pairs, strict=True)
        ]
        gradients = [(like_event(differences, weight) * weight).mean(0) for weight in weights]
        carriers = [base.logits for base in bases]
        return with_gradient(values.mean(0), carriers, gradients, self.label)

    @abstractmethod
    def _weight(self, logits: Tensor, pair: Antithetic) -> Tensor:
        """Of each pair's difference of f, for each logit."""


@dataclass(frozen=True)
class ARM(_Coupled):
    r"""Two bits from one uniform, weighted by how f differs between them.

    $\frac{2}{S} \sum_s (f(z_s) - f(z'_s)) (\frac{1}{2} - u_s)$, augment-REINFORCE-merge.

    $z = 1[u < \sigma(\mathrm{logits})]$ and $z' = 1[u > \sigma(-\mathrm{logits})]$ come from one
    uniform u a bit: each is an exact sample of q, and they differ the more the evener the
    odds. Unbiased for any f, also one that isn't differentiable; no tuning. `DisARM` is the same
    without the noise that u adds, and never worse. S evaluations of f, for S / 2 pairs, so
    `num_samples` must be even. Bits only.

    Example:
        >>> logits = torch.zeros(4, requires_grad=True)
        >>> q = hg.Bernoulli(logits=logits).to_event(1)
        >>> count = lambda z: (z.sum(-1) > 2).float()       # no gradient of its own
        >>> hg.expectation(count, q, hg.ARM(), num_samples=64).backward()
        >>> bool(logits.grad.abs().sum() > 0)
        True

    Reference: ARM: Augment-REINFORCE-Merge Gradient for Stochastic Binary Networks (Yin, Zhou,
    2019), Theorem 1, https://arxiv.org/abs/1807.11143
    """

    name = "arm"

    def _weight(self, logits: Tensor, pair: Antithetic) -> Tensor:
        # u = sigmoid(-noise), so 1/2 - u = tanh(noise / 2) / 2
        return torch.tanh(pair.noise / 2) / 2


@dataclass(frozen=True)
class DisARM(_Coupled):
    r"""Two bits from one uniform, with the uniform integrated out.

    $\frac{1}{S} \sum_s (f(z_s) - f(z'_s)) (z_s - z'_s) \sigma(|\mathrm{logits}|)$.

    The mean of `ARM` given the two samples: what the uniform adds beyond them is noise, and is
    integrated out. Only bits that differ between the two get a gradient. Unbiased for any f, also
    one that isn't differentiable; no tuning, and for bits the first to try among the estimators
    that only evaluate f. S evaluations of f, for S / 2 pairs, so `num_samples` must be even. Bits
    only.

    Example:
        >>> logits = torch.zeros(4, requires_grad=True)
        >>> q = hg.Bernoulli(logits=logits).to_event(1)
        >>> hg.expectation(lambda z: (z.sum(-1) - 1).abs(), q, hg.DisARM(), num_samples=3)
        Traceback (most recent call last):
        ValueError: DisARM draws samples in pairs: num_samples must be even, got 3. Use ...

    Reference: DisARM: An Antithetic Gradient Estimator for Binary Latent Variables (Dong, Mnih,
    Tucker, 2020), Section 3, https://arxiv.org/abs/2006.10680
    """

    name = "disarm"

    def _weight(self, logits: Tensor, pair: Antithetic) -> Tensor:
        return (pair.first - pair.second) / 2 * logits.abs().sigmoid()
