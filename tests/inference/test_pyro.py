"""Distributions at Pyro's sample sites, against our own gradients and against enumeration.

Pyro draws from torch's global generator. Under equal seeds it draws what the distribution alone
would, so its gradients can be compared to rounding, and no test here rests on chance.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from estimators.cases import DISTRIBUTIONS, ESTIMATORS, PATHWISE, WORKING
from pyro import poutine
from pyro.infer import (
    SVI,
    RenyiELBO,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
)
from torch import Tensor

import hotgrad as hg
from hotgrad.estimators.base import label_of
from hotgrad.inference.pyro import as_pyro

PARTICLES, ROWS = 3, 2
PATHWISE_PAIRS = [pair for pair in WORKING if pair[0] in PATHWISE]


@pytest.fixture(autouse=True)
def _own_pyro(generator: torch.Generator) -> Iterator[None]:
    """Empty parameters, and a global seed of the test's own."""
    pyro.clear_param_store()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator.initial_seed())
        yield
    pyro.clear_param_store()


class Problem:
    """log p(x, z), no polynomial of low degree, as a model whose site z a guide fills."""

    def __init__(self, case: str) -> None:
        self.case = DISTRIBUTIONS[case]
        self.logits = self.case.logits((ROWS,))
        self.q = self.case.make(self.logits)
        self.weight = torch.linspace(-1.0, 2.0, self.q.event_shape.numel(), dtype=torch.float64)

    def f(self, z: Tensor) -> Tensor:
        flat = z.reshape((*z.shape[: z.ndim - len(self.q.event_shape)], len(self.weight)))
        inner = (flat * self.weight).sum(-1)
        return inner.sin() + inner.square()

    def model(self) -> None:
        with pyro.plate("rows", ROWS):
            # any prior of z that takes relaxed samples: the factor takes it out again
            prior = dist.Normal(torch.zeros(self.q.event_shape, dtype=torch.float64), 1.0)
            prior = prior.to_event(len(self.q.event_shape))
            z = pyro.sample("z", prior)
            pyro.factor("f", self.f(z) - prior.log_prob(z))

    def guide(self, estimator: Any = None, **infer: Any) -> Callable[[], None]:
        def guide() -> None:
            pyro.param("logits", self.logits)
            with pyro.plate("rows", ROWS):
                pyro.sample("z", as_pyro(self.q, estimator), infer=infer)

        return guide

    def step(self, elbo: Any, guide: Callable[[], None]) -> tuple[float, Tensor]:
        """The loss, and the gradient of what Pyro descends."""
        torch.manual_seed(5)
        loss = elbo.loss_and_grads(self.model, guide)
        assert self.logits.grad is not None
        return loss, self.logits.grad

    def gradient(self, value: Tensor) -> Tensor:
        return torch.autograd.grad(-value.sum(), self.logits)[0]


def vectorised(elbo: Any, **options: Any) -> Any:
    return elbo(num_particles=PARTICLES, vectorize_particles=True, max_plate_nesting=1, **options)


@pytest.mark.parametrize(("estimator", "case"), PATHWISE_PAIRS)
def test_a_pathwise_guide_adds_the_estimators_gradient_and_the_exact_entropys(
    estimator: str, case: str
) -> None:
    problem = Problem(case)
    pathwise: Any = ESTIMATORS[estimator](problem.q)
    loss, gradient = problem.step(vectorised(Trace_ELBO), problem.guide(pathwise))
    torch.manual_seed(5)
    z = pathwise.sample(problem.q, (PARTICLES,))
    value = problem.f(z).mean(0) + problem.q.entropy()
    torch.testing.assert_close(gradient, problem.gradient(value))
    # the reported value has the samples' own log q where they are hard, and so is an ELBO
    hard = not pathwise.relaxes_f and "PlackettLuce" not in case
    elbo = problem.f(z).mean(0) - problem.q.log_prob(z).mean(0) if hard else value
    assert loss == pytest.approx(-elbo.sum().item())


@pytest.mark.parametrize("case", DISTRIBUTIONS)
def test_without_an_estimator_the_gradient_is_the_score_functions(case: str) -> None:
    problem = Problem(case)
    loss, gradient = problem.step(vectorised(Trace_ELBO), problem.guide())
    torch.manual_seed(5)
    z = problem.q.sample((PARTICLES,))
    scores = problem.q.log_prob(z)
    weights = problem.f(z) - scores
    torch.testing.assert_close(gradient, problem.gradient((weights.detach() * scores).mean(0)))
    assert loss == pytest.approx(-weights.mean(0).sum().item())


@pytest.mark.parametrize("case", DISTRIBUTIONS)
def test_enumeration_is_exact_for_joint_states_too(case: str) -> None:
    problem = Problem(case)
    guide = problem.guide(enumerate="parallel")
    loss, gradient = problem.step(TraceEnum_ELBO(max_plate_nesting=1), guide)
    exact = hg.expectation(problem.f, problem.q, hg.Exact()) + problem.q.entropy()
    torch.testing.assert_close(gradient, problem.gradient(exact))
    assert loss == pytest.approx(-exact.sum().item())


@pytest.mark.parametrize("estimator", [hg.StraightThrough(), hg.GumbelSoftmax(0.5)], ids=label_of)
@pytest.mark.parametrize(
    ("elbo", "options"),
    [
        (TraceGraph_ELBO, {}),
        (TraceMeanField_ELBO, {}),
        (TraceEnum_ELBO, {"strict_enumeration_warning": False}),
    ],
)
def test_other_elbos_take_pathwise_guides(
    elbo: Any, options: dict[str, Any], estimator: Any
) -> None:
    problem = Problem("OneHotCategorical")
    _, gradient = problem.step(vectorised(elbo, **options), problem.guide(estimator))
    torch.manual_seed(5)
    z = estimator.sample(problem.q, (PARTICLES,))
    value = problem.f(z).mean(0) + problem.q.entropy()
    if elbo is TraceEnum_ELBO and not estimator.relaxes_f:
        # it has no use for an entropy, and differentiates log q
        value = (problem.f(z) - problem.q.log_prob(z)).mean(0)
    torch.testing.assert_close(gradient, problem.gradient(value))


def test_multi_sample_bounds_differentiate_the_weights() -> None:
    problem = Problem("KSubset")
    estimator = hg.StraightThrough()
    loss, gradient = problem.step(vectorised(RenyiELBO, alpha=0), problem.guide(estimator))
    torch.manual_seed(5)
    z = estimator.sample(problem.q, (PARTICLES,))
    log_weights = problem.f(z) - problem.q.log_prob(z)
    bound = log_weights.logsumexp(0) - torch.tensor(PARTICLES).log()
    assert loss == pytest.approx(-bound.sum().item())
    torch.testing.assert_close(gradient, problem.gradient(bound))


# One part of z, or parts that don't interact: the posterior is of q's own family, and hard
# samples' straight-through gradients are exact.
FAMILIES = {
    "bits": lambda a: hg.Bernoulli(logits=a).to_event(1),
    "one of 4": lambda a: hg.OneHotCategorical(logits=a),
    "2 of 4": lambda a: hg.KSubset(a, 2),
}
STEPS = 120
FALLING_STEPS = {"lr": 0.15, "lrd": 0.97}
EVIDENCE = torch.tensor([[0.9, -0.4, 0.0, 1.3], [-1.0, 0.5, 1.5, 0.2]], dtype=torch.float64)
BASELINE = {"baseline": {"use_decaying_avg_baseline": True}}
LEARNT = {
    "StraightThrough": (hg.StraightThrough(), Trace_ELBO, {}),
    "ReinMax": (hg.ReinMax(), Trace_ELBO, {}),
    "score function": (None, Trace_ELBO, {}),
    "score function with Pyro's baseline": (None, TraceGraph_ELBO, BASELINE),
    "enumeration": (None, TraceEnum_ELBO, {"enumerate": "parallel"}),
}


def posterior(prior: Any) -> tuple[Tensor, Tensor]:
    """The log-evidence and the exact marginals, by enumeration."""
    states = prior.enumerate_support()
    log_joint = prior.log_prob(states) + (states * EVIDENCE).sum(-1)
    return log_joint.logsumexp(0), (log_joint.softmax(0).unsqueeze(-1) * states).sum(0)


@pytest.mark.parametrize(
    ("family", "way"),
    [
        *(("one of 4", way) for way in LEARNT),
        *((family, "StraightThrough") for family in ("bits", "2 of 4")),
        *((family, "score function") for family in ("bits", "2 of 4")),
    ],
)
def test_svi_reaches_the_exact_posterior(family: str, way: str) -> None:
    estimator, elbo, infer = LEARNT[way]
    prior = FAMILIES[family](torch.tensor([0.3, -0.2, 0.1, 0.0], dtype=torch.float64).expand(2, 4))
    log_evidence, marginals = posterior(prior)

    def model() -> None:
        with pyro.plate("rows", 2):
            z = pyro.sample("z", as_pyro(prior))
            # with log p(x) = 0 the score function too has no noise at the optimum
            pyro.factor("evidence", (z * EVIDENCE).sum(-1) - log_evidence)

    def guide() -> None:
        logits = pyro.param("logits", torch.zeros(2, 4, dtype=torch.float64))
        with pyro.plate("rows", 2):
            pyro.sample("z", as_pyro(FAMILIES[family](logits), estimator), infer=infer)

    particles = 1 if infer.get("enumerate") else 50
    elbo_of_particles = elbo(
        num_particles=particles, vectorize_particles=particles > 1, max_plate_nesting=1
    )
    svi = SVI(model, guide, pyro.optim.ClippedAdam(FALLING_STEPS), elbo_of_particles)
    for _ in range(STEPS):
        svi.step()
    found = FAMILIES[family](pyro.param("logits").detach()).mean
    assert (found - marginals).abs().max() < 0.01


def test_a_plates_scale_and_mask_reach_both_parts_of_the_gradient() -> None:
    problem = Problem("Bernoulli.to_event(1)")
    estimator = hg.StraightThrough()
    kept = torch.tensor([True, False])
    plain = problem.model

    def weighted(fn: Callable[[], None]) -> Callable[[], None]:
        return poutine.scale(poutine.mask(fn, mask=kept), scale=3.0)

    problem.model = weighted(plain)  # type: ignore[method-assign]
    _, gradient = problem.step(vectorised(Trace_ELBO), weighted(problem.guide(estimator)))
    torch.manual_seed(5)
    z = estimator.sample(problem.q, (PARTICLES,))
    value = 3 * kept * (problem.f(z).mean(0) + problem.q.entropy())
    torch.testing.assert_close(gradient, problem.gradient(value))


def test_minibatches_of_a_plate_are_scaled_once() -> None:
    evidence = torch.linspace(-2.0, 2.0, 30, dtype=torch.float64).view(10, 3).sin()
    logits = torch.zeros(10, 3, dtype=torch.float64, requires_grad=True)
    drawn = []

    def rows() -> Any:
        return pyro.plate("rows", 10, subsample_size=4)

    def guide() -> None:
        pyro.param("logits", logits)
        with rows() as index:
            drawn.append(index)
            q = hg.OneHotCategorical(logits=logits[index])
            pyro.sample("z", as_pyro(q, hg.StraightThrough()))

    def model() -> None:
        with rows() as index:
            z = pyro.sample("z", as_pyro(hg.OneHotCategorical(logits=torch.zeros(3).double())))
            pyro.factor("evidence", (z * evidence[index]).sum(-1))

    Trace_ELBO(max_plate_nesting=1).loss_and_grads(model, guide)
    seen = torch.zeros(10, dtype=torch.float64).index_fill(0, drawn[0], 1.0)
    # f is linear in z, for which straight-through is exact
    q = hg.OneHotCategorical(logits=logits)
    elbos = (q.mean * evidence).sum(-1) + q.entropy()
    expected = torch.autograd.grad(-(10 / 4 * seen * elbos).sum(), logits)[0]
    torch.testing.assert_close(logits.grad, expected)
