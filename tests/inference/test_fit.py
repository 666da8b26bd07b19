"""`fit` finds what it should: factorised optima, exact posteriors, maximum likelihood."""

import functools
import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from inference.models import bits, boltzmann, seeded
from torch import Tensor, nn

import hotgrad as hg
from hotgrad.inference import diagnose, exact_posterior, fit, load
from hotgrad.inference.objective import Objective
from hotgrad.inference.problem import Problem

Adam = functools.partial(torch.optim.Adam, lr=0.1)


@pytest.mark.parametrize(
    ("estimator", "seed", "size", "off"),
    [
        (None, 1, 10, 1e-3),
        (hg.DisARM(), 0, 10, 1e-3),
        (hg.StraightThrough(), 0, 10, 1e-3),  # unbiased here: linear in each bit
        (hg.Exact(), 0, 3, 1e-4),
    ],
    ids=["default", "disarm", "straight-through", "exact"],
)
def test_the_best_factorised_q_is_found(
    estimator: hg.Estimator | None, seed: int, size: int, off: float
) -> None:
    model = boltzmann(size, seed)
    best = model.best_factorised()
    result = fit(model, bits(size), estimator=estimator, steps=2500, generator=seeded(seed))
    assert result.converged
    assert best - model.elbo(result.marginals) < off * abs(best)


def test_a_family_that_holds_the_posterior_finds_it() -> None:
    table = torch.randn(8, generator=seeded(3))
    q = hg.OneHotCategorical(logits=torch.zeros(8))
    result = fit(lambda z: z @ table, q, steps=600, generator=seeded())
    torch.testing.assert_close(result.marginals, table.softmax(-1), atol=2e-3, rtol=0)
    assert result.elbo == pytest.approx(float(table.logsumexp(-1)), abs=1e-3)
    # where q is the posterior all weights are alike
    assert result.bound(10, generator=seeded()) == pytest.approx(result.elbo, abs=1e-2)


@pytest.mark.parametrize("family", [hg.KSubset, hg.PlackettLuceSubset])
def test_subsets(family: type) -> None:
    scores = torch.randn(4, generator=seeded(4))
    posterior = hg.KSubset(scores, 2)
    result = fit(
        lambda z: z @ scores,
        family(torch.zeros(4), 2),
        num_samples=4,
        steps=60,
        generator=seeded(),
    )
    evidence = float((posterior.enumerate_support() @ scores).logsumexp(0))
    # KSubset holds the posterior; Plackett-Luce comes near it
    assert result.elbo == pytest.approx(evidence, abs=0.05)
    torch.testing.assert_close(result.marginals, posterior.mean, atol=0.06, rtol=0)


def joint_model(z: dict[str, Tensor]) -> Tensor:
    scores = torch.tensor([0.5, -1.0, 1.5])
    return z["kept"] @ scores + 2 * z["kind"][..., 0] * z["kept"][..., 1] - z["kind"][..., 1]


def joint_q() -> hg.Joint:
    return hg.Joint(kept=bits(3), kind=hg.OneHotCategorical(logits=torch.zeros(3)))


def test_named_unknowns_of_different_kinds() -> None:
    result, exact = (
        fit(joint_model, joint_q(), estimator=e, num_samples=4, steps=120, generator=seeded())
        for e in (hg.IndeCateR(), hg.Exact())
    )
    assert set(result.marginals) == {"kept", "kind"}
    assert result.sample(5)["kept"].shape == (5, 3)
    assert result.elbo == pytest.approx(exact.elbo, abs=0.02)
    for name, mean in result.marginals.items():
        torch.testing.assert_close(mean, exact.marginals[name], atol=0.08, rtol=0)


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
        optimizer=functools.partial(torch.optim.Adam, lr=0.2),
        steps=100,
        generator=seeded(),
    )
    both = torch.cartesian_prod(torch.arange(2.0), torch.arange(2.0))
    evidence = float(agree(both[:, 0], both[:, 1]).logsumexp(0))
    assert structured.elbo == pytest.approx(evidence, abs=5e-3)
    apart = fit(
        lambda z: agree(z[..., 0], z[..., 1]),
        hg.Bernoulli(logits=torch.tensor([0.1, 0.1])).to_event(1),
        estimator=hg.Exact(),
        steps=100,
        generator=seeded(),
    )
    assert apart.elbo < evidence - 0.1


def two_modes(z: Tensor) -> Tensor:
    return 4 * z[..., 0] * z[..., 1] - 2 * z.sum(-1)


def bound_of_8(estimator: Any, objective: str, steps: int = 300) -> float:
    """The bound of 8 samples at the end of a fit to two modes, averaged."""
    q = hg.Bernoulli(logits=torch.tensor([0.3, 0.3])).to_event(1)
    result = fit(
        two_modes,
        q,
        estimator=estimator,
        num_samples=8,
        objective=objective,
        steps=steps,
        generator=seeded(),
    )
    return sum(result.bound(8, generator=seeded(s)) for s in range(100)) / 100


@pytest.fixture(scope="module")
def bound_of_the_elbos_q() -> float:
    return bound_of_8(hg.Exact(), "elbo")


@pytest.mark.parametrize(
    "estimator",
    [hg.VIMCO(), hg.ScoreFunction(), hg.GumbelSoftmax(0.5)],
    ids=["vimco", "score-function", "gumbel-softmax"],
)
def test_the_bound_of_several_samples(estimator: hg.Estimator, bound_of_the_elbos_q: float) -> None:
    evidence = float(two_modes(bits(2).enumerate_support()).logsumexp(0))
    found = bound_of_8(estimator, "importance")
    # q of the ELBO keeps to one of the two modes, as it should; that of many samples to both
    assert bound_of_the_elbos_q - 0.05 < found < evidence + 0.01


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


class Coins(hg.DiscreteDistribution):
    """A distribution of a user's own, with no more than sampling, scoring and its moments."""

    def __init__(self, mean: Tensor) -> None:
        self._mean = mean
        super().__init__((), mean.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self._mean

    def sample(self, shape: Any = (), *, generator: torch.Generator | None = None) -> Tensor:
        return (torch.rand((*shape, *self.event_shape), generator=generator) < self.mean).float()

    def log_prob(self, z: Tensor) -> Tensor:
        return (z * self.mean.log() + (1 - z) * (1 - self.mean).log()).sum(-1)


class MeanlessCoins(Coins):
    """Coins whose moments nobody has written."""

    mean = hg.DiscreteDistribution.mean


@pytest.mark.parametrize("named", [False, True])
def test_a_distribution_without_a_mean_is_told_what_it_lacks(named: bool) -> None:
    odds = nn.Parameter(torch.zeros(2))

    def q() -> Any:
        coins = MeanlessCoins(odds.sigmoid())
        return hg.Joint(sure=bits(2), tossed=coins) if named else coins

    def log_joint(z: Any) -> Tensor:
        return z["tossed"].sum(-1) + z["sure"].sum(-1) if named else z.sum(-1)

    whose = r"MeanlessCoins \('tossed'\)" if named else "MeanlessCoins"
    message = f"{whose} has no `mean`.* Give its class a property `mean`"
    for ask in (
        lambda: fit(log_joint, q, parameters=[odds], steps=2),
        lambda: diagnose(q(), log_joint),
    ):
        with pytest.raises(ValueError, match=message):
            ask()


class ScalarCoins(Coins):
    mean = property(lambda self: self._mean.mean())


def test_a_mean_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`mean` of q has shape \(\); expected .* \(2,\)"):
        diagnose(ScalarCoins(torch.full((2,), 0.5)), lambda z: z.sum(-1))


def test_a_distribution_of_ones_own() -> None:
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


class Pair(hg.DiscreteDistribution):
    """Two bits that may depend on each other, of parameters of two shapes."""

    states = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])

    def __init__(self, unary: Tensor, coupling: Tensor) -> None:
        self.unary, self.coupling = unary, coupling
        super().__init__(coupling.shape, (2,))

    @property
    def params(self) -> dict[str, Tensor]:
        return {"unary": self.unary, "coupling": self.coupling}

    def _scores(self, z: Tensor) -> Tensor:
        return (z * self.unary).sum(-1) + z[..., 0] * z[..., 1] * self.coupling

    @property
    def _of_states(self) -> Tensor:
        return self._scores(self.enumerate_support(expand=False)).log_softmax(0)

    def log_prob(self, value: Tensor) -> Tensor:
        states = self._scores(self.enumerate_support(expand=False))
        return self._scores(value) - states.logsumexp(0)

    @property
    def mean(self) -> Tensor:
        return (self._of_states.exp().unsqueeze(-1) * self.enumerate_support()).sum(0)

    @property
    def mode(self) -> Tensor:
        return self.states[self._of_states.argmax(0)]

    def enumerate_support(self, expand: bool = True, *, budget: int = 4) -> Tensor:
        states = self.states.reshape(4, *(1,) * len(self.batch_shape), 2)
        return states.expand(4, *self.batch_shape, 2) if expand else states

    def sample(self, shape: Any = (), *, generator: torch.Generator | None = None) -> Tensor:
        count = torch.Size(shape).numel()
        probs = self._of_states.movedim(0, -1).exp().reshape(-1, 4)
        drawn = torch.multinomial(probs, max(count, 1), replacement=True, generator=generator)
        return self.states[drawn.T.reshape(*shape, *self.batch_shape)]


def test_parameters_of_any_shape_are_learned_saved_and_loaded(tmp_path: Path) -> None:
    """Rows of a distribution of one's own that holds the posterior, beside bits."""
    goal = torch.tensor([2.0, -1.0, 0.0])
    q = hg.Joint(
        pair=Pair(torch.zeros(3, 2), torch.full((3,), 0.1)), bit=hg.Bernoulli(torch.full((3,), 0.4))
    )

    def log_joint(z: dict[str, Tensor]) -> Tensor:
        pair = z["pair"]
        return goal * pair[..., 0] * pair[..., 1] - pair.sum(-1) / 2 + z["bit"]

    result = fit(log_joint, q, estimator=hg.Exact(), steps=150, generator=seeded())
    exact = exact_posterior(q, log_joint)
    assert result.elbo == pytest.approx(float(exact.log_evidence.sum()), abs=0.02)
    result.save(tmp_path / "fit")
    again = load(tmp_path / "fit", log_joint=log_joint)
    assert torch.equal(again.marginals["pair"], result.marginals["pair"])
    assert again.bound(20, generator=seeded()) == result.bound(20, generator=seeded())


def test_continuous_unknowns_are_refused() -> None:
    q = hg.Joint(bit=hg.Bernoulli(torch.tensor(0.5)), size=torch.distributions.Normal(0.0, 1.0))
    log_joint = lambda z: z["bit"] * z["size"]  # noqa: E731
    for ask in (lambda: fit(log_joint, q, steps=2), lambda: diagnose(q, log_joint)):
        with pytest.raises(ValueError, match="q has continuous unknowns, 'size'"):
            ask()


def test_an_unknown_without_entries_is_no_hindrance() -> None:
    q = hg.Joint(some=bits(2), none=bits(0))
    result = fit(lambda z: z["some"].sum(-1), q, steps=10, generator=seeded())
    assert result.marginals["none"].shape == (0,)
    assert math.isfinite(result.elbo)
    assert result.diagnose(100, generator=seeded()).worst.name == "some"


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
        return torch.autograd.grad(bound, list(problem.variational.state().values()))[0]

    analytic = slopes(2)
    monkeypatch.setattr(hg.KSubset, "entropy_is_exact", False)
    sampled = slopes(40_000)
    assert (sampled - analytic).abs().max() < 0.02
    assert (sampled - analytic).abs().max() > 0


def test_steps_and_trace_and_reasons() -> None:
    model = boltzmann(3, 0)
    told: list[tuple[int, int, float]] = []
    result = fit(
        model,
        bits(3),
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
    short = fit(model, bits(3), steps=20, generator=seeded())
    assert not short.converged
    assert "took all 20 steps" in short.reason
    whole = fit(model, bits(3), estimator=hg.StraightThrough(), steps=1000, generator=seeded())
    assert whole.converged
    assert "converged after" in whole.reason
    assert sorted(set(whole.trace.step_sizes), reverse=True) == pytest.approx(
        [0.1, 0.03, 0.009, 0.0027]
    )


def test_looking_at_a_fit_runs_nothing_of_the_users() -> None:
    calls: list[int] = []

    def log_joint(z: Tensor) -> Tensor:
        calls.append(1)
        return z.sum(-1)

    result = fit(log_joint, bits(2), steps=20, generator=seeded())
    called, bound = len(calls), sum(result.trace.bounds) / 20
    shown = repr(result)
    assert len(calls) == called
    assert shown.startswith("Fit(Independent")
    assert f"bound at the end {bound:.6g}, 20 steps, out of steps)" in shown
    # once it has been worked out
    assert f"elbo={result.elbo:.6g}, 20 steps" in repr(result)
    relaxed = fit(log_joint, bits(2), estimator=hg.GumbelSoftmax(0.5), steps=20)
    assert "relaxed bound at the end" in repr(relaxed)


def test_a_constant_in_the_log_joint_doesnt_matter() -> None:
    """It may be known only up to one, so convergence mustn't look at the bound's own size."""
    model = boltzmann(6, 1)
    best = model.best_factorised()
    result = fit(
        lambda z: model(z) + 1e4,
        bits(6),
        estimator=hg.StraightThrough(),
        steps=2500,
        generator=seeded(),
    )
    assert best - model.elbo(result.marginals) < 1e-3 * abs(best)


def test_no_warning_where_nothing_is_wrong() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(joint_model, joint_q(), steps=20, generator=seeded())
