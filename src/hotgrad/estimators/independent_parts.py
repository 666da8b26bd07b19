"""Each part of z in all of its states, while the other parts stay as they were drawn."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hotgrad.distributions import DiscreteDistribution
from hotgrad.distributions.capabilities import CanEnumerate, CanSample, HasLogProb
from hotgrad.estimators.base import Estimator, Function
from hotgrad.estimators.explicit_gradients import once_differentiable
from hotgrad.estimators.parts import MAX_ELEMENTS, Group, Parts
from hotgrad.ops import checks


@dataclass(frozen=True)
class IndeCateR(Estimator):
    r"""Every part tries each of its states while the others stay as they were drawn.

    $\frac{1}{S} \sum_s \sum_d \sum_k \nabla_\phi p_d(k) (f(z_s, z_d := k) - f(z_s))$.

    For independent parts d, each with K states (bits, categories, k-subsets). Unbiased for
    any f, differentiable or not. Given the other parts, a part's gradient is summed and not
    sampled: a single part's is exact (the value is still a mean over samples), and so is any
    part's where f is a sum over the parts. The price is S (1 + parts (K - 1)) evaluations of f, in
    two calls, or more where they are many: with 20 parts of 10 categories, 181 for each sample.
    `ScoreFunction` with as many samples is noisier where parts are few or hardly interact, and can
    be less noisy where they are many and do. For bits this is Local Expectation Gradients.

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
    requires = (CanSample, CanEnumerate, HasLogProb)
    name = "indecater"

    def __post_init__(self) -> None:
        checks.plain_fields(self)
        checks.check_count(self.budget, "budget")

    def evaluations(self, q: DiscreteDistribution, num_samples: int) -> int:
        """One for each sample, and one for each other state of each of its parts."""
        groups = Parts(q, self.budget).groups
        return num_samples * (1 + sum([g.count * (g.num_states - 1) for g in groups]))

    def surrogate(
        self,
        f: Function,
        q: DiscreteDistribution,
        num_samples: int,
        generator: torch.Generator | None,
    ) -> Tensor:
        """The mean of f at the samples; the alternatives are asked about in a call of their own."""
        parts = Parts(q, self.budget)
        z = q.sample((num_samples,), generator=generator)
        values = f(z)
        probs = [group.log_probs().exp() for group in parts.groups]
        gains = _gains(f, parts, [p.detach() for p in probs], z, values.detach())
        slopes = [
            (p * gain).movedim(0, -1).flatten(-2).sum(-1)
            for p, gain in zip(probs, gains, strict=True)
        ]
        slope = torch.stack(slopes).sum(0)
        tied = once_differentiable(slope - slope.detach(), self.label, slope, values)
        return values.mean(0) + tied.to(values.dtype)


@torch.no_grad()
def _gains(
    f: Function, parts: Parts, probs: list[Tensor], z: Tensor, values: Tensor
) -> list[Tensor]:
    """What each state of each part adds to f on average over the samples.

    `(K, *batch, parts)` for each group, as the probabilities are.
    """
    own = parts.numbers(z)
    # by state, sample, batch element and part, in one dimension
    totals = [p.new_zeros(p.shape[0] * len(z) * p[0].numel()) for p in probs]
    places = parts.placed()
    for block in _blocks(parts, max(1, MAX_ELEMENTS // max(1, z.numel()))):
        asked = [
            _alternatives(places[i][0], probs[i], own, places[i][1], first, stop)
            for i, first, stop in block
        ]
        answers = f(parts.joined(torch.cat([ask.joint.flatten(0, 1) for ask in asked])))
        mine = answers.split([len(ask.joint) * len(z) for ask in asked])
        for (i, _, _), ask, answer in zip(block, asked, mine, strict=True):
            gained = (answer.reshape(ask.possible.shape) - values).to(totals[i].dtype)
            gained = torch.where(ask.possible, gained, 0.0)
            totals[i] = totals[i].scatter(0, ask.place.flatten(), gained.flatten())
    return [
        total.reshape(p.shape[0], len(z), *p.shape[1:]).mean(1)
        for total, p in zip(totals, probs, strict=True)
    ]


def _blocks(parts: Parts, rows: int) -> list[list[tuple[int, int, int]]]:
    """The alternatives of a sample in blocks of so many, those of group i from first to stop."""
    blocks: list[list[tuple[int, int, int]]] = []
    left = 0
    for i, group in enumerate(parts.groups):
        first, end = 0, group.count * (group.num_states - 1)
        while first < end:
            if left == 0:
                blocks.append([])
                left = rows
            stop = min(end, first + left)
            blocks[-1].append((i, first, stop))
            first, left = stop, left - (stop - first)
    return blocks


class _Alternatives(NamedTuple):
    """The samples with one part in another state, `(alternatives, S, *batch)`."""

    joint: Tensor
    """The numbers of all parts' states, `(..., all parts)`."""
    possible: Tensor
    """Whether the other state can happen; else it is the sample's own."""
    place: Tensor
    """Where it counts: by state, sample, batch element and part."""


def _alternatives(
    group: Group, probs: Tensor, own: Tensor, start: int, first: int, stop: int
) -> _Alternatives:
    """The alternatives from `first` to `stop` of a group whose first part is number `start`."""
    lead = (-1, *(1,) * (own.ndim - 1))
    number = torch.arange(first, stop, device=own.device).view(lead)
    # the part, and how many states it is on from its own
    part, ahead = number // (group.num_states - 1), 1 + number % (group.num_states - 1)
    there = (start + part).expand(-1, *own.shape[:-1]).unsqueeze(-1)
    joint = own.expand(len(number), *own.shape)
    mine = joint.gather(-1, there).squeeze(-1)
    other = (mine + ahead) % group.num_states
    size, batch = probs[0].numel(), own.shape[1:-1]
    row = torch.arange(batch.numel(), device=own.device).reshape(1, 1, *batch)
    column = row * group.count + part
    # f may be infinite or undefined where a state can't happen: the sample stands in
    possible = probs.flatten()[other * size + column] > 0
    sample = torch.arange(len(own), device=own.device).view(1, -1, *(1,) * len(batch))
    return _Alternatives(
        joint.scatter(-1, there, torch.where(possible, other, mine).unsqueeze(-1)),
        possible,
        (other * len(own) + sample) * size + column,
    )
