"""Poisson-binomial counts: products of polynomials, the tilt, and k of n at extreme sizes."""

import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

import hotgrad as hg
from hotgrad.ops.k_of_n import prepare, tilt
from hotgrad.ops.polynomials import correlate, product

INF = math.inf


def multiplied(a: Tensor, b: Tensor, degree: int) -> Tensor:
    """The product term by term."""
    total = torch.zeros(len(a) + len(b) - 1, *torch.broadcast_shapes(a.shape[1:], b.shape[1:]))
    total = total.to(a)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            total[i + j] += x * y
    return total[: degree + 1]


@pytest.mark.parametrize(("left", "right"), [(1, 1), (2, 2), (1, 4), (4, 2), (3, 5)])
def test_products_and_their_adjoints(left: int, right: int, generator: Generator) -> None:
    a, b = (torch.randn(m, 2, 3, dtype=torch.float64, generator=generator) for m in (left, right))
    for degree in range(left + right):
        expected = multiplied(a, b, degree)
        torch.testing.assert_close(product(a, b, degree), expected)
        with torch.no_grad():
            torch.testing.assert_close(product(a, b, degree), expected)
        upstream = torch.randn(expected.shape, dtype=torch.float64, generator=generator)
        # <product(a, b), c> = <a, correlate(c, b)> = <b, correlate(c, a)>
        inner = (expected * upstream).sum()
        torch.testing.assert_close((a * correlate(upstream, b, left)).sum(), inner)
        torch.testing.assert_close((b * correlate(upstream, a, right)).sum(), inner)


def test_products_are_differentiable_for_ever(generator: Generator) -> None:
    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()

    for degree in (1, 3, 5):
        inputs = (draw(3, 2), draw(4, 2))
        assert gradcheck(lambda a, b, d=degree: product(a, b, d), inputs)
        assert gradgradcheck(lambda a, b, d=degree: product(a, b, d), inputs)
    for c, size in ((draw(5, 1, 2), 3), (draw(2, 1, 2), 3), (draw(6, 1, 2), 2)):
        inputs = (c, draw(4, 3, 2))  # the batch of c broadcasts
        assert gradcheck(lambda c, b, s=size: correlate(c, b, s), inputs)
        assert gradgradcheck(lambda c, b, s=size: correlate(c, b, s), inputs)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 12, 33])
def test_the_log_normalizer_is_the_counts_log_probability(n: int, generator: Generator) -> None:
    scores = torch.randn(3, n, dtype=torch.float64, generator=generator)
    counts = torch.ones(1, 3, dtype=torch.float64)
    for p in scores.sigmoid().unbind(1):
        counts = multiplied(counts, torch.stack([1 - p, p]), n)
    for k in range(n + 1):
        shift, levels = prepare(scores, k)
        # the same bits with another constant: e^(k shift) prod (1 + e^s) / (1 + e^(s + shift))
        tilted = (scores + shift).sigmoid()
        log_ratio = k * shift.squeeze(1) + ((1 - tilted) / (1 - scores.sigmoid())).log().sum(1)
        log_prob, *_ = hg.ops.k_of_n.log_prob_and_marginals(scores + shift, k, levels)
        torch.testing.assert_close(log_prob, counts[k].log() + log_ratio)


def log_space(logits: Tensor, k: int) -> Tensor:
    """log e_0 to log e_k of the weights, item by item in log space."""
    table = torch.full((*logits.shape[:-1], k + 1), -INF, dtype=torch.float64)
    table[..., 0] = 0
    for logit in logits.double().unbind(-1):
        table[..., 1:] = torch.logaddexp(table[..., 1:], table[..., :-1] + logit.unsqueeze(-1))
    return table


SHAPES = {
    "normal": lambda n, g: torch.randn(n, 50, generator=g),
    "two groups": lambda n, g: torch.randn(n, 50, generator=g).sign(),
    "groups": lambda n, g: torch.randint(-2, 3, (n, 50), generator=g) + 0.0,
    "one tail": lambda n, g: torch.randn(n, 50, generator=g).pow(4),
    "other tail": lambda n, g: -torch.randn(n, 50, generator=g).pow(4),
    "both tails": lambda n, g: torch.randn(n, 50, generator=g).pow(5),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_tilt_makes_k_no_rare_count(shape: str, generator: Generator) -> None:
    for n in (2, 5, 30, 200):
        for scale in (0.1, 3.0, 50.0, 1000.0):
            scores = (scale * SHAPES[shape](n, generator)).double()
            for k in {0, 1, n // 3, n // 2, n - 1, n}:
                tilted = (scores + tilt(scores, k)).t()
                spent = torch.where(tilted > 0, tilted, 0.0) + torch.log1p((-tilted.abs()).exp())
                log_prob = log_space(tilted, k)[:, k] - spent.sum(-1)
                assert log_prob.min() > -45


@pytest.mark.parametrize("shape", SHAPES)
def test_the_tilt_needs_few_steps_where_no_value_is_seen(shape: str, generator: Generator) -> None:
    """As in a compiled graph: with masks, soft masks and one score beyond all others too."""
    for n in (2, 30, 1000):
        for scale in (0.0, 3.0, 1000.0):
            scores = (scale * SHAPES[shape](n, generator)).double()
            scores[0, ::3], scores[-1, ::4], scores[1, 1::3] = 1e9, -1e9, -torch.inf
            # by vmap, which sees none
            for k in {0, 1, n // 3, n - 1}:
                constant = torch.func.vmap(lambda x, k=k: tilt(x.unsqueeze(1), k)[0], 1)(scores)
                p = (scores + constant).sigmoid()
                excess, variance = p.sum(0) - k, (p * (1 - p)).sum(0)
                assert (excess.abs() <= (variance / 2).clamp(min=0.6)).all()


def test_a_tilt_of_a_few_deviations_is_not_enough() -> None:
    """The mean is 3 less than sqrt(40) deviations off, and count 3 impossible in any precision."""
    scores = torch.tensor([200.0] * 5 + [0.0] + [-25.0] * 4)
    p = (scores - 0.85).sigmoid()
    excess, variance = p.sum() - 3, (p * (1 - p)).sum()
    assert excess.square() < 40 * variance
    q = hg.KSubset(scores, 3)
    assert log_space(scores - 0.85, 3)[3] - 5 * 199.15 < -190
    torch.testing.assert_close(q.mean, torch.tensor([0.6] * 5 + [0.0] * 5))
    torch.testing.assert_close(q.entropy(), torch.tensor(10.0).log())


def spread(n: int, scale: float, kind: str, generator: Generator) -> Tensor:
    """float32 logits of the given kind."""
    if kind == "uniform":
        return scale * (2 * torch.rand(n, generator=generator) - 1)
    if kind == "normal":
        return scale * torch.randn(n, generator=generator)
    if kind == "ends":
        return scale * torch.randn(n, generator=generator).sign()
    return torch.full((n,), scale)


EXTREMES = [
    (10_000, 100, 50.0, "uniform"),
    (10_000, 100, 50.0, "ends"),
    (10_000, 100, 1e4, "uniform"),
    (10_000, 100, 1e4, "equal"),
    (2000, 100, 15.0, "normal"),
    (2000, 1900, 15.0, "normal"),
    (500, 250, 1e4, "ends"),
]


@pytest.mark.parametrize(("n", "k", "scale", "kind"), EXTREMES)
def test_extremes_in_single_precision(
    n: int, k: int, scale: float, kind: str, generator: Generator
) -> None:
    logits = spread(n, scale, kind, generator)
    # the reference counts the fewer of the ones and the zeros
    fewer, sign = (k, 1) if 2 * k <= n else (n - k, -1)
    reference = log_space(sign * logits, fewer)[fewer]
    value = torch.zeros(n).index_fill(0, logits.topk(k).indices, 1.0)
    chosen = value if sign == 1 else 1 - value
    log_prob = (sign * logits.double() * chosen).sum() - reference
    single, double = hg.KSubset(logits, k), hg.KSubset(logits.double(), k)
    torch.testing.assert_close(double.log_prob(value.double()), log_prob, rtol=1e-11, atol=1e-8)
    torch.testing.assert_close(single.log_prob(value).double(), log_prob, rtol=3e-6, atol=1e-5)
    torch.testing.assert_close(single.entropy().double(), double.entropy(), rtol=2e-4, atol=1e-4)
    torch.testing.assert_close(single.mean.double(), double.mean, rtol=1e-5, atol=2e-6)
    assert float(double.mean.sum()) == pytest.approx(k, rel=1e-12)
    if kind == "equal":
        torch.testing.assert_close(single.mean, torch.full((n,), k / n), rtol=1e-5, atol=0)


class Sizes(TorchDispatchMode):
    """Records how many elements each new tensor has."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        results = func(*args, **(kwargs or {}))
        for result in results if isinstance(results, (tuple, list)) else (results,):
            if isinstance(result, Tensor) and not func.is_view:
                self.seen.append(result.numel())
        return results


def sizes_of_a_step(n: int, k: int) -> list[int]:
    """Of marginals and entropy with their gradient, and a sample, of one row."""
    logits = torch.linspace(-3, 3, n).requires_grad_()
    with Sizes() as sizes:
        q = hg.KSubset(logits, k)
        q.sample()
        (q.mean.square().sum() + q.entropy()).backward()
    return sizes.seen


def test_no_table_of_n_times_k_is_made() -> None:
    n = 2048
    many, few = (max(sizes_of_a_step(n, k)) for k in (100, 20))
    assert many <= 4 * n  # a plain dynamic programme's table has 100 n
    assert many == few


def test_the_fewer_of_ones_and_zeros_are_counted() -> None:
    few, many, half = (sum(sizes_of_a_step(1000, k)) for k in (5, 995, 500))
    assert many < 1.02 * few
    assert half > 1.3 * few  # what counting the more would cost
