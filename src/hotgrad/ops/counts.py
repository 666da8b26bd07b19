"""How many of n independent bits are 1: Poisson-binomial counts, as a tree of polynomials.

Bit i is the polynomial q_i + p_i x, and P(N = j) is the coefficient of x^j in their product. The
product is taken in pairs, pairs of pairs and so on, keeping no coefficient beyond the wanted one:
log2 n passes over batches instead of n steps, O(n k) multiplications and O(n log k) memory.
Gradients run down the same tree, and so do the gradients' directional derivatives.

A level is `(coefficients, nodes, batch)`: node i of its first half is multiplied with node i of
its second half, and a last odd node goes up as it is. The last level has two nodes, the root's
children.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from hotgrad.ops import checks
from hotgrad.ops.polynomials import add_correlation, add_product, correlate, product

Levels = list[Tensor]

SHORT = 32
"""Up to so many coefficients are not worth looking at."""


def count_levels(leaves: Tensor, degree: int) -> Levels:
    """The tree over `leaves` = (q, p) of shape `(2, n, batch)`, up to x^degree."""
    if leaves.shape[1] == 1:
        certain = torch.ones_like(leaves[:1])
        leaves = torch.cat([leaves, F.pad(certain, (0, 0, 0, 0, 0, 1))], 1)
    levels = [leaves]
    while levels[-1].shape[1] > 2:
        left, right = _pairs(levels[-1]).unbind(1)
        level = _with_odd_node(product(left, right, degree), levels[-1])
        levels.append(_without_tail(level))
    return levels


def _without_tail(level: Tensor) -> Tensor:
    """A level without the last coefficients that are next to nothing in every node.

    Many of them are denormal numbers, with which a processor is fifty times slower.
    """
    short = level.shape[0] <= SHORT
    if short or level.device.type != "cpu" or not checks.values_readable(level):
        return level
    info = torch.finfo(level.dtype)
    seen = (level.detach().flatten(1).amax(1) > info.tiny / info.eps).nonzero()
    return level[: int(seen[-1]) + 1] if len(seen) else level


def _pairs(level: Tensor) -> Tensor:
    """`(coefficients, 2, half, batch)`."""
    half = level.shape[1] // 2
    return level[:, : 2 * half].unflatten(1, (2, half))


def _with_odd_node(products: Tensor, below: Tensor) -> Tensor:
    """The next level: the products, and the last node below if it has no partner."""
    if below.shape[1] % 2 == 0:
        return products
    return torch.cat([products, _last_node(below, len(products))], 1)


def _last_node(level: Tensor, size: int) -> Tensor:
    """The node without a partner, with `size` coefficients: cut, or with zeros for the missing."""
    last = level[:size, -1:]
    return F.pad(last, (0, 0, 0, 0, 0, size - len(last)))


def coefficient(root: Tensor, k: int) -> Tensor:
    """P(N = k) from the last level, `(batch,)`."""
    span = _span(root, k)
    left, right = root[span].unbind(1)
    return (left * right.flip(0)).sum(0)


def coefficient_gradient(root: Tensor, k: int) -> Tensor:
    """The gradient of P(N = k) to the last level; linear in that level."""
    span = _span(root, k)
    return F.pad(root[span].flip(0, 1), (0, 0, 0, 0, span.start, len(root) - span.stop))


def _span(root: Tensor, k: int) -> slice:
    """How much of k either child can have."""
    return slice(max(0, k - len(root) + 1), min(k, len(root) - 1) + 1)


def descend(levels: Levels, gradient: Tensor, marks: slice) -> tuple[Levels, Tensor]:
    """From the gradient to the last level, those to the others, and to each leaf's `marks`.

    Returns:
        The gradients to the levels above the leaves, the last level's first; and that to the
        leaves' coefficients of these powers of x, `(coefficients, nodes, batch)`.
    """
    gradients = [gradient]
    for level in levels[-2:0:-1]:
        upper = gradients[-1]
        swapped = correlate(_paired(upper, level), _pairs(level), len(level))
        gradients.append(_unpaired(swapped, upper, level))
    if len(levels) == 1:
        return gradients, gradient[marks]
    upper, leaves = gradients[-1][marks.start :], levels[0]
    swapped = correlate(_paired(upper, leaves), _pairs(leaves), marks.stop - marks.start)
    return gradients, _unpaired(swapped, upper, leaves)


def _paired(upper: Tensor, level: Tensor) -> Tensor:
    """The gradients to products, `(coefficients, 1, half, batch)`."""
    return upper[:, None, : level.shape[1] // 2]


def _unpaired(swapped: Tensor, upper: Tensor, level: Tensor) -> Tensor:
    """The gradient to a level: to each node of a pair, what its partner correlates with."""
    to_right, to_left = swapped.unbind(1)
    if level.shape[1] % 2 == 0:
        return torch.cat([to_left, to_right], 1)
    return torch.cat([to_left, to_right, _last_node(upper, len(swapped))], 1)


def moved_levels(levels: Levels, leaves: Tensor) -> Levels:
    """How the levels change when (q, p) move along `leaves`."""
    moved = [leaves]
    for level, above in pairwise(levels):
        left, right = _pairs(level).unbind(1)
        moved_left, moved_right = _pairs(moved[-1]).unbind(1)
        both = product(moved_left, right, above.shape[0] - 1)
        add_product(both, left, moved_right)
        moved.append(_with_odd_node(both, moved[-1]))
    return moved


def moved_descent(
    levels: Levels, moved: Levels, gradients: Levels, gradient: Tensor, mark: int
) -> Tensor:
    """How the gradient to the leaves' x^mark changes when the levels move.

    Args:
        levels: as they were.
        moved: how they move.
        gradients: what `descend` returned.
        gradient: how that to the last level changes.
        mark: the coefficient.
    """
    if len(levels) == 1:
        return gradient[mark]
    for level, moved_level, upper in zip(
        levels[-2:0:-1], moved[-2:0:-1], gradients[:-1], strict=True
    ):
        swapped = correlate(_paired(gradient, level), _pairs(level), len(level))
        add_correlation(swapped, _paired(upper, level), _pairs(moved_level))
        gradient = _unpaired(swapped, gradient, level)
    gradient, upper = gradient[mark:], gradients[-1][mark:]
    swapped = correlate(_paired(gradient, levels[0]), _pairs(levels[0]), 1)
    add_correlation(swapped, _paired(upper, levels[0]), _pairs(moved[0]))
    return _unpaired(swapped, gradient, levels[0])[0]


def split_counts(level: Tensor, totals: Tensor, uniforms: Tensor) -> Tensor:
    """Counts of a level's nodes given those of the level above, from one uniform for each pair.

    Args:
        level: `(coefficients, nodes, batch)`.
        totals: whole numbers, `(num_samples, nodes above, batch)`.
        uniforms: float64 on (0, 1), `(num_samples, pairs, batch)`.

    Returns:
        `(num_samples, nodes, batch)`.
    """
    left, right = _pairs(level).unsqueeze(2).unbind(1)
    total = totals[:, : left.shape[2]]
    if len(level) == 2:
        to_left = _split_between_bits(left, right, total, uniforms)
    else:
        most = len(level) - 1
        # zeros on both sides, for shares that the right node can't complete
        right = F.pad(right, (0, 0, 0, 0, 0, 0, most, most)).expand(-1, *total.shape)
        share = torch.arange(most, -1, -1, device=level.device).view(-1, 1, 1, 1)
        below = (left * right.gather(0, total + share)).double().cumsum(0)
        to_left = (below < uniforms * below[-1]).sum(0)
    return torch.cat([to_left, total - to_left, totals[:, left.shape[2] :]], 1)


def _split_between_bits(left: Tensor, right: Tensor, total: Tensor, uniforms: Tensor) -> Tensor:
    """Both of two, none, or one of them by its odds."""
    first = (left[1] * right[0]).double()
    chance = first / (first + left[0] * right[1])
    return (uniforms < torch.where(total == 1, chance, total / 2)).long()
