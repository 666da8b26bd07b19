"""`fit` with data: minibatches, rows with unknowns of their own, networks, learned models."""

import functools
import itertools
import math
from typing import NamedTuple

import pytest
import torch
from inference.models import bernoulli_mixture, bits, seeded
from torch import Tensor, nn

import hotgrad as hg
from hotgrad.inference import fit
from hotgrad.inference.objective import Objective
from hotgrad.inference.problem import Problem

Adam = functools.partial(torch.optim.Adam, lr=0.1)


def test_rows_with_unknowns_of_their_own() -> None:
    x, by_kind, log_joint = bernoulli_mixture()
    q = hg.OneHotCategorical(logits=torch.zeros(len(x), 3))
    before = q.logits.clone()
    result = fit(
        log_joint,
        q,
        data=x,
        estimator=hg.IndeCateR(),
        num_samples=2,
        steps=300,
        generator=seeded(),
    )
    torch.testing.assert_close(result.marginals, by_kind.softmax(-1), atol=5e-3, rtol=0)
    assert result.elbo == pytest.approx(float(by_kind.logsumexp(-1).sum()), abs=0.3)
    assert result.sample(3).shape == (3, len(x), 3)
    assert torch.equal(q.logits, before)


class Encoder(nn.Module):
    """q(z | x) of one item's kind."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> hg.OneHotCategorical:
        return hg.OneHotCategorical(logits=self.linear(x))


@pytest.mark.parametrize("batch_size", [None, 8])
def test_an_amortised_q(batch_size: int | None) -> None:
    x, by_kind, log_joint = bernoulli_mixture()
    encoder = Encoder()
    result = fit(
        log_joint,
        encoder,
        data=x,
        batch_size=batch_size,
        optimizer=Adam,
        steps=250,
        generator=seeded(),
    )
    # log p(kind | x) is linear in x here
    torch.testing.assert_close(result.marginals, by_kind.softmax(-1), atol=0.1, rtol=0)
    assert result.posterior is encoder
    assert result.sample(3).shape == (3, len(x), 3)
    assert result.bound(50, generator=seeded()) == pytest.approx(
        float(by_kind.logsumexp(-1).sum()), abs=0.1
    )


def regression(z: Tensor, data: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """log p(z) and log p(y_i | z): which columns does y depend on?"""
    return -z.sum(-1), -(data["y"] - z @ data["x"].T).square() / 2


def regression_data() -> dict[str, Tensor]:
    x = torch.randn(6, 3, generator=seeded(1))
    return {"x": x, "y": x @ torch.tensor([1.0, 0, 1]) + torch.randn(6, generator=seeded(2))}


def gradient_of(problem: Problem, rows: Tensor | slice) -> tuple[Tensor, Tensor]:
    """The exact bound at some rows, and its gradient to q's logits."""
    bound = Objective(problem, "elbo", hg.Exact(), 1)(rows, None)
    (slope,) = torch.autograd.grad(bound, list(problem.variational.state().values()))
    return bound.detach(), slope


@pytest.mark.parametrize("kind", ["shared", "own"])
def test_minibatches_have_the_bound_of_all_data_as_their_mean(kind: str) -> None:
    if kind == "shared":
        data = regression_data()
        problem = Problem(regression, bits(3), data, 2, ())
    else:
        data, _, log_joint = bernoulli_mixture(6)
        q = hg.OneHotCategorical(logits=torch.randn(6, 3, generator=seeded()))
        problem = Problem(log_joint, q, data, 2, ())
    whole, whole_slope = gradient_of(problem, slice(None))
    parts = [
        gradient_of(problem, torch.tensor(rows)) for rows in itertools.combinations(range(6), 2)
    ]
    torch.testing.assert_close(torch.stack([bound for bound, _ in parts]).mean(), whole)
    torch.testing.assert_close(torch.stack([slope for _, slope in parts]).mean(0), whole_slope)
    # not that all minibatches were alike
    assert torch.stack([bound for bound, _ in parts]).std() > 0.1


def test_minibatches_and_all_data_lead_to_the_same_place() -> None:
    data = regression_data()
    results = [
        fit(regression, bits(3), data=data, batch_size=size, steps=250, generator=seeded())
        for size in (None, 3)
    ]
    torch.testing.assert_close(results[0].marginals, results[1].marginals, atol=0.05, rtol=0)
    # looking back uses all data, whatever the minibatch
    assert results[0].elbo == pytest.approx(results[1].elbo, abs=0.05)


def test_one_tensor_or_the_pair_without_minibatches() -> None:
    def summed(z: Tensor, data: dict[str, Tensor]) -> Tensor:
        prior, likelihood = regression(z, data)
        return prior + likelihood.sum(-1)

    data = regression_data()
    pair, one = (
        fit(model, bits(3), data=data, steps=50, generator=seeded())
        for model in (regression, summed)
    )
    torch.testing.assert_close(pair.marginals, one.marginals)


def test_a_last_minibatch_as_long_as_a_shared_batch_isnt_taken_for_its_rows() -> None:
    logits = nn.Parameter(torch.zeros(2, 3))
    x = torch.randn(6, 3, generator=seeded(1))
    result = fit(
        lambda z, x: (-z.sum(-1), z @ x.T),
        lambda x: hg.Bernoulli(logits=logits).to_event(1),
        parameters=[logits],
        data=x,
        batch_size=4,
        steps=4,
        generator=seeded(),
    )
    assert result.marginals.shape == (2, 3)


def test_passes_see_each_row_once() -> None:
    x, _, log_joint = bernoulli_mixture(10)
    seen: list[int] = []

    def spying(z: Tensor, data: tuple[Tensor, Tensor]) -> Tensor:
        if torch.is_grad_enabled():
            seen.extend(data[1].tolist())
        return log_joint(z, data[0])

    data = (x, torch.arange(10))
    q = hg.OneHotCategorical(logits=torch.zeros(10, 3))
    fit(spying, q, data=data, batch_size=4, steps=6, generator=seeded())
    del seen[:4]  # the look before the first step
    assert sorted(seen[:10]) == sorted(seen[10:20]) == list(range(10))
    assert seen[:10] != seen[10:20]


class Mixture(nn.Module):
    """Two kinds of numbers, whose centres are learned."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.tensor([-0.5, 0.5]))

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        return (z * (-(x.unsqueeze(-1) - self.centres).square() / 2 - math.log(2))).sum(-1)


@pytest.mark.parametrize("how", ["module", "parameters"])
def test_the_model_is_learned_too(how: str) -> None:
    x = torch.cat([torch.randn(20, generator=seeded(s)) + 3 * (2 * s - 1) for s in (0, 1)])
    model = Mixture()
    function, learned = (model, ()) if how == "module" else (model.forward, model.parameters())
    q = hg.OneHotCategorical(logits=torch.zeros(40, 2))
    fit(
        function,
        q,
        data=x,
        estimator=hg.Exact(),
        parameters=learned,
        optimizer=Adam,
        steps=200,
        generator=seeded(),
    )
    centres = torch.tensor([-0.5, 0.5])
    for _ in range(200):  # expectation maximisation
        share = (-(x.unsqueeze(-1) - centres).square() / 2).softmax(-1)
        centres = (share * x.unsqueeze(-1)).sum(0) / share.sum(0)
    torch.testing.assert_close(model.centres.detach(), centres, atol=5e-3, rtol=0)


class Normalised(Encoder):
    """It keeps count of what it has seen in training, and drops some of it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(4), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> hg.OneHotCategorical:
        return super().forward(self.drop(self.norm(x)))


def test_looking_at_a_module_doesnt_change_it() -> None:
    x, _, log_joint = bernoulli_mixture()
    encoder = Normalised()
    encoder.norm.momentum = None
    with torch.random.fork_rng():
        result = fit(
            log_joint, encoder, data=x, batch_size=8, steps=6, optimizer=Adam, generator=seeded()
        )
    # two passes, and nothing before the first step
    assert encoder.norm.num_batches_tracked == 6
    torch.testing.assert_close(encoder.norm.running_mean, x.mean(0))
    first = result.marginals
    result.bound(10, generator=seeded())
    assert math.isfinite(result.elbo)
    assert torch.equal(result.marginals, first)
    assert encoder.norm.num_batches_tracked == 6
    assert all(module.training for module in encoder.modules())


class Columns(NamedTuple):
    x: Tensor
    kind: Tensor


def test_data_keep_their_structure() -> None:
    x, _, log_joint = bernoulli_mixture(6)
    q = hg.OneHotCategorical(logits=torch.zeros(6, 3))
    results = [
        fit(model, q, data=data, batch_size=4, steps=10, generator=seeded())
        for model, data in (
            (lambda z, data: log_joint(z, data.x), Columns(x, x)),
            (lambda z, data: log_joint(z, data[0]), (x, x)),
            (lambda z, data: log_joint(z, data["x"]), {"x": x}),
        )
    ]
    assert all(torch.equal(one.marginals, results[0].marginals) for one in results)


def test_one_tensor_isnt_taken_for_all_minibatches_together() -> None:
    """Of a pair the likelihoods add up; of one tensor nobody knows which part is the prior."""
    data = regression_data()
    problem = Problem(lambda z, data: regression(z, data)[0], bits(3), data, 2, ())
    (block,) = problem.blocks()
    with pytest.raises(ValueError, match="In minibatches log_joint must return a pair"):
        block.log_joint(block.q.sample((3,)))
