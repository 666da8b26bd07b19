"""The oracle: every state of the law, weighted by its probability."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hotgrad.distributions import as_law
from hotgrad.estimators.base import Estimator, Function
from hotgrad.ops import checks, like_event


@dataclass(frozen=True)
class Exact(Estimator):
    r"""$\nabla_\phi \sum_z q_\phi(z) f(z)$, summed over the whole support.

    No bias and no variance, at the cost of one evaluation of f per state; `num_samples` doesn't
    matter. For supports within the budget (k of n items have C(n, k) states), and as the answer
    that other estimators are measured by.

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
    requires = ("enumerate_support", "log_prob")

    def __post_init__(self) -> None:
        checks.check_count(self.budget, "budget")

    def evaluations(self, q: Any, num_samples: int) -> int:
        """One per state."""
        return self._states(q).shape[0]

    def surrogate(
        self, f: Function, q: Any, num_samples: int, generator: torch.Generator | None
    ) -> Tensor:
        """The sum over the states; f isn't asked about those that can't happen."""
        states = self._states(q)
        states = states.expand(states.shape[:1] + q.batch_shape + q.event_shape)
        probs: Tensor = q.log_prob(states).exp()
        return (probs * f(_possible(states, probs.detach()))).sum(0)

    def _states(self, q: Any) -> Tensor:
        states: Tensor = as_law(q).enumerate_support(expand=False, budget=self.budget)
        return states


def _possible(states: Tensor, probs: Tensor) -> Tensor:
    """The states, with the likeliest one in place of each that has probability 0.

    f may be infinite or undefined at a masked state; weighing that with 0 would give NaN.
    """
    likeliest = probs.argmax(0, keepdim=True)
    stand_in = states.take_along_dim(like_event(likeliest, states), 0)
    return torch.where(like_event(probs > 0, states), states, stand_in)
