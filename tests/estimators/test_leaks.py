"""What an estimator leaves alone: the model, f, and itself where it doesn't train."""

import copy
from typing import Any

import pytest
import torch
from estimators.cases import ESTIMATORS, EVERY, JOINED, MODULES, WORKING, Probe, thinned
from torch import Generator, Tensor, nn

import hotgrad as hg

every_pair = pytest.mark.parametrize(("estimator", "distribution"), thinned(WORKING + JOINED))
every_module = pytest.mark.parametrize(
    ("estimator", "distribution"),
    [pair for pair in thinned(WORKING + JOINED) if pair[0] in MODULES],
)


def value_of(
    estimator: hg.Estimator, q: Any, f: Any, generator: Generator, num_samples: int = 4
) -> Tensor:
    """The same samples each time."""
    same = generator.clone_state()
    return hg.expectation(f, q, estimator, num_samples=num_samples, generator=same)


@every_pair
def test_without_gradients_the_value_comes_without_a_graph(
    estimator: str, distribution: str, generator: Generator
) -> None:
    q = EVERY[distribution].make(EVERY[distribution].logits((5,)))
    chosen = ESTIMATORS[estimator](q)
    f = Probe(q, torch.float64)
    with torch.no_grad():
        value = value_of(chosen, q, f, generator)
    assert value.shape == (5,)
    assert value.isfinite().all()
    assert not value.requires_grad
    assert not any(said.requires_grad for said in f.said)


@every_pair
def test_a_distribution_without_a_gradient_leaves_f_its_own(
    estimator: str, distribution: str, generator: Generator
) -> None:
    logits = EVERY[distribution].logits((5,))
    results = []
    for given in (logits, logits.detach()):
        q = EVERY[distribution].make(given)
        f = Probe(q, torch.float64)
        value = value_of(ESTIMATORS[estimator](q), q, f, generator)
        results.append((value, torch.autograd.grad(value.sum(), f.scale)[0]))
    torch.testing.assert_close(*results, rtol=0, atol=0)


@every_pair
def test_an_f_without_parameters_gives_the_distribution_the_same_gradient(
    estimator: str, distribution: str, generator: Generator
) -> None:
    gradients = []
    for learns in (True, False):
        logits = EVERY[distribution].logits((5,))
        q = EVERY[distribution].make(logits)
        f = Probe(q, torch.float64)
        f.scale.requires_grad_(learns)
        value_of(ESTIMATORS[estimator](q), q, f, generator).sum().backward()
        gradients.append(logits.grad)
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


@every_pair
def test_what_makes_the_logits_gets_their_gradient_and_no_other(
    estimator: str, distribution: str, generator: Generator
) -> None:
    # whatever a control variate asks of the distribution, the encoder hears of the finished
    # gradient alone
    case = EVERY[distribution]
    logits = case.logits((5,))
    weight = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    masks = logits.isinf()
    base = torch.where(masks, 0.0, logits / 1.3).detach()
    f = Probe(case.make(logits), torch.float64)
    made = torch.where(masks, logits.detach(), weight * base)
    value = value_of(ESTIMATORS[estimator](case.make(made)), case.make(made), f, generator)
    (through,) = torch.autograd.grad(value.sum(), weight)
    leaf = made.detach().requires_grad_()
    value = value_of(ESTIMATORS[estimator](case.make(leaf)), case.make(leaf), f, generator)
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    torch.testing.assert_close(through, (gradient * base).sum(), rtol=0, atol=1e-11)


@every_module
def test_in_evaluation_mode_nothing_of_its_own_changes(
    estimator: str, distribution: str, generator: Generator
) -> None:
    q = EVERY[distribution].make(EVERY[distribution].logits((5,)))
    chosen: Any = ESTIMATORS[estimator](q)
    chosen.eval()
    before = copy.deepcopy(chosen.state_dict())
    value_of(chosen, q, Probe(q, torch.float64), generator).sum().backward()
    torch.testing.assert_close(dict(chosen.state_dict()), dict(before), rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in chosen.parameters())


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@every_module
def test_whether_it_learns_changes_neither_value_nor_gradient(
    estimator: str, distribution: str, training: bool, generator: Generator
) -> None:
    results = []
    for learns in (True, False):
        logits = EVERY[distribution].logits((5,))
        q = EVERY[distribution].make(logits)
        chosen: Any = ESTIMATORS[estimator](q)
        chosen.train(training)
        for parameter in chosen.parameters():
            parameter.requires_grad_(learns)
        f = Probe(q, torch.float64)
        value = value_of(chosen, q, f, generator)
        value.sum().backward()
        results.append((value, logits.grad, f.scale.grad))
    torch.testing.assert_close(*results, rtol=0, atol=1e-13)


@every_module
def test_in_training_its_parameters_get_finite_gradients(
    estimator: str, distribution: str, generator: Generator
) -> None:
    q = EVERY[distribution].make(EVERY[distribution].logits((5,)))
    chosen = ESTIMATORS[estimator](q)
    assert isinstance(chosen, nn.Module)
    value_of(chosen, q, Probe(q, torch.float64), generator).sum().backward()
    for parameter in chosen.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.count_nonzero() > 0
