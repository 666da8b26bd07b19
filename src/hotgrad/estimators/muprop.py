"""The control variate of first order: f's tangent at the mean, whose own gradient is known."""

import torch
from torch import Tensor

from hotgrad.distributions import DiscreteDistribution
from hotgrad.distributions.capabilities import CanSample, HasLogProb, HasMean
from hotgrad.estimators.base import Function
from hotgrad.estimators.baselines import NoBaseline
from hotgrad.estimators.explicit_gradients import pullback, with_gradient
from hotgrad.estimators.score_function import WithBaseline, score_surrogate
from hotgrad.ops import over_event


class MuProp(WithBaseline):
    r"""The score function of what f's tangent at the mean leaves over, and the tangent's slope.

    $\frac{1}{S} \sum_s (r_s - b_s) \nabla \log q(z_s) + f'(\mu)^\top \nabla \mu$, $\mu = E[z]$.

    $r_s = f(z_s) - f(\mu) - f'(\mu)^\top (z_s - \mu)$ is what f's tangent at the mean leaves
    over. Unbiased for any f that is differentiable at the mean; no noise at all where f is linear,
    and as much as the score function alone where the tangent says nothing of f at the vertices.
    Where f at the mean lies above or below f at the vertices, a baseline b takes that off. S + 1
    evaluations of f, one of them between the vertices. On any distribution with exact marginals,
    subsets too. A module, since a baseline may learn.

    Args:
        baseline: of r, as `ScoreFunction` has for f; none by default, so that one sample will do.

    Raises:
        ValueError: a baseline that isn't one; when used, fewer samples than it needs.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> q = hg.OneHotCategorical(logits=logits)
        >>> hg.expectation(lambda z: z @ torch.tensor([1.0, 2.0, 6.0]), q, hg.MuProp()).backward()
        >>> logits.grad                             # exact, since f is linear
        tensor([-0.6667, -0.3333,  1.0000])

    Reference: MuProp: Unbiased Backpropagation for Stochastic Neural Networks (Gu, Levine,
    Sutskever, Mnih, 2016), https://arxiv.org/abs/1511.05176
    """

    unbiased = True
    relaxes_f = True
    differentiates_f = True
    requires = (CanSample, HasLogProb, HasMean)
    name = "muprop"
    default_baseline = NoBaseline

    def evaluations(self, q: DiscreteDistribution, num_samples: int) -> int:
        """One more than samples."""
        return num_samples + 1

    def surrogate(
        self,
        f: Function,
        q: DiscreteDistribution,
        num_samples: int,
        generator: torch.Generator | None,
    ) -> Tensor:
        """The mean of f, whose backward is that of its tangent and of what the tangent leaves."""
        z = q.sample((num_samples,), generator=generator)
        values = f(z)
        if not torch.is_grad_enabled():
            return values.mean(0)
        mean: Tensor = q.mean
        (at_mean,), pull, _ = pullback(lambda m: ((f(m.unsqueeze(0)).squeeze(0),), ()), [mean])
        slope = pull((torch.ones_like(at_mean),))[0].detach()
        tangent = at_mean.detach() + over_event(slope * (z - mean.detach()), values.ndim)
        left = values.detach() - tangent
        surrogate = score_surrogate(values, left, q.log_prob(z), self.baseline, q)
        return with_gradient(surrogate.mean(0), [mean], [slope], self.label)
