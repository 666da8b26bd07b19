"""Each part of z in all of its states, while the other parts stay as they were drawn."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hotgrad.estimators.base import Estimator, Function
from hotgrad.estimators.parts import Parts
from hotgrad.ops import checks


@dataclass(frozen=True)
class IndeCateR(Estimator):
    r"""$\frac{1}{S} \sum_s \sum_d \sum_k \nabla_\phi p_d(k) (f(z_s, z_d := k) - f(z_s))$.

    For laws of independent parts d, each with K states (bits, categories, k-subsets). Unbiased for
    any f, differentiable or not. Given the other parts, a part's gradient is summed and not
    sampled: a single part's is exact (the value is still a mean over samples), and so is any
    part's where f is a sum over the parts. The price is S (1 + parts (K - 1)) evaluations of f, in
    two calls: with 20 parts of 10 categories, 181 for each sample. `ScoreFunction` with as many
    samples is noisier where parts are few or hardly interact, and can be less noisy where they are
    many and do. For bits this is Local Expectation Gradients.

    Args:
        budget: the most states that it will list for one part (k of n items have C(n, k)).

    Raises:
        ValueError: a part with more states than the budget.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> q = hg.Bernoulli(logits=logits).to_event(1)
        >>> cost = torch.tensor([1.0, 2.0, 5.0])
        >>> value = hg.expectation(lambda z: z @ cost, q, hg.IndeCateR())
        >>> value.backward()
        >>> logits.grad                                     # exact: f is a sum over the parts
        tensor([0.2500, 0.5000, 1.2500])
        >>> hg.IndeCateR().evaluations(q, num_samples=2)
        8

    Reference: Differentiable Sampling of Categorical Distributions Using the CatLog-Derivative
    Trick (De Smet, Sansone, Zuidberg Dos Martires, 2023), https://arxiv.org/abs/2311.12569;
    Local Expectation Gradients for Black Box Variational Inference (Titsias, Lázaro-Gredilla,
    2015), https://arxiv.org/abs/1503.01494
    """

    budget: int = 2**16

    unbiased = True
    relaxes_f = False
    differentiates_f = False
    requires = ("sample", "enumerate_support", "log_prob")

    def __post_init__(self) -> None:
        checks.check_count(self.budget, "budget")

    def evaluations(self, q: Any, num_samples: int) -> int:
        """One for each sample, and one for each other state of each of its parts."""
        parts = Parts(q, self.budget)
        return num_samples * (1 + parts.count * (parts.num_states - 1))

    def surrogate(
        self, f: Function, q: Any, num_samples: int, generator: torch.Generator | None
    ) -> Tensor:
        """The mean of f at the samples; the alternatives are asked about in a call of their own."""
        parts = Parts(q, self.budget)
        z = q.sample((num_samples,), generator=generator)
        values = f(z)
        probs = parts.log_probs().exp()
        gains = _gains(f, parts, probs.detach(), z, values.detach())
        slope = (probs * gains).movedim(0, -1).flatten(-2).sum(-1)
        return values.mean(0) + (slope - slope.detach()).to(values.dtype)


@torch.no_grad()
def _gains(f: Function, parts: Parts, probs: Tensor, z: Tensor, values: Tensor) -> Tensor:
    """What each state of each part adds to f on average over the samples, `(K, *batch, parts)`."""
    own = parts.numbers(z)
    later = torch.arange(1, parts.num_states, device=z.device)
    others = (own + later.view(-1, *(1,) * own.ndim)) % parts.num_states
    gains = probs.new_zeros((parts.num_states, *own.shape))
    if others.numel() == 0:
        return gains.mean(1)
    # f may be infinite or undefined where a state can't happen: the sample stands in
    possible = probs.unsqueeze(1).take_along_dim(others, 0) > 0
    changed = torch.eye(parts.count, dtype=torch.bool, device=z.device)
    changed = changed.view(parts.count, *(1,) * own.ndim, parts.count)
    alternatives = torch.where(changed & possible, others, own)
    asked = f(parts.joined(alternatives).flatten(0, 2))
    gained = asked.reshape(parts.count, -1, *values.shape) - values
    gained = torch.where(possible, gained.movedim(0, -1).to(gains.dtype), 0.0)
    return gains.scatter(0, others, gained).mean(1)
