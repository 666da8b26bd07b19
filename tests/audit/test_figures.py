"""What an audit measures, against what is known in closed form or by summing over all states."""

import math
from typing import Any

import pytest
import torch
from audit.toys import LOGIT, at_least, bits, cubic, may_be, one_bit, row_of
from estimators.cases import EVERY, Case, in_one
from estimators.targets import relaxed_objective_slope, smooth, straight_through_slope
from torch import Generator, Tensor

import hotgrad as hg

SLOPE = float(torch.tensor(LOGIT).sigmoid() * torch.tensor(-LOGIT).sigmoid())
EXACT = SLOPE * float(smooth(torch.tensor(1.0)) - smooth(torch.tensor(0.0)))


def linear(z: Tensor) -> Tensor:
    return z @ torch.tensor([1.0, -2.0, 0.5], dtype=z.dtype)


def test_straight_through_is_exact_for_linear_f(generator: Generator) -> None:
    found = hg.audit(linear, bits(), [hg.StraightThrough()], replicates=40, generator=generator)
    (row,) = found.rows
    assert row["bias"] == pytest.approx(0, abs=1e-12)
    assert row["variance"] == pytest.approx(0, abs=1e-12)
    assert row["cosine"] == pytest.approx(1)
    assert "no error but rounding" in found.verdict


TARGETS = {
    "GumbelSoftmax": (hg.GumbelSoftmax, relaxed_objective_slope),
    "StraightThroughGumbelSoftmax": (hg.StraightThroughGumbelSoftmax, straight_through_slope),
}


@pytest.mark.parametrize("name", TARGETS)
def test_bias_is_that_of_quadrature(name: str, generator: Generator) -> None:
    """At each temperature; the one at another temperature is the mutant."""
    make, target = TARGETS[name]
    found = hg.audit(
        smooth,
        one_bit(),
        [make()],
        temperatures=(0.5, 2.0),
        replicates=10_000,
        generator=generator,
    )
    biases = {t: abs(target(LOGIT, t) / EXACT - 1) for t in (0.5, 2.0)}
    assert may_be(row_of(found, name, 0.5), biases[0.5])
    assert may_be(row_of(found, name, 2.0), biases[2.0])
    assert not may_be(row_of(found, name, 0.5), biases[2.0])
    assert found.reference["norm"] == pytest.approx(abs(EXACT))


def test_noise_and_cosine_of_plain_reinforce_are_the_sums_over_all_states(
    generator: Generator,
) -> None:
    q, count = bits(), 20_000
    q = q.with_params({"logits": q.logits.detach().requires_grad_()})
    exact = torch.autograd.grad(hg.expectation(cubic, q, hg.Exact()), q.logits)[0]
    states = q.enumerate_support()
    probs = q.log_prob(states).exp().detach()
    scores = states - q.mean.detach()
    estimates = cubic(states).unsqueeze(-1) * scores
    squares = (estimates - exact).square().sum(-1)
    variance = float(probs @ squares)
    cosine = torch.cosine_similarity(estimates, exact.expand_as(estimates), dim=-1)
    found = hg.audit(
        cubic, q, [hg.ScoreFunction(hg.NoBaseline())], replicates=count, generator=generator
    )
    (row,) = found.rows

    def deviation(figure: Tensor) -> float:
        return math.sqrt(float(probs @ (figure - probs @ figure).square()) / count)

    assert abs(row["absolute_variance"] - variance) < 5 * deviation(squares)
    assert abs(row["cosine"] - float(probs @ cosine)) < 5 * deviation(cosine)
    norm = float(exact.norm())
    assert row["variance"] == pytest.approx(row["absolute_variance"] / norm**2)


def test_error_at_the_budget_is_that_of_whole_calls_averaged(generator: Generator) -> None:
    found = hg.audit(
        cubic,
        bits(),
        [hg.StraightThrough(), hg.REBAR(), hg.MuProp()],
        evaluations=7,
        replicates=100,
        generator=generator,
    )
    for name, calls in (("StraightThrough", 7), ("REBAR", 2), ("MuProp(NoBaseline)", 3)):
        row = row_of(found, name)
        expected = math.sqrt(row["bias"] ** 2 + row["variance"] / calls)
        assert row["error_at_budget"] == pytest.approx(expected)
    assert row_of(found, "REBAR")["evaluations"] == 3
    row = row_of(found, "StraightThrough")
    assert row["rmse"] == pytest.approx(math.hypot(row["bias"], row["variance"] ** 0.5))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("batch", [(), (2, 3)], ids=str)
def test_exact_gradient_is_that_of_the_sum_over_the_batch(
    name: str, batch: tuple[int, ...]
) -> None:
    case: Case = EVERY[name]
    logits = case.logits(batch)
    q = case.make(logits)

    def f(z: Tensor) -> Tensor:
        z = in_one(z, q)
        flat = z.flatten(1 + len(batch)) if q.event_shape else z.unsqueeze(-1)
        return (flat @ torch.linspace(-1, 2, flat.shape[-1], dtype=z.dtype) - 0.4).square()

    total = hg.expectation(f, q, hg.Exact()).sum()
    (exact,) = torch.autograd.grad(total, logits)
    found = hg.audit(f, q, [hg.ScoreFunction()], replicates=20, generator=Generator())
    assert found.reference["norm"] == pytest.approx(float(exact.norm()))
    assert found.reference["method"] == "enumeration"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_lower_precisions_are_measured_as_they_are(
    dtype: torch.dtype, generator: Generator
) -> None:
    q = hg.OneHotCategorical(logits=torch.tensor([0.5, -0.3, 0.1], dtype=dtype))
    found = hg.audit(
        lambda z: (z[..., 0] - 2 * z[..., 1] + 0.3).square(),
        q,
        [hg.StraightThrough(), hg.GumbelSoftmax(0.5), hg.ScoreFunction(), hg.REBAR()],
        replicates=200,
        generator=generator,
    )
    assert not found.refused
    assert all(math.isfinite(row["error_at_budget"]) for row in found.rows)


def test_categories_without_a_chance_are_not_asked_about(generator: Generator) -> None:
    q = hg.OneHotCategorical(logits=torch.tensor([0.5, -torch.inf, 0.1]))
    values = torch.tensor([1.0, torch.nan, 3.0])

    def f(z: Tensor) -> Tensor:
        return torch.where(z > 0, values, 0.0).sum(-1)

    found = hg.audit(f, q, [hg.ScoreFunction()], replicates=40, generator=generator)
    assert math.isfinite(found.reference["norm"])
    assert found.reference["norm"] > 0


TIMES = 100


@pytest.fixture(scope="module")
def audits(request: pytest.FixtureRequest) -> list[hg.Audit]:
    """Many of one problem, with two estimators that are the same."""
    generator = Generator().manual_seed(request.config.getoption("--seed"))
    estimators: dict[str, Any] = {
        "biased": hg.GumbelSoftmax(0.5),
        "one": hg.DisARM(),
        "other": hg.DisARM(),
    }
    return [
        hg.audit(smooth, one_bit(), estimators, replicates=100, generator=generator)
        for _ in range(TIMES)
    ]


def test_interval_holds_a_known_bias(audits: list[hg.Audit]) -> None:
    bias = abs(relaxed_objective_slope(LOGIT, 0.5) / EXACT - 1)
    rows = [row_of(audit, "biased") for audit in audits]
    held = sum(row["bias_low"] <= bias <= row["bias_high"] for row in rows)
    assert at_least(held, TIMES, 0.93)


def test_interval_holds_0_where_there_is_no_bias(audits: list[hg.Audit]) -> None:
    held = sum(row_of(audit, "one")["bias_low"] == 0 for audit in audits)
    assert at_least(held, TIMES, 0.93)


def test_twins_differ_by_no_more_than_noise(audits: list[hg.Audit]) -> None:
    twins = [audit for audit in audits if audit.rows[2]["estimator"] == "biased"]
    within = sum("within the noise" in audit.verdict for audit in twins)
    assert len(twins) > TIMES / 2
    assert at_least(within, len(twins), 0.93)
