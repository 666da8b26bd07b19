"""Plackett-Luce as a race: item i arrives at an exponential time of rate w_i = exp(logit_i).

The first k arrivals are a draw of k items without replacement, so what is asked of the set is an
integral over the race's clock t. For a set S and the others' joint rate W,

    P(S) = integral of W exp(-W t) prod_{i in S} (1 - exp(-w_i t)) dt,

t being the others' first arrival; and item i is among the first k with the probability

    P(i) = integral of w_i exp(-w_i t) P(at most k - 1 of the others have arrived by t) dt.

In log t the integrands are smooth on the whole line and die out on both sides: Gauss-Legendre nodes
on the window where they live give them to about 1e-11 in float64.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from hotgrad.ops import checks
from hotgrad.ops.counts import count_levels, descend
from hotgrad.ops.polynomials import correlate
from hotgrad.ops.precision import centred
from hotgrad.ops.quadrature import gauss_legendre
from hotgrad.ops.softmax import logaddexp

NODES = {torch.float32: 64, torch.float64: 128}
E_FOLDS = {torch.float32: 18.0, torch.float64: 33.0}
"""Tails below exp(-this) of the peak are left out."""
HALVINGS = 24
MOST_AT_ONCE = 2**21
"""The most integrands, items times nodes, that are held at once: a few hundred megabytes."""


def log_prob_of_set(logits: Tensor, chosen: Tensor, k: int) -> Tensor:
    """log P(S) of the items that `chosen` marks as coming first, in any order.

    Args:
        logits: `(..., n)` in float32 or float64; -inf masks an item.
        chosen: k-hot, broadcasts against the logits.
        k: how many it marks.

    Returns:
        `(...)`; -inf where a masked item is chosen. Differentiable in the logits.
    """
    shape = torch.broadcast_shapes(logits.shape, chosen.shape)
    rows = shape[:-1].numel()
    most = MOST_AT_ONCE // (NODES[logits.dtype] * max(k, 1))
    if len(shape) == 1 or rows <= most:
        return _log_prob_of_set(logits, chosen, k)
    pieces = max(1, most * shape[0] // rows)
    return torch.cat(
        [
            _again(_log_prob_of_set, some_logits, some_chosen, k)
            for some_logits, some_chosen in zip(
                logits.expand(shape).split(pieces), chosen.expand(shape).split(pieces), strict=True
            )
        ]
    )


def _log_prob_of_set(logits: Tensor, chosen: Tensor, k: int) -> Tensor:
    """The same, of all rows at once."""
    logits, chosen = torch.broadcast_tensors(centred(logits), chosen > 0.5)
    race = SetRace(logits, chosen, k)
    with torch.no_grad():
        low, high = race.window()
    nodes, weights = gauss_legendre(NODES[logits.dtype], logits)
    half = (high - low) / 2
    # nodes first, so that the items stay last
    clock = (low + high) / 2 + half * nodes.view(-1, *(1,) * half.ndim)
    log_weights = (half * weights.view(-1, *(1,) * half.ndim)).log()
    log_prob = (race.log_density(clock) + log_weights).logsumexp(0)
    log_prob = torch.where(race.unopposed, 0.0, log_prob)
    return torch.where((chosen & (logits == -torch.inf)).any(-1), -torch.inf, log_prob)


def log_prob_of_order(logits: Tensor, order: Tensor) -> Tensor:
    """log-probability of drawing `order` `(..., k)`, one item after another, from `(..., n)`."""
    shape = torch.broadcast_shapes(logits.shape[:-1], order.shape[:-1])
    logits = centred(logits).expand((*shape, logits.shape[-1]))
    order = order.expand((*shape, order.shape[-1]))
    drawn, left = order_rates(logits, order)
    return (drawn - left).sum(-1)


def order_rates(logits: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    """log-rates of the items in their order, and of all that are left before each draw."""
    placed = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, 1)
    others = torch.where(placed, -torch.inf, logits)
    nothing = (others == -torch.inf).all(-1, keepdim=True)
    others = torch.where(nothing, 0.0, others).logsumexp(-1, keepdim=True)
    # the lowest number and not -inf, whose gradient would be NaN
    others = torch.where(nothing, torch.finfo(logits.dtype).min, others)
    drawn = logits.gather(-1, order)
    left = running_logsumexp(torch.cat([others, drawn.flip(-1)], -1))[..., 1:].flip(-1)
    return drawn, left


def running_logsumexp(terms: Tensor) -> Tensor:
    """log of the running sum of e^x along the last dimension.

    torch's logcumsumexp can't be differentiated again where a gradient of 0 comes back.
    """
    totals = [terms[..., 0]]
    for term in terms[..., 1:].unbind(-1):
        totals.append(logaddexp(totals[-1], term))
    return torch.stack(totals, -1)


class SetRace:
    """A set against the others: the others' first arrival, on the clock y = log(W t).

    Args:
        logits: `(..., n)`.
        chosen: bool, of the same shape.
        k: how many are marked in a row.
    """

    def __init__(self, logits: Tensor, chosen: Tensor, k: int) -> None:
        others = torch.where(chosen, -torch.inf, logits)
        self.unopposed = (others == -torch.inf).all(-1)
        """Whether no one else may come: then the set is certain."""
        others = torch.where(self.unopposed.unsqueeze(-1), 0.0, others)
        self.log_rates = logits - others.logsumexp(-1, keepdim=True)
        """log(w_i / W)."""
        rates = self.log_rates.gather(-1, chosen.to(logits.dtype).topk(k).indices)
        # a masked member rules the set out, which is for the caller to see
        self.member_rates = torch.where(rates == -torch.inf, torch.inf, rates)
        # on an interval of about folds + k, beside which the log-density falls by k + 1 a unit
        folds = E_FOLDS[logits.dtype] + 1 + k
        self.halvings = 4 + math.ceil(math.log2(folds * (k + 1)))
        """Of an interval, until the log-density at its ends is known to a part of one."""

    def log_density(self, clock: Tensor) -> Tensor:
        """log of the integrand at clocks `(*nodes, ...)`."""
        arrived = log_arrived(self.member_rates + clock.unsqueeze(-1)).sum(-1)
        return clock - clock.exp() + arrived

    def window(self) -> tuple[Tensor, Tensor]:
        """Where the density is not negligible: it is log-concave, with one peak.

        To be called without gradients; as a decorator of a method the compiler can't trace that.
        """
        members = self.member_rates.isfinite().sum(-1)
        zero = self.log_rates.new_zeros(self.log_rates.shape[:-1])
        folds = E_FOLDS[zero.dtype]
        top = zero + (members + 1.0).log()
        peak = bisect(lambda y: self._slope(y) < 0, zero, top, self.halvings)
        height = self.log_density(peak) - folds

        def outside(y: Tensor) -> Tensor:
            return self.log_density(y) < height

        start, end = peak - folds - 1 - members, peak + zero.new_full((), folds + 6).log()
        low = bisect(lambda y: ~outside(y), start, peak, self.halvings)
        high = bisect(outside, peak, end, self.halvings)
        return low, high

    def _slope(self, clock: Tensor) -> Tensor:
        """The derivative of the log-density."""
        e = (self.member_rates + clock.unsqueeze(-1)).exp()
        return (
            1 - clock.exp() + torch.where(e == 0, 1.0, e / torch.expm1(e)).nan_to_num(0.0).sum(-1)
        )


def log_arrived(log_time: Tensor) -> Tensor:
    """log(1 - exp(-e^x)): the probability that an arrival of rate 1 comes before e^x."""
    # exp(-e^6) is 0 beside 1 in any dtype, and its slope too
    x = log_time.clamp(max=6.0)
    e = x.exp()
    small = e < 1e-3
    series = x - e / 2 + e.square() / 24
    return torch.where(small, series, (-torch.expm1(-torch.where(small, 1.0, e))).log())


def bisect(
    beyond: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, halvings: int = HALVINGS
) -> Tensor:
    """Where `beyond`, false at first, turns true between low and high."""
    for _ in range(halvings):
        middle = (low + high) / 2
        past = beyond(middle)
        low, high = torch.where(past, low, middle), torch.where(past, middle, high)
    return high


def race_marginals(logits: Tensor, k: int) -> Tensor:
    """P(item i is among the first k), for logits `(n, batch)` in float32 or float64.

    Differentiable in the logits; -inf masks an item.
    """
    possible = logits > -torch.inf
    if k == 0:
        return torch.where(possible, logits, 0.0) * 0
    logits = centred(logits, 0)
    low, high = _turnover(logits.detach(), k)
    nodes, weights = gauss_legendre(NODES[logits.dtype], logits)
    half = (high - low) / 2
    clock = (low + high) / 2 + half * nodes.unsqueeze(-1)
    weights = half * weights.unsqueeze(-1)
    at_once = max(1, MOST_AT_ONCE // max(1, logits.numel()))
    if at_once >= len(clock):
        later = _later(logits, clock, weights, k)
    else:
        later = torch.zeros_like(logits)
        for times, shares in zip(clock.split(at_once), weights.split(at_once), strict=True):
            later = later + _again(_later, logits, times, shares, k)
    earlier = -torch.expm1(-(logits + low).clamp(max=6.0).exp())
    certain = possible & (possible.sum(0) <= k)
    marginals = torch.where(certain, 1.0, earlier + later)
    # probabilities, in spite of rounding
    return marginals - (marginals - 1).clamp(min=0).detach()


def _later(logits: Tensor, clock: Tensor, weights: Tensor, k: int) -> Tensor:
    """The integral over these times `(nodes, batch)` of an item's arrival as one of the first k."""
    # (n, nodes, batch); the tree takes nodes and batch as one
    e = (logits.unsqueeze(1) + clock).clamp(max=6.0).exp()
    not_arrived, arrived = (-e).exp(), -torch.expm1(-e)
    still_few = _at_most(k - 1, torch.stack([not_arrived, arrived]).flatten(2)).view_as(e)
    density = e * not_arrived * still_few
    return (density * weights).sum(1)


def _again(piece: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """A piece of a large whole, worked out again for its gradient instead of kept till then."""
    tensors = [argument for argument in arguments if isinstance(argument, Tensor)]
    if not torch.is_grad_enabled() or not checks.values_readable(*tensors):
        return piece(*arguments)
    result: Tensor = checkpoint(piece, *arguments, use_reentrant=False, preserve_rng_state=False)
    return result


def _at_most(count: int, leaves: Tensor) -> Tensor:
    """P(at most `count` of the other items have arrived), `(n, batch)`, from (q, p)."""
    levels = count_levels(leaves, count + 1)
    to_root = torch.ones_like(levels[-1][:1, 0]).expand(count + 2, -1).clone()
    to_root[0] = 0
    left, right = levels[-1].unbind(1)
    gradient = torch.stack(
        [correlate(to_root, right, len(right)), correlate(to_root, left, len(left))], 1
    )
    _, to_arrived = descend(levels, gradient, slice(1, 2))
    return to_arrived[0, : leaves.shape[1]]


@torch.no_grad()
def _turnover(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The window of log t in which the k-th arrival falls, `(batch,)` each."""
    folds, n = E_FOLDS[logits.dtype], len(logits)
    wide = logits.double()
    slowest = torch.where(wide > -torch.inf, wide, torch.inf).amin(0)
    start = -wide.logsumexp(0) - folds - 1
    end = -slowest + math.log(folds + n + 2)

    def few(clock: Tensor) -> Tensor:
        """P(N <= k - 1)."""
        e = (wide + clock).clamp(max=6.5).exp()
        levels = count_levels(torch.stack([(-e).exp(), -torch.expm1(-e)]), k - 1)
        left, right = levels[-1].unbind(1)
        below = right.cumsum(0)
        # i of the left child and at most k - 1 - i of the right
        left = left[:k]
        reach = torch.arange(k - 1, k - 1 - len(left), -1, device=logits.device)
        reach = reach.clamp(max=len(right) - 1)
        return (left * below[reach]).sum(0)

    tail = math.exp(-folds)
    # the sum of n rounding errors looks like a tail, however early
    rounding = 4 * n * torch.finfo(torch.float64).eps
    low = bisect(lambda x: 1 - few(x) > max(tail, rounding), start, end)
    high = bisect(lambda x: few(x) < tail, start, end)
    return low.to(logits.dtype), high.to(logits.dtype)
