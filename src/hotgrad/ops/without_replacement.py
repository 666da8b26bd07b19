"""Distinct states of a product without its support: the first arrivals, and what each counts.

Let every joint state arrive at an exponential time of rate p(s). The first S arrivals are S draws
without replacement. Their subtrees' first arrivals lead to them: all states that begin alike are a
subtree of rate p(prefix), whose first arrival is one of its children's, and the other children's
come later than that by an exponential time of their own rate. So the parts are gone through one
after another, and only the S prefixes that arrive first are kept.

What is left out has a joint rate W, and first arrives at a time t. Given t, the states came before
it independently of each other, with the probability 1 - exp(-p(s) t). So one of the set counts
p(s) / (1 - exp(-p(s) t)), as in Horvitz and Thompson's estimator; given the set, t follows

    density of t  ~  W exp(-W t) prod_{s in set} (1 - exp(-p(s) t)),

and the mean under it is p(s) R(set, s), with R the ratio of sets' probabilities in Kool's estimator
and without one quadrature for each pair. In log t the integrands die out on both sides and are
analytic beside the line: the trapezoidal rule on even nodes is right to about 1e-13 in float64.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from hotgrad.ops.race import E_FOLDS, log_arrived

# the step sqrt(a / (members + b)), which leaves errors of about 1e-14 and 1e-7
STEPS = {torch.float32: (1.18, 5.6), torch.float64: (0.58, 8.0)}


class Arrivals(NamedTuple):
    """The S states that arrive first, in the order of their arrival."""

    choices: Tensor
    """int64 `(parts, ..., S)`: the number of each part's state."""
    log_probs: Tensor
    """Of the joint states, `(..., S)`; -inf where fewer than S are possible."""
    log_rest: Tensor
    """log of the joint probability of all others, `(...)`."""


def first_arrivals(log_probs: Tensor, noise: Tensor) -> Arrivals:
    """The first S of the joint states of independent parts, by a beam through the parts.

    Args:
        log_probs: `(parts, ..., K)`, normalised over the K states of a part; -inf is a state that
            can't happen.
        noise: standard Gumbel `(parts, ..., S, K)`. S is at most the number of joint states.

    Reference: Stochastic Beams and Where to Find Them: The Gumbel-Top-k Trick for Sampling
    Sequences Without Replacement (Kool, van Hoof, Welling, 2019), https://arxiv.org/abs/1903.06059
    """
    width, states = noise.shape[-2:]
    log_probs = log_probs.unsqueeze(-2)
    lateness = log_lateness(log_probs, noise)
    # the root alone, at time 0: how late its first arrival is has no say in the order
    prefix = noise.new_full(noise.shape[1:-1], -torch.inf)
    prefix[..., 0] = 0.0
    time = -prefix
    levels, kept = [], []
    for own, late in zip(log_probs, lateness, strict=True):
        log_prob = (prefix.unsqueeze(-1) + own).flatten(-2)
        arrival = torch.logaddexp(time.unsqueeze(-1), late - prefix.unsqueeze(-1)).flatten(-2)
        time, index = arrival.topk(width, largest=False)
        prefix = log_prob.gather(-1, index)
        levels.append(log_prob)
        kept.append(index)
    if not kept:
        # one joint state, that of no parts
        nothing = prefix.new_full(prefix.shape[:-1], -torch.inf)
        return Arrivals(prefix.new_zeros((0, *prefix.shape), dtype=torch.int64), prefix, nothing)
    indices = torch.stack(kept)
    dropped = torch.stack(levels).scatter(-1, indices, -torch.inf)
    # one minus the set's probability would cancel
    log_rest = dropped.movedim(0, -1).flatten(-2).logsumexp(-1)
    return Arrivals(_choices(indices, states), prefix, log_rest)


def log_lateness(log_probs: Tensor, noise: Tensor) -> Tensor:
    """log of the time by which each of `(..., K)` comes after the first, at rates exp(log_probs).

    The first itself has the lowest number in place of -inf.
    """
    times = -(log_probs + noise)
    first = times.amin(-1, keepdim=True)
    return (times + (-torch.expm1(first - times)).log()).clamp(min=torch.finfo(times.dtype).min)


def _choices(indices: Tensor, states: int) -> Tensor:
    """Each part's state on the paths that end in the last level's slots."""
    parents = indices // states
    slot = torch.arange(indices.shape[-1], device=indices.device).expand_as(indices[0])
    slots = [slot]
    for level in range(len(indices) - 1, 0, -1):
        slot = parents[level].gather(-1, slot)
        slots.append(slot)
    return (indices % states).gather(-1, torch.stack(slots[::-1]))


class SetClock:
    r"""Weights of S distinct draws, averaged over the first arrival t of all that was left out.

    Args:
        log_probs: `(..., S)`, distinct states' log-probabilities; -inf is an empty place.
        log_rest: `(...)`, log of the probability of all other states; -inf where there are none.
    """

    def __init__(self, log_probs: Tensor, log_rest: Tensor) -> None:
        clock = _even_clock(log_probs)
        log_rates = torch.where(
            log_probs == -torch.inf, torch.inf, log_probs - log_rest.unsqueeze(-1)
        )
        log_arrived_yet = log_arrived(log_rates.unsqueeze(-1) + clock)
        density = (clock - clock.exp() + log_arrived_yet.sum(-2)).softmax(-1)
        self.density = density.unsqueeze(-2)
        """The distribution of t given the set, on the nodes: `(..., 1, nodes)`."""
        self.shares = (log_probs.unsqueeze(-1) - log_arrived_yet).exp()
        r"""$p(s) / (1 - e^{-p(s) t})$: what a state counts, given t. `(..., S, nodes)`."""

    def weights(self) -> Tensor:
        """p(s) R(set, s), which sum to 1: `(..., S)`."""
        weights = (self.density * self.shares).sum(-1)
        return weights / weights.sum(-1, keepdim=True)

    def score_weights(self, values: Tensor) -> Tensor:
        r"""$p(s) R(s) (f(s) - B_s)$, what multiplies each state's score, of f's values `(..., S)`.

        $$\mathbb{E}_t \Big[ w_s(t) \sum_{s'} w_{s'}(t) (f(s) - f(s')) \Big],$$

        w(t) being the shares.
        """
        # what all values have in common would cancel in the end
        values = (values - (self.weights() * values).sum(-1, keepdim=True)).unsqueeze(-1)
        total, mean = self.shares.sum(-2, True), (self.shares * values).sum(-2, True)
        return (self.density * self.shares * (values * total - mean)).sum(-1)


def _even_clock(log_probs: Tensor) -> Tensor:
    """Nodes of log(W t) for a set, where even those integrands live that leave out two members."""
    members, dtype = log_probs.shape[-1], log_probs.dtype
    folds = E_FOLDS[dtype]
    low, high = -folds - 1, math.log(2.5 * members + folds + 8.5)
    a, b = STEPS[dtype]
    count = math.ceil((high - low) / math.sqrt(a / (members + b)))
    return torch.linspace(low, high, count, dtype=dtype, device=log_probs.device)
