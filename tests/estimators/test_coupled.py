"""ARM and DisARM integrated over their uniforms: right to rounding, and their mistakes seen.

A bit's uniform has three stretches on which the pair of samples is one and the same; on each, ARM
is linear in the uniform and DisARM constant. So two nodes of Gauss to a stretch integrate both
without any error, and a tensor product of them does so for two bits.
"""

import math
from typing import Any

import pytest
import torch
from estimators.cases import Probe
from stats import log_ratio_below
from torch import Generator, Tensor

import hotgrad as hg
from hotgrad.distributions.samples import Antithetic

LOGITS = {
    "a bit": [0.6],
    "an unlikely bit": [-1.7],
    "an even bit": [0.0],
    "two bits": [0.6, -1.7],
    "two alike": [0.9, 0.9],
    "three bits": [0.3, -0.8, 2.0],
}
every_case = pytest.mark.parametrize("case", LOGITS)
BOTH = pytest.mark.parametrize("cls", [hg.ARM, hg.DisARM])


def nodes(logit: float) -> tuple[Tensor, Tensor]:
    """Two Gauss nodes on each stretch of the uniform, `(3, 2)`, and their weights."""
    turn = torch.sigmoid(torch.tensor(-abs(logit), dtype=torch.float64))
    ends = torch.stack([torch.zeros_like(turn), turn, 1 - turn, torch.ones_like(turn)])
    middle, half = (ends[1:] + ends[:-1]) / 2, (ends[1:] - ends[:-1]) / 2
    offsets = torch.tensor([-1.0, 1.0], dtype=torch.float64) / math.sqrt(3)
    return middle.unsqueeze(-1) + half.unsqueeze(-1) * offsets, half.unsqueeze(-1).expand(3, 2)


def product(columns: list[Tensor]) -> Tensor:
    """Every combination of the columns' entries, `(N, columns)`."""
    return torch.cartesian_prod(*columns).reshape(-1, len(columns))


def table(z: Tensor) -> Tensor:
    """An f that is looked up, of three bits at most."""
    said = torch.tensor([0.3, -1.1, 2.0, 0.9, -0.4, 1.7, 0.2, 3.0], dtype=z.dtype)
    places = torch.tensor([1.0, 2.0, 4.0], dtype=z.dtype)[: z.shape[-1]]
    return said[(z * places).sum(-1).long()]


class Preset(hg.Bernoulli):
    """Bits whose noise is given beforehand."""

    given: Tensor

    def draw_noise(self, sample_shape: Any = (), *, generator: Any = None) -> Tensor:
        return self.given


class Integral:
    """An estimator's value and gradient, one pair of samples, at every node of the uniforms."""

    def __init__(self, logits: list[float]) -> None:
        self.logits = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
        uniforms, weights = zip(*(nodes(logit) for logit in logits), strict=True)
        self.uniforms = product([u.flatten() for u in uniforms])
        self.weights = product([w.flatten() for w in weights]).prod(-1)
        # the stretches that a node lies in
        self.cells = product([torch.arange(3).repeat_interleave(2)] * len(logits))

    def q(self, distribution: type = Preset, noise: Tensor | None = None) -> Any:
        leaf = self.logits.detach().expand(len(self.uniforms), -1).clone().requires_grad_()
        q = distribution(logits=leaf)
        q.given = (self.uniforms.logit() if noise is None else noise).unsqueeze(0)
        return q.to_event(1)

    def at_nodes(self, estimator: hg.Estimator, q: Any) -> tuple[Tensor, Tensor]:
        value = hg.expectation(table, q, estimator, num_samples=2)
        return value.detach(), torch.autograd.grad(value.sum(), q.logits)[0]

    def mean(self, estimator: hg.Estimator) -> tuple[Tensor, Tensor]:
        value, gradient = self.at_nodes(estimator, self.q())
        return (self.weights * value).sum(), self.weights @ gradient

    def exact(self) -> tuple[Tensor, Tensor]:
        states = product([torch.arange(2.0, dtype=torch.float64)] * len(self.logits))
        up = self.logits.sigmoid()
        probs = torch.where(states > 0, up, 1 - up).prod(-1)
        value = (probs * table(states)).sum()
        return value.detach(), torch.autograd.grad(value, self.logits)[0]


@BOTH
@every_case
def test_mean_value_and_gradient_are_exact(case: str, cls: Any) -> None:
    integral = Integral(LOGITS[case])
    torch.testing.assert_close(integral.mean(cls()), integral.exact(), rtol=0, atol=1e-13)


@every_case
def test_disarm_is_the_mean_of_arm_given_both_samples(case: str) -> None:
    integral = Integral(LOGITS[case])
    _, arm = integral.at_nodes(hg.ARM(), integral.q())
    _, disarm = integral.at_nodes(hg.DisARM(), integral.q())
    # an even bit's stretch on which its two samples are alike is empty
    for cell in integral.cells[integral.weights > 0].unique(dim=0):
        inside = (integral.cells == cell).all(-1)
        weights = integral.weights[inside]
        assert len(weights) == 2 ** len(cell)
        mean = (weights @ arm[inside]) / weights.sum()
        torch.testing.assert_close(mean, disarm[inside][0], rtol=0, atol=1e-12)
        assert (disarm[inside] == disarm[inside][0]).all()


class WrongSign(hg.ARM):
    def _weight(self, logits: Tensor, pair: Antithetic) -> Tensor:
        return -super()._weight(logits, pair)


class SignedOdds(hg.DisARM):
    """The logit's size forgotten: right where it is positive."""

    def _weight(self, logits: Tensor, pair: Antithetic) -> Tensor:
        return (pair.first - pair.second) / 2 * logits.sigmoid()


class WithoutOdds(hg.DisARM):
    """As at even odds."""

    def _weight(self, logits: Tensor, pair: Antithetic) -> Tensor:
        return (pair.first - pair.second) / 4


@pytest.mark.parametrize(
    ("mutant", "case"),
    [
        (WrongSign, "a bit"),
        (WrongSign, "two bits"),
        (SignedOdds, "an unlikely bit"),
        (SignedOdds, "two bits"),
        (WithoutOdds, "a bit"),
        (WithoutOdds, "two bits"),
    ],
)
def test_a_wrong_weight_is_seen(mutant: Any, case: str) -> None:
    integral = Integral(LOGITS[case])
    _, gradient = integral.mean(mutant())
    assert float((gradient - integral.exact()[1]).abs().max()) > 0.01


class Uncoupled(Preset):
    """The second sample has noise of its own."""

    fresh: Tensor

    def antithetic(self, sample_shape: Any = (), *, generator: Any = None) -> Antithetic:
        return Antithetic(self.harden(self.given), self.harden(self.fresh), self.given)


@BOTH
@pytest.mark.parametrize("logit", [0.6, -1.7])
def test_samples_that_are_not_coupled_are_seen(cls: Any, logit: float) -> None:
    (uniforms, weights), single = nodes(logit), Integral([logit])
    pairs = product([uniforms.flatten()] * 2)
    weight = product([weights.flatten()] * 2).prod(-1)
    leaf = torch.full((len(pairs), 1), logit, dtype=torch.float64, requires_grad=True)
    q = Uncoupled(logits=leaf)
    q.given, q.fresh = (u.logit().reshape(1, -1, 1) for u in pairs.unbind(-1))
    value = hg.expectation(table, q.to_event(1), cls(), num_samples=2)
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    assert float((weight @ gradient - single.exact()[1]).abs().max()) > 0.01


@BOTH
def test_several_pairs_are_averaged(cls: Any) -> None:
    integral = Integral(LOGITS["two bits"])
    noise = integral.uniforms.logit()
    shuffled = noise.roll(5, 0)
    gradients = []
    for given in (noise, shuffled):
        gradients.append(integral.at_nodes(cls(), integral.q(noise=given))[1])
    q = integral.q()
    q.bases[0].given = torch.stack([noise, shuffled])
    value = hg.expectation(table, q, cls(), num_samples=4)
    (both,) = torch.autograd.grad(value.sum(), q.logits)
    torch.testing.assert_close(both, sum(gradients) / 2, rtol=0, atol=1e-14)


@BOTH
def test_at_even_odds_the_second_half_mirrors_the_first(cls: Any, generator: Generator) -> None:
    q = hg.Bernoulli(logits=torch.zeros(5, 3, dtype=torch.float64)).to_event(1)
    f = Probe(q, torch.float64)
    hg.expectation(f, q, cls(), num_samples=8, generator=generator)
    first, second = f.asked[0].chunk(2)
    assert torch.equal(second, 1 - first)


@BOTH
@pytest.mark.parametrize("logit", [60.0, -60.0, 700.0])
def test_nearly_certain_bits_are_left_alone(cls: Any, logit: float, generator: Generator) -> None:
    logits = torch.tensor([logit, 0.3], requires_grad=True)
    q = hg.Bernoulli(logits=logits).to_event(1)
    hg.expectation(table, q, cls(), num_samples=50, generator=generator).backward()
    assert logits.grad is not None
    assert logits.grad[1] != 0
    # ARM's own noise is what remains where DisARM has none
    assert logits.grad[0].abs() < (1e-20 if cls is hg.DisARM else 1)


def gradients_of(estimator: hg.Estimator, generator: Generator) -> Tensor:
    logits = torch.tensor([0.6, -1.7, 0.2], dtype=torch.float64)
    logits = logits.expand(20_000, 3).clone().requires_grad_()
    q = hg.Bernoulli(logits=logits).to_event(1)
    same = generator.clone_state()
    value = hg.expectation(table, q, estimator, num_samples=2, generator=same)
    return torch.autograd.grad(value.sum(), logits)[0]


def test_disarm_has_less_variance_than_arm(generator: Generator) -> None:
    arm, disarm = (gradients_of(cls(), generator) for cls in (hg.ARM, hg.DisARM))
    assert log_ratio_below(disarm, arm) < 0
    assert log_ratio_below(arm, disarm) > 0


def test_disarm_has_less_variance_than_two_independent_samples(generator: Generator) -> None:
    disarm, pair = (gradients_of(e, generator) for e in (hg.DisARM(), hg.ScoreFunction()))
    assert log_ratio_below(disarm, pair) < 0
    assert log_ratio_below(pair, disarm) > 0
