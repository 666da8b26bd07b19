"""What works with what: what is refused, what is said then, how many samples one takes."""

import re
from typing import Any

import pytest
import torch
import torch.distributions as td
from estimators.cases import (
    DISTRIBUTIONS,
    ESTIMATORS,
    EVERY,
    JOINED,
    PATHWISE,
    REFUSED,
    WORKING,
    Probe,
    SampledOnly,
    a_case_for,
)
from torch import Tensor

import hotgrad as hg

NUM_SAMPLES = 4


class WithMean(SampledOnly):
    """The same with marginals."""

    @property
    def mean(self) -> Tensor:
        return self.inner.mean


@pytest.mark.parametrize("events", [0, 1], ids=["alone", "to_event"])
@pytest.mark.parametrize(("estimator", "distribution", "why"), REFUSED)
def test_a_pairing_on_the_list_is_refused(
    estimator: str, distribution: str, why: str, events: int
) -> None:
    q = EVERY[distribution].make(EVERY[distribution].logits((3,))).to_event(events)
    with pytest.raises(NotImplementedError, match=why):
        hg.expectation(Probe(q, torch.float64), q, ESTIMATORS[estimator](q), num_samples=2)


@pytest.mark.parametrize("distribution", EVERY)
def test_a_refusal_names_all_that_work_with_the_distribution_and_no_other(
    distribution: str,
) -> None:
    # each class once; what an option of its asks for beside is another matter
    served = {estimator for estimator, other in WORKING + JOINED if other == distribution}
    q = EVERY[distribution].make(EVERY[distribution].logits())
    refused = next(name for name in EVERY[distribution].refused if name != "IMLE(sum-of-gamma)")
    with pytest.raises(NotImplementedError) as refusal:
        hg.expectation(Probe(q, torch.float64), q, ESTIMATORS[refused](q))
    work = str(refusal.value).partition("work with it: ")[2]
    assert set(re.findall(r"(\w+)\(", work)) == {name.partition("(")[0] for name in served}


def test_a_refusal_says_what_each_asks_of_f_and_leaves_out_what_lists_too_many_states() -> None:
    small, large = (
        hg.OneHotCategorical(logits=torch.zeros(shape)).to_event(1) for shape in ((2, 3), (40, 3))
    )
    with pytest.raises(NotImplementedError) as refusal:
        hg.expectation(lambda z: z.sum((-1, -2)), small, hg.DisARM())
    evaluated, differentiated, relaxed = str(refusal.value).split("; ")
    assert evaluated.endswith(
        "work with it: ScoreFunction(), IndeCateR(), UnorderedSet(), RELAX(critic), Exact()"
    )
    assert differentiated.startswith("where f has a gradient, StraightThrough(), ")
    assert relaxed == ("where f also takes z between 0 and 1, GumbelSoftmax(), MuProp(), REBAR().")
    with pytest.raises(NotImplementedError) as refusal:
        hg.expectation(lambda z: z.sum((-1, -2)), large, hg.DisARM())
    assert "Exact()" not in str(refusal.value)
    assert "IndeCateR()" in str(refusal.value)


def test_an_f_without_a_gradient_is_sent_to_what_works_with_q() -> None:
    q = WithMean(torch.zeros(4, requires_grad=True))
    with pytest.raises(ValueError, match=r"only evaluates f, such as ScoreFunction\(\)\.$"):
        hg.expectation(lambda z: z.detach(), q, hg.StraightThrough())
    relaxed_only_by_hard = hg.Bernoulli(logits=torch.zeros(4))
    with pytest.raises(RuntimeError) as error:
        hg.expectation(only_hard, relaxed_only_by_hard, hg.GumbelSoftmax())
    (note,) = error.value.__notes__
    assert note.endswith("such as ScoreFunction() or IndeCateR() or UnorderedSet().")
    with pytest.raises(RuntimeError) as error:
        hg.expectation(only_hard, q, hg.MuProp())
    (note,) = error.value.__notes__
    assert note.endswith("such as ScoreFunction() or StraightThrough().")


def only_hard(z: Tensor) -> Tensor:
    if not ((z == 0) | (z == 1)).all():
        raise RuntimeError("between")
    return z * 1.0


@pytest.mark.parametrize(
    ("ask", "error", "why"),
    [
        ({"sample_shape": 3}, ValueError, r"sample_shape must be a tuple such as \(3,\), got 3"),
        ({"generator": 3}, ValueError, "generator must be a torch.Generator or None, got 3"),
        ({"q": None}, ValueError, "q must be a distribution, got NoneType"),
        ({"q": SampledOnly(torch.zeros(3))}, NotImplementedError, "needs .*, which SampledOnly"),
    ],
)
@pytest.mark.parametrize("estimator", PATHWISE)
def test_a_layers_arguments_are_checked(
    estimator: str, ask: dict[str, Any], error: type[Exception], why: str
) -> None:
    distribution = a_case_for(estimator)
    q = distribution.make(distribution.logits((3,)))
    with pytest.raises(error, match=why):
        ESTIMATORS[estimator](q).sample(**{"q": q, **ask})  # type: ignore[attr-defined]


PAIRINGS = [
    (SampledOnly, hg.Exact(), r"Exact needs enumerate_support, which SampledOnly .*ScoreFunction"),
    (SampledOnly, hg.ScoreFunction(), None),
    (
        SampledOnly,
        hg.GumbelSoftmax(),
        "GumbelSoftmax needs relaxed_sample, hard_and_relaxed_sample, .*: ScoreFunction...$",
    ),
    (SampledOnly, hg.StraightThrough(), "StraightThrough needs mean, .*: ScoreFunction...$"),
    (SampledOnly, hg.MuProp(), "MuProp needs mean, .*: ScoreFunction...$"),
    (SampledOnly, hg.REBAR(), "REBAR needs couple, params, which SampledOnly"),
    (SampledOnly, hg.RELAX(len), "RELAX needs couple, params, mean, which SampledOnly"),
    (SampledOnly, hg.ARM(), "ARM needs logits, antithetic, .*: ScoreFunction...$"),
    (SampledOnly, hg.GumbelRao(), "GumbelRao needs hard_and_mean_relaxed_sample, which"),
    (SampledOnly, hg.GappedStraightThrough(), "needs hard_and_gapped_sample, which SampledOnly"),
    (SampledOnly, hg.IndeCateR(), "IndeCateR needs enumerate_support, which SampledOnly"),
    (SampledOnly, hg.UnorderedSet(), "UnorderedSet needs enumerate_support, which SampledOnly"),
    (
        SampledOnly,
        hg.StraightThroughGumbelSoftmax(),
        "needs relaxed_sample, hard_and_relaxed_sample, which",
    ),
    (SampledOnly, hg.ReinMax(), "ReinMax needs mean, tempered_mean, tangent, which SampledOnly"),
    (SampledOnly, hg.IMLE(), "IMLE needs perturb, argmax, statistics, which SampledOnly"),
    (SampledOnly, hg.PerturbedMAP(), "PerturbedMAP needs mode, perturb_with_slope, argmax, which"),
    (WithMean, hg.StraightThrough(), None),
    (WithMean, hg.MuProp(), None),
    (WithMean, hg.GumbelSoftmax(), "work with it: .*StraightThrough"),
    (WithMean, hg.GumbelSoftmax(), "work with it: .*ScoreFunction"),
]


@pytest.mark.parametrize(
    ("distribution", "estimator"),
    [(distribution, estimator) for distribution, estimator, why in PAIRINGS if why is None],
)
@pytest.mark.parametrize("batch", [(), (4,)], ids=str)
def test_a_distribution_of_ones_own_works_with_what_its_methods_allow(
    distribution: Any, estimator: hg.Estimator, batch: tuple[int, ...], generator: torch.Generator
) -> None:
    results = []
    for kind in (distribution, lambda logits: hg.Bernoulli(logits=logits)):
        logits = DISTRIBUTIONS["Bernoulli"].logits(batch)
        q = kind(logits)
        f = Probe(hg.Bernoulli(logits=logits), torch.float64)
        value = hg.expectation(
            f, q, estimator, num_samples=NUM_SAMPLES, generator=generator.clone_state()
        )
        value.sum().backward()
        results.append((value, logits.grad))
    torch.testing.assert_close(*results, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("distribution", "estimator", "why"),
    [pairing for pairing in PAIRINGS if pairing[2] is not None],
)
@pytest.mark.parametrize("events", [0, 1], ids=["alone", "to_event"])
def test_a_pairing_that_cannot_work_names_one_that_does(
    distribution: Any, estimator: hg.Estimator, why: str, events: int
) -> None:
    q = td.Independent(distribution(torch.zeros(4)), events)
    with pytest.raises(NotImplementedError, match=why):
        hg.expectation(lambda z: z.sum(-1), q, estimator, num_samples=2)


# How many samples.

LEAST = dict.fromkeys(
    ["ScoreFunction(LeaveOneOut)", "MuProp(LeaveOneOut)", "ARM", "DisARM", "UnorderedSet"], 2
)
PAIRED = ["ARM", "DisARM"]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_estimators_say_how_few_samples_they_take_and_refuse_fewer(estimator: str) -> None:
    distribution = a_case_for(estimator)
    q = distribution.make(distribution.logits((3,)))
    chosen = ESTIMATORS[estimator](q)
    least = LEAST.get(estimator, 1)
    assert chosen.least_samples == least
    f = Probe(q, torch.float64)
    value = hg.expectation(f, q, chosen, num_samples=least)
    assert value.shape == (3,)
    # what is taken where nothing is said
    unsaid = Probe(q, torch.float64)
    assert hg.expectation(unsaid, q, ESTIMATORS[estimator](q)).shape == (3,)
    assert [z.shape for z in unsaid.asked] == [z.shape for z in f.asked]
    with pytest.raises(ValueError, match=f"num_samples .*at least {least}, got {least - 1}"):
        hg.expectation(Probe(q, torch.float64), q, chosen, num_samples=least - 1)


@pytest.mark.parametrize("estimator", LEAST)
def test_who_needs_two_samples_says_what_to_do(estimator: str) -> None:
    distribution = a_case_for(estimator)
    q = distribution.make(distribution.logits())
    chosen = ESTIMATORS[estimator](q)
    why = (
        rf"^{re.escape(chosen.label)} needs num_samples of at least 2, got 1\. Use num_samples=2\.$"
    )
    with pytest.raises(ValueError, match=why):
        hg.expectation(Probe(q, torch.float64), q, chosen, num_samples=1)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_estimators_say_whether_they_draw_pairs(estimator: str) -> None:
    distribution = a_case_for(estimator)
    q = distribution.make(distribution.logits((3,)))
    chosen = ESTIMATORS[estimator](q)
    assert chosen.paired == (estimator in PAIRED)


@pytest.mark.parametrize("estimator", PAIRED)
def test_an_odd_number_is_refused_with_the_next_even_one(estimator: str) -> None:
    q = DISTRIBUTIONS["Bernoulli"].make(DISTRIBUTIONS["Bernoulli"].logits((3,)))
    why = rf"{estimator} .*even, got 5\..*num_samples=6"
    with pytest.raises(ValueError, match=why):
        hg.expectation(Probe(q, torch.float64), q, ESTIMATORS[estimator](q), num_samples=5)
