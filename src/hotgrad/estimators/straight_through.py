"""Hard forward, soft backward: f sees exact samples, the gradient goes through the mean."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hotgrad import ops
from hotgrad.estimators.base import Pathwise, Tempered


@dataclass(frozen=True)
class StraightThrough(Pathwise):
    r"""$\frac{1}{S} \sum_s \nabla_\phi \langle \nabla f(z_s), \mathbb{E}_q[z] \rangle$.

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
    requires = ("sample", "mean")

    def sample(
        self,
        q: Any,
        sample_shape: tuple[int, ...] = (),
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Hard samples with the mean's gradient."""
        q = self._law_of(q, sample_shape, generator)
        return ops.straight_through(q.sample(sample_shape, generator=generator), q.mean)


@dataclass(frozen=True, eq=False)
class ReinMax(Tempered):
    r"""$\frac{1}{S} \sum_s \nabla_\phi \langle \nabla f(z_s), 2 \pi_1 - \frac{1}{2} \pi_0 \rangle$.

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
    requires = ("sample", "mean", "relax", "tangent")
    # it chooses a point, which is a constant
    learns_temperature = False

    def sample(
        self,
        q: Any,
        sample_shape: tuple[int, ...] = (),
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Hard samples with a gradient of second order."""
        q = self._law_of(q, sample_shape, generator)
        hard = q.sample(sample_shape, generator=generator)
        between = (hard + q.relax(0.0, self.temperature)) / 2
        return ops.reinmax(hard, q.tangent(q.mean), q.tangent(between))
