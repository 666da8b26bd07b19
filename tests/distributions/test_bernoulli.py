"""Bits: their distribution, agreement with torch, and certain bits."""

import math

import pytest
import torch
from stats import cells_fit
from torch import Generator, Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.distributions import Bernoulli as TorchBernoulli

import hotgrad as hg

INF = math.inf
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def test_samples_have_the_joint_probabilities(generator: Generator) -> None:
    logits = torch.tensor([-2.0, 0.3, 1.5, INF])
    q = hg.Bernoulli(logits=logits).to_event(1)
    z = q.sample((200_000,), generator=generator)
    codes = (z @ torch.tensor([8.0, 4.0, 2.0, 1.0])).long()
    counts = torch.bincount(codes, minlength=16)
    probs = q.log_prob(q.enumerate_support()).exp()
    assert cells_fit(counts, probs)
    # mutant: one noise for all bits
    noise = hg.ops.draw_logistic((200_000, 1), generator=generator)
    codes = (q.bases[0].harden(noise) @ torch.tensor([8.0, 4.0, 2.0, 1.0])).long()
    assert not cells_fit(torch.bincount(codes, minlength=16), probs)


@pytest.mark.parametrize("dtype", DTYPES)
def test_samples_are_bits_of_the_logits_dtype(dtype: torch.dtype, generator: Generator) -> None:
    q = hg.Bernoulli(logits=torch.randn(2, 3, generator=generator).to(dtype))
    z = q.sample((50,), generator=generator)
    assert z.shape == (50, 2, 3)
    assert z.dtype == dtype
    assert set(z.unique().tolist()) == {0.0, 1.0}
    assert q.log_prob(z).isfinite().all()
    assert q.log_prob(z).dtype == dtype


def test_agrees_with_torch(generator: Generator) -> None:
    logits = torch.randn(4, 3, dtype=torch.float64, generator=generator)
    for ours, theirs in (
        (hg.Bernoulli(logits=logits), TorchBernoulli(logits=logits)),
        (hg.Bernoulli(probs=logits.sigmoid()), TorchBernoulli(probs=logits.sigmoid())),
        (hg.Bernoulli(logits.sigmoid()), TorchBernoulli(logits.sigmoid())),
    ):
        z = ours.sample((5,), generator=generator)
        torch.testing.assert_close(ours.log_prob(z), theirs.log_prob(z))
        torch.testing.assert_close(ours.entropy(), theirs.entropy())
        torch.testing.assert_close(ours.mean, theirs.mean)
        torch.testing.assert_close(ours.variance, theirs.variance)
        torch.testing.assert_close(ours.probs, theirs.probs)
        torch.testing.assert_close(ours.mode, theirs.mode)
        assert torch.equal(ours.enumerate_support(), theirs.enumerate_support())
        assert torch.equal(ours.enumerate_support(False), theirs.enumerate_support(False))


def test_probabilities_sum_to_one() -> None:
    logits = torch.tensor([-INF, -1000.0, -3.0, 0.0, 50.0, INF], dtype=torch.float64)
    q = hg.Bernoulli(logits=logits)
    probs = q.log_prob(q.enumerate_support()).exp()
    torch.testing.assert_close(probs.sum(0), torch.ones(6, dtype=torch.float64))
    torch.testing.assert_close(probs[1], q.mean)


def test_certain_bits_are_certain(generator: Generator) -> None:
    for q in (
        hg.Bernoulli(probs=torch.tensor([0.0, 1.0])),
        hg.Bernoulli(logits=torch.tensor([-INF, INF])),
    ):
        z = q.sample((1000,), generator=generator)
        assert torch.equal(z, torch.tensor([0.0, 1.0]).expand(1000, 2))
        assert torch.equal(q.mode, torch.tensor([0.0, 1.0]))
        assert torch.equal(q.mean, torch.tensor([0.0, 1.0]))
        assert torch.equal(q.entropy(), torch.zeros(2))
        assert torch.equal(q.log_prob(z[0]), torch.zeros(2))
        assert torch.equal(q.log_prob(1 - z[0]), torch.full((2,), -INF))


@pytest.mark.parametrize("parameter", ["probs", "logits"])
def test_gradients_are_finite_at_certain_bits(parameter: str) -> None:
    ends = {"probs": [0.0, 0.5, 1.0], "logits": [-INF, 0.0, INF]}[parameter]
    value = torch.tensor(ends, requires_grad=True)
    q = hg.Bernoulli(**{parameter: value})
    outcome = torch.tensor([0.0, 1.0, 1.0])
    for output in (q.mean, q.entropy(), q.log_prob(outcome), q.relax(0.0, 0.5), q.tangent(outcome)):
        (grad,) = torch.autograd.grad(output.sum(), value, retain_graph=True)
        assert grad.isfinite().all()


def test_gradients(generator: Generator) -> None:
    logits = torch.randn(3, dtype=torch.float64, generator=generator).requires_grad_()
    outcome = torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64)

    def log_prob(logits: Tensor) -> Tensor:
        return hg.Bernoulli(logits=logits).log_prob(outcome)

    def entropy(logits: Tensor) -> Tensor:
        return hg.Bernoulli(logits=logits).entropy()

    def mean_from_probs(logits: Tensor) -> Tensor:
        return hg.Bernoulli(probs=logits.sigmoid()).mean

    for function in (log_prob, entropy, mean_from_probs):
        assert gradcheck(function, (logits,))
        assert gradgradcheck(function, (logits,))


def test_log_prob_is_linear_in_the_value() -> None:
    """So that it passes a gradient on to a straight-through sample."""
    z = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    logits = torch.tensor([0.4, -1.0], dtype=torch.float64)
    hg.Bernoulli(logits=logits).log_prob(z).sum().backward()
    assert z.grad is not None
    torch.testing.assert_close(z.grad, logits)


def test_expand_keeps_class_and_validation() -> None:
    q = hg.Bernoulli(logits=torch.tensor([0.0, INF]), validate_args=False)
    wide = q.expand((3, 2))
    assert isinstance(wide, hg.Bernoulli)
    assert wide.batch_shape == (3, 2)
    assert torch.equal(wide.mean, q.mean.expand(3, 2))
    assert not wide._validate_args
    assert hg.Bernoulli(logits=torch.zeros(2), validate_args=True).expand((3, 2))._validate_args


def test_sampling_is_reproducible() -> None:
    q = hg.Bernoulli(logits=torch.zeros(100))
    first, again, other = (
        q.sample((3,), generator=torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_noise_leads_to_the_same_outcome_hard_and_relaxed(generator: Generator) -> None:
    q = hg.Bernoulli(logits=torch.randn(4, generator=generator))
    noise = q.draw_noise((1000,), generator=generator)
    assert torch.equal(q.harden(noise), q.relax(noise, 0.3).round())
    outcome = q.sample((1000,), generator=generator)
    assert torch.equal(q.harden(q.conditional_noise(outcome, noise)), outcome)
    assert not torch.equal(q.harden(noise), outcome)  # mutant: unconditional noise


@pytest.mark.parametrize("value", [0.5, 2.0, -1.0])
def test_values_that_are_no_bits_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="value argument"):
        hg.Bernoulli(logits=torch.zeros(2)).log_prob(torch.full((2,), value))
