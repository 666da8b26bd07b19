"""A distribution follows its parameters, however they change, and inference mode leaks nothing.

An optimiser changes them in place; code of ten years changes them through `.data`, which no version
counter sees.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.distributions import OneHotCategorical as TorchOneHotCategorical
from torch.distributions import kl_divergence

import hotgrad as hg
from hotgrad.ops import quadrature

Make = Callable[[Tensor], Any]

MADE_OF_LOGITS: dict[str, Make] = {
    "Bernoulli": lambda a: hg.Bernoulli(logits=a),
    "OneHotCategorical": lambda a: hg.OneHotCategorical(logits=a),
    "KSubset": lambda a: hg.KSubset(a, 2),
    "KSubset.to_event(1)": lambda a: hg.KSubset(a, 2).to_event(1),
    "PlackettLuceSubset": lambda a: hg.PlackettLuceSubset(a, 2),
    "Concrete": lambda a: hg.Concrete(0.5, logits=a),
    "BinaryConcrete": lambda a: hg.BinaryConcrete(0.5, logits=a),
    "HardConcrete": lambda a: hg.HardConcrete(0.5, logits=a),
    "Gumbel": lambda a: hg.Gumbel(torch.zeros(2, 4), a),
}


def parameter_of(p: Any) -> Tensor:
    """The tensor that it was made of."""
    base = getattr(p, "bases", (p,))[0]
    inside = getattr(base, "unstretched", base)
    return next(
        getattr(inside, name) for name in ("scale", "_scores", "logits") if hasattr(inside, name)
    )


WAYS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "in place": lambda logits, new: logits.copy_(new),
    ".data in place": lambda logits, new: logits.data.copy_(new),
    ".data of one element": lambda logits, new: logits.data.view(-1).__setitem__(3, 1.5),
}


def figures(p: Any) -> dict[str, Tensor]:
    """All that a distribution says of itself, and samples of a fixed seed."""
    found: dict[str, Tensor] = {}
    for name in ("mean", "variance", "mode", "logits", "probs", "median", "prob_zero"):
        try:
            found[name] = getattr(p, name)
        except (AttributeError, NotImplementedError):
            continue
    z = found["z"] = p.sample((5,), generator=Generator().manual_seed(0))
    found["log_prob"] = p.log_prob(z)
    for name, ask in (
        ("entropy", lambda: p.entropy()),
        ("cdf", lambda: p.cdf(z)),
        ("log_normalizer", lambda: p.log_normalizer()),
    ):
        try:
            found[name] = ask()
        except (AttributeError, NotImplementedError):
            continue
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("made", MADE_OF_LOGITS)
def test_it_follows_its_parameters(made: str, way: str, generator: Generator) -> None:
    logits, new = torch.randn(2, 2, 4, generator=generator)
    p = MADE_OF_LOGITS[made](logits.exp())
    before = figures(p)
    with torch.no_grad():
        WAYS[way](parameter_of(p), new.exp())
    after, expected = figures(p), figures(MADE_OF_LOGITS[made](parameter_of(p).clone()))
    for name, value in expected.items():
        assert torch.equal(after[name], value), name
    assert any(not torch.equal(before[name], after[name]) for name in after)  # blind if none


def test_subsets_of_edited_logits_have_probabilities_that_sum_to_one() -> None:
    q = hg.KSubset(torch.zeros(5), 2)
    q.mean, q.entropy()
    q.logits.data[0] = 3.0
    total = q.log_prob(q.enumerate_support()).exp().sum()
    torch.testing.assert_close(total, torch.tensor(1.0))


def test_torchs_divergence_follows_too() -> None:
    ours, theirs = (
        hg.OneHotCategorical(logits=torch.zeros(3)),
        TorchOneHotCategorical(torch.ones(3)),
    )
    for p, q in ((ours, theirs), (theirs, ours)):
        assert float(kl_divergence(p, q)) == pytest.approx(0, abs=1e-6)
    ours._scores.data[0] = 2.0
    for p, q in ((ours, theirs), (theirs, ours)):
        assert float(kl_divergence(p, q)) > 0.1


def test_what_was_worked_out_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of training asks for sample, mean and log-probability: one count is enough."""
    calls = []
    own = hg.ops.k_of_n.log_prob_and_marginals
    monkeypatch.setattr(
        hg.ops.k_of_n,
        "log_prob_and_marginals",
        lambda *arguments: calls.append(0) or own(*arguments),
    )
    q = hg.KSubset(torch.zeros(5, requires_grad=True), 2)
    (q.log_prob(q.sample()) + q.mean.sum() + q.entropy()).backward()
    assert len(calls) == 1


@pytest.mark.parametrize("made", MADE_OF_LOGITS)
def test_training_goes_on_after_inference_mode(made: str, generator: Generator) -> None:
    parameter = torch.rand(2, 4, generator=generator).requires_grad_()
    p = MADE_OF_LOGITS[made](parameter)
    with torch.inference_mode():
        figures(p)
    loss = sum(value.sum() for value in figures(p).values() if value.requires_grad)
    weight = torch.ones((), requires_grad=True)
    (weight * loss).backward()  # type: ignore[operator]
    assert parameter.grad is not None
    assert weight.grad is not None


def test_what_a_quadrature_keeps_is_of_use_after_inference_mode() -> None:
    quadrature._nodes_and_weights.cache_clear()
    logits = torch.zeros(4, requires_grad=True)
    q = hg.PlackettLuceSubset(logits, 2)
    with torch.inference_mode():
        q.mean, q.entropy()
    (q.mean * q.mean).sum().backward()
    assert logits.grad is not None
