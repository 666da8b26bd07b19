r"""Bias and variance of a gradient from groups of replicates, without its noise taken for bias.

With d a replicate's deviation from the exact gradient, R replicates, b the bias and V the variance
(both over all coordinates), $|\bar d|^2$ has the mean $|b|^2 + V / R$; so

$$\hat B = |\bar d|^2 - \hat V / R$$

is unbiased for $|b|^2$. Where the exact gradient is itself an estimate, its variance is subtracted
as well. Of each replicate only sums are kept, one for each of a few groups: products between group
means say how far the mean may be off in every direction, and leaving groups out one after another
(the jackknife) gives the standard error of whatever is computed from them.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

GROUPS = 20
STUDENT = 2.0930
"""The 97.5 % quantile of Student's t with 19 degrees of freedom: one fewer than groups."""


class Tally:
    """Sums over replicates, by group.

    Args:
        centre: what gradients are compared with, `(coordinates,)` in float64.
        count: how many will be added, a multiple of `GROUPS`.
    """

    def __init__(self, centre: Tensor, count: int) -> None:
        self.centre, self.count, self.added = centre, count, 0
        self.sums = centre.new_zeros((GROUPS, len(centre)))
        self.squares = centre.new_zeros(GROUPS)
        self.cosines = centre.new_zeros(())
        self.non_finite = self.zeros = 0

    def add(self, gradients: Tensor) -> None:
        """Takes `(replicates, coordinates)`."""
        rows = torch.arange(self.added, self.added + len(gradients), device=gradients.device)
        self.added += len(gradients)
        gradients = gradients.to(torch.float64)
        self.non_finite += int((~gradients.isfinite().all(-1)).sum())
        lengths, length = gradients.norm(dim=-1), self.centre.norm()
        self.zeros += int((lengths == 0).sum())
        # a zero estimate has no direction, and counts as one at a right angle
        product = torch.where(lengths > 0, lengths, 1.0) * torch.where(length > 0, length, 1.0)
        self.cosines += ((gradients @ self.centre) / product).sum()
        deviations = gradients - self.centre
        groups = rows * GROUPS // self.count
        self.sums.index_add_(0, groups, deviations)
        self.squares.index_add_(0, groups, deviations.square().sum(-1))

    @property
    def means(self) -> Tensor:
        """Each group's mean deviation, `(GROUPS, coordinates)`."""
        return self.sums * (GROUPS / self.count)

    @property
    def variance(self) -> float:
        """Of one replicate, summed over the coordinates."""
        excess = self.squares.sum() / self.count - self.means.mean(0).square().sum()
        return max(float(excess) * self.count / (self.count - 1), 0.0)


@dataclass(frozen=True, eq=False)
class Errors:
    """A squared error, and what it is without each group in turn."""

    whole: float
    """Unbiased; may fall below 0."""
    positive: float
    """With a squared bias below 0 taken for none."""
    without: Tensor
    """`(GROUPS,)`, a group of its own replicates left out."""
    without_reference: Tensor
    """`(GROUPS,)`, a group of the exact gradient's left out; empty where that is no estimate."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What replicates say of an estimator.

    Args:
        count: replicates.
        size: coordinates.
        gram: products of the groups' mean deviations, `(GROUPS, GROUPS)`.
        cross: their products with the reference's own deviations by group, `(GROUPS, G)`.
        own: the products of those, `(G, G)`; G is 0 where the exact gradient is no estimate.
        squares: mean squared deviation in each group, `(GROUPS,)`.
        reference_square: the expected squared error of the exact gradient.
        cosine: mean cosine with the exact gradient.
        non_finite: replicates with a coordinate that is inf or NaN.
        zeros: replicates in which every coordinate is 0.
    """

    count: int
    size: int
    gram: Tensor
    cross: Tensor
    own: Tensor
    squares: Tensor
    reference_square: float
    cosine: float
    non_finite: int
    zeros: int

    @classmethod
    def of(cls, tally: Tally, spread: Tensor, reference_square: float) -> "Measured":
        """From the sums, and the deviations of the reference's groups from it, `(G, D)`."""
        means = tally.means
        return cls(
            count=tally.count,
            size=len(tally.centre),
            gram=(means @ means.T).cpu(),
            cross=(means @ spread.T).cpu(),
            own=(spread @ spread.T).cpu(),
            squares=(tally.squares * (GROUPS / tally.count)).cpu(),
            reference_square=reference_square,
            cosine=float(tally.cosines) / tally.count,
            non_finite=tally.non_finite,
            zeros=tally.zeros,
        )

    @property
    def variance(self) -> float:
        """Of one call, summed over the coordinates."""
        return max(float(self._variance(self.gram.mean(), self.squares.mean(), self.count)), 0.0)

    @property
    def bias_square(self) -> float:
        """Unbiased for the squared length of the bias; may fall below 0 where that is small."""
        return self.errors(math.inf).whole

    @property
    def mean_square(self) -> float:
        """The squared error of one call, expected."""
        return max(float(self.squares.mean()) - self.reference_square, 0.0)

    def bias_interval(self) -> tuple[float, float]:
        r"""A 95 % interval for the length of the bias.

        With $\beta$ the squared length and $\Sigma$ the covariance of the mean deviation, the
        estimate $\hat B$ has the variance $4 b^\top \Sigma b + 2 \mathrm{tr} \Sigma^2$, of which
        the first term grows as $\beta$ and the second is there without any bias. The interval
        holds each $\beta$ whose own variance reaches $\hat B$:

        $$(\hat B - \beta)^2 \le t^2 (4 \kappa \beta + 2 \mathrm{tr} \Sigma^2), \quad
        \kappa = \frac{\bar d^\top \Sigma \bar d}{|\bar d|^2}.$$

        One standard error for all $\beta$, as the jackknife has it, would be too wide at 0.
        """
        groups, freedom = GROUPS, GROUPS - 1
        square = float(self.gram.mean())
        along = self.gram.mean(1) - square
        kappa = float(along.square().sum()) / (groups * freedom)
        centred = self.gram - self.gram.mean(0) - along.unsqueeze(1)
        spread = _trace_of_square(centred, self.size)
        if len(self.own):
            kappa += float(self.cross.mean(0).square().sum()) / (groups * freedom)
            centred = self.cross - self.cross.mean(0)
            between = float(centred.square().sum()) / (groups * freedom) ** 2
            spread += 2 * between + _trace_of_square(self.own, self.size)
        # a mean of exactly 0 has no direction: no variance is larger than this
        kappa = kappa / square if square > 0 else math.sqrt(spread)
        # an estimate below 0 says that the bias is small, not how small: its interval is that of 0
        estimate = max(self.bias_square, 0.0)
        return _end(estimate, -1, kappa, spread), _end(estimate, 1, kappa, spread)

    def errors(self, calls: float) -> Errors:
        """The squared error of the mean of so many calls."""
        rows, total, squares = self.gram.sum(1), self.gram.sum(), self.squares.sum()
        mean = self._squared_error(total / GROUPS**2, squares / GROUPS, self.count, calls)
        left = GROUPS - 1
        without = self._squared_error(
            (total - 2 * rows + self.gram.diagonal()) / left**2,
            (squares - self.squares) / left,
            self.count * left / GROUPS,
            calls,
        )
        # without its group j, the reference moves by minus that group's deviation over `left`
        shift = 2 * self.cross.mean(0) / left + self.own.diagonal() / left**2
        bias = self._squared_error(total / GROUPS**2, squares / GROUPS, self.count, math.inf)
        return Errors(
            float(mean),
            float(mean - bias.clamp(max=0.0)),
            without,
            mean + shift - self.reference_square / left,
        )

    def _squared_error(self, square: Tensor, squares: Tensor, count: float, calls: float) -> Tensor:
        """From the squared mean deviation and the mean squared one."""
        variance = self._variance(square, squares, count)
        return square - variance / count - self.reference_square + variance / calls

    @staticmethod
    def _variance(square: Tensor, squares: Tensor, count: float) -> Tensor:
        return (squares - square) * (count / (count - 1))


def _end(estimate: float, sign: int, kappa: float, spread: float) -> float:
    """The root of an end of the interval that `bias_interval` describes."""
    quantile = STUDENT**2
    middle = estimate + 2 * quantile * kappa
    reach = 4 * quantile * kappa * (estimate + quantile * kappa) + 2 * quantile * spread
    return math.sqrt(max(middle + sign * math.sqrt(max(reach, 0.0)), 0.0))


def _trace_of_square(centred: Tensor, size: int) -> float:
    r"""Estimates $\mathrm{tr} \Sigma^2$, Σ the covariance of the mean of normal group means.

    From the products of their deviations from their mean: without bias, unless that is less than
    $(\mathrm{tr} \Sigma)^2$ over the number of coordinates, which it can't be. Sparse gradients of
    which no two meet in a coordinate would otherwise seem to have a mean without noise.
    """
    freedom = GROUPS - 1
    trace = float(centred.diagonal().sum()) / freedom
    square = float(centred.square().sum()) / freedom**2
    scale = freedom**2 / ((freedom - 1) * (freedom + 2))
    return max(scale * (square - trace**2 / freedom), trace**2 / size) / GROUPS**2


def deviation_of_log_ratio(first: Errors, second: Errors) -> float:
    """The standard error of the logarithm of one error over another, not squared.

    To first order, so that a squared error that falls below 0 without some group does no harm.
    """
    scales = [2 * errors.positive for errors in (first, second)]
    variance = sum(
        _jackknife(errors.without / scale)
        for errors, scale in zip((first, second), scales, strict=True)
    )
    if len(first.without_reference):
        # one reference for both: its error moves them together
        difference = second.without_reference / scales[1] - first.without_reference / scales[0]
        variance += _jackknife(difference)
    return math.sqrt(variance)


def _jackknife(without: Tensor) -> float:
    """The variance of a figure, from what it is without each group."""
    return float((without - without.mean()).square().sum()) * (len(without) - 1) / len(without)
