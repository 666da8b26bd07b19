"""Hard forward, soft backward: f sees exact samples, the gradient goes through the mean."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from hotgrad import ops
from hotgrad.distributions.capabilities import CanSample, HasMean, HasTangent
from hotgrad.estimators.pathwise import Pathwise, Tempered


class _SampledWithMean(CanSample, HasMean, Protocol):
    pass


class _SampledWithTangent(CanSample, HasMean, HasTangent, Protocol):
    pass


@dataclass(frozen=True)
class StraightThrough(Pathwise[_SampledWithMean]):
    r"""Hard samples, whose gradient is that of the mean.

    $\frac{1}{S} \sum_s \nabla_\phi \langle \nabla f(z_s), \mathbb{E}_q[z] \rangle$.

    The sample has the mean's gradient. Exact for f that is linear in z, biased otherwise; low
    variance; S evaluations of f, at hard samples only. On `KSubset`, whose samples and marginals
    are exact, this is the SIMPLE estimator.

    Example:
        >>> q = hg.Bernoulli(logits=torch.zeros(5, requires_grad=True)).to_event(1)
        >>> z = hg.StraightThrough().sample(q)
        >>> bool(((z == 0) | (z == 1)).all()), z.requires_grad
        (True, True)

    Reference: Estimating or Propagating Gradients Through Stochastic Neurons for Conditional
    Computation (Bengio, Léonard, Courville, 2013), https://arxiv.org/abs/1308.3432; SIMPLE: A
    Gradient Estimator for k-Subset Sampling (Ahmed, Zeng, Niepert, Van den Broeck, 2023),
    https://arxiv.org/abs/2210.01941
    """

    unbiased = False
    relaxes_f = False
    requires = (CanSample, HasMean)
    name = "straight-through"

    def draw(
        self,
        base: _SampledWithMean,
        sample_shape: tuple[int, ...],
        generator: torch.Generator | None,
    ) -> Tensor:
        return ops.straight_through(base.sample(sample_shape, generator=generator), base.mean)


@dataclass(frozen=True, eq=False)
class ReinMax(Tempered[_SampledWithTangent]):
    r"""Straight-through with a gradient of second order: hard samples, a better slope.

    $\frac{1}{S} \sum_s \nabla_\phi \langle \nabla f(z_s), 2 \pi_1 - \frac{1}{2} \pi_0 \rangle$.

    Straight-through of second order: $\pi_0$ is the mean, and $\pi_1$ carries the softmax's
    Jacobian at (z + mean at the temperature) / 2: Heun's rule where straight-through is Euler's.
    Exact for f that is quadratic in each variable at temperature 1, biased otherwise; S evaluations
    of f, at hard samples only.

    Args:
        temperature: of the mean that stands beside z; 1 or more works best.

    Raises:
        ValueError: a temperature that isn't positive.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> q = hg.OneHotCategorical(logits=logits)
        >>> f = lambda z: (z @ torch.tensor([1.0, 2.0, 3.0])).square()
        >>> hg.expectation(f, q, hg.ReinMax(), num_samples=8).backward()
        >>> logits.grad.shape
        torch.Size([3])

    Reference: Bridging Discrete and Backpropagation: Straight-Through and Beyond (Liu, Dong, Liu,
    Yu, Gao, 2023), Algorithm 2, https://arxiv.org/abs/2304.08612
    """

    unbiased = False
    relaxes_f = False
    requires = (CanSample, HasMean, HasTangent)
    name = "reinmax"
    twice_differentiable = False
    # it chooses a point, which is a constant
    learns_temperature = False

    def draw(
        self,
        base: _SampledWithTangent,
        sample_shape: tuple[int, ...],
        generator: torch.Generator | None,
    ) -> Tensor:
        hard = base.sample(sample_shape, generator=generator)
        between = (hard + base.tempered_mean(self.temperature)) / 2
        return ops.reinmax(hard, base.tangent(base.mean), base.tangent(between))
