"""What a distribution has no formula for is said with what to use instead; and what repr says."""

import re
from typing import Any

import pytest
import torch

import hotgrad as hg

EACH: list[Any] = [
    hg.Bernoulli(logits=torch.zeros(2, 3)),
    hg.OneHotCategorical(logits=torch.zeros(2, 3)),
    hg.KSubset(torch.zeros(2, 3), 2),
    hg.PlackettLuceSubset(torch.zeros(2, 3), 2),
    hg.Concrete(0.5, logits=torch.zeros(2, 3)),
    hg.BinaryConcrete(0.5, logits=torch.zeros(2, 3)),
    hg.HardConcrete(0.5, logits=torch.zeros(2, 3)),
    hg.Gumbel(torch.zeros(2, 3), torch.ones(2, 3)),
    hg.Bernoulli(logits=torch.zeros(2, 3)).to_event(1),
    hg.Concrete(0.5, logits=torch.zeros(2, 3)).to_event(1),
    hg.HardConcrete(0.5, logits=torch.zeros(2, 3)).to_event(1),
    hg.Joint(a=hg.Bernoulli(logits=torch.zeros(2)), b=hg.KSubset(torch.zeros(2, 3), 1)),
]
each = pytest.mark.parametrize("q", EACH, ids=repr)
METHODS = ("entropy", "perplexity", "enumerate_support", "rsample")
VALUE = torch.full((2, 3), 0.5)


@each
@pytest.mark.parametrize(
    "what",
    [
        "mean",
        "variance",
        "stddev",
        "mode",
        "support",
        "entropy",
        "perplexity",
        "cdf",
        "icdf",
        "enumerate_support",
        "rsample",
    ],
)
def test_it_answers_or_says_what_to_use(q: Any, what: str) -> None:
    said = f"{type(q).__name__} has no doubt. It answers."
    try:
        answer = getattr(q, what)
        answer = answer(VALUE) if what in ("cdf", "icdf") else answer
        answer = answer() if what in METHODS else answer
    except NotImplementedError as error:
        said = str(error)
    assert re.fullmatch(r"\w+ has no \w+\. \S.+", said)


def test_gates_name_their_median() -> None:
    with pytest.raises(NotImplementedError, match=r"HardConcrete has no mean\..*`median`"):
        hg.HardConcrete(2 / 3, logits=torch.zeros(3)).mean  # noqa: B018


def test_a_joints_variance_is_that_of_each() -> None:
    q = EACH[-1]
    for name in ("a", "b"):
        assert torch.equal(q.variance[name], q[name].variance)
        assert torch.equal(q.stddev[name], q[name].variance.sqrt())


def test_they_are_not_taken_for_methods() -> None:
    assert "enumerate_support" in hg.estimators.missing_methods(hg.Exact, hg.Concrete)
    assert "mean" in hg.estimators.missing_methods(hg.StraightThrough, hg.HardConcrete)


@pytest.mark.parametrize(
    ("q", "said"),
    [
        (EACH[1], "OneHotCategorical(logits: torch.Size([2, 3]))"),
        (EACH[2], "KSubset(k: 2, logits: torch.Size([2, 3]))"),
        (EACH[3], "PlackettLuceSubset(k: 2, logits: torch.Size([2, 3]))"),
        (EACH[4], "Concrete(temperature: 0.5, logits: torch.Size([2, 3]))"),
        (EACH[5], "BinaryConcrete(temperature: 0.5, logits: torch.Size([2, 3]))"),
        (
            EACH[6],
            "HardConcrete(temperature: 0.5, logits: torch.Size([2, 3]), stretch: (-0.1, 1.1))",
        ),
        (EACH[9], "Independent(Concrete(temperature: 0.5, logits: torch.Size([2, 3])), 1)"),
    ],
)
def test_repr_says_what_it_is_made_of(q: Any, said: str) -> None:
    assert repr(q) == said
