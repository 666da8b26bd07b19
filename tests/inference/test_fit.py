"""`fit` finds what it should: factorised optima, exact posteriors, maximum likelihood."""

import functools
import itertools
import math
import warnings
from typing import Any, ClassVar, NamedTuple

import pytest
import torch
from inference.models import bernoulli_mixture, bits, boltzmann, seeded
from torch import Tensor, nn

import hotgrad as hg
from hotgrad.inference import fit
from hotgrad.inference.objective import Objective
from hotgrad.inference.problem import Problem

Adam = functools.partial(torch.optim.Adam, lr=0.1)


@pytest.mark.parametrize(
    ("estimator", "off"),
    [
        (None, 1e-3),
        (hg.DisARM(), 1e-3),
        (hg.StraightThrough(), 1e-3),  # unbiased here: linear in each bit
        (hg.Exact(), 1e-4),
    ],
    ids=["default", "disarm", "straight-through", "exact"],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_best_factorised_law_is_found(
    estimator: hg.Estimator | None, off: float, seed: int
) -> None:
    model = boltzmann(10, seed)
    best = model.best_factorised()
    result = fit(model, bits(10), estimator=estimator, generator=seeded(seed))
    assert result.converged
    assert best - model.elbo(result.marginals) < off * abs(best)


def test_a_family_that_holds_the_posterior_finds_it() -> None:
    table = torch.randn(8, generator=seeded(3))
    q = hg.OneHotCategorical(logits=torch.zeros(8))
    result = fit(lambda z: z @ table, q, steps=2000, generator=seeded())
    torch.testing.assert_close(result.marginals, table.softmax(-1), atol=2e-3, rtol=0)
    assert result.elbo == pytest.approx(float(table.logsumexp(-1)), abs=1e-3)
    # where q is the posterior all weights are alike
    assert result.bound(10, generator=seeded()) == pytest.approx(result.elbo, abs=1e-2)


@pytest.mark.parametrize("law", [hg.KSubset, hg.PlackettLuceSubset])
def test_subsets(law: type) -> None:
    scores = torch.randn(4, generator=seeded(4))
    posterior = hg.KSubset(scores, 2)
    result = fit(
        lambda z: z @ scores, law(torch.zeros(4), 2), num_samples=4, steps=300, generator=seeded()
    )
    evidence = float((posterior.enumerate_support() @ scores).logsumexp(0))
    # KSubset holds the posterior; Plackett-Luce comes near it
    assert result.elbo == pytest.approx(evidence, abs=0.05)
    torch.testing.assert_close(result.marginals, posterior.mean, atol=0.06, rtol=0)


def joint_model(z: dict[str, Tensor]) -> Tensor:
    scores = torch.tensor([0.5, -1.0, 1.5])
    return z["kept"] @ scores + 2 * z["kind"][..., 0] * z["kept"][..., 1] - z["kind"][..., 1]


def joint_law() -> hg.Joint:
    return hg.Joint(kept=bits(3), kind=hg.OneHotCategorical(logits=torch.zeros(3)))


def test_named_unknowns_of_different_laws() -> None:
    result, exact = (
        fit(joint_model, joint_law(), estimator=e, num_samples=4, steps=1000, generator=seeded())
        for e in (hg.IndeCateR(), hg.Exact())
    )
    assert set(result.marginals) == {"kept", "kind"}
    assert result.sample(5)["kept"].shape == (5, 3)
    for name, mean in result.marginals.items():
        torch.testing.assert_close(mean, exact.marginals[name], atol=0.02, rtol=0)


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
        steps=1500,
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
        steps=1500,
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
    (slope,) = torch.autograd.grad(bound, list(problem.unknowns.state().values()))
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
        fit(regression, bits(3), data=data, batch_size=size, steps=2000, generator=seeded())
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
        optimizer=functools.partial(torch.optim.Adam, lr=0.05),
        steps=1000,
        generator=seeded(),
    )
    centres = torch.tensor([-0.5, 0.5])
    for _ in range(200):  # expectation maximisation
        share = (-(x.unsqueeze(-1) - centres).square() / 2).softmax(-1)
        centres = (share * x.unsqueeze(-1)).sum(0) / share.sum(0)
    torch.testing.assert_close(model.centres.detach(), centres, atol=5e-3, rtol=0)


def test_structured_q_by_an_expectation_inside() -> None:
    """q(a) q(b | a) reaches the posterior of two bits that agree; q(a) q(b) can't."""
    conditional = nn.Parameter(torch.tensor([0.1, -0.1]))

    def agree(a: Tensor, b: Tensor) -> Tensor:
        return 3.0 * (a * b + (1 - a) * (1 - b)) + 0.5 * a

    def log_joint(a: Tensor) -> Tensor:
        inner = hg.Bernoulli(logits=torch.where(a == 1, conditional[1], conditional[0]))
        return hg.expectation(lambda b: agree(a, b), inner, hg.Exact()) + inner.entropy()

    structured = fit(
        log_joint,
        hg.Bernoulli(logits=torch.tensor(0.1)),
        estimator=hg.Exact(),
        parameters=[conditional],
        optimizer=Adam,
        steps=1000,
        generator=seeded(),
    )
    both = torch.cartesian_prod(torch.arange(2.0), torch.arange(2.0))
    evidence = float(agree(both[:, 0], both[:, 1]).logsumexp(0))
    assert structured.elbo == pytest.approx(evidence, abs=1e-3)
    apart = fit(
        lambda z: agree(z[..., 0], z[..., 1]),
        hg.Bernoulli(logits=torch.tensor([0.1, 0.1])).to_event(1),
        estimator=hg.Exact(),
        steps=1000,
        generator=seeded(),
    )
    assert apart.elbo < evidence - 0.1


@pytest.mark.parametrize(
    ("estimator", "num_samples"),
    [(hg.VIMCO(), 8), (hg.ScoreFunction(), 8), (hg.GumbelSoftmax(0.5), 8)],
    ids=["vimco", "score-function", "gumbel-softmax"],
)
def test_the_bound_of_several_samples(estimator: hg.Estimator, num_samples: int) -> None:
    def log_joint(z: Tensor) -> Tensor:
        return 4 * z[..., 0] * z[..., 1] - 2 * z.sum(-1)

    evidence = float(log_joint(bits(2).enumerate_support()).logsumexp(0))
    q = hg.Bernoulli(logits=torch.tensor([0.3, 0.3])).to_event(1)
    common = {"generator": seeded(), "steps": 1500}
    result = fit(
        log_joint, q, estimator=estimator, num_samples=num_samples, objective="importance", **common
    )
    elbo = fit(log_joint, q, estimator=hg.Exact(), **common)
    found = [
        sum(one.bound(num_samples, generator=seeded(s)) for s in range(300)) / 300
        for one in (result, elbo)
    ]
    # q of the ELBO keeps to one of the two modes, as it should; that of many samples to both
    assert found[1] - 0.05 < found[0] < evidence + 0.01


def test_estimators_that_learn_do_so() -> None:
    rebar = hg.REBAR(temperature=0.3)
    fit(boltzmann(4, 0), bits(4), estimator=rebar, num_samples=2, steps=50, generator=seeded())
    assert abs(rebar.temperature.item() - 0.3) > 1e-3


def test_the_same_generator_gives_the_same_fit_and_nothing_else_is_drawn() -> None:
    model = boltzmann(6, 0)
    state = torch.random.get_rng_state()
    one, two = (fit(model, bits(6), steps=60, generator=seeded(7)) for _ in range(2))
    assert torch.equal(one.marginals, two.marginals)
    assert one.trace.bounds == two.trace.bounds
    assert one.elbo == two.elbo
    assert torch.equal(torch.random.get_rng_state(), state)


def test_it_learns_where_gradients_are_switched_off() -> None:
    with torch.no_grad():
        result = fit(boltzmann(4, 0), bits(4), steps=50, generator=seeded())
    assert result.trace.bounds[-1] > result.trace.bounds[0]


def test_it_learns_in_inference_mode() -> None:
    with torch.inference_mode():
        result = fit(lambda z: 2 * z.sum(-1), bits(4), steps=50, generator=seeded())
    assert result.trace.bounds[-1] > result.trace.bounds[0]


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


class Coins(torch.distributions.Distribution):
    """A law of a user's own, with no more than sampling, scoring and its moments."""

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, mean: Tensor) -> None:
        self._mean = mean
        super().__init__(torch.Size(), mean.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self._mean

    def sample(self, shape: Any = (), *, generator: torch.Generator | None = None) -> Tensor:
        return (torch.rand((*shape, *self.event_shape), generator=generator) < self.mean).float()

    def log_prob(self, z: Tensor) -> Tensor:
        return (z * self.mean.log() + (1 - z) * (1 - self.mean).log()).sum(-1)


def test_a_law_of_ones_own() -> None:
    odds = nn.Parameter(torch.zeros(2))
    scores = torch.tensor([1.0, -2.0])
    result = fit(
        lambda z: z @ scores,
        lambda: Coins(odds.sigmoid()),
        parameters=[odds],
        optimizer=Adam,
        steps=400,
        generator=seeded(),
    )
    torch.testing.assert_close(result.marginals, scores.sigmoid(), atol=1e-3, rtol=0)
    assert result.elbo == pytest.approx(float(scores.exp().log1p().sum()), abs=1e-3)


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


def test_an_unknown_without_entries_is_no_hindrance() -> None:
    q = hg.Joint(some=bits(2), none=bits(0))
    result = fit(lambda z: z["some"].sum(-1), q, steps=10, generator=seeded())
    assert result.marginals["none"].shape == (0,)
    assert math.isfinite(result.elbo)
    assert result.diagnose(100, generator=seeded()).worst.name == "some"


def test_one_tensor_isnt_taken_for_all_minibatches_together() -> None:
    """Of a pair the likelihoods add up; of one tensor nobody knows which part is the prior."""
    data = regression_data()
    problem = Problem(lambda z, data: regression(z, data)[0], bits(3), data, 2, ())
    (block,) = problem.blocks()
    with pytest.raises(ValueError, match="In minibatches log_joint must return a pair"):
        block.log_joint(block.law.sample((3,)))


def test_an_entropy_that_is_sampled_has_the_mean_of_the_analytic_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A linear log joint has no noise by straight-through; all there is, is the entropy's."""
    scores = torch.randn(4, generator=seeded(1))
    problem = Problem(
        lambda z: z @ scores, hg.KSubset(torch.randn(4, generator=seeded()), 2), None, None, ()
    )

    def slopes(num_samples: int) -> Tensor:
        bound = Objective(problem, "elbo", hg.StraightThrough(), num_samples)(
            slice(None), seeded(9)
        )
        return torch.autograd.grad(bound, list(problem.unknowns.state().values()))[0]

    analytic = slopes(2)
    monkeypatch.setattr("hotgrad.inference.objective.has_entropy", lambda law: False)
    sampled = slopes(40_000)
    assert (sampled - analytic).abs().max() < 0.02
    assert (sampled - analytic).abs().max() > 0


def test_steps_and_trace_and_reasons() -> None:
    model = boltzmann(5, 0)
    told: list[tuple[int, int, float]] = []
    result = fit(
        model,
        bits(5),
        steps=40,
        tolerance=None,
        generator=seeded(),
        progress=lambda *at: told.append(at),
    )
    assert not result.converged
    assert "tolerance=None" in result.reason
    assert result.trace.steps == list(range(1, 41))
    assert len(result.trace.bounds) == len(result.trace.step_sizes) == 40
    assert [step for step, _, _ in told] == result.trace.steps
    assert {steps for _, steps, _ in told} == {40}
    assert told[-1][2] == pytest.approx(sum(result.trace.bounds) / 40)
    short = fit(model, bits(5), steps=20, generator=seeded())
    assert not short.converged
    assert "took all 20 steps" in short.reason
    whole = fit(model, bits(5), steps=1000, generator=seeded())
    assert whole.converged
    assert "converged after" in whole.reason
    assert sorted(set(whole.trace.step_sizes), reverse=True) == pytest.approx(
        [0.1, 0.03, 0.009, 0.0027]
    )


def test_a_constant_in_the_log_joint_doesnt_matter() -> None:
    """It may be known only up to one, so convergence mustn't look at the bound's own size."""
    model = boltzmann(6, 1)
    best = model.best_factorised()
    result = fit(
        lambda z: model(z) + 1e4, bits(6), estimator=hg.StraightThrough(), generator=seeded()
    )
    assert best - model.elbo(result.marginals) < 1e-3 * abs(best)


def test_no_warning_where_nothing_is_wrong() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(joint_model, joint_law(), steps=20, generator=seeded())
