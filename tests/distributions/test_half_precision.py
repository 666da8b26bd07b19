"""Sums in half precision: taken in float32, and rounded once.

Each figure is compared with that of the same distribution in float64, which has the same rounded
logits. A sum of terms of one sign may be off by two roundings: its terms' and its own.
"""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor
from torch.distributions import Distribution, kl_divergence

import hotgrad as hg
from hotgrad.estimators.vimco import log_mean

HALVES = [torch.float16, torch.bfloat16]
Make = Callable[[Tensor], Distribution]
SHAPES = {"many categories": (131_072,), "categories": (4, 3, 512), "bits": (4, 256), "k": (4, 9)}
CASES: list[tuple[str, Make]] = [
    ("many categories", lambda x: hg.OneHotCategorical(logits=x)),
    ("categories", lambda x: hg.OneHotCategorical(logits=x).to_event(1)),
    ("bits", lambda x: hg.Bernoulli(logits=x)),
    ("bits", lambda x: hg.Bernoulli(logits=x).to_event(1)),
    ("k", lambda x: hg.KSubset(x, 4)),
    ("k", lambda x: hg.PlackettLuceSubset(x, 4)),
    (
        "bits",
        lambda x: hg.Joint(
            kept=hg.Bernoulli(logits=x).to_event(1), kind=hg.OneHotCategorical(logits=x)
        ),
    ),
]
IDS = ["many", "to_event", "Bernoulli", "bits", "KSubset", "PlackettLuceSubset", "Joint"]


def near(half: Tensor, exact: Tensor, in_float32: float = 2e-6) -> bool:
    """Within two roundings to the nearest, and what float32 itself leaves of cancelling terms."""
    off = (half.double() - exact.double()).abs()
    bound = 1.05 * torch.finfo(half.dtype).eps * exact.double().abs()
    return bool((off <= bound + in_float32).all())


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(("shape", "make"), CASES, ids=IDS)
def test_log_prob_and_entropy(
    shape: str, make: Make, dtype: torch.dtype, generator: Generator
) -> None:
    logits = (0.1 * torch.randn(SHAPES[shape], generator=generator)).to(dtype)
    q, exact = make(logits), make(logits.double())
    z = q.sample()
    wide = {k: v.double() for k, v in z.items()} if isinstance(z, dict) else z.double()
    log_prob = q.log_prob(z)
    assert log_prob.dtype == q.entropy().dtype == dtype
    assert near(log_prob, exact.log_prob(wide))
    assert near(q.entropy(), exact.entropy())


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(
    ("shape", "make"),
    [case for case, name in zip(CASES, IDS, strict=True) if name != "PlackettLuceSubset"],
    ids=[name for name in IDS if name != "PlackettLuceSubset"],
)
def test_kl_near_the_prior(
    shape: str, make: Make, dtype: torch.dtype, generator: Generator
) -> None:
    """Where it is far smaller than the terms that it is the difference of."""
    logits = (0.05 * torch.randn(SHAPES[shape], generator=generator)).to(dtype)
    found = kl_divergence(make(logits), make(torch.zeros_like(logits)))
    exact = kl_divergence(make(logits.double()), make(torch.zeros_like(logits).double()))
    assert found.dtype == dtype
    assert near(found, exact)


def test_the_mutants_are_far_off(generator: Generator) -> None:
    """The same formulas in bfloat16 all along."""
    logits = (0.05 * torch.randn(4, 256, generator=generator)).bfloat16()
    a, zero = logits, torch.zeros((), dtype=torch.bfloat16)
    logsigmoid = torch.nn.functional.logsigmoid
    bits = a.sigmoid() * (logsigmoid(a) - logsigmoid(zero))
    bits = bits + (-a).sigmoid() * (logsigmoid(-a) - logsigmoid(zero))
    q, prior = (hg.Bernoulli(logits=x.double()).to_event(1) for x in (logits, logits * 0))
    assert not near(bits.sum(-1), kl_divergence(q, prior), in_float32=0.05)
    assert not torch.zeros(131_072, dtype=torch.float16).logsumexp(-1).isfinite()


@pytest.mark.parametrize("dtype", HALVES)
def test_probabilities_sum_to_1(dtype: torch.dtype, generator: Generator) -> None:
    """A float32 value is scored in float32, by whatever parameters."""
    logits = (3 * torch.randn(7, generator=generator)).to(dtype)
    for q in (
        hg.OneHotCategorical(logits=logits),
        hg.KSubset(logits, 3),
        hg.PlackettLuceSubset(logits, 3),
        hg.Bernoulli(logits=logits).to_event(1),
    ):
        log_probs = q.log_prob(q.enumerate_support().float())
        assert log_probs.dtype == torch.float32
        assert log_probs.exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("dtype", HALVES)
def test_expectations_of_every_state(dtype: torch.dtype, generator: Generator) -> None:
    logits = torch.randn(3, 500, generator=generator).to(dtype)
    slopes = torch.randn(500, generator=generator)
    results = []
    for own in (logits, logits.double()):
        leaf = own.clone().requires_grad_()
        q = hg.OneHotCategorical(logits=leaf)
        value = hg.expectation(lambda z: z.to(torch.float64) @ slopes.double(), q, hg.Exact())
        results.append((value, *torch.autograd.grad(value.sum(), leaf)))
    assert results[0][0].dtype == torch.float64
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(results[0][1].double(), results[1][1], rtol=1e-2, atol=1e-6)
    half = hg.expectation(lambda z: z[..., 0], hg.OneHotCategorical(logits=logits), hg.Exact())
    assert half.dtype == dtype
    assert near(half, logits.double().softmax(-1)[:, 0])


def test_the_bound_of_many_weights(generator: Generator) -> None:
    weights = torch.randn(70_000, generator=generator).half()
    expected = weights.double().logsumexp(0) - math.log(70_000)
    assert log_mean(weights).dtype == torch.float16
    assert near(log_mean(weights), expected)
    # mutant: the sum in half precision, which has no 70,000
    assert not weights.exp().sum().log().isfinite()


@pytest.mark.parametrize("dtype", HALVES)
def test_divergences_of_relaxed_distributions(dtype: torch.dtype) -> None:
    logits = torch.linspace(-1, 1, 8).to(dtype)
    estimates = []
    for own in (logits, logits.float()):
        p = hg.Concrete(0.5, logits=own).to_event(0)
        q = hg.Concrete(0.5, logits=torch.zeros_like(own)).to_event(0)
        seeded = torch.Generator().manual_seed(0)
        estimates.append(hg.monte_carlo_kl(p, q, num_samples=100, generator=seeded))
    assert estimates[0].dtype == torch.float32
    torch.testing.assert_close(*estimates)
