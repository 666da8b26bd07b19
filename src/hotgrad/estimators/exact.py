"""The oracle: every state of the law, weighted by its probability."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hotgrad.estimators.base import Estimator, Function
from hotgrad.ops import checks


@dataclass(frozen=True)
class Exact(Estimator):
    r"""$\nabla_\phi \sum_z q_\phi(z) f(z)$, summed over the whole support.

    No bias and no variance, at the cost of one evaluation of f per state; `num_samples` doesn't matter. For supports
    within the budget, and as the answer that other estimators are measured by.

    Args:
        budget: the most states that it will enumerate.

    Raises:
        ValueError: a support beyond the budget.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> q = hg.OneHotCategorical(logits=logits)
        >>> cost = torch.tensor([1.0, 2.0, 6.0])
        >>> value = hg.expectation(lambda z: z @ cost, q, hg.Exact())
        >>> value.backward()
        >>> value.item(), logits.grad
        (3.0, tensor([-0.6667, -0.3333,  1.0000]))
    """

    budget: int = 2**16

    unbiased = True
    relaxes_f = False
    differentiates_f = False
    requires = ("enumerate_support", "log_prob")

    def __post_init__(self) -> None:
        checks.check_count(self.budget, "budget")

    def evaluations(self, q: Any, num_samples: int) -> int:
        """One per state."""
        return int(self._states(q).shape[0])

    def surrogate(
        self, f: Function, q: Any, num_samples: int, generator: torch.Generator | None
    ) -> Tensor:
        states = self._states(q)
        states = states.expand(states.shape[:1] + q.batch_shape + q.event_shape)
        probs = q.log_prob(states).exp()
        values = f(states)
        # f may be infinite at a state that can't happen
        return (probs * torch.where(probs > 0, values, 0.0)).sum(0)

    def _states(self, q: Any) -> Tensor:
        if hasattr(q, "law"):  # a joint law: refuse before the states are listed
            return q.enumerate_support(expand=False, budget=self.budget)
        states = q.enumerate_support(expand=False)
        if states.shape[0] > self.budget:
            raise ValueError(
                f"The support has {states.shape[0]:,} states, more than the budget of "
                f"{self.budget:,}: use Exact(budget=...) or an estimator that samples."
            )
        return states
