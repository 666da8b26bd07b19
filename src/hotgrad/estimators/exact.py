"""The oracle: every state, weighted by its probability."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from hotgrad.distributions import DiscreteDistribution
from hotgrad.distributions.budget import check_budget
from hotgrad.distributions.capabilities import CanEnumerate, HasLogProb
from hotgrad.estimators.base import Estimator, Function
from hotgrad.estimators.parts import MAX_ELEMENTS, Parts
from hotgrad.ops import checks, like_event


@dataclass(frozen=True)
class Exact(Estimator):
    r"""The exact expectation and its exact gradient, by summing over all states.

    $\nabla_\phi \sum_z q_\phi(z) f(z)$.

    No bias and no variance, at the cost of one evaluation of f per state, in pieces where they are
    many; `num_samples` doesn't matter. For supports within the budget (k of n items have C(n, k)
    states), and as the answer that other estimators are measured by.

    Args:
        budget: the most states that it will enumerate.

    Raises:
        ValueError: a support beyond the budget.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> q = hg.OneHotCategorical(logits=logits)
        >>> cost = torch.tensor([1.0, 2.0, 5.0])
        >>> value = hg.expectation(lambda z: z @ cost, q, hg.Exact())
        >>> value.backward()
        >>> value.detach(), logits.grad
        (tensor(2.6667), tensor([-0.5556, -0.2222,  0.7778]))
    """

    budget: int = 2**16

    unbiased = True
    relaxes_f = False
    differentiates_f = False
    requires = (CanEnumerate, HasLogProb)
    draws = False
    name = "exact"

    def __post_init__(self) -> None:
        checks.plain_fields(self)
        checks.check_count(self.budget, "budget")

    @classmethod
    def defaults_for(cls, q: DiscreteDistribution, *, budget: int) -> list[Self]:
        """With the audit's own budget."""
        return [cls(budget)]

    def evaluations(self, q: DiscreteDistribution, num_samples: int) -> int:
        """One per state."""
        return self._parts(q).joint_states

    def surrogate(
        self,
        f: Function,
        q: DiscreteDistribution,
        num_samples: int,
        generator: torch.Generator | None,
    ) -> Tensor:
        """The sum over the states; f isn't asked about those that can't happen."""
        parts = self._parts(q)
        probs = parts.joint_log_probs().exp()
        # at a state that can't happen f may be infinite or undefined, and 0 times that is NaN
        likeliest = parts.joined(parts.own_numbers(probs.detach().argmax(0, keepdim=True)))
        numbers = torch.arange(len(probs), device=probs.device)
        rows = max(1, MAX_ELEMENTS // max(1, likeliest.numel()))
        sums = []
        for number, own in zip(numbers.split(rows), probs.split(rows), strict=True):
            number = number.reshape(-1, *(1,) * len(q.batch_shape))
            states = parts.joined(parts.own_numbers(number))
            values = f(torch.where(like_event(own > 0, states), states, likeliest))
            dtype = torch.promote_types(states.dtype, values.dtype)
            sums.append((own * values).sum(0).to(dtype))
        return sums[0] if len(sums) == 1 else torch.stack(sums).sum(0)

    def _parts(self, q: DiscreteDistribution) -> Parts:
        parts = Parts(q, self.budget)
        check_budget(parts.joint_states, self.budget, parts.name)
        return parts
