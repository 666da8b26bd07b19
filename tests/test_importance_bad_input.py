"""What `importance_bound` refuses, and what it says then."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch.distributions as td
from estimators.cases import SampledOnly
from torch import Generator, Tensor

import hotgrad as hg

JOINT = torch.tensor([-1.0, -2.5, 0.3])
BOTH = pytest.mark.parametrize("estimator", [hg.VIMCO(), hg.ScoreFunction()], ids=lambda e: e.label)


def joint_of(z: Tensor) -> Tensor:
    """log p(x, z) of a one-hot vector."""
    return z @ JOINT


def categories(*shape: int) -> hg.OneHotCategorical:
    return hg.OneHotCategorical(logits=torch.zeros(shape, requires_grad=True))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@BOTH
def test_other_weights_are_refused(estimator: Any, bad: float) -> None:
    def log_weight(z: Tensor) -> Tensor:
        values = joint_of(z).clone()
        values[1, 2] = bad
        return values

    why = rf"1 of \d+, the first {bad} at sample 1, batch element \(2,\)"
    with pytest.raises(ValueError, match=why):
        hg.importance_bound(log_weight, categories(5, 3), estimator, 2)


@pytest.mark.parametrize("num_samples", [0, -1, 2.0, True, None])
@BOTH
def test_num_samples_is_a_positive_integer(estimator: Any, num_samples: Any) -> None:
    with pytest.raises(ValueError, match=r"num_samples .*at least 1, got"):
        hg.importance_bound(joint_of, categories(3), estimator, num_samples)


def test_vimco_needs_two_samples() -> None:
    with pytest.raises(ValueError, match=r"VIMCO .*at least 2, got 1\. Use"):
        hg.importance_bound(joint_of, categories(3), hg.VIMCO(), 1)


@pytest.mark.parametrize(
    ("log_weight", "why"),
    [
        (lambda z: z, r"log_weight must return one value per sample, shape \((2|4), 5\)"),
        (lambda z: 1.0, r"log_weight must return a tensor of shape \((2|4), 5\), got float"),
        (lambda z: z[..., 0] > 0, "log_weight must return floating point values, got torch.bool"),
    ],
    ids=["shape", "float", "dtype"],
)
@BOTH
def test_the_weights_output_is_checked(estimator: Any, log_weight: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        hg.importance_bound(log_weight, categories(5, 3), estimator, 2)


def test_a_weight_without_a_gradient_is_refused_where_one_is_needed() -> None:
    with pytest.raises(ValueError, match=r"StraightThrough differentiates log_weight, .*carry no"):
        hg.importance_bound(lambda z: joint_of(z.detach()), categories(3), hg.StraightThrough(), 2)


@pytest.mark.parametrize("estimator", [hg.VIMCO, hg.ScoreFunction, "vimco", None])
def test_the_estimator_is_an_object(estimator: Any) -> None:
    with pytest.raises(ValueError, match=r"must be an estimator object such as .*, got"):
        hg.importance_bound(joint_of, categories(3), estimator, 2)


def test_expectation_sends_vimco_here() -> None:
    with pytest.raises(ValueError, match=r"VIMCO .* bound of several samples: use importance_boun"):
        hg.expectation(joint_of, categories(3), hg.VIMCO(), num_samples=2)  # type: ignore[arg-type]


@pytest.mark.parametrize("events", [0, 1], ids=["alone", "to_event"])
def test_a_distribution_of_ones_own_works_with_vimco(events: int, generator: Generator) -> None:
    q = td.Independent(SampledOnly(torch.zeros(4)), events)

    def log_weight(z: Tensor) -> Tensor:
        return (z.sum(-1) if events else z) - q.log_prob(z)

    value = hg.importance_bound(log_weight, q, hg.VIMCO(), 3, generator=generator)
    assert value.shape == q.batch_shape
    why = "params, which SampledOnly .*Use VIMCO"
    with pytest.raises(NotImplementedError, match=why):
        hg.importance_bound(log_weight, q, hg.ScoreFunction(), 3)


class Binary(hg.DiscreteDistribution):
    """Whole numbers below 4 as their two bits, from logits of the four: not event-shaped."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape[:-1], (2,))

    @property
    def params(self) -> dict[str, Tensor]:
        return {"logits": self.logits}

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Tensor:
        z = hg.OneHotCategorical(logits=self.logits).sample(sample_shape, generator=generator)
        return torch.stack([z[..., 2:].sum(-1), z[..., 1::2].sum(-1)], -1)

    def log_prob(self, value: Tensor) -> Tensor:
        number = (2 * value[..., 0] + value[..., 1]).long().unsqueeze(-1)
        log_probs = self.logits.log_softmax(-1).expand(*number.shape[:-1], 4)
        return log_probs.gather(-1, number).squeeze(-1)


class Shapeless(hg.OneHotCategorical):
    """Forgets the batch of the logits that it is given."""

    def with_params(self, params: Mapping[str, Tensor]) -> "Shapeless":
        return Shapeless(logits=params["logits"].flatten(0, -2)[0])


def test_copies_that_can_not_be_made_are_refused() -> None:
    q = Shapeless(logits=torch.zeros(5, 3))
    with pytest.raises(NotImplementedError, match=r"copies of q .*Shapeless's .*Use VIMCO\(\)"):
        hg.importance_bound(lambda z: z.sum(-1), q, hg.ScoreFunction(), 3)
    assert hg.importance_bound(lambda z: z.sum(-1), q, hg.VIMCO(), 3).shape == (5,)


def test_parameters_of_another_shape_than_the_event_are_no_hindrance() -> None:
    logits = torch.tensor([0.3, -1.0, 0.6, 0.1], requires_grad=True)
    joint = torch.tensor([0.1, 0.2, 0.05, 0.3]).log()

    def log_weight(z: Tensor) -> Tensor:
        return joint[(2 * z[..., 0] + z[..., 1]).long()] - Binary(logits.detach()).log_prob(z)

    generator = torch.Generator().manual_seed(0)
    value = hg.importance_bound(
        log_weight, Binary(logits.expand(20_000, 4)), hg.ScoreFunction(), 2, generator=generator
    )
    probs, weights = logits.softmax(-1), joint.exp() / logits.detach().softmax(-1)
    pairs = (weights[:, None] + weights).div(2).log()
    exact = (probs[:, None] * probs * pairs).sum()
    assert abs(value.mean() - exact) < 0.02
    (slope,), (right,) = (torch.autograd.grad(v, logits) for v in (value.mean(), exact))
    torch.testing.assert_close(slope, right, rtol=0, atol=0.02)
