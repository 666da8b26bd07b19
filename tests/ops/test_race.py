"""The exponential race: quadrature nodes, and noise given who came first."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from distributions.subsets import k_hot_vectors
from stats import distribution_fits, gumbel_cdf, logistic_cdf, samples_agree
from torch import Generator, Tensor
from torch.autograd import gradcheck, gradgradcheck

from hotgrad import ops
from hotgrad.ops.quadrature import gauss_legendre
from hotgrad.ops.race import log_arrived

INF = math.inf
LOGITS = torch.tensor([1.0, -2.0, 0.5, -INF, 2.0, -1.0], dtype=torch.float64)
N, K = len(LOGITS), 2

Conditional = Callable[[Tensor, Tensor, Tensor], Tensor]


def fresh(n: int, generator: Generator, dtype: torch.dtype = torch.float64) -> Tensor:
    return ops.draw_gumbel((n, N), dtype=dtype, generator=generator)


def sets(n: int, generator: Generator) -> Tensor:
    return ops.k_hot(LOGITS + fresh(n, generator), K, torch.float64)


def given_set(logits: Tensor, chosen: Tensor, noise: Tensor) -> Tensor:
    return ops.gumbel_given_set(logits, chosen, noise, K)


def given_some_order(logits: Tensor, chosen: Tensor, noise: Tensor) -> Tensor:
    """Mutant: the set's items by their number, and not in an order that is drawn too."""
    return ops.gumbel_given_order(logits, chosen.topk(K).indices.sort(-1).values, noise)


def given_first_time(logits: Tensor, chosen: Tensor, noise: Tensor) -> Tensor:
    """Mutant: the members' noise above what the others' best happens to be."""
    others = torch.where(chosen > 0.5, -INF, logits + noise).amax(-1, keepdim=True)
    above = -torch.log(torch.rand(noise.shape[0], 1).to(noise)) - (logits - others)
    return torch.where(chosen > 0.5, above.maximum(others - logits + 1e-9), noise)


def test_nodes_integrate_polynomials_of_twice_their_number() -> None:
    like = torch.zeros((), dtype=torch.float64)
    for count in (1, 2, 8, 64, 128):
        x, weights = gauss_legendre(count, like)
        assert weights.sum().item() == pytest.approx(2, rel=1e-13)
        assert bool((x.diff() > 0).all())
        power = 2 * count - 2
        assert (weights * x**power).sum().item() == pytest.approx(2 / (power + 1), rel=1e-11)
        if count < 64:
            over = (weights * x ** (2 * count)).sum().item()
            assert over != pytest.approx(2 / (2 * count + 1), rel=1e-11)  # one degree too many
    assert gauss_legendre(8, like.float())[0].dtype == torch.float32


def test_the_probability_of_an_arrival_keeps_both_tails() -> None:
    times = torch.tensor([1e-40, 1e-12, 9.99e-4, 1.001e-3, 0.1, 1.0, 30.0]).double()
    torch.testing.assert_close(
        log_arrived(times.log()), (-torch.expm1(-times)).log(), rtol=1e-14, atol=1e-15
    )
    assert log_arrived(torch.tensor(800.0)) == 0
    assert log_arrived(torch.tensor(-800.0)) == -800
    x = torch.linspace(-9.0, 5.0, 41, dtype=torch.float64).requires_grad_()
    assert gradcheck(log_arrived, (x,))


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_the_set_always_comes_first(scale: float, generator: Generator) -> None:
    for chosen in k_hot_vectors(N, K)[:, None]:
        if bool((chosen[..., LOGITS == -INF] > 0).any()):
            continue
        noise = ops.gumbel_given_set(LOGITS * scale, chosen, fresh(1000, generator), K)
        won = ops.k_hot(LOGITS * scale + noise, K, torch.float64)
        assert torch.equal(won, chosen.expand(1000, N))
    assert not torch.equal(sets(1000, generator)[:1].expand(1000, N), sets(1000, generator))


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_the_order_always_is_the_one_given(scale: float, generator: Generator) -> None:
    for order in itertools.permutations([0, 1, 2, 4, 5], 3):
        wanted = torch.tensor(order)
        noise = ops.gumbel_given_order(LOGITS * scale, wanted, fresh(1000, generator))
        assert torch.equal((LOGITS * scale + noise).topk(3).indices, wanted.expand(1000, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_set_comes_first_up_to_rounding(dtype: torch.dtype, generator: Generator) -> None:
    logits = LOGITS.to(dtype)
    for chosen in k_hot_vectors(N, K)[[0, 1, 3, 10, 14], None].to(dtype):
        noise = ops.gumbel_given_set(logits, chosen, fresh(3000, generator, torch.float32), K)
        assert noise.dtype == torch.float32
        scores = logits.float() + noise
        worst_member = torch.where(chosen > 0.5, scores, INF).amin(-1)
        best_other = torch.where(chosen > 0.5, -INF, scores).amax(-1)
        slack = 8 * torch.finfo(torch.float32).eps * (1 + best_other.abs())
        assert bool((worst_member >= best_other - slack).all())


def is_plain_noise(noise: Tensor) -> bool:
    """All elements, and the differences and sums of all pairs, as independent noise has them."""
    pairs = list(itertools.combinations(range(N), 2))
    level = 1e-6 / (3 * len(pairs))
    generator = torch.Generator().manual_seed(1)
    plain = fresh(len(noise), generator)
    return (
        all(distribution_fits(noise[:, i], gumbel_cdf, alpha=level) for i in range(N))
        and all(
            distribution_fits(noise[:, i] - noise[:, j], logistic_cdf, alpha=level)
            for i, j in pairs
        )
        and all(
            samples_agree(noise[:, i] + noise[:, j], plain[:, i] + plain[:, j], alpha=level)
            for i, j in pairs
        )
    )


def test_over_all_sets_it_is_gumbel_noise(generator: Generator) -> None:
    n = 10_000
    assert is_plain_noise(given_set(LOGITS, sets(n, generator), fresh(n, generator)))
    # mutants, which all lead to the set
    for mutant in (given_some_order, given_first_time):
        assert not is_plain_noise(mutant(LOGITS, sets(n, generator), fresh(n, generator)))
    possible = k_hot_vectors(N, K)[k_hot_vectors(N, K)[:, 3] == 0]
    uniform = possible.repeat(n // len(possible), 1)  # mutant: sets that are equally likely
    assert not is_plain_noise(given_set(LOGITS, uniform, fresh(len(uniform), generator)))


def test_over_all_orders_it_is_gumbel_noise(generator: Generator) -> None:
    n = 50_000
    order = (LOGITS + fresh(n, generator)).topk(3).indices
    assert is_plain_noise(ops.gumbel_given_order(LOGITS, order, fresh(n, generator)))
    # mutant: another order of the same items
    other = ops.gumbel_given_order(LOGITS, order.flip(-1), fresh(n, generator))
    assert not is_plain_noise(other)


@pytest.mark.parametrize("chosen", [[0, 2], [1, 4]])
def test_given_a_set_it_is_the_noise_that_led_there(
    chosen: list[int], generator: Generator
) -> None:
    """Against rejection: the noise among plain noise that has this outcome."""
    outcome = torch.zeros(N, dtype=torch.float64).index_fill(0, torch.tensor(chosen), 1.0)
    plain = fresh(200_000, generator)
    kept = plain[(ops.k_hot(LOGITS + plain, K, torch.float64) == outcome).all(-1)]
    assert len(kept) > 2000
    directions = torch.cat([torch.eye(N), torch.randn(10, N, generator=generator)]).double()

    def agrees(conditional: Conditional) -> bool:
        noise = conditional(LOGITS, outcome.expand(20_000, N), fresh(20_000, generator))
        return all(
            samples_agree(kept @ direction, noise @ direction, alpha=1e-6 / len(directions))
            for direction in directions
        )

    assert agrees(given_set)
    assert not agrees(given_some_order)
    assert not agrees(given_first_time)


@pytest.mark.parametrize("k", [0, 1, 2, 5])
def test_gradients(k: int, generator: Generator) -> None:
    mask = LOGITS == -INF
    scores = torch.randn(N, dtype=torch.float64, generator=generator).requires_grad_()
    noise = fresh(1, generator).requires_grad_()
    masked = torch.where(mask, -INF, scores.detach())
    order = masked.topk(k).indices.flip(-1)
    outcome = torch.zeros(N, dtype=torch.float64).scatter(0, order, 1.0)

    def set_noise(scores: Tensor, noise: Tensor) -> Tensor:
        return ops.gumbel_given_set(torch.where(mask, -INF, scores), outcome, noise, k)

    def order_noise(scores: Tensor, noise: Tensor) -> Tensor:
        return ops.gumbel_given_order(torch.where(mask, -INF, scores), order, noise)

    for function in (set_noise, order_noise):
        assert gradcheck(function, (scores, noise))
        assert gradgradcheck(function, (scores, noise), fast_mode=True)


def test_single_precision_agrees_with_double(generator: Generator) -> None:
    noise = fresh(5000, generator)
    outcome = sets(5000, generator)
    double = given_set(LOGITS, outcome, noise)
    single = given_set(LOGITS.float(), outcome.float(), noise.float())
    error = (single.double() - double).abs()
    assert float(error.quantile(0.999)) < 1e-4
    assert float(error.max()) < 0.05
