"""Second derivatives: right in the mean, or refused; never a wrong number."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from estimators.cases import ESTIMATORS, Bowl, tuples
from estimators.toys import Toy
from stats import unbiased
from torch import Generator, Tensor

import hotgrad as hg

SHIFT = torch.tensor(0.3, dtype=torch.float64)


def table(toy: Toy, shift: Tensor) -> Callable[[Tensor], Tensor]:
    """An f with a parameter of its own, bent at the vertices."""
    weight = torch.tensor([1.0, -0.6, 0.3, 1.4], dtype=torch.float64)

    def f(z: Tensor) -> Tensor:
        z = toy.flat(z)
        return ((z * weight[: z.shape[-1]]).sum(-1) + shift) ** 3

    return f


def hessian(value: Tensor, leaves: list[Tensor]) -> Tensor:
    """All second derivatives, those between the leaves too."""
    first = torch.autograd.grad(value, leaves, create_graph=True)
    flat = torch.cat([slope.flatten() for slope in first])
    rows = [
        torch.autograd.grad(slope, leaves, retain_graph=True, materialize_grads=True)
        for slope in flat
    ]
    return torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])


def right(toy: Toy) -> Tensor:
    """Of the sum over the states by hand."""
    shift = SHIFT.clone().requires_grad_()
    return hessian((toy.probs() * table(toy, shift)(toy.states)).sum(), [toy.logits, shift])


def summed(toy: Toy, estimator: hg.Estimator, count: int) -> Tensor:
    """Probability x Hessian of a surrogate, added over all tuples of samples."""
    shift, index = SHIFT.clone().requires_grad_(), tuples(len(toy.states), count)
    chances = toy.probs().detach()[index].prod(-1)
    value = hg.expectation(
        table(toy, shift), toy.q(toy.states[index].transpose(0, 1)), estimator, num_samples=count
    )
    return hessian((chances * value).sum(), [toy.logits, shift])


TOYS = ["Bernoulli", "Bernoulli.to_event(1)", "OneHotCategorical", "KSubset"]


@pytest.mark.parametrize("kind", TOYS)
@pytest.mark.parametrize(
    ("baseline", "count"), [(hg.NoBaseline(), 1), (hg.NoBaseline(), 2), (hg.LeaveOneOut(), 2)]
)
def test_the_score_functions_hessian_is_right_in_the_mean(
    kind: str, baseline: Any, count: int
) -> None:
    toy = Toy(kind)
    torch.testing.assert_close(
        summed(toy, hg.ScoreFunction(baseline), count), right(toy), rtol=0, atol=1e-10
    )


class FirstOrder(hg.ScoreFunction):
    """Mutant: the signal times the score, which only once has the right derivative."""

    def surrogate(self, f: Any, q: Any, num_samples: int, generator: Any) -> Tensor:
        z = q.sample((num_samples,), generator=generator)
        values, log_prob = f(z), q.log_prob(z)
        return (values + values.detach() * (log_prob - log_prob.detach())).mean(0)


def test_a_surrogate_of_first_order_is_seen() -> None:
    toy = Toy("OneHotCategorical")
    error = (summed(toy, FirstOrder(hg.NoBaseline()), 1) - right(toy)).abs().max()
    assert float(error) > 0.1


@pytest.mark.parametrize("kind", TOYS)
def test_a_sum_over_all_states_has_the_hessian_of_the_sum(kind: str) -> None:
    toy, shift = Toy(kind), SHIFT.clone().requires_grad_()
    one = toy.distribution(logits=toy.logits, **({"k": 2} if kind == "KSubset" else {}))
    q = one.to_event(toy.event_dims - (toy.distribution is not hg.Bernoulli))
    value = hg.expectation(table(toy, shift), q, hg.Exact())
    torch.testing.assert_close(hessian(value, [toy.logits, shift]), right(toy), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "estimator", [hg.UnorderedSet(), hg.ScoreFunction(hg.LeaveOneOut())], ids=lambda e: e.label
)
def test_with_real_samples(estimator: hg.Estimator, generator: Generator) -> None:
    toy = Toy("OneHotCategorical")
    f = table(toy, SHIFT)

    def replicate(n: int, generator: Generator) -> Tensor:
        logits = toy.logits.detach().expand(n, 3).clone().requires_grad_()
        q = hg.OneHotCategorical(logits=logits)
        value = hg.expectation(f, q, estimator, num_samples=2, generator=generator)
        (slope,) = torch.autograd.grad(value.sum(), logits, create_graph=True)
        rows = [
            torch.autograd.grad(slope[:, i].sum(), logits, retain_graph=True)[0] for i in range(3)
        ]
        return torch.cat(rows, -1)

    exact = right(toy)[:3, :3].flatten()
    verdict = unbiased(replicate, exact, generator=generator)
    assert verdict, verdict.figures
    assert not unbiased(lambda n, g: 0.9 * replicate(n, g), exact, generator=generator)


ONCE = ["ARM", "DisARM", "MuProp(NoBaseline)", "REBAR", "RELAX", "IndeCateR", "ReinMax", "IMLE",
        "PerturbedMAP"]  # fmt: skip


@pytest.mark.parametrize("estimator", ONCE)
def test_what_can_be_differentiated_once_says_so(estimator: str) -> None:
    logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    shift = SHIFT.clone().requires_grad_()
    q = hg.Bernoulli(logits=logits).to_event(1)
    made = hg.RELAX(Bowl(q)) if estimator == "RELAX" else ESTIMATORS[estimator](q)
    value = hg.expectation(lambda z: (z.sum(-1) - shift) ** 3, q, made, num_samples=2)
    slopes = torch.autograd.grad(value, [logits, shift], create_graph=True)
    # the slope of a sample is linear in what arrives at it, which may depend on f's own parameters
    for leaf in (logits,) if isinstance(made, hg.Pathwise) else (logits, shift):
        with pytest.raises(NotImplementedError, match=r"can't be differentiated again.*Exact\(\)"):
            torch.autograd.grad(slopes[0].sum(), leaf, retain_graph=True)


@pytest.mark.parametrize("estimator", ONCE)
def test_what_is_right_twice_is_no_alarm(estimator: str) -> None:
    """A penalty on the slope to f's own parameter, and a weight in front of the expectation."""
    logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    shift = SHIFT.clone().requires_grad_()
    q = hg.Bernoulli(logits=logits).to_event(1)
    made = hg.RELAX(Bowl(q)) if estimator == "RELAX" else ESTIMATORS[estimator](q)
    asked: list[Tensor] = []

    def f(z: Tensor) -> Tensor:
        asked.append(z.detach())
        return (z.sum(-1) - shift) ** 3

    weight = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    value = weight * hg.expectation(f, q, made, num_samples=2)
    (slope,) = torch.autograd.grad(value, shift, create_graph=True)
    (twice,) = torch.autograd.grad(slope, shift, retain_graph=True)
    samples = asked[1 if estimator == "REBAR" else 0]
    torch.testing.assert_close(twice, 12 * (samples.sum(-1) - SHIFT).mean())
    (slopes,) = torch.autograd.grad(value, logits, create_graph=True)
    (by_weight,) = torch.autograd.grad(slopes.sum(), weight)
    torch.testing.assert_close(by_weight, slopes.sum().detach() / 2)


@pytest.mark.parametrize("estimator", ["DisARM", "MuProp(NoBaseline)", "IndeCateR", "REBAR"])
def test_forward_mode_is_no_way_round(estimator: str) -> None:
    def value(logits: Tensor) -> Tensor:
        q = hg.Bernoulli(logits=logits).to_event(1)
        chosen = ESTIMATORS[estimator](q)
        return hg.expectation(lambda z: (z.sum(-1) - 0.3) ** 3, q, chosen, num_samples=2)

    def along(logits: Tensor) -> Tensor:
        return torch.func.jvp(value, (logits,), (torch.ones_like(logits),))[1]

    logits = torch.zeros(3, dtype=torch.float64)
    assert along(logits).isfinite()
    with pytest.raises(NotImplementedError, match="can't be differentiated again"):
        torch.func.grad(along)(logits)


def test_the_bound_of_vimco_is_differentiated_once() -> None:
    logits = torch.zeros(3, requires_grad=True)
    q = hg.Bernoulli(logits=logits).to_event(1)
    value = hg.importance_bound(lambda z: z.sum(-1) - q.log_prob(z), q, hg.VIMCO(), 3)
    (slope,) = torch.autograd.grad(value, logits, create_graph=True)
    with pytest.raises(NotImplementedError, match="VIMCO"):
        torch.autograd.grad(slope.sum(), logits)


@pytest.mark.parametrize("estimator", [e for e in ESTIMATORS if e not in ("RelaxedTopK",)])
def test_a_first_derivative_may_be_had_with_a_graph(estimator: str) -> None:
    """As torch.func.grad does always."""
    if "sum-of-gamma" in estimator:
        estimator = "IMLE"
    results = []
    for create_graph in (False, True):
        logits = torch.tensor([0.3, -0.8, 0.1], dtype=torch.float64, requires_grad=True)
        q = hg.Bernoulli(logits=logits).to_event(1)
        value = hg.expectation(
            lambda z: (z.sum(-1) - 0.3) ** 3,
            q,
            ESTIMATORS[estimator](q),
            num_samples=2,
            generator=torch.Generator().manual_seed(0),
        )
        results.append(torch.autograd.grad(value, logits, create_graph=create_graph)[0].detach())
    assert torch.equal(*results)


def test_pathwise_estimators_are_exact_twice_where_f_is_linear() -> None:
    """E[f] has the mean's Hessian, and a straight-through sample has it too."""
    logits = torch.tensor([0.3, -0.8, 0.1], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    found = []
    for estimator in (hg.StraightThrough(), hg.Exact()):
        q = hg.OneHotCategorical(logits=logits)
        found.append(hessian(hg.expectation(lambda z: z @ weight, q, estimator), [logits]))
    torch.testing.assert_close(*found)
