"""A temperature that learns: a model that holds one finds it, trains it and saves it."""

import copy
import dataclasses
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

import hotgrad as hg

COST = torch.tensor([1.0, 2.0, 5.0])
LEARNING = [
    hg.GumbelSoftmax,
    hg.StraightThroughGumbelSoftmax,
    hg.GappedStraightThrough,
    hg.GumbelRao,
]


def square(z: Tensor) -> Tensor:
    return (z @ COST.to(z)).square()


class Model(nn.Module):
    """Logits, and an estimator as a layer holds one."""

    def __init__(self, estimator: Any) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([0.3, -0.2, 0.1]))
        self.estimator = estimator

    def forward(self, generator: Generator | None = None) -> Tensor:
        q = hg.OneHotCategorical(logits=self.logits)
        return hg.expectation(square, q, self.estimator, num_samples=8, generator=generator)


@pytest.mark.parametrize("cls", LEARNING)
def test_an_optimiser_over_the_models_parameters_moves_it(cls: Any, generator: Generator) -> None:
    model = Model(hg.LearnedTemperature(cls(temperature=0.5)))
    # so large a step that the temperature itself, as a parameter, would fall below 0
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(5):
        optimizer.zero_grad()
        model(generator).backward()
        optimizer.step()
        assert 0 < model.estimator.temperature.item() != pytest.approx(0.5)
    saved = model.state_dict()
    assert set(saved) == {"logits", "estimator.log_temperature"}
    other = Model(hg.LearnedTemperature(cls(temperature=1.0)))
    other.load_state_dict(saved)
    assert torch.equal(other.estimator.temperature, model.estimator.temperature)
    torch.testing.assert_close(model(generator.clone_state()), other(generator.clone_state()))
    assert torch.equal(copy.deepcopy(model).estimator.temperature, other.estimator.temperature)


@pytest.mark.parametrize("cls", LEARNING)
@pytest.mark.parametrize("shape", [(), (5, 1)], ids=str)
def test_value_and_gradients_are_those_of_the_temperature_as_a_tensor(
    cls: Any, shape: tuple[int, ...], generator: Generator
) -> None:
    start = torch.full(shape, 0.7, dtype=torch.float64)
    learned = hg.LearnedTemperature(cls(temperature=start))
    leaf = start.clone().requires_grad_()
    results = []
    for estimator, at, scale in (
        (cls(temperature=leaf), leaf, 0.7),
        # d/d log temperature = temperature times d/d temperature
        (learned, learned.log_temperature, 1.0),
    ):
        logits = torch.linspace(-1, 1, 15, dtype=torch.float64).view(5, 3).requires_grad_()
        q = hg.OneHotCategorical(logits=logits)
        value = hg.expectation(
            square, q, estimator, num_samples=3, generator=generator.clone_state()
        )
        slopes = torch.autograd.grad(value.sum(), (logits, at))
        results.append((value, slopes[0], slopes[1] * scale))
    torch.testing.assert_close(*results)


def test_its_facts_are_the_estimators() -> None:
    for inner in (hg.GumbelSoftmax(0.5), hg.StraightThroughGumbelSoftmax(0.5), hg.RelaxedTopK(0.5)):
        estimator = hg.LearnedTemperature(inner)
        for fact in ("unbiased", "relaxes_f", "differentiates_f", "requires", "least_samples"):
            assert getattr(estimator, fact) == getattr(inner, fact)
        assert estimator.label == f"LearnedTemperature({inner.label})"
    why = r"relaxed_top_k_sample, which Bernoulli .*\bScoreFunction\(\)"
    with pytest.raises(NotImplementedError, match=why):
        hg.expectation(lambda z: z, hg.Bernoulli(logits=torch.zeros(3)), estimator)


def test_it_works_with_a_joint_and_in_half_precision(generator: Generator) -> None:
    estimator = hg.LearnedTemperature(hg.GumbelSoftmax(0.5))
    q = hg.Joint(
        kind=hg.OneHotCategorical(logits=torch.zeros(4, 3, dtype=torch.bfloat16)),
        bit=hg.Bernoulli(logits=torch.zeros(4, dtype=torch.bfloat16)),
    )
    value = hg.expectation(
        lambda z: square(z["kind"]) * z["bit"], q, estimator, generator=generator
    )
    value.sum().backward()
    assert value.dtype == torch.bfloat16
    assert estimator.log_temperature.grad is not None
    assert estimator.log_temperature.grad.isfinite()


@pytest.mark.parametrize(
    "estimator", [hg.ReinMax(), hg.StraightThrough(), hg.REBAR(), hg.GumbelSoftmax, 0.5, None]
)
def test_only_a_temperature_that_a_gradient_reaches_can_learn(estimator: Any) -> None:
    with pytest.raises(ValueError, match="have a gradient to its temperature, such as "):
        hg.LearnedTemperature(estimator)


@pytest.mark.parametrize("cls", [*LEARNING, hg.ReinMax, hg.RelaxedTopK])
def test_a_parameter_that_a_model_would_not_find_is_refused(cls: Any) -> None:
    parameter = nn.Parameter(torch.tensor(0.5))
    why = rf"nn.Parameter.*LearnedTemperature\({cls.__name__}\(temperature=0.5\)\)"
    with pytest.raises(ValueError, match=why):
        cls(temperature=parameter)
    with pytest.raises(ValueError, match=why):
        dataclasses.replace(cls(), temperature=parameter)
    assert cls(temperature=parameter.exp()).temperature.requires_grad


def test_an_audit_measures_it_where_it_is(generator: Generator) -> None:
    q = hg.OneHotCategorical(logits=torch.tensor([0.3, -0.2, 0.1]))
    fixed, learned = hg.GumbelSoftmax(0.3), hg.LearnedTemperature(hg.GumbelSoftmax(0.3))
    rows = []
    for estimator in (fixed, learned):
        same = generator.clone_state()
        found = hg.audit(square, q, {"it": estimator}, replicates=100, generator=same)
        assert found.best() is estimator
        rows += found.rows
    assert rows[1]["note"] == ""
    for figure in ("temperature", "bias", "variance", "cosine"):
        assert rows[1][figure] == pytest.approx(rows[0][figure], rel=1e-3)
    assert learned.log_temperature.grad is None


def test_it_shows_what_it_is_made_of() -> None:
    rao = hg.LearnedTemperature(hg.GumbelRao(0.25, num_inner=3))
    assert repr(rao) == "LearnedTemperature(GumbelRao(temperature=0.25, num_inner=3))"
    each = hg.LearnedTemperature(hg.GumbelSoftmax(torch.full((3, 1), 0.5)))
    assert "temperature=tensor of shape (3, 1)" in repr(each)
