"""VIMCO: summed over all tuples of samples, its mistakes seen, its signal written out by hand."""

import math
from typing import Any

import pytest
import torch
from estimators import toys
from estimators.cases import DTYPES, tuples
from stats import log_ratio_below
from torch import Generator, Tensor

import hotgrad as hg
from hotgrad.estimators import vimco
from hotgrad.estimators.vimco import learning_signal


@pytest.fixture
def toy(distribution: str) -> toys.Toy:
    return toys.Toy(distribution)


class Bound:
    """L_K on a toy distribution: its mean over all tuples of samples, by hand and by an estimator.

    The weight is exp(scale x a table of the states) / q(z), the scale a parameter of the model.
    """

    def __init__(self, toy: toys.Toy, count: int) -> None:
        self.toy, self.count = toy, count
        self.table = toys.jagged(toy)
        self.scale = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
        self.index = tuples(len(toy.states), count)

    def by_hand(self) -> Tensor:
        probs = self.toy.probs()
        weights = (self.scale * self.table(self.toy.states)).exp() / probs
        of_tuples = weights[self.index].mean(-1).log()
        return (probs[self.index].prod(-1) * of_tuples).sum()

    def by_vimco(self) -> Tensor:
        q = self.toy.q(self.toy.states[self.index].transpose(0, 1))
        value = hg.importance_bound(
            lambda z: self.scale * self.table(z) - q.log_prob(z), q, hg.VIMCO(), self.count
        )
        return (self.toy.probs().detach()[self.index].prod(-1) * value).sum()

    def gradients(self, value: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(value, (self.toy.logits, self.scale))


@pytest.mark.parametrize("distribution", toys.FINITE)
@pytest.mark.parametrize("count", [2, 3])
def test_its_mean_is_the_bound_and_the_bounds_gradient(toy: toys.Toy, count: int) -> None:
    bound = Bound(toy, count)
    mean, exact = bound.by_vimco(), bound.by_hand()
    torch.testing.assert_close(mean, exact, rtol=0, atol=1e-12)
    torch.testing.assert_close(bound.gradients(mean), bound.gradients(exact), rtol=0, atol=1e-12)


def own_sample_in_the_mean(log_weights: Tensor) -> Tensor:
    """The geometric mean has the sample's own weight in it."""
    bound, stand_in = log_weights.logsumexp(0), log_weights.mean(0)
    others = [torch.cat([log_weights[:k], log_weights[k + 1 :]]) for k in range(len(log_weights))]
    return torch.stack([bound - torch.logaddexp(o.logsumexp(0), stand_in) for o in others])


def own_sample_kept(log_weights: Tensor) -> Tensor:
    """The stand-in is added, and the sample's own weight isn't taken out."""
    count = len(log_weights)
    stand_in = (log_weights.sum(0) - log_weights) / (count - 1)
    bound = log_weights.logsumexp(0) - math.log(count)
    return bound - (torch.logaddexp(log_weights.logsumexp(0), stand_in) - math.log(count + 1))


def wrong_sign(log_weights: Tensor) -> Tensor:
    return -learning_signal(log_weights)


@pytest.mark.parametrize("mutant", [own_sample_in_the_mean, own_sample_kept, wrong_sign])
@pytest.mark.parametrize("distribution", toys.FINITE)
@pytest.mark.parametrize("count", [2, 3])
def test_a_signal_with_the_sample_in_it_is_seen(
    toy: toys.Toy, count: int, mutant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = Bound(toy, count)
    monkeypatch.setattr(vimco, "learning_signal", mutant)
    wrong, right = (bound.gradients(value)[0] for value in (bound.by_vimco(), bound.by_hand()))
    assert float((wrong - right).abs().max()) > 0.01


def written_out(log_weights: list[float]) -> list[float]:
    """The signals of one element, term by term, in Python's floats."""

    def bound(values: list[float]) -> float:
        top = max(values)
        return top + math.log(sum(math.exp(v - top) for v in values) / len(values))

    signals = []
    for k in range(len(log_weights)):
        others = log_weights[:k] + log_weights[k + 1 :]
        stand_in = sum(others) / len(others)
        signals.append(bound(log_weights) - bound([*others, stand_in]))
    return signals


@pytest.mark.parametrize(
    "log_weights",
    [
        [0.3, -1.0],
        [0.3, -1.0, 2.0, 0.1],
        [-800.0, -801.0, -790.0],
        [900.0, -900.0, 20.0],
        [0.0, -60.0, -61.0, -62.0],
        [5.0, 5.0, 5.0],
    ],
    ids=str,
)
def test_the_signal_is_as_written(log_weights: list[float]) -> None:
    rows = [log_weights, log_weights[::-1]]
    expected = torch.tensor([written_out(row) for row in rows], dtype=torch.float64).t()
    signal = learning_signal(torch.tensor(rows, dtype=torch.float64).t())
    torch.testing.assert_close(signal, expected, rtol=1e-12, atol=1e-12)


def test_a_sample_far_behind_is_told_apart_from_none() -> None:
    # 1 and e^-60 in float32: the sum less the first weight would be 0
    signal = learning_signal(torch.tensor([[0.0], [-60.0], [-61.0]]))
    torch.testing.assert_close(signal[0], torch.tensor([written_out([0.0, -60.0, -61.0])[0]]))


def test_samples_that_the_model_rules_out() -> None:
    out = -math.inf
    rows = torch.tensor([[0.4, 1.0, out], [0.4, out, out], [out, out, 0.4]]).t()
    signal = learning_signal(rows)
    allowed = torch.tensor([0.4, 1.0])
    both = allowed.logsumexp(0)
    without = torch.tensor([1.0, 0.4, torch.tensor([0.4, 1.0, 0.7]).logsumexp(0)])
    # the mean of the others is 0 where one of them is; for the one left out it is that of the two
    torch.testing.assert_close(signal[:, 0], both - without)
    # the only one allowed is reinforced by the range of L; the others give it nothing
    torch.testing.assert_close(signal[:, 1], torch.tensor([math.log(3), 0.0, 0.0]))
    torch.testing.assert_close(signal[:, 2], torch.tensor([0.0, 0.0, math.log(3)]))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype)[6:])
@pytest.mark.parametrize("batch", [(), (5,), (2, 3)], ids=str)
def test_values_and_gradients_are_finite_and_in_shape(
    batch: tuple[int, ...], dtype: torch.dtype, generator: Generator
) -> None:
    logits = torch.zeros((*batch, 4), dtype=dtype, requires_grad=True)
    q = hg.OneHotCategorical(logits=logits)
    joint = torch.tensor([0.0, -3.0, -torch.inf, 40.0], dtype=dtype)

    def log_weight(z: Tensor) -> Tensor:
        allowed = torch.where(z > 0, joint, 0.0).sum(-1)
        return allowed - q.log_prob(z)

    value = hg.importance_bound(log_weight, q, hg.VIMCO(), 12, generator=generator)
    assert value.shape == batch
    assert value.dtype == dtype
    assert value.isfinite().all()
    value.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_its_variance_is_below_that_of_one_signal_for_all(generator: Generator) -> None:
    def estimates(estimator: Any) -> Tensor:
        logits = torch.zeros(20_000, 3, dtype=torch.float64, requires_grad=True)
        q = hg.OneHotCategorical(logits=logits)
        joint = torch.tensor([-4.0, -6.0, -3.0], dtype=torch.float64)
        value = hg.importance_bound(
            lambda z: z @ joint - q.log_prob(z), q, estimator, 4, generator=generator.clone_state()
        )
        return torch.autograd.grad(value.sum(), logits)[0]

    plain = estimates(hg.ScoreFunction(hg.NoBaseline()))
    assert log_ratio_below(estimates(hg.VIMCO()), plain) < 0
    assert log_ratio_below(plain, estimates(hg.VIMCO())) > 0


def test_its_facts() -> None:
    chosen = hg.VIMCO()
    assert chosen == hg.VIMCO()
    assert (chosen.unbiased, chosen.relaxes_f, chosen.differentiates_f) == (True, False, False)
    assert (chosen.least_samples, chosen.paired) == (2, False)
    assert chosen.evaluations(None, 7) == 7
    assert chosen.label == "VIMCO"
