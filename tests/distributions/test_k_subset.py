"""Exactly k of n, by products of weights: brute force, gradients, samples, transforms."""

import math
from collections.abc import Callable

import pytest
import torch
from distributions.subsets import counts_of, k_hot_vectors, marginals, product_log_probs
from stats import cells_fit, event_fits
from torch import Generator, Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.distributions import kl_divergence

import hotgrad as hg

INF = math.inf
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
SIZES = [(n, k) for n in (1, 2, 3, 5, 6, 9) for k in range(n + 1)]


def random_logits(n: int, k: int, batch: tuple[int, ...], generator: Generator) -> Tensor:
    """Normal numbers of different scales, in half of the rows with as many masks as k allows."""
    logits = torch.randn(*batch, n, dtype=torch.float64, generator=generator)
    logits = logits * 10 ** torch.rand(*batch, 1, dtype=torch.float64, generator=generator)
    masked = torch.rand(*batch, n, generator=generator).argsort(-1) >= max(k, n - 2)
    masked = masked & (torch.rand(*batch, 1, generator=generator) < 0.5)
    return torch.where(masked, -INF, logits)


def assert_is_product(q: hg.KSubset, logits: Tensor, tolerance: float) -> None:
    """Every figure of q against sums over all subsets."""
    n, k = logits.shape[-1], q.k
    log_probs = product_log_probs(logits, k)
    states = q.enumerate_support()
    assert torch.equal(
        states[(slice(None), *(0,) * (logits.ndim - 1))].double(), k_hot_vectors(n, k)
    )
    mean = marginals(log_probs, n, k)
    finite = torch.where(log_probs > -INF, log_probs, 0.0)

    def close(actual: Tensor, expected: Tensor) -> None:
        torch.testing.assert_close(actual.double(), expected, rtol=tolerance, atol=tolerance)

    weights = torch.where(k_hot_vectors(n, k) == 1, logits.double().unsqueeze(-2), 0.0).sum(-1)
    close(q.log_normalizer(), weights.logsumexp(-1))
    close(q.log_prob(states), log_probs)
    close(q.log_prob(states).exp().sum(0), torch.ones(logits.shape[:-1], dtype=torch.float64))
    close(q.mean, mean)
    close(q.variance, mean * (1 - mean))
    close(q.entropy(), -(log_probs.exp() * finite).sum(0))
    close(q.log_prob(q.mode), log_probs.amax(0))


@pytest.mark.parametrize(("n", "k"), SIZES)
def test_is_the_sum_over_all_subsets(n: int, k: int, generator: Generator) -> None:
    for batch in ((), (2, 3)):
        logits = random_logits(n, k, batch, generator)
        q = hg.KSubset(logits, k)
        assert (q.batch_shape, q.event_shape) == (batch, (n,))
        assert_is_product(q, logits, 1e-12)
        single = logits.float()
        assert_is_product(hg.KSubset(single, k), single, 2e-5)
        half = logits.bfloat16()
        assert_is_product(hg.KSubset(half, k), half, 0.02)


def test_wrong_distributions_are_seen(generator: Generator) -> None:
    logits = random_logits(5, 2, (3,), generator)
    wrong = hg.KSubset(1.001 * logits, 2)  # mutant: another temperature
    with pytest.raises(AssertionError):
        assert_is_product(wrong, logits, 1e-5)


def test_the_log_normalizers_gradient_is_the_mean(generator: Generator) -> None:
    logits = random_logits(6, 3, (4,), generator).requires_grad_()
    q = hg.KSubset(logits, 3)
    (slope,) = torch.autograd.grad(q.log_normalizer().sum(), logits)
    torch.testing.assert_close(slope, q.mean, rtol=0, atol=1e-13)


def test_one_state_is_certain() -> None:
    masked = torch.tensor([0.3, -INF, -700.0, 900.0, -INF], dtype=torch.float64)
    only = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    for logits, k, state in (
        (torch.full((3,), -INF), 0, torch.zeros(3)),
        (torch.tensor([5.0, -3.0]), 0, torch.zeros(2)),
        (torch.tensor([5.0, -3.0]), 2, torch.ones(2)),
        (masked, 3, only),
    ):
        q = hg.KSubset(logits.requires_grad_(), k)
        for exact, approximate in (
            (state, q.mean),
            (torch.zeros(()).to(logits), q.entropy()),
            (torch.zeros(()).to(logits), q.log_prob(state)),
        ):
            torch.testing.assert_close(approximate, exact, rtol=0, atol=1e-6)
            (grad,) = torch.autograd.grad(approximate.sum(), logits)
            torch.testing.assert_close(grad, torch.zeros_like(logits), rtol=0, atol=1e-6)
        assert torch.equal(q.sample((4,)), state.expand(4, -1))
        assert torch.equal(q.mode, state)
        assert torch.equal(
            q.enumerate_support()[q.log_prob(q.enumerate_support()) > -1], state[None]
        )


def test_a_constant_changes_nothing(generator: Generator) -> None:
    logits = random_logits(7, 3, (4,), generator)
    q, shifted = hg.KSubset(logits, 3), hg.KSubset(logits + 1234.5, 3)
    torch.testing.assert_close(shifted.mean, q.mean)
    torch.testing.assert_close(shifted.entropy(), q.entropy(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(shifted.log_prob(q.mode), q.log_prob(q.mode), rtol=1e-9, atol=1e-9)


def test_support_has_a_budget() -> None:
    q = hg.KSubset(torch.zeros(2, 40), 20)
    message = "KSubset of 20 of 40 .*137,846,528,820 .*1,048,576"
    with pytest.raises(ValueError, match=message):
        q.enumerate_support()
    small = hg.KSubset(torch.zeros(2, 5), 2)
    assert small.enumerate_support(budget=10).shape == (10, 2, 5)
    assert small.enumerate_support(expand=False).shape == (10, 1, 5)
    with pytest.raises(ValueError, match="10 states, more than the budget of 9"):
        small.enumerate_support(budget=9)


@pytest.mark.parametrize(("n", "k"), [(1, 0), (1, 1), (2, 1), (4, 0), (5, 2), (4, 3)])
def test_gradients(n: int, k: int, generator: Generator) -> None:
    scores, others = torch.randn(2, 2, n, dtype=torch.float64, generator=generator)
    mask = torch.arange(n) >= max(k, n - 1)
    weights = torch.randn(2, n, dtype=torch.float64, generator=generator)

    def make(scores: Tensor) -> hg.KSubset:
        return hg.KSubset(torch.where(mask, -INF, scores), k)

    value = make(others).mode

    def log_prob(scores: Tensor) -> Tensor:
        return make(scores).log_prob(value)

    def mean(scores: Tensor) -> Tensor:
        return (make(scores).mean * weights).sum(-1)

    def entropy(scores: Tensor) -> Tensor:
        return make(scores).entropy()

    def divergence(scores: Tensor) -> Tensor:
        return kl_divergence(make(scores), make(others)) + kl_divergence(make(others), make(scores))

    scores.requires_grad_()
    for function in (log_prob, mean, entropy, divergence):
        assert gradcheck(function, (scores,))
        assert gradgradcheck(function, (scores,), fast_mode=True)
        (grad,) = torch.autograd.grad(function(scores).sum(), scores)
        assert bool((grad[:, mask] == 0).all())


def test_the_normalisers_derivatives_are_the_moments(generator: Generator) -> None:
    logits = torch.randn(6, dtype=torch.float64, generator=generator)
    states, probs = k_hot_vectors(6, 2), product_log_probs(logits, 2).exp()
    mean = probs @ states
    covariance = torch.einsum("s,si,sj->ij", probs, states, states) - mean.outer(mean)

    def log_normalizer(logits: Tensor) -> Tensor:
        return logits[:2].sum() - hg.KSubset(logits, 2).log_prob(states[0])

    gradient = torch.autograd.functional.jacobian(log_normalizer, logits)
    hessian = torch.autograd.functional.hessian(log_normalizer, logits)
    torch.testing.assert_close(gradient, mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(hessian, covariance, rtol=1e-12, atol=1e-12)


def test_log_prob_is_linear_in_the_value(generator: Generator) -> None:
    q = hg.KSubset(torch.randn(5, dtype=torch.float64, generator=generator), 2, validate_args=False)
    one, two = q.enumerate_support()[[1, 7]]
    between = 0.3 * one + 0.7 * two
    torch.testing.assert_close(q.log_prob(between), 0.3 * q.log_prob(one) + 0.7 * q.log_prob(two))
    between.requires_grad_()
    q.log_prob(between).backward()
    assert between.grad is not None
    # up to a constant, to which a gradient along vectors that sum to k is blind
    slope = between.grad - q.logits
    torch.testing.assert_close(slope, slope[0].expand(5))


def test_second_backward_through_one_distribution(generator: Generator) -> None:
    logits = torch.randn(3, 4, generator=generator).requires_grad_()
    q = hg.KSubset(logits, 2)
    gradients = []
    for _ in range(2):
        loss = q.entropy().sum() + q.mean.square().sum() + q.log_prob(q.mode).sum()
        gradients.append(torch.autograd.grad(loss, logits)[0])
    assert torch.equal(*gradients)
    loss = hg.KSubset(logits, 2).mean.square().sum()
    torch.testing.assert_close(
        torch.autograd.grad(q.mean.square().sum(), logits), torch.autograd.grad(loss, logits)
    )


def test_what_it_keeps_is_right_with_and_without_a_gradient() -> None:
    logits = torch.tensor([1.0, 0.0, -1.0], requires_grad=True)
    q = hg.KSubset(logits, 2)
    with torch.no_grad():
        before = q.mean
        q.sample()
    assert not before.requires_grad
    assert q.mean.requires_grad
    q.mean[0].backward()
    with torch.no_grad():
        assert not q.mean.requires_grad
        assert not q.entropy().requires_grad
    assert torch.equal(before, q.mean)
    with torch.inference_mode():
        other = hg.KSubset(logits, 2)
        other.entropy()
    other.entropy().backward()


def test_a_distribution_follows_logits_that_an_optimiser_changes(generator: Generator) -> None:
    logits = torch.zeros(6, requires_grad=True)
    q = hg.KSubset(logits, 2)
    for _ in range(2):
        q.mean[0].backward()
        q.sample()
        with torch.no_grad():
            logits += torch.randn(6, generator=generator)
        fresh = hg.KSubset(logits, 2)
        torch.testing.assert_close(q.mean, fresh.mean)
        torch.testing.assert_close(q.entropy(), fresh.entropy())
        torch.testing.assert_close(q.log_prob(q.mode), fresh.log_prob(q.mode))
        seeds = (torch.Generator().manual_seed(1), torch.Generator().manual_seed(1))
        assert torch.equal(
            q.sample((50,), generator=seeds[0]), fresh.sample((50,), generator=seeds[1])
        )


def test_a_mean_changed_in_place_is_the_callers_own() -> None:
    q = hg.KSubset(torch.tensor([1.0, 0.0, -1.0]), 2)
    expected = q.mean.clone()
    q.mean.mul_(0)
    assert torch.equal(q.mean, expected)


def test_expand_and_events(generator: Generator) -> None:
    logits = torch.randn(4, 3, 5, generator=generator)
    q = hg.KSubset(logits, 2, validate_args=False)
    wide = q.expand((7, 4, 3))
    assert isinstance(wide, hg.KSubset)
    assert (wide.k, wide.batch_shape, wide._validate_args) == (2, (7, 4, 3), False)
    torch.testing.assert_close(wide.mean, q.mean.expand(7, 4, 3, 5))
    joint = q.to_event(1)
    assert (joint.batch_shape, joint.event_shape) == ((4,), (3, 5))
    z = joint.sample((6,), generator=generator)
    assert z.shape == (6, 4, 3, 5)
    torch.testing.assert_close(joint.log_prob(z), q.log_prob(z).sum(-1))
    torch.testing.assert_close(joint.entropy(), q.entropy().sum(-1))
    pair = hg.KSubset(logits[0, :2, :3], 1).to_event(1)
    states = pair.enumerate_support()
    assert states.shape == (9, 2, 3)
    torch.testing.assert_close(pair.log_prob(states).exp().sum(), torch.tensor(1.0))


LOGITS = torch.tensor([[1.0, 0.0, -1.0, 0.5, 2.0, -0.3], [-INF, 3.0, 0.0, -2.0, 0.7, 0.0]])


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_samples_have_the_joint_probabilities(k: int, generator: Generator) -> None:
    z = hg.KSubset(LOGITS, k).sample((100_000,), generator=generator)
    probs = product_log_probs(LOGITS, k).exp()
    for row in range(2):
        assert cells_fit(counts_of(z[:, row], k), probs[:, row])
    if 1 < k < 5:
        raced = hg.PlackettLuceSubset(LOGITS, k).sample((100_000,), generator=generator)
        # mutant: the k largest of logits + Gumbel noise
        assert not cells_fit(counts_of(raced[:, 0], k), probs[:, 0])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_samples_in_other_dtypes_have_the_joint_probabilities(
    dtype: torch.dtype, generator: Generator
) -> None:
    logits = LOGITS[0].to(dtype)
    z = hg.KSubset(logits, 3).sample((100_000,), generator=generator)
    assert cells_fit(counts_of(z, 3), product_log_probs(logits, 3).exp())
    assert not cells_fit(
        counts_of(z, 3), product_log_probs(0.95 * logits, 3).exp()
    )  # mutant: scale


def test_samples_of_a_batch_are_independent(generator: Generator) -> None:
    rows = torch.tensor([0.0, 0.5, -0.5]).expand(2, 3)
    z = hg.KSubset(rows, 1).sample((100_000,), generator=generator).argmax(-1)
    probs = rows[0].softmax(0)
    assert cells_fit(torch.bincount(z[:, 0] * 3 + z[:, 1], minlength=9), probs.outer(probs))
    # mutant: one draw for both rows
    assert not cells_fit(torch.bincount(z[:, 0] * 4, minlength=9), probs.outer(probs))


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_item_of_probability_1e_8_comes_as_often_as_it_should(
    dtype: torch.dtype, place: int, generator: Generator
) -> None:
    """Each draw inverts a distribution function, and takes the rare item at one end of it."""
    logits = torch.zeros(3, dtype=dtype)
    logits[place] = math.log(1e-8 * 2)
    near, n = 1e-7, 200_000
    columns = hg.ops.k_of_n.prepare(logits[None], 1).levels

    def hits(uniforms: Tensor) -> int:
        drawn = hg.ops.k_of_n.k_hot_from_uniforms(columns, 3, 1, uniforms.unsqueeze(-1))
        return int(drawn[:, place].sum())

    # of the three uniforms one decides on the rare item; all its draws have it this near to an end
    rare = float(logits.double().softmax(0)[place])
    total = 0
    for decisive in range(3):
        for end in (0, 1):
            uniforms = hg.ops.draw_uniform((n, 3), generator=generator)
            uniforms[:, decisive] = abs(end - near * uniforms[:, decisive])
            total += hits(uniforms)
    assert event_fits(total, n, rare / near)
    # mutant: float32 uniforms next to 1, a step of 2^-24 apart
    assert not event_fits(round(n * 2.0**-24 / near), n, rare / near)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [0, 1, 4, 7])
def test_samples_are_k_hot_in_the_logits_dtype(
    k: int, dtype: torch.dtype, generator: Generator
) -> None:
    q = hg.KSubset((5 * torch.randn(2, 3, 7, generator=generator)).to(dtype), k)
    z = q.sample((50, 2), generator=generator)
    assert z.shape == (50, 2, 2, 3, 7)
    assert z.dtype == q.mean.dtype == q.entropy().dtype == q.mode.dtype == dtype
    assert z.is_contiguous()
    assert bool(((z == 0) | (z == 1)).all())
    assert bool((z.double().sum(-1) == k).all())
    assert q.log_prob(z).isfinite().all()
    assert q.log_prob(z).dtype == dtype
    assert not z.requires_grad


def test_generator_decides_everything() -> None:
    q = hg.KSubset(torch.zeros(100, 6), 2)
    before = torch.get_rng_state()
    first, again, other = (
        q.sample((3,), generator=torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_argmax_takes_the_largest_scores(generator: Generator) -> None:
    q = hg.KSubset(torch.zeros(4, 6), 2)
    scores = torch.randn(5, 4, 6, generator=generator)
    best = q.argmax({"logits": scores})
    inner = torch.einsum("abn,sn->abs", scores, k_hot_vectors(6, 2).float())
    torch.testing.assert_close((best * scores).sum(-1), inner.amax(-1))


def functions(k: int) -> list[Callable[[Tensor], Tensor]]:
    weights = torch.arange(5.0, dtype=torch.float64)
    return [
        lambda row: hg.KSubset(row, k).log_prob((torch.arange(5) < k).double()),
        lambda row: (hg.KSubset(row, k).mean * weights).sum(-1),
        lambda row: hg.KSubset(row, k).entropy(),
        lambda row: kl_divergence(hg.KSubset(row, k), hg.KSubset(torch.zeros_like(row), k)),
    ]


@pytest.mark.parametrize("k", [0, 2, 4])
def test_vmap_and_grad(k: int, generator: Generator) -> None:
    logits = torch.randn(3, 5, dtype=torch.float64, generator=generator)
    for function in functions(k):
        values = torch.func.vmap(function)(logits)
        gradients = torch.func.vmap(torch.func.grad(function))(logits)
        leaf = logits.clone().requires_grad_()
        expected = function(leaf)
        torch.testing.assert_close(values, expected)
        torch.testing.assert_close(gradients, torch.autograd.grad(expected.sum(), leaf)[0])
        hessian = torch.func.jacrev(torch.func.jacrev(function))(logits[0])
        torch.testing.assert_close(hessian, torch.autograd.functional.hessian(function, logits[0]))


@pytest.mark.usefixtures("compiler")
# torch's own tracing of an autograd.Function does what torch deprecates
@pytest.mark.filterwarnings("ignore:.*Function.* should not be instantiated:DeprecationWarning")
def test_compiled_whole_it_gives_the_same_numbers(generator: Generator) -> None:
    def log_prob(logits: Tensor) -> Tensor:
        value = torch.zeros_like(logits).index_fill(-1, torch.tensor([0, 3]), 1.0)
        return hg.KSubset(logits, 2).log_prob(value)

    def entropy(logits: Tensor) -> Tensor:
        # made of the marginals too, whose gradient is the longer
        return hg.KSubset(logits, 2).entropy()

    for figure, backend in ((log_prob, "eager"), (entropy, "aot_eager")):
        results = []
        for function in (figure, torch.compile(figure, fullgraph=True, backend=backend)):
            logits = torch.randn(2, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
            values = function(logits)
            results.append((values, torch.autograd.grad(values.sum(), logits)[0]))
        torch.testing.assert_close(*results, rtol=1e-5, atol=1e-6)


def test_on_another_device_nothing_is_left_on_the_cpu() -> None:
    """torch's device without memory refuses to mix with the CPU, as a GPU does."""
    logits = torch.zeros(4, 6, device="meta").requires_grad_()
    q = hg.KSubset(logits, 2, validate_args=False)
    z = q.sample((3,))
    figures = [z, q.mode, q.mean, q.entropy(), q.log_prob(z), q.enumerate_support()]
    assert all(figure.device.type == "meta" for figure in figures)
    sum(figure.sum() for figure in figures).backward()  # type: ignore[union-attr]
    with pytest.raises(RuntimeError, match="device"):
        q.mean + torch.zeros(4, 6)
