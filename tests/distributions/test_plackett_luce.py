"""k of n drawn one after another: sums over orders, samples, noise, relaxations."""

import itertools
import math
from typing import Any

import pytest
import torch
from distributions.subsets import (
    counts_of,
    k_hot_vectors,
    marginals,
    order_log_prob,
    product_log_probs,
    race_log_probs,
)
from stats import cells_fit
from torch import Generator, Tensor
from torch.autograd import gradcheck, gradgradcheck

import hotgrad as hg

INF = math.inf
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
SIZES = [(1, 0), (1, 1), (2, 1), (4, 0), (4, 2), (4, 3), (5, 2), (5, 4), (5, 5), (6, 3)]
LOGITS = torch.tensor([1.0, 0.0, -1.0, 0.5, 2.0, -0.3])


@pytest.mark.parametrize("scale", [0.0, 1.0, 8.0, 50.0])
@pytest.mark.parametrize(("n", "k"), SIZES)
def test_is_the_sum_over_all_orders(n: int, k: int, scale: float, generator: Generator) -> None:
    logits = scale * torch.randn(n, dtype=torch.float64, generator=generator)
    log_probs = race_log_probs(logits, k)
    q = hg.PlackettLuceSubset(logits, k)
    states = q.enumerate_support()
    assert torch.equal(states, k_hot_vectors(n, k))
    # a relative error of 1e-11 in P(S), plus that of its logarithm
    torch.testing.assert_close(q.log_prob(states), log_probs, rtol=1e-14, atol=1e-11)
    assert q.log_prob(states).exp().sum().item() == pytest.approx(1, abs=1e-11)
    torch.testing.assert_close(q.mean, marginals(log_probs, n, k), rtol=0, atol=2e-11)
    torch.testing.assert_close(q.variance, q.mean * (1 - q.mean))
    entropy = -(log_probs.exp() * log_probs).sum()
    torch.testing.assert_close(q.entropy(), entropy, rtol=1e-10, atol=1e-10)
    assert q.log_prob(q.mode) >= log_probs.amax() - 1e-9
    single = hg.PlackettLuceSubset(logits.float(), k)
    torch.testing.assert_close(
        single.log_prob(states.float()).double(), log_probs, rtol=1e-6, atol=2e-5
    )
    torch.testing.assert_close(single.mean.double(), q.mean, rtol=0, atol=3e-6)
    if 0 < k < n and 0 < scale < 50:
        # mutant: the distribution of the product of the weights
        assert (product_log_probs(logits, k) - log_probs).abs().max() > 1e-3 or n == 2


def test_batches_and_masks(generator: Generator) -> None:
    logits = 2 * torch.randn(2, 3, 5, dtype=torch.float64, generator=generator)
    logits[0, :, 1] = -INF
    logits[1, 2, [0, 3, 4]] = -INF
    q = hg.PlackettLuceSubset(logits, 2)
    assert (q.batch_shape, q.event_shape) == ((2, 3), (5,))
    states = q.enumerate_support()
    assert states.shape == (10, 2, 3, 5)
    log_prob, mean, entropy = q.log_prob(states), q.mean, q.entropy()
    for row in itertools.product(range(2), range(3)):
        expected = race_log_probs(logits[row], 2)
        expected = torch.where(expected.isnan(), -INF, expected)
        torch.testing.assert_close(log_prob[:, *row], expected, rtol=0, atol=1e-11)
        torch.testing.assert_close(mean[row], marginals(expected, 5, 2), rtol=0, atol=1e-11)
        seen = expected[expected > -INF]
        torch.testing.assert_close(entropy[row], -(seen.exp() * seen).sum(), rtol=0, atol=1e-10)
    assert torch.equal(mean[1, 2], torch.tensor([0.0, 1.0, 1.0, 0.0, 0.0]).double())
    wide = q.expand((4, 2, 3))
    torch.testing.assert_close(wide.mean, mean.expand(4, 2, 3, 5))
    torch.testing.assert_close(q.to_event(1).log_prob(states), log_prob.sum(-1))


def test_marginals_are_those_of_the_sets(generator: Generator) -> None:
    logits = 3 * torch.randn(9, dtype=torch.float64, generator=generator)
    for k in range(10):
        q = hg.PlackettLuceSubset(logits, k)
        expected = marginals(q.log_prob(q.enumerate_support()), 9, k)
        torch.testing.assert_close(q.mean, expected, rtol=0, atol=3e-11)


@pytest.mark.parametrize(
    ("n", "k", "scale"),
    [(1000, 500, 1.0), (2000, 30, 50.0), (500, 250, 0.0), (500, 450, 50.0), (300, 299, 5.0)],
)
def test_marginals_of_many_items(n: int, k: int, scale: float, generator: Generator) -> None:
    """n rounding errors must not pass for the tail of the k-th arrival's distribution."""
    logits = scale * torch.randn(n, dtype=torch.float64, generator=generator)
    mean = hg.PlackettLuceSubset(logits, k).mean
    assert float(mean.sum()) == pytest.approx(k, rel=1e-11)
    assert mean.max() <= 1
    assert mean.min() >= 0
    single = hg.PlackettLuceSubset(logits.float(), k)
    torch.testing.assert_close(single.mean.double(), mean, rtol=0, atol=1e-5)
    assert single.mean.max() <= 1
    z = single.sample(generator=generator)
    double = hg.PlackettLuceSubset(logits.float().double(), k)
    torch.testing.assert_close(
        single.log_prob(z).double(), double.log_prob(z.double()), rtol=1e-6, atol=1e-3
    )


def test_orders_add_up_to_their_set(generator: Generator) -> None:
    logits = torch.randn(2, 5, dtype=torch.float64, generator=generator)
    logits[1, 2] = -INF
    q = hg.PlackettLuceSubset(logits, 3)
    orders = torch.tensor(list(itertools.permutations(range(5), 3)))
    log_probs = q.log_prob_of_order(orders.unsqueeze(1))
    assert log_probs.shape == (60, 2)
    torch.testing.assert_close(log_probs.exp().sum(0), torch.ones(2, dtype=torch.float64))
    for row in range(2):
        expected = order_log_prob(logits[row], orders)
        expected = torch.where(expected.isnan(), -INF, expected)
        torch.testing.assert_close(log_probs[:, row], expected)
    everything = hg.PlackettLuceSubset(logits[0], 5)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(
        everything.log_prob_of_order(order), order_log_prob(logits[0], order)
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_samples_have_the_joint_probabilities(
    k: int, dtype: torch.dtype, generator: Generator
) -> None:
    logits = LOGITS.to(dtype)
    z = hg.PlackettLuceSubset(logits, k).sample((100_000,), generator=generator)
    probs = race_log_probs(logits, k).exp()
    assert cells_fit(counts_of(z, k), probs)
    # mutants: another scale, and the distribution of the weights' product
    assert not cells_fit(counts_of(z, k), race_log_probs(0.95 * logits, k).exp())
    if k > 1:
        other = hg.KSubset(logits, k).sample((100_000,), generator=generator)
        assert not cells_fit(counts_of(other, k), probs)


def test_sampled_orders_have_the_joint_probabilities(generator: Generator) -> None:
    logits = LOGITS[:4]
    q = hg.PlackettLuceSubset(logits, 3)
    orders = torch.tensor(list(itertools.permutations(range(4), 3)))
    probs = order_log_prob(logits, orders).exp()
    drawn = q.sample_order((200_000,), generator=generator)
    assert drawn.shape == (200_000, 3)
    place = torch.tensor([16, 4, 1])
    number = torch.zeros(64, dtype=torch.long).index_put((orders @ place,), torch.arange(24))
    counts = torch.bincount(number[drawn @ place], minlength=24)
    assert cells_fit(counts, probs)
    flipped = torch.bincount(number[drawn.flip(-1) @ place], minlength=24)
    assert not cells_fit(flipped, probs)  # mutant: the last draw first


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [0, 1, 4, 7])
def test_samples_are_k_hot_in_the_logits_dtype(
    k: int, dtype: torch.dtype, generator: Generator
) -> None:
    q = hg.PlackettLuceSubset((5 * torch.randn(2, 3, 7, generator=generator)).to(dtype), k)
    z = q.sample((50,), generator=generator)
    assert z.shape == (50, 2, 3, 7)
    assert z.dtype == q.mean.dtype == q.entropy().dtype == q.mode.dtype == dtype
    assert bool(((z == 0) | (z == 1)).all())
    assert bool((z.double().sum(-1) == k).all())
    assert q.log_prob(z).isfinite().all()
    assert q.log_prob(z).dtype == dtype
    assert torch.equal(q.mean.double().sum(-1).round(), torch.full((2, 3), float(k)).double())
    noise = q.draw_noise((4,), generator=generator)
    relaxed = q.relax(noise, 0.5)
    assert relaxed.dtype == dtype
    assert relaxed.shape == (4, 2, 3, 7)
    order = q.sample_order((4,), generator=generator)
    assert torch.equal(q.harden(q.conditional_noise_of_order(order, noise)).sum(-1), z.sum(-1)[:4])


def test_generator_decides_everything() -> None:
    q = hg.PlackettLuceSubset(torch.zeros(100, 6), 2)
    before = torch.get_rng_state()

    def perturbed(*shape: Any, generator: Generator) -> Tensor:
        return q.perturb(*shape, generator=generator)["logits"]

    for draw in (q.sample, q.sample_order, q.draw_noise, perturbed):
        first, again, other = (
            draw((3,), generator=torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
        )
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (2, 1), (4, 0), (4, 2), (4, 4)])
def test_gradients(n: int, k: int, generator: Generator) -> None:
    scores = torch.randn(2, n, dtype=torch.float64, generator=generator).requires_grad_()
    mask = torch.arange(n) >= max(k, n - 1)
    weights = torch.randn(2, n, dtype=torch.float64, generator=generator)

    def make(scores: Tensor) -> hg.PlackettLuceSubset:
        return hg.PlackettLuceSubset(torch.where(mask, -INF, scores), k)

    value, order = make(scores).mode.detach(), make(scores).sample_order(generator=generator)

    def log_prob(scores: Tensor) -> Tensor:
        return make(scores).log_prob(value)

    def log_prob_of_order(scores: Tensor) -> Tensor:
        return make(scores).log_prob_of_order(order)

    def mean(scores: Tensor) -> Tensor:
        return (make(scores).mean * weights).sum(-1)

    def entropy(scores: Tensor) -> Tensor:
        return make(scores).entropy()

    for function in (log_prob, log_prob_of_order, mean, entropy):
        assert gradcheck(function, (scores,))
        assert gradgradcheck(function, (scores,), fast_mode=True)
        (grad,) = torch.autograd.grad(function(scores).sum(), scores)
        assert bool((grad[:, mask] == 0).all())


@pytest.mark.parametrize("scale", [50.0, 1e4])
def test_extreme_logits_have_finite_gradients(scale: float, generator: Generator) -> None:
    logits = (scale * (2 * torch.rand(4, 8, generator=generator) - 1)).requires_grad_()
    q = hg.PlackettLuceSubset(logits, 3)
    # the set that comes last of all too
    for value in (q.mode.detach(), q.argmax({"logits": -logits})):
        noise = q.draw_noise((100,), generator=generator)
        outputs = (
            q.log_prob(value),
            q.mean,
            q.conditional_noise(value, noise),
            q.conditional_noise_of_order(value.topk(3).indices, noise),
            q.relax(noise, 0.1),
        )
        for output in outputs:
            assert output.isfinite().all()
            (grad,) = torch.autograd.grad(output.square().sum(), logits, retain_graph=True)
            assert grad.isfinite().all()
        led = (q.harden(outputs[2]) == value).all(-1)
        # scores of 1e4 have steps of 1e-3, in which one of a thousand arrivals ties with the next
        assert led.all() if scale == 50.0 else led.double().mean() > 0.98


def test_relaxed_and_hard_samples_of_one_noise_agree(generator: Generator) -> None:
    q = hg.PlackettLuceSubset(LOGITS.double().expand(3, 6), 2)
    noise = q.draw_noise((1000,), generator=generator)
    assert noise.shape == (1000, 3, 3, 6)
    hard, soft = q.harden(noise), q.relax(noise, 1e-4)
    torch.testing.assert_close(soft, hard, rtol=0, atol=0.5)
    warm = q.relax(noise, 1.0)
    assert bool(((warm >= 0) & (warm <= 1)).all())
    rows = torch.tensor([[1e-4], [1.0], [0.3]])
    by_row = q.relax(noise, rows)
    torch.testing.assert_close(by_row[:, 0], soft[:, 0])
    torch.testing.assert_close(by_row[:, 1], warm[:, 1])


def test_scores_have_the_distribution(generator: Generator) -> None:
    logits = LOGITS.clone().requires_grad_()
    q = hg.PlackettLuceSubset(logits, 2)
    scores = q.perturb((200_000,), generator=generator)["logits"]
    probs = race_log_probs(LOGITS, 2).exp()
    assert cells_fit(counts_of(q.argmax({"logits": scores}), 2), probs)
    # mutant: the noise's sign
    mutant = {"logits": 2 * logits - scores}
    assert not cells_fit(counts_of(q.argmax(mutant), 2), probs)
    (grad,) = torch.autograd.grad(scores.sum(), logits)
    assert torch.equal(grad, torch.full((6,), 200_000.0))


def test_vmap_and_grad(generator: Generator) -> None:
    logits = torch.randn(3, 5, dtype=torch.float64, generator=generator)
    value = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0]).double()
    functions = (
        lambda row: hg.PlackettLuceSubset(row, 2).log_prob(value),
        lambda row: (hg.PlackettLuceSubset(row, 2).mean * torch.arange(5.0)).sum(-1),
    )
    for function in functions:
        leaf = logits.clone().requires_grad_()
        expected = function(leaf)
        torch.testing.assert_close(torch.func.vmap(function)(logits), expected)
        gradients = torch.func.vmap(torch.func.grad(function))(logits)
        torch.testing.assert_close(gradients, torch.autograd.grad(expected.sum(), leaf)[0])


def test_on_another_device_nothing_is_left_on_the_cpu() -> None:
    """torch's device without memory refuses to mix with the CPU, as a GPU does."""
    logits = torch.zeros(2, 3, device="meta").requires_grad_()
    q = hg.PlackettLuceSubset(logits, 1, validate_args=False)
    z = q.sample((3,))
    figures = [z, q.mode, q.mean, q.entropy(), q.log_prob(z), q.enumerate_support()]
    noise = q.draw_noise((3,))
    order = q.sample_order((3,))
    figures += [q.relax(noise, 0.5), q.conditional_noise(z, noise), q.log_prob_of_order(order)]
    figures += [q.conditional_noise_of_order(order, noise)]
    assert all(figure.device.type == "meta" for figure in figures)
    sum(figure.sum() for figure in figures).backward()  # type: ignore[union-attr]
    with pytest.raises(RuntimeError, match="device"):
        q.mean + torch.zeros(2, 3)
