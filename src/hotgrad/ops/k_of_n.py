"""Exactly k of n independent bits: the probability of it, and each bit's probability given it.

With p_i = sigmoid(scores_i), the bits given that k of them are 1 follow the conditional Bernoulli
distribution, p(S) proportional to exp(sum of scores in S). A constant added to the scores changes
nothing, so `tilt` finds one that puts the sum of p near k: then P(N = k) is no small number,
and linear space neither under- nor overflows, in float32 too.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from hotgrad.ops import checks
from hotgrad.ops.counts import (
    Levels,
    coefficient,
    coefficient_gradient,
    count_levels,
    descend,
    moved_descent,
    moved_levels,
    split_counts,
)

MAX_STEPS = 32
STEPS_BY_ORDER = 10
"""From the narrower bounds of `_bounds_by_order`; of 100,000 items six are enough."""
DEVIATIONS = 40.0
"""How many variances the square of (mean - k) may be: then P(N = k) is above exp(-40) or so.

Provided that the mean is within half a variance of k, so that a further constant of log 2 at most
brings it there. A few deviations of a small variance may be items that are certain to all digits.
"""


class Prepared(NamedTuple):
    """What samples, the normaliser and the marginals share, without a gradient."""

    shift: Tensor
    """`(batch, 1)`: what is added to the scores."""
    levels: Levels
    """The tree over the bits with the shifted scores."""


@torch.no_grad()
def prepare(scores: Tensor, k: int) -> Prepared:
    """Tilt scores `(batch, n)`, in float32 or float64, and count their bits."""
    # from here on the batch comes last, so that vectors run along it
    columns = scores.t().contiguous()
    shift = tilt(columns, k)
    return Prepared(shift.unsqueeze(1), _marked_levels(columns + shift, k))


@torch.no_grad()
def tilt(scores: Tensor, k: int) -> Tensor:
    """A constant for each column of `(n, batch)` that makes sum sigmoid(scores + constant) near k.

    Newton's steps inside a bracket that halves; -inf scores are masks.
    """
    readable = checks.values_readable(scores) and scores.device.type == "cpu"
    lowest = scores.amin(0) if readable else None
    if lowest is not None and bool((lowest > -torch.inf).all()):
        # k of k: the root is at infinity, and half an item off is near enough
        n = len(scores)
        centre = torch.tensor(min(n - 0.5, max(k, 0.5)) / n, dtype=scores.dtype).logit()
        constant = centre - scores.mean(0)
        low, high, steps = centre - scores.amax(0), centre - lowest, MAX_STEPS
    else:
        low, high = _bounds_by_order(scores, k)
        one = torch.where(high.isfinite(), high, low)
        constant = torch.where((high - low).isfinite(), (low + high) / 2, one)
        # none of no possible ones
        constant = torch.where(constant.isfinite(), constant, 0.0)
        steps = STEPS_BY_ORDER
    for _ in range(steps):
        p = (scores + constant).sigmoid()
        excess = p.sum(0) - k
        variance = (k + excess - p.square().sum(0)).clamp(min=1e-6)
        reach = torch.minimum(variance / 2, (DEVIATIONS * variance).sqrt())
        # k = 0 gets no nearer than half an item, and rounding may keep it from that
        near = excess.abs() <= reach.clamp(min=0.6)
        if readable and bool(near.all()):
            break
        high = torch.where(excess > 0, constant, high)
        low = torch.where(excess > 0, low, constant)
        step = constant - excess / variance
        inside = (step > low) & (step < high)
        constant = torch.where(near, constant, torch.where(inside, step, (low + high) / 2))
    return constant


def _bounds_by_order(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Bounds of the constant that need no step to be seen: a few units apart, whatever the scores.

    Where the k-th score and the next are far apart they cross, and any constant between will do.
    One of them is infinite if all that are possible are chosen, or none.
    """
    n = len(scores)
    largest = scores.topk(min(k + 1, n), 0).values
    infinite = torch.full_like(scores[0], torch.inf)
    # the k largest alone sum to k - 1/2 there, at least; the others to 1/2, at most
    high = math.log(2 * k - 1) - largest[k - 1] if k else -infinite
    low = -math.log(2 * (n - k) - 1) - largest[k] if k < n else infinite
    return low, high


def _marked_levels(columns: Tensor, k: int) -> Levels:
    """The tree that counts bits: of those that are 1 and those that are 0, the fewer are marked."""
    p, q = columns.sigmoid(), (-columns).sigmoid()
    marked, mark = _marked(len(columns), k)
    return count_levels(torch.stack([q, p] if mark else [p, q]), marked)


def _marked(n: int, k: int) -> tuple[int, int]:
    """How many bits are marked and what a mark means: 1, or else 0 where fewer are."""
    return (k, 1) if 2 * k <= n else (n - k, 0)


def log_prob_and_marginals(scores: Tensor, k: int, levels: Levels) -> tuple[Tensor, Tensor, Tensor]:
    """log P(N = k), `(batch,)`, and P(bit i is 1 given N = k), `(batch, n)`, and that it is 0.

    Each is right to its last digits, however small. Differentiable for ever: the gradient of the
    first is marginals - sigmoid(scores), that of the second the covariance of the bits.

    Args:
        scores: `(batch, n)`, shifted as `prepare` says.
        k: how many bits are 1.
        levels: what `prepare` computed.
    """
    if checks.values_readable(scores):
        return _KOfN.apply(scores, k, levels)  # type: ignore[no-untyped-call]
    return _composed(scores, k)


def k_hot_from_uniforms(levels: Levels, n: int, k: int, uniforms: Tensor) -> Tensor:
    """Exact draws of n bits given N = k, from uniforms `(num_samples, n, batch)` on (0, 1).

    The count is split between the root's children, theirs between their children, down to the bits:
    each split inverts the distribution function of one number. In float64, so that both tails of it
    are resolved.
    """
    marked, mark = _marked(n, k)
    counts = torch.full_like(uniforms[:, :1], marked, dtype=torch.int64)
    used = 0
    for level in reversed(levels):
        pairs = level.shape[1] // 2
        counts = split_counts(level, counts, uniforms[:, used : used + pairs])
        used += pairs
    drawn = counts[:, :n].to(levels[0].dtype)
    return drawn if mark else 1 - drawn


def _composed(scores: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The three, as autograd differentiates them."""
    columns = scores.t()
    levels, (marked, mark) = _marked_levels(columns, k), _marked(len(columns), k)
    total = coefficient(levels[-1], marked)
    _, to_leaves = descend(levels, coefficient_gradient(levels[-1], marked), slice(0, 2))
    to_p, to_q = (to_leaves[leaf, : len(columns)] / total for leaf in (mark, 1 - mark))
    of_1, of_0 = (columns.sigmoid() * to_p).t(), ((-columns).sigmoid() * to_q).t()
    # probabilities, in spite of rounding
    of_1, of_0 = (x - (x - 1).clamp(min=0).detach() for x in (of_1, of_0))
    return total.log(), of_1, of_0


class _KOfN(Function):
    """The same with its gradient written out, which is cheaper than autograd's own."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, k: int, levels: Levels) -> tuple[Tensor, Tensor, Tensor]:
        n = scores.shape[1]
        marked, mark = _marked(n, k)
        total = coefficient(levels[-1], marked)
        seed = coefficient_gradient(levels[-1], marked)
        gradients, to_leaves = descend(levels, seed, slice(0, 2))
        # what a bit's marginal is over its p, and that of a 0 over its q
        chances = to_leaves[:, :n] / total
        chance = chances[mark]
        # on the context and not among its saved tensors, so that a distribution may keep what it
        # computed for more than one backward pass
        ctx.scores, ctx.k, ctx.levels, ctx.gradients = scores, k, levels, gradients
        ctx.total, ctx.chance = total, chance
        of_1, of_0 = (
            (levels[0][leaf, :n] * chances[leaf]).t().contiguous() for leaf in (mark, 1 - mark)
        )
        return total.log(), of_1.clamp_(max=1), of_0.clamp_(max=1)  # rounding may put them above

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        scores, k, levels = ctx.scores, ctx.k, ctx.levels
        if torch.is_grad_enabled():  # someone will differentiate the gradient
            results = _composed(scores, k)
            (gradient,) = torch.autograd.grad(results, scores, upstream, create_graph=True)
            return gradient, None, None
        to_log_prob, to_1, to_0 = upstream
        direction = to_1 - to_0
        n, total, chance = scores.shape[1], ctx.total, ctx.chance
        marked, mark = _marked(n, k)
        p, q = levels[0][mark, :n], levels[0][1 - mark, :n]
        # the covariance of the bits is symmetric: its product with the upstream gradient is how
        # the marginals change when the scores move along it
        step = direction.t().contiguous() * p * q
        leaves = torch.zeros_like(levels[0])
        leaves[mark, :n], leaves[1 - mark, :n] = step, -step
        moved = moved_levels(levels, leaves)
        moved_total = (ctx.gradients[0] * moved[-1]).sum((0, 1)) / total
        seed = coefficient_gradient(moved[-1], marked)
        moved_to_p = moved_descent(levels, moved, ctx.gradients, seed, mark)[:n]
        # p times the chance is the marginal
        gradient = step * chance + p * (
            moved_to_p / total - chance * moved_total + to_log_prob * (chance - 1)
        )
        return gradient.t().contiguous(), None, None
