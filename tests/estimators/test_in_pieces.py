"""Estimators that list states do so piece by piece: the same numbers, in bounded memory."""

from typing import Any

import pytest
import torch
from estimators.cases import EVERY, Probe
from torch import Generator, Tensor

import hotgrad as hg
from hotgrad.distributions import as_distribution
from hotgrad.estimators import exact, independent_parts
from hotgrad.ops import race

LISTING = {"Exact": (hg.Exact(), exact), "IndeCateR": (hg.IndeCateR(), independent_parts)}


def asked(
    name: str, distribution: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[Probe, Tensor, list[Tensor]]:
    """What an estimator asks f, its value and its gradients, with so many elements at once."""
    estimator, module = LISTING[name]
    monkeypatch.setattr(module, "MAX_ELEMENTS", limit)
    logits = EVERY[distribution].logits((3,), torch.float64)
    q = as_distribution(EVERY[distribution].make(logits))
    f = Probe(q, torch.float64)
    generator = Generator().manual_seed(0)
    value = hg.expectation(f, q, estimator, num_samples=2, generator=generator)
    return f, value, list(torch.autograd.grad(value.sum(), [logits, f.scale]))


@pytest.mark.parametrize(
    "distribution",
    ["Bernoulli.to_event(1)", "OneHotCategorical.to_event(1), masked", "KSubset", "Joint"],
)
@pytest.mark.parametrize("name", LISTING)
def test_pieces_make_the_same_whole(
    name: str, distribution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, value, gradients = asked(name, distribution, 2**24, monkeypatch)
    for limit in (1, 50):
        f, its, own = asked(name, distribution, limit, monkeypatch)
        torch.testing.assert_close(its, value)
        torch.testing.assert_close(own, gradients)
        # no more at once than allowed, unless it is one for each sample
        assert max(z.numel() for z in f.asked) <= max(limit, 2 * f.asked[0][0].numel())
        assert len(f.asked) > len(whole.asked)


@pytest.mark.parametrize(
    "estimator", [hg.Exact(), hg.IndeCateR(), hg.UnorderedSet()], ids=lambda e: e.label
)
def test_the_states_of_many_categories_are_not_listed(
    estimator: Any, monkeypatch: pytest.MonkeyPatch, generator: Generator
) -> None:
    """One-hot vectors of 8,000 categories are 2^26 numbers all together."""
    monkeypatch.setattr(torch, "eye", None)
    categories, seen = 8_000, []
    logits = torch.randn(categories, generator=generator, requires_grad=True)
    worth = torch.randn(categories, generator=generator)

    def f(z: Tensor) -> Tensor:
        seen.append(z.numel())
        # the largest pieces cost the time of this test, and tell nothing more
        return z[..., 0] * worth[0] + z.sum(-1)

    value = hg.expectation(f, hg.OneHotCategorical(logits=logits), estimator, num_samples=2)
    value.backward()
    assert max(seen) <= 2**24
    assert logits.grad is not None


def test_one_hot_states_are_those_of_the_list(generator: Generator) -> None:
    """A subclass with its own states, or probabilities, is asked for them."""

    class Reversed(hg.OneHotCategorical):
        def enumerate_support(self, *arguments: Any, **options: Any) -> Tensor:
            return super().enumerate_support(*arguments, **options).flip(0)

    logits = torch.randn(2, 4, generator=generator)
    worth = torch.randn(4, generator=generator)
    for cls in (hg.OneHotCategorical, Reversed):
        value = hg.expectation(lambda z: z @ worth, cls(logits=logits), hg.Exact())
        torch.testing.assert_close(value, logits.softmax(-1) @ worth)


def test_states_that_differ_in_the_batch_are_told() -> None:
    class Rows(hg.OneHotCategorical):
        def enumerate_support(self, expand: bool = True, **options: Any) -> Tensor:
            return super().enumerate_support(**options)

    with pytest.raises(ValueError, match=r"Rows\.enumerate_support"):
        hg.expectation(lambda z: z[..., 0], Rows(logits=torch.zeros(2, 3)), hg.Exact())


@pytest.mark.parametrize("batch", [(), (3,)])
def test_a_race_in_pieces(
    batch: tuple[int, ...], monkeypatch: pytest.MonkeyPatch, generator: Generator
) -> None:
    logits = torch.randn(*batch, 5, dtype=torch.float64, generator=generator)
    results = []
    for limit in (race.MOST_AT_ONCE, 600):
        monkeypatch.setattr(race, "MOST_AT_ONCE", limit)
        leaf = logits.clone().requires_grad_()
        q = hg.PlackettLuceSubset(leaf, 2)
        figures = [
            q.mean.square().sum(),
            q.entropy().sum(),
            q.log_prob(q.enumerate_support()).sum(),
        ]
        found = [torch.stack(figures)]
        for figure in figures:
            (slope,) = torch.autograd.grad(figure, leaf, create_graph=True)
            (curvature,) = torch.autograd.grad(slope.square().sum(), leaf, retain_graph=True)
            found += [slope, curvature]
        results.append(found)
    torch.testing.assert_close(results[0], results[1])
