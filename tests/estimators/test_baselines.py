"""Baselines: what each subtracts, what it learns, and what it may not touch."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from estimators.cases import with_samples
from stats import log_ratio_below
from torch import Generator, Tensor, nn

import hotgrad as hg

VALUES = torch.tensor([[1.0, -2.0], [4.0, 0.5], [2.5, 3.0]], dtype=torch.float64)


def test_no_baseline_leaves_the_values() -> None:
    assert torch.equal(hg.NoBaseline().centre(VALUES, None), VALUES)


def test_leave_one_out_is_the_mean_of_the_others() -> None:
    centred = hg.LeaveOneOut().centre(VALUES, None)
    for s in range(3):
        others = VALUES[[t for t in range(3) if t != s]]
        torch.testing.assert_close(centred[s], VALUES[s] - others.mean(0), rtol=0, atol=1e-14)


def test_leave_one_out_refuses_one_sample() -> None:
    q = hg.Bernoulli(logits=torch.zeros(3))
    with pytest.raises(
        ValueError, match=r"\(LeaveOneOut\) .*at least 2, got 1\. Use num_samples=2"
    ):
        hg.expectation(lambda z: z, q, hg.ScoreFunction(), num_samples=1)
    with pytest.raises(ValueError, match=r"at least 2, got 1.*num_samples=2, or .*MovingAverage"):
        hg.LeaveOneOut().centre(torch.zeros(1), None)


@pytest.mark.parametrize("baseline", [hg.LeaveOneOut, "mean", object(), 3])
def test_a_baseline_is_an_object_with_centre(baseline: Any) -> None:
    with pytest.raises(ValueError, match=r"object with a method centre.*got"):
        hg.ScoreFunction(baseline)


@pytest.mark.parametrize("module", [None, 3, "net", nn.Linear], ids=repr)
def test_a_learned_baseline_needs_a_module(module: Any) -> None:
    with pytest.raises(ValueError, match=r"module must be a function of q\.mean, got"):
        hg.Learned(module)


@pytest.mark.parametrize(
    ("centred", "got"),
    [(None, "None"), (torch.zeros(5), r"a tensor of shape \(5,\)"), (1.0, "1.0")],
)
def test_what_centre_returns_is_checked(centred: Any, got: str) -> None:
    baseline = Fixed(0.0)
    baseline.centre = lambda values, q: centred  # type: ignore[method-assign]
    q = hg.Bernoulli(logits=torch.zeros(4))
    why = rf"Fixed\.centre .*\(2, 4\); got {got}"
    with pytest.raises(ValueError, match=why):
        hg.expectation(lambda z: 1.0 * z, q, hg.ScoreFunction(baseline), num_samples=2)
    if centred is None or isinstance(centred, float):
        learned = hg.ScoreFunction(hg.Learned(lambda mean: centred))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=rf"module must return shape .*, got {got}"):
            hg.expectation(lambda z: 1.0 * z, q, learned)


class TestMovingAverage:
    def test_it_is_the_corrected_average_of_earlier_means(self) -> None:
        baseline = hg.MovingAverage(decay=0.8)
        means: list[float] = []
        for step in range(4):
            values = VALUES + step
            # written out: sum of decay^age x mean, over the sum of the weights
            weights = [0.8 ** (step - 1 - i) for i in range(step)]
            total = sum(w * m for w, m in zip(weights, means, strict=True))
            expected = total / max(sum(weights), 1e-12)
            centred = baseline.centre(values, None)
            torch.testing.assert_close(centred, values - expected, rtol=0, atol=1e-6)
            assert centred.dtype == values.dtype
            means.append(float(values.mean()))

    def test_it_stays_in_evaluation_mode(self) -> None:
        estimator = hg.ScoreFunction(hg.MovingAverage())
        estimator.baseline.centre(VALUES, None)
        before = copy.deepcopy(estimator.state_dict())
        estimator.eval()
        first = estimator.baseline.centre(VALUES + 5, None)
        second = estimator.baseline.centre(VALUES + 5, None)
        assert torch.equal(first, second)
        torch.testing.assert_close(dict(estimator.state_dict()), dict(before), rtol=0, atol=0)
        estimator.train()
        estimator.baseline.centre(VALUES + 5, None)
        assert not torch.equal(estimator.state_dict()["baseline.total"], before["baseline.total"])

    def test_checkpoints_keep_it(self) -> None:
        model = nn.ModuleDict({"estimator": hg.ScoreFunction(hg.MovingAverage())})
        model["estimator"].baseline.centre(VALUES, None)
        fresh = nn.ModuleDict({"estimator": hg.ScoreFunction(hg.MovingAverage())})
        fresh.load_state_dict(model.state_dict())
        again = fresh["estimator"].baseline.centre(VALUES, None)
        assert torch.equal(again, model["estimator"].baseline.centre(VALUES, None))
        assert not torch.equal(again, VALUES)

    @pytest.mark.parametrize("decay", [-0.1, 1.0, math.nan, "0.9", None, True])
    def test_it_checks_its_decay(self, decay: Any) -> None:
        with pytest.raises(ValueError, match=r"decay must be a number in \[0, 1\), got"):
            hg.MovingAverage(decay)


class Level(nn.Module):
    """One number, whatever the distribution."""

    def __init__(self, level: float) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(level, dtype=torch.float64))

    def forward(self, mean: Tensor) -> Tensor:
        return self.level.expand(mean.shape[0], 1)


class Fixed:
    """What `Level` predicts, as a constant."""

    def __init__(self, level: float) -> None:
        self.level = level

    def centre(self, values: Tensor, q: Any) -> Tensor:
        return values - self.level


class TestLearned:
    """With q of three categories whose states are its only samples, so that a batch is a sum."""

    cost = torch.tensor([1.0, -2.0, 4.0], dtype=torch.float64)

    @pytest.fixture
    def logits(self) -> Tensor:
        return torch.tensor([0.3, -0.5, 0.8], dtype=torch.float64, requires_grad=True)

    def value(self, logits: Tensor, baseline: Any, scale: float | Tensor = 1.0) -> Tensor:
        """The mean surrogate: one sample, each state with its probability."""
        states = torch.eye(3, dtype=torch.float64)
        q = with_samples(hg.OneHotCategorical, logits.expand(3, 3), states.unsqueeze(0))

        def f(z: Tensor) -> Tensor:
            return scale * (z @ self.cost)

        return (
            logits.softmax(-1).detach() * hg.expectation(f, q, hg.ScoreFunction(baseline))
        ).sum()

    @pytest.mark.parametrize("sign", [1.0, -1.0], ids=["minimised", "maximised"])
    @pytest.mark.parametrize("distance", [-1.0, 0.0, 2.5])
    def test_it_descends_to_the_mean_of_f_whatever_the_losss_sign(
        self, logits: Tensor, sign: float, distance: float
    ) -> None:
        mean = float(logits.softmax(-1).detach() @ self.cost)
        module = Level(mean + distance)
        (sign * self.value(logits, hg.Learned(module))).backward()
        # d/db of E[(f - b)^2] is 2 (b - E[f])
        assert module.level.grad is not None
        assert float(module.level.grad) == pytest.approx(2 * distance, abs=1e-12)

    def test_no_gradient_leaks_to_q_or_f(self, logits: Tensor) -> None:
        scale = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
        learned = self.value(logits, hg.Learned(Level(0.9)), scale)
        fixed = self.value(logits, Fixed(0.9), scale)
        torch.testing.assert_close(learned, fixed, rtol=0, atol=0)
        torch.testing.assert_close(
            torch.autograd.grad(learned, (logits, scale)),
            torch.autograd.grad(fixed, (logits, scale)),
            rtol=0,
            atol=1e-14,
        )

    @pytest.mark.parametrize("sign", [1.0, -1.0], ids=["minimised", "maximised"])
    def test_a_models_optimiser_trains_it(self, sign: float, generator: Generator) -> None:
        class Model(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                net = nn.Linear(3, 1, dtype=torch.float64)
                nn.init.zeros_(net.weight)
                nn.init.zeros_(net.bias)
                self.estimator = hg.ScoreFunction(hg.Learned(net))

        model = Model()
        net = model.estimator.baseline.module
        assert {id(p) for p in model.parameters()} == {id(p) for p in net.parameters()}
        rows = torch.randn(64, 3, generator=generator, dtype=torch.float64)
        q = hg.OneHotCategorical(logits=rows)
        optimiser = torch.optim.Adam(model.parameters(), lr=0.1)

        def error() -> float:
            return float((net(q.mean).squeeze(-1) - q.mean @ self.cost).detach().square().mean())

        before = error()
        for _ in range(150):
            optimiser.zero_grad()
            value = hg.expectation(
                lambda z: z @ self.cost, q, model.estimator, num_samples=8, generator=generator
            )
            (sign * value.mean()).backward()
            optimiser.step()
        assert error() < 0.1 * before

    def test_its_module_must_return_one_value_per_element(self) -> None:
        q = hg.OneHotCategorical(logits=torch.zeros(5, 3))
        estimator = hg.ScoreFunction(hg.Learned(nn.Linear(3, 2)))
        with pytest.raises(ValueError, match=r"\(5,\) or \(5, 1\) from .*, got .*\(5, 2\)"):
            hg.expectation(lambda z: z.sum(-1), q, estimator)

    def test_nothing_is_trained_without_gradients(self, logits: Tensor) -> None:
        with torch.no_grad():
            value = self.value(logits, hg.Learned(Level(0.0)))
        assert not value.requires_grad


def test_leave_one_out_has_less_variance_than_no_baseline(generator: Generator) -> None:
    n = 20_000

    def cost(z: Tensor) -> Tensor:
        return 3 + (z @ torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64))

    def estimates(baseline: Any) -> Tensor:
        logits = torch.zeros(n, 3, dtype=torch.float64, requires_grad=True)
        q: Any = hg.OneHotCategorical(logits=logits)
        same: Callable[[], Generator] = generator.clone_state
        value = hg.expectation(cost, q, hg.ScoreFunction(baseline), num_samples=4, generator=same())
        return torch.autograd.grad(value.sum(), logits)[0]

    plain = estimates(hg.NoBaseline())
    assert log_ratio_below(estimates(hg.LeaveOneOut()), plain) < 0
    # a mutant with the baseline's sign wrong is not mistaken for an improvement
    assert log_ratio_below(estimates(Fixed(-3.0)), plain) > 0
