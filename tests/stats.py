"""Statistical checks that neither flake nor pass everything.

Each returns a `Verdict`: true or false, with the figures. A test asserts that the right sampler
passes and that a deliberately wrong one, its mutant, doesn't. Bounds come from the sample size and
a false alarm rate of 1e-6, never from taste.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from scipy import stats
from torch import Generator, Tensor

ALPHA = 1e-6
MISSED = 1e-3
PILOT = 2_000
MAX_REPLICATES = 5_000_000
PIECE = 5_000

Cdf = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Verdict:
    """Whether a check passed, and by how much."""

    passed: bool
    figures: str

    def __bool__(self) -> bool:
        return self.passed


class InvalidTestError(Exception):
    """The test can't decide: neither the right code nor a mutant may pass it so."""


def cells_fit(counts: Tensor, probs: Tensor, *, alpha: float = ALPHA) -> Verdict:
    """Exact two-sided binomial test of each cell of a joint distribution, at alpha / cells."""
    total = int(counts.sum())
    observed = counts.flatten().to(torch.int64).numpy()
    expected = probs.detach().flatten().to(torch.float64).numpy()
    if not math.isclose(expected.sum(), 1, abs_tol=1e-6):
        raise InvalidTestError(f"the expected probabilities sum to {expected.sum()}")
    below = stats.binom.cdf(observed, total, expected)
    above = stats.binom.sf(observed - 1, total, expected)
    p_values = 2 * torch.from_numpy(below).minimum(torch.from_numpy(above))
    worst = int(p_values.argmin())
    return Verdict(
        bool(p_values[worst] > alpha / len(observed)),
        f"cell {worst} of {len(observed)}: {observed[worst]} of {total}, "
        f"expected {expected[worst] * total:.4g}, p = {float(p_values[worst]):.3g}",
    )


def event_fits(hits: int, total: int, prob: float, *, alpha: float = ALPHA) -> Verdict:
    """Exact two-sided binomial test of one event."""
    p_value = stats.binomtest(hits, total, prob).pvalue
    return Verdict(
        bool(p_value > alpha), f"{hits} of {total}, expected {prob * total:.4g}, p = {p_value:.3g}"
    )


def distribution_fits(sample: Tensor, cdf: Cdf, *, alpha: float = ALPHA) -> Verdict:
    """The DKW bound: sup |F_n - F| <= sqrt(log(2 / alpha) / 2n) for any continuous F."""
    ordered = sample.detach().flatten().to(torch.float64).sort().values
    n = len(ordered)
    expected = cdf(ordered)
    steps = torch.arange(n + 1, dtype=torch.float64) / n
    distance = float(torch.maximum(steps[1:] - expected, expected - steps[:-1]).max())
    bound = math.sqrt(math.log(2 / alpha) / (2 * n))
    return Verdict(distance < bound, f"sup |F_n - F| = {distance:.3g}, bound {bound:.3g}, n = {n}")


def cells_agree(first: Tensor, second: Tensor, *, alpha: float = ALPHA) -> Verdict:
    """Whether two tables of counts may be alike: each cell's exact test given both counts."""
    x, y = (counts.flatten().to(torch.int64).numpy() for counts in (first, second))
    drawn = (x.sum() + y.sum(), x.sum(), x + y)
    below, above = stats.hypergeom.cdf(x, *drawn), stats.hypergeom.sf(x - 1, *drawn)
    p_values = 2 * torch.from_numpy(below).minimum(torch.from_numpy(above))
    worst = int(p_values.argmin())
    return Verdict(
        bool(p_values[worst] > alpha / len(x)),
        f"cell {worst} of {len(x)}: {x[worst]} of {x.sum()} and {y[worst]} of {y.sum()}, "
        f"p = {float(p_values[worst]):.3g}",
    )


def samples_agree(first: Tensor, second: Tensor, *, alpha: float = ALPHA) -> Verdict:
    """Whether two samples may have one continuous distribution: each within its DKW bound of it."""
    x, y = (sample.detach().flatten().to(torch.float64).sort().values for sample in (first, second))
    points = torch.cat([x, y])
    below = [torch.searchsorted(z, points, right=True) / len(z) for z in (x, y)]
    distance = float((below[0] - below[1]).abs().max())
    # either bound fails with a probability of alpha / 2
    bound = sum(math.sqrt(math.log(4 / alpha) / (2 * len(z))) for z in (x, y))
    return Verdict(distance < bound, f"sup |F_n - F_m| = {distance:.3g}, bound {bound:.3g}")


def gumbel_cdf(x: Tensor) -> Tensor:
    return (-(-x).exp()).exp()


def logistic_cdf(x: Tensor) -> Tensor:
    return x.sigmoid()


def unbiased(
    replicate: Callable[[int, Generator], Tensor],
    exact: Tensor,
    *,
    generator: Generator,
    delta: float | None = None,
) -> Verdict:
    """z-test that the mean of independent replicates is `exact`, in every coordinate.

    A pilot run tells how many replicates are needed.

    Args:
        replicate: `(n, generator)` to `(n, *exact.shape)`, n independent estimates.
        exact: the right answer.
        generator: of the test; the pilot run has another, derived from it.
        delta: the smallest bias that matters, 5 % of the largest coordinate if not given. Missed
            with a probability of 1e-3 at most.
    """
    exact = exact.detach().flatten().to(torch.float64)
    delta = 0.05 * float(exact.abs().max()) if delta is None else delta
    z_alpha, z_beta = stats.norm.isf(ALPHA / len(exact) / 2), stats.norm.isf(MISSED)
    pilot_generator = torch.Generator().manual_seed(generator.initial_seed() + 1)
    _, sigma, skew = _moments(replicate(PILOT, pilot_generator))
    power = math.ceil(((z_alpha + z_beta) * float(sigma.max()) / delta) ** 2)
    # the first Edgeworth term: how far the tail at z may be from a normal one's
    edgeworth = z_alpha**3 / 6
    symmetric = math.ceil((skew * edgeworth / 0.5) ** 2)
    n = max(PILOT, power, min(20_000, symmetric))
    if n > MAX_REPLICATES:
        raise InvalidTestError(f"needs {n} replicates; choose a smaller toy")
    # in pieces: what an estimator holds of them fits into the processor's cache
    sizes = [min(PIECE, n - start) for start in range(0, n, PIECE)]
    mean, std, skew = _moments(torch.cat([replicate(size, generator).detach() for size in sizes]))
    if skew * edgeworth / math.sqrt(n) > 0.7:
        raise InvalidTestError(f"skewness {skew:.3g} with n = {n}; raise n")
    # rounding, for coordinates that don't vary at all
    slack = 1e-9 * float(exact.abs().max())
    score = (mean - exact).abs() / (z_alpha * std / math.sqrt(n) + slack)
    worst = int(score.argmax())
    return Verdict(
        bool(score[worst] < 1),
        f"coordinate {worst}: mean {float(mean[worst]):.6g}, exact {float(exact[worst]):.6g}, "
        f"{float(score[worst]):.3g} of the bound, n = {n}",
    )


def _moments(draws: Tensor) -> tuple[Tensor, Tensor, float]:
    """Mean and standard deviation of each coordinate of `(n, ...)`, and the largest skewness."""
    draws = draws.detach().to(torch.float64).flatten(1)
    mean, std = draws.mean(0), draws.std(0)
    third = (draws - mean).pow(3).mean(0).abs()
    return mean, std, float((third / std.pow(3).clamp(min=torch.finfo(std.dtype).tiny)).max())


def log_ratio_below(a: Tensor, b: Tensor) -> float:
    """Upper end of a one-sided interval for log(var a / var b), variances summed over coordinates.

    Of replicates `(n, ...)`, paired or not. The variances' influence functions give the ratio's
    standard error.
    """
    first, second = ((x - x.mean(0)).reshape(len(x), -1).square().sum(-1) for x in (a, b))
    influence = first / first.mean() - second / second.mean()
    error = float(stats.norm.isf(ALPHA)) * influence.std() / math.sqrt(len(a))
    return float((first.mean() / second.mean()).log() + error)


def integral(f: Callable[[Tensor], Tensor], *ends: float, pieces: int = 400) -> Tensor:
    """Composite Gauss-Legendre quadrature of f between the first and the last end.

    Name every discontinuity as an end of its own. f maps `(n,)` points in float64 to `(n,)` values.
    """
    nodes, weights = _gauss_legendre(20)
    total = torch.zeros((), dtype=torch.float64)
    for low, high in pairwise(ends):
        edges = torch.linspace(low, high, pieces + 1, dtype=torch.float64)
        half = (edges[1:] - edges[:-1]).unsqueeze(-1) / 2
        points = edges[:-1].unsqueeze(-1) + half * (1 + nodes)
        total = total + (half * weights * f(points.flatten()).view_as(points)).sum()
    return total


def _gauss_legendre(order: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights on [-1, 1], from the eigenvectors of the Jacobi matrix (Golub, Welsch)."""
    k = torch.arange(1, order, dtype=torch.float64)
    off = k / (4 * k.square() - 1).sqrt()
    nodes, vectors = torch.linalg.eigh(torch.diag(off, 1) + torch.diag(off, -1))
    return nodes, 2 * vectors[0].square()
