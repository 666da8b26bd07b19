"""Samples no two of which are alike, weighted by how likely they were to be among them."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hotgrad import ops
from hotgrad.distributions import DiscreteDistribution
from hotgrad.distributions.capabilities import CanEnumerate, HasLogProb
from hotgrad.estimators.base import Estimator, Function
from hotgrad.estimators.parts import Parts
from hotgrad.estimators.score_function import scored
from hotgrad.ops import checks


class DistinctStates(NamedTuple):
    """Joint states drawn without replacement."""

    z: Tensor
    """The states `(S, *batch, *event)`; the first of them stands in an empty place."""
    log_probs: Tensor
    """Of the states, `(*batch, S)` in at least float32; -inf for an empty place."""
    log_rest: Tensor
    """log of the probability of all other states, `(*batch,)`."""


@dataclass(frozen=True)
class UnorderedSet(Estimator):
    r"""Samples without replacement, weighted so that no evaluation is spent twice.

    $\sum_{s \in \mathcal{S}} p(s) R(\mathcal{S}, s) (f(s) - B_s) \nabla_\phi \log p(s)$.

    The S samples are distinct joint states, drawn without replacement. p(s) R weighs a state so
    that the weighted mean of f is its expectation: R is the probability of drawing the rest of the
    set when s isn't there, over the set's. The others serve as the baseline,

    $$B_s = p(s) f(s) + \sum_{s' \neq s} p(s') R^{\setminus s}(\mathcal{S}, s') f(s').$$

    Unbiased for any f, differentiable or not, and so are derivatives of any order. No evaluation is
    spent twice, so its variance is below `ScoreFunction`'s for equal evaluations where a few joint
    states have much of the mass, and about the same where none would come twice anyway, as in many
    parts. With S the number of states it is exact. S evaluations of f, or as many as there are
    joint states if that is less. The set takes one step of a beam search for each part, over S K
    prefixes, and the weights one quadrature of S terms: several times the time of `ScoreFunction`
    where f is cheap.

    Args:
        budget: the most states that it will list for one part (k of n items have C(n, k)); the
            joint states aren't listed.

    Raises:
        ValueError: a part with more states than the budget; one sample.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> q = hg.OneHotCategorical(logits=logits)
        >>> cost = torch.tensor([1.0, 2.0, 5.0])
        >>> value = hg.expectation(lambda z: z @ cost, q, hg.UnorderedSet(), num_samples=3)
        >>> value.backward()
        >>> logits.grad                                     # all states were drawn: exact
        tensor([-0.5556, -0.2222,  0.7778])

    Reference: Estimating Gradients for Discrete Random Variables by Sampling without Replacement
    (Kool, van Hoof, Welling, 2020), https://arxiv.org/abs/2002.06043
    """

    budget: int = 2**16

    unbiased = True
    relaxes_f = False
    differentiates_f = False
    requires = (CanEnumerate, HasLogProb)
    name = "unordered-set"
    least_samples = 2

    def __post_init__(self) -> None:
        checks.plain_fields(self)
        checks.check_count(self.budget, "budget")

    def evaluations(self, q: DiscreteDistribution, num_samples: int) -> int:
        """One for each sample, but no more than there are joint states."""
        return _width(Parts(q, self.budget), num_samples)

    def surrogate(
        self,
        f: Function,
        q: DiscreteDistribution,
        num_samples: int,
        generator: torch.Generator | None,
    ) -> Tensor:
        """The weighted mean of f, whose backward adds the centred values times the score."""
        drawn = self.draw(q, num_samples, generator=generator)
        values = f(drawn.z)
        with torch.no_grad():
            clock = ops.SetClock(drawn.log_probs, drawn.log_rest)
            weights = clock.weights().movedim(-1, 0)
            of_scores = clock.score_weights(values.movedim(0, -1)).movedim(-1, 0)
        weighted = weights * values
        terms = weighted + scored(of_scores, weighted, q.log_prob(drawn.z))
        return terms.sum(0).to(values.dtype)

    def draw(
        self, q: DiscreteDistribution, num_samples: int, *, generator: torch.Generator | None = None
    ) -> DistinctStates:
        """Distinct joint states of q, in the order of their drawing, and what is left out.

        Where fewer are possible than `num_samples`, all are drawn.
        """
        # not a decorator, which the compiler can't trace on a method
        with torch.no_grad():
            parts = Parts(q, self.budget)
            width = _width(parts, num_samples)
            log_probs = parts.log_probs().flatten(1, -2) if q.batch_shape else parts.log_probs()
            # parts first, states last
            log_probs = log_probs.movedim(0, -1).movedim(-2, 0).contiguous()
            noise = ops.draw_gumbel(
                (*log_probs.shape[:-1], width, log_probs.shape[-1]),
                dtype=log_probs.dtype,
                device=log_probs.device,
                generator=generator,
            )
            arrivals = ops.first_arrivals(log_probs, noise)
            # the first to arrive is never an empty place
            empty = arrivals.log_probs == -torch.inf
            choices = torch.where(empty, arrivals.choices[..., :1], arrivals.choices)
            z = parts.joined(
                choices.movedim(0, -1).movedim(-2, 0).reshape(width, *q.batch_shape, parts.count)
            )
            return DistinctStates(
                z,
                arrivals.log_probs.reshape(*q.batch_shape, width),
                arrivals.log_rest.reshape(q.batch_shape),
            )


def _width(parts: Parts, num_samples: int) -> int:
    """How many distinct states are drawn."""
    return min(num_samples, parts.joint_states)
