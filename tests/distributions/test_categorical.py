"""One of K: its distribution, agreement with torch, and masks."""

import math

import pytest
import torch
from stats import cells_fit
from torch import Generator, Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.distributions import OneHotCategorical as TorchOneHotCategorical

import hotgrad as hg

INF = math.inf
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def counts_of(z: Tensor) -> Tensor:
    """How often each joint state of (n, 2, 3) one-hot rows came."""
    index = z.argmax(-1)
    return torch.bincount(index[:, 0] * 3 + index[:, 1], minlength=9)


def test_samples_have_the_joint_probabilities(generator: Generator) -> None:
    logits = torch.tensor([[0.5, -1.0, 2.0], [-INF, 0.0, 0.1]])
    q = hg.OneHotCategorical(logits=logits).to_event(1)
    probs = q.log_prob(q.enumerate_support()).exp()
    z = q.sample((200_000,), generator=generator)
    assert cells_fit(counts_of(z), probs)
    # mutants: logistic noise, and one noise for both rows
    logistic = hg.ops.draw_logistic((200_000, 2, 3), generator=generator)
    assert not cells_fit(counts_of(q.bases[0].harden(logistic)), probs)
    shared = hg.ops.draw_gumbel((200_000, 1, 3), generator=generator)
    assert not cells_fit(counts_of(q.bases[0].harden(shared)), probs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_samples_have_the_distribution_of_the_logits_given(
    dtype: torch.dtype, generator: Generator
) -> None:
    logits = torch.tensor([7.0, 6.9, -2.0, 5.0]).to(dtype)
    z = hg.OneHotCategorical(logits=logits).sample((200_000,), generator=generator)
    counts = z.float().sum(0).long()
    assert cells_fit(counts, logits.double().softmax(-1))
    # mutant: the distribution of equal first classes, which coarser logits would have
    assert not cells_fit(counts, torch.tensor([7.0, 7.0, -2.0, 5.0]).softmax(-1))


def test_half_precision_probabilities_are_rounded_once(generator: Generator) -> None:
    logits = torch.randn(200, 64, generator=generator).bfloat16()
    exact = logits.double().softmax(-1)

    def worst(probs: Tensor) -> float:
        return float((probs.double() / exact - 1).abs().max())

    rounding = 1.01 * torch.finfo(torch.bfloat16).eps / 2
    assert worst(hg.OneHotCategorical(logits=logits).mean) < rounding
    # mutant: torch's distribution, which normalises its logits in bfloat16
    assert worst(TorchOneHotCategorical(logits=logits).logits.double().exp()) > 2 * rounding


@pytest.mark.parametrize("dtype", DTYPES)
def test_samples_are_one_hot_in_the_logits_dtype(dtype: torch.dtype, generator: Generator) -> None:
    q = hg.OneHotCategorical(logits=torch.randn(2, 5, generator=generator).to(dtype))
    z = q.sample((50,), generator=generator)
    assert z.shape == (50, 2, 5)
    assert z.dtype == dtype
    assert set(z.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(z.sum(-1), torch.ones(50, 2, dtype=dtype))
    assert q.log_prob(z).isfinite().all()
    assert q.log_prob(z).dtype == dtype


def test_agrees_with_torch(generator: Generator) -> None:
    logits = torch.randn(4, 3, dtype=torch.float64, generator=generator)
    probs = logits.softmax(-1)
    for ours, theirs in (
        (hg.OneHotCategorical(logits=logits), TorchOneHotCategorical(logits=logits)),
        (hg.OneHotCategorical(probs=probs), TorchOneHotCategorical(probs=probs)),
        (hg.OneHotCategorical(probs), TorchOneHotCategorical(probs)),
    ):
        z = ours.sample((5,), generator=generator)
        torch.testing.assert_close(ours.log_prob(z), theirs.log_prob(z))
        for name in ("mean", "variance", "probs", "logits", "mode"):
            torch.testing.assert_close(getattr(ours, name), getattr(theirs, name))
        torch.testing.assert_close(ours.entropy(), theirs.entropy())
        assert ours.param_shape == theirs.param_shape
        assert torch.equal(ours.enumerate_support(), theirs.enumerate_support())
        assert torch.equal(ours.enumerate_support(False), theirs.enumerate_support(False))


def test_probabilities_sum_to_one() -> None:
    logits = torch.tensor([[0.0, -INF, 2.0], [1000.0, -1000.0, 999.0]], dtype=torch.float64)
    q = hg.OneHotCategorical(logits=logits)
    probs = q.log_prob(q.enumerate_support()).exp()
    torch.testing.assert_close(probs.sum(0), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(probs.T, q.mean)


@pytest.mark.parametrize("parameter", ["probs", "logits"])
def test_masks(parameter: str, generator: Generator) -> None:
    ends = {"probs": [0.0, 0.25, 0.75], "logits": [-INF, 0.0, math.log(3)]}[parameter]
    value = torch.tensor(ends, requires_grad=True)
    q = hg.OneHotCategorical(**{parameter: value})
    z = q.sample((1000,), generator=generator)
    assert torch.equal(z[:, 0], torch.zeros(1000))
    torch.testing.assert_close(q.mean, torch.tensor([0.0, 0.25, 0.75]))
    two = hg.Bernoulli(probs=torch.tensor(0.25))
    torch.testing.assert_close(q.entropy(), two.entropy())
    assert q.log_prob(torch.tensor([1.0, 0.0, 0.0])) == -INF
    possible = torch.tensor([0.0, 0.0, 1.0])
    for output in (
        q.mean,
        q.entropy(),
        q.log_prob(possible),
        q.relax(torch.zeros(3), 0.5),
        q.tangent(q.mean),
        q.conditional_noise(possible, torch.zeros(3)),
    ):
        assert output.isfinite().all()
        (grad,) = torch.autograd.grad(output.square().sum(), value, retain_graph=True)
        assert grad.isfinite().all()
        assert grad[0] == 0


def test_the_only_category_left_is_certain(generator: Generator) -> None:
    logits = torch.tensor([-INF, 3.0, -INF], requires_grad=True)
    q = hg.OneHotCategorical(logits=logits)
    assert torch.equal(q.sample(generator=generator), torch.tensor([0.0, 1.0, 0.0]))
    assert q.entropy() == 0
    (grad,) = torch.autograd.grad(q.entropy(), logits)
    assert torch.equal(grad, torch.zeros(3))


def test_gradients(generator: Generator) -> None:
    scores = torch.randn(2, 4, dtype=torch.float64, generator=generator).requires_grad_()
    mask = torch.tensor([False, True, False, False])
    outcome = torch.eye(4, dtype=torch.float64)[[0, 3]]

    def make(scores: Tensor) -> hg.OneHotCategorical:
        return hg.OneHotCategorical(logits=torch.where(mask, -INF, scores))

    def log_prob(scores: Tensor) -> Tensor:
        return make(scores).log_prob(outcome)

    def entropy(scores: Tensor) -> Tensor:
        return make(scores).entropy()

    def entropy_of_probs(scores: Tensor) -> Tensor:
        return hg.OneHotCategorical(probs=scores.softmax(-1)).entropy()

    for function in (log_prob, entropy, entropy_of_probs):
        assert gradcheck(function, (scores,))
        assert gradgradcheck(function, (scores,))


def test_log_prob_is_linear_in_the_value() -> None:
    z = torch.tensor([0.0, 1.0, 0.0], requires_grad=True)
    q = hg.OneHotCategorical(logits=torch.tensor([0.4, -1.0, 0.0]))
    q.log_prob(z).backward()
    assert z.grad is not None
    torch.testing.assert_close(z.grad, q.logits)


def test_expand_keeps_class_and_validation() -> None:
    q = hg.OneHotCategorical(logits=torch.tensor([0.0, -INF, 2.0]), validate_args=False)
    wide = q.expand((4, 2))
    assert isinstance(wide, hg.OneHotCategorical)
    assert wide.batch_shape == (4, 2)
    assert wide.event_shape == (3,)
    torch.testing.assert_close(wide.mean, q.mean.expand(4, 2, 3))
    assert not wide._validate_args


def test_sampling_is_reproducible() -> None:
    q = hg.OneHotCategorical(logits=torch.zeros(100, 4))
    first, again, other = (
        q.sample((3,), generator=torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_noise_leads_to_the_same_outcome_hard_and_relaxed(generator: Generator) -> None:
    q = hg.OneHotCategorical(logits=torch.randn(4, dtype=torch.float64, generator=generator))
    noise = q.draw_noise((1000,), generator=generator)
    assert torch.equal(q.harden(noise), (q.relax(noise, 1e-3) > 0.5).double())
    outcome = q.sample((1000,), generator=generator)
    assert torch.equal(q.harden(q.conditional_noise(outcome, noise)), outcome)
    assert not torch.equal(q.harden(noise), outcome)  # mutant: unconditional noise


@pytest.mark.parametrize("value", [[0.5, 0.5], [1.0, 1.0], [0.0, 0.0], [2.0, -1.0]])
def test_values_that_are_not_one_hot_are_refused(value: list[float]) -> None:
    with pytest.raises(ValueError, match="value argument"):
        hg.OneHotCategorical(logits=torch.zeros(2)).log_prob(torch.tensor(value))


def test_second_backward_through_one_distribution() -> None:
    """Nothing that depends on the logits is kept from one use to the next."""
    logits = torch.zeros(3, requires_grad=True)
    q = hg.OneHotCategorical(logits=logits)
    for _ in range(2):
        (q.entropy() + q.mean.square().sum() + q.log_prob(q.mode)).backward()
