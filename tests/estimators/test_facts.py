"""What estimators say of themselves, and that it is so; configurations check themselves."""

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from estimators.cases import (
    DIFFERENTIATING,
    DISTRIBUTIONS,
    ESTIMATORS,
    EVERY,
    JOINED,
    WORKING,
    a_case_for,
    in_one,
)
from torch import Generator, Tensor

import hotgrad as hg

# unbiased, relaxes_f, differentiates_f
FACTS = {
    hg.Exact: (True, False, False),
    hg.ScoreFunction: (True, False, False),
    hg.GumbelSoftmax: (False, True, True),
    hg.StraightThrough: (False, False, True),
    hg.StraightThroughGumbelSoftmax: (False, False, True),
    hg.ReinMax: (False, False, True),
    hg.RelaxedTopK: (False, True, True),
    hg.IMLE: (False, False, True),
    hg.PerturbedMAP: (False, False, True),
    hg.GappedStraightThrough: (False, False, True),
    hg.GumbelRao: (False, False, True),
    hg.ARM: (True, False, False),
    hg.DisARM: (True, False, False),
    hg.MuProp: (True, True, True),
    hg.REBAR: (True, True, True),
    hg.RELAX: (True, False, False),
    hg.IndeCateR: (True, False, False),
    hg.UnorderedSet: (True, False, False),
}
CLASSES = list(hg.estimators.ESTIMATORS.values())
TEMPERED = [
    hg.GumbelSoftmax,
    hg.StraightThroughGumbelSoftmax,
    hg.GappedStraightThrough,
    hg.GumbelRao,
    hg.ReinMax,
    hg.RelaxedTopK,
]


@pytest.mark.parametrize("cls", CLASSES)
def test_facts_stand_on_the_class(cls: type[hg.Estimator]) -> None:
    assert (cls.unbiased, cls.relaxes_f, cls.differentiates_f) == FACTS[cls]
    assert all(getattr(protocol, "_is_protocol", False) for protocol in cls.requires)
    assert (cls.name, cls) in hg.estimators.ESTIMATORS.items()


def table(z: Tensor, event_dims: int) -> Tensor:
    """An f that is looked up: no gradient, and nothing smooth about it."""
    places = torch.arange(1, z.shape[z.ndim - event_dims :].numel() + 1)
    number = (z.reshape((*z.shape[: z.ndim - event_dims], -1)) * places).sum(-1)
    said = torch.tensor([0.3, -1.1, 2.0, 0.9, -0.4, 1.7, 0.2], dtype=z.dtype)
    return said[number.long() % len(said)]


@pytest.mark.parametrize(
    ("estimator", "distribution"),
    [pair for pair in WORKING + JOINED if pair[0] not in DIFFERENTIATING],
)
def test_f_may_be_a_table_where_that_is_said(
    estimator: str, distribution: str, generator: Generator
) -> None:
    logits = EVERY[distribution].logits((50,))
    q = EVERY[distribution].make(logits)
    chosen = ESTIMATORS[estimator](q)
    assert not chosen.differentiates_f
    value = hg.expectation(
        lambda z: table(in_one(z, q), len(q.event_shape)),
        q,
        chosen,
        num_samples=2,
        generator=generator,
    )
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert gradient.isfinite().all()
    assert gradient.count_nonzero() > 0


@pytest.mark.parametrize("estimator", DIFFERENTIATING)
def test_f_must_be_differentiable_where_that_is_said(estimator: str) -> None:
    q = a_case_for(estimator).make(a_case_for(estimator).logits((50,)))
    chosen = ESTIMATORS[estimator](q)
    assert chosen.differentiates_f
    why = rf"{re.escape(chosen.label)} differentiates f, .*ScoreFunction"
    with pytest.raises(ValueError, match=why):
        hg.expectation(lambda z: table(z, 1), q, chosen, num_samples=2)


STATELESS = [
    hg.Exact,
    hg.StraightThrough,
    hg.IMLE,
    hg.PerturbedMAP,
    hg.ARM,
    hg.DisARM,
    hg.IndeCateR,
    hg.UnorderedSet,
    hg.VIMCO,
    *TEMPERED,
]


@pytest.mark.parametrize("cls", STATELESS)
def test_stateless_estimators_are_frozen_values(cls: Any) -> None:
    estimator = cls()
    assert estimator == cls()
    assert hash(estimator) == hash(cls())
    with pytest.raises(dataclasses.FrozenInstanceError):
        estimator.temperature = 0.1


@pytest.mark.parametrize("cls", [hg.NoBaseline, hg.LeaveOneOut])
def test_stateless_baselines_are_frozen_values(cls: Any) -> None:
    assert cls() == cls()
    with pytest.raises(dataclasses.FrozenInstanceError):
        cls().decay = 0.1


BAD_TEMPERATURES = pytest.mark.parametrize(
    ("temperature", "why"),
    [
        (0, "positive and finite, got 0.*straight-through"),
        (0.0, "positive and finite, got 0.0"),
        (-0.5, "positive and finite, got -0.5"),
        (math.nan, "positive and finite, got nan"),
        (math.inf, "positive and finite, got inf"),
        ("0.5", "a number or a tensor, got '0.5'"),
        (True, "a number or a tensor, got True"),
        (None, "a number or a tensor, got None"),
        (torch.tensor([0.5, 0.0]), "positive and finite everywhere, got 0.0"),
        (torch.tensor(1), "floating point, got dtype torch.int64"),
    ],
    ids=str,
)


@pytest.mark.parametrize("cls", TEMPERED)
@BAD_TEMPERATURES
def test_temperatures_are_checked_when_the_estimator_is_made(
    cls: Any, temperature: Any, why: str
) -> None:
    with pytest.raises(ValueError, match=f"temperature must be {why}"):
        cls(temperature)
    with pytest.raises(ValueError, match=f"temperature must be {why}"):
        dataclasses.replace(cls(), temperature=temperature)


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, "1", True, None])
@pytest.mark.parametrize(
    ("cls", "name"),
    [(hg.IMLE, "step"), (hg.PerturbedMAP, "scale"), (hg.GappedStraightThrough, "gap")],
)
def test_sizes_are_checked_when_the_estimator_is_made(cls: Any, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a positive, finite number, got"):
        cls(**{name: value})
    with pytest.raises(ValueError, match=f"{name} must be a positive, finite number, got"):
        dataclasses.replace(cls(), **{name: value})


def test_imles_noise_is_checked_when_it_is_made() -> None:
    with pytest.raises(
        ValueError, match=r"Unknown noise 'sum-of-gama'\. Did you mean sum-of-gamma"
    ):
        hg.IMLE(noise="sum-of-gama")


@pytest.mark.parametrize("count", [0, -1, 2.0, True, None])
@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (hg.Exact, "budget"),
        (hg.IndeCateR, "budget"),
        (hg.UnorderedSet, "budget"),
        (hg.GumbelRao, "num_inner"),
    ],
)
def test_counts_are_checked_when_the_estimator_is_made(cls: Any, name: str, count: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must be an integer of at least 1, got"):
        cls(**{name: count})


@pytest.mark.parametrize(
    ("cls", "moved"),
    [
        (hg.GumbelSoftmax, True),
        (hg.StraightThroughGumbelSoftmax, True),
        (hg.GappedStraightThrough, True),
        (hg.GumbelRao, True),
        (hg.ReinMax, False),
        (hg.RelaxedTopK, True),
    ],
)
@pytest.mark.parametrize("shape", [(), (5, 1)], ids=str)
def test_a_temperature_may_be_a_tensor(
    cls: Any, moved: bool, shape: tuple[int, ...], generator: Generator
) -> None:
    logits = DISTRIBUTIONS["OneHotCategorical"].logits((5,))
    # one of three is a category too
    distribution = (
        hg.PlackettLuceSubset(logits, 1)
        if cls is hg.RelaxedTopK
        else hg.OneHotCategorical(logits=logits)
    )
    temperature = torch.full(shape, 0.5, dtype=torch.float64, requires_grad=True)
    results = []
    for given in (0.5, temperature):
        value = hg.expectation(
            lambda z: (z @ torch.tensor([1.0, 2.0, 5.0]).double()).square(),
            distribution,
            cls(given),
            num_samples=3,
            generator=generator.clone_state(),
        )
        results.append((value, torch.autograd.grad(value.sum(), logits, retain_graph=True)[0]))
    torch.testing.assert_close(*results)
    (slope,) = torch.autograd.grad(value.sum(), temperature, allow_unused=True)
    # ReinMax's temperature chooses a point, which is a constant
    assert (slope is not None) == moved


@pytest.mark.parametrize("cls", TEMPERED)
def test_tensor_temperatures_are_compared_by_value(cls: Any) -> None:
    pair = torch.tensor([[0.5], [1.0]])
    one, same = cls(temperature=pair), cls(temperature=pair.clone())
    assert one == same
    assert hash(one) == hash(same)
    for other in (pair + 0.5, pair[:1], pair.double(), 0.5):
        assert one != cls(temperature=other)
    assert cls(temperature=0.5) != cls(temperature=0.25)
    assert one != "another thing"
    assert len({one, same, cls(temperature=0.5)}) == 2


def test_settings_beside_the_temperature_count_in_a_comparison() -> None:
    half = torch.tensor(0.5)
    assert hg.GumbelRao(half, num_inner=3) != hg.GumbelRao(half)
    assert hg.GappedStraightThrough(half, gap=2.0) == hg.GappedStraightThrough(half, gap=2.0)
    assert hg.GumbelSoftmax(half) != hg.StraightThroughGumbelSoftmax(half)


MISFITS = [(2,), (2, 1), (5, 2), (7, 5, 1), (5, 3, 1)]


@pytest.mark.parametrize("shape", MISFITS, ids=str)
@pytest.mark.parametrize("cls", [*TEMPERED, hg.REBAR, lambda t: hg.RELAX(hg.Critic((3,)), t)])
def test_a_temperature_broadcasts_against_the_logits(cls: Any, shape: tuple[int, ...]) -> None:
    logits = torch.zeros(5, 3)
    q = (
        hg.PlackettLuceSubset(logits, 1)
        if cls is hg.RelaxedTopK
        else hg.OneHotCategorical(logits=logits)
    )
    why = re.escape(
        "temperature must be a number, or a tensor that broadcasts against the logits' shape "
        f"(5, 3); got one of shape {shape}. One value for each row has the shape (5, 1)."
    )
    estimator = cls(torch.full(shape, 0.5))
    with pytest.raises(ValueError, match=why):
        hg.expectation(lambda z: z.sum(-1), q, estimator)
    # of a Joint, against each part
    with pytest.raises(ValueError, match=why):
        hg.expectation(lambda z: z["kind"].sum(-1), hg.Joint(kind=q), estimator)
    if isinstance(estimator, hg.Pathwise):
        with pytest.raises(ValueError, match=why):
            estimator.sample(q, (7,))


@pytest.mark.parametrize(
    ("estimator", "text"),
    [
        (hg.ScoreFunction(), "ScoreFunction(LeaveOneOut())"),
        (hg.MuProp(), "MuProp(NoBaseline())"),
        (hg.ScoreFunction(hg.MovingAverage(0.9)), "(baseline): MovingAverage(decay=0.9)"),
        (hg.REBAR(), "REBAR(temperature=0.5, scale=1)"),
        (hg.REBAR(torch.full((5, 1), 0.5)), "REBAR(temperature=tensor of shape (5, 1), scale=1)"),
        (hg.RELAX(max, 0.25), "RELAX(<built-in function max>, temperature=0.25)"),
        (hg.RELAX(hg.Critic((4,))), "temperature=0.5"),
        (hg.RELAX(hg.Critic((4,))), "(critic): Critic(\n    event_shape=(4,)"),
        (hg.ScoreFunction(hg.Learned(max)), "Learned(<built-in function max>)"),
        (hg.GumbelRao(0.5), "GumbelRao(temperature=0.5, num_inner=10)"),
        (hg.REBAR().to("meta"), "REBAR(temperature=tensor of shape (), "),
    ],
)
def test_an_estimator_shows_what_it_is_made_of(estimator: Any, text: str) -> None:
    assert text in repr(estimator)


def test_an_estimator_needs_a_surrogate() -> None:
    class Unfinished(hg.Estimator):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Unfinished()  # type: ignore[abstract]


class Marginal:
    """A user's estimator, of no family: f at the mean, once."""

    def surrogate(
        self, f: Callable[[Tensor], Tensor], q: Any, num_samples: int, generator: Generator | None
    ) -> Tensor:
        return f(q.mean.unsqueeze(0)).squeeze(0)


def test_a_custom_estimator_is_any_object_with_surrogate() -> None:
    logits = torch.tensor([0.5, -1.0], requires_grad=True)
    value = hg.expectation(torch.square, hg.Bernoulli(logits=logits), Marginal())
    torch.testing.assert_close(value, logits.sigmoid().square())
