"""Equal parts as one event: shapes, the order of states, the budget, torch's own Independent."""

import itertools
import math
import re
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch import distributions as td

import hotgrad as hg


def test_support_counts_in_order_with_the_last_part_fastest() -> None:
    q = hg.OneHotCategorical(logits=torch.zeros(5, 2, 3)).to_event(1)
    states = q.enumerate_support()
    assert states.shape == (9, 5, 2, 3)
    expected = list(itertools.product(range(3), repeat=2))
    assert [tuple(state.tolist()) for state in states[:, 4].argmax(-1)] == expected
    assert torch.equal(states, q.enumerate_support(expand=False).expand(9, 5, 2, 3))
    assert q.enumerate_support(expand=False).shape == (9, 1, 2, 3)


def test_support_of_bits() -> None:
    q = hg.Bernoulli(logits=torch.zeros(2, 3, dtype=torch.float64)).to_event(2)
    states = q.enumerate_support()
    assert states.shape == (64, 2, 3)
    assert states.dtype == torch.float64
    expected = list(itertools.product([0.0, 1.0], repeat=6))
    assert [tuple(state.tolist()) for state in states.flatten(1)] == expected


@pytest.mark.parametrize(("ndims", "states"), [(0, 3), (1, 9), (2, 3**8)])
def test_probabilities_of_the_joint_distribution_sum_to_one(
    ndims: int, states: int, generator: Generator
) -> None:
    logits = torch.randn(4, 2, 3, dtype=torch.float64, generator=generator)
    q = hg.OneHotCategorical(logits=logits).to_event(ndims)
    support = q.enumerate_support(budget=10_000)
    assert support.shape == (states, 4, 2, 3)
    log_prob = q.log_prob(support)
    assert log_prob.shape == (states, *(4, 2)[: 2 - ndims])
    total = log_prob.exp().sum(0)
    torch.testing.assert_close(total, torch.ones_like(total))


def test_budget() -> None:
    q = hg.Bernoulli(logits=torch.zeros(30)).to_event(1)
    message = "Bernoulli of 30 parts .*1,073,741,824 .*1,048,576"
    with pytest.raises(ValueError, match=message):
        q.enumerate_support()
    small = hg.Bernoulli(logits=torch.zeros(3)).to_event(1)
    assert small.enumerate_support(budget=8).shape == (8, 3)
    with pytest.raises(ValueError, match="8 states, more than the budget of 7"):
        small.enumerate_support(budget=7)


def test_no_parts_have_one_state() -> None:
    q = hg.Bernoulli(logits=torch.zeros(2, 0)).to_event(1)
    assert q.enumerate_support().shape == (1, 2, 0)
    assert torch.equal(q.log_prob(q.enumerate_support()[0]), torch.zeros(2))


def test_nested_events_are_the_same_distribution(generator: Generator) -> None:
    logits = torch.randn(2, 2, 3, generator=generator)
    flat = hg.OneHotCategorical(logits=logits).to_event(2)
    nested = hg.OneHotCategorical(logits=logits).to_event(1).to_event(1)
    assert isinstance(nested.bases[0], hg.OneHotCategorical)
    assert (nested.batch_shape, nested.event_shape) == (flat.batch_shape, flat.event_shape)
    states = flat.enumerate_support()
    assert torch.equal(nested.enumerate_support(), states)
    torch.testing.assert_close(nested.log_prob(states), flat.log_prob(states))
    torch.testing.assert_close(nested.entropy(), flat.entropy())
    seeds = (torch.Generator().manual_seed(1), torch.Generator().manual_seed(1))
    assert torch.equal(
        nested.sample((3,), generator=seeds[0]), flat.sample((3,), generator=seeds[1])
    )


def test_agrees_with_torch(generator: Generator) -> None:
    logits = torch.randn(4, 2, 3, dtype=torch.float64, generator=generator)
    ours = hg.OneHotCategorical(logits=logits).to_event(1)
    theirs = td.Independent(td.OneHotCategorical(logits=logits), 1)
    z = ours.sample((5,), generator=generator)
    assert z.shape == (5, 4, 2, 3)
    torch.testing.assert_close(ours.log_prob(z), theirs.log_prob(z))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    torch.testing.assert_close(ours.mean, theirs.mean)
    torch.testing.assert_close(ours.mode, theirs.mode)
    torch.testing.assert_close(ours.logits, theirs.base_dist.logits)


def test_expand(generator: Generator) -> None:
    q = hg.Bernoulli(logits=torch.randn(3, generator=generator)).to_event(1).expand((4, 2))
    assert isinstance(q, hg.Independent)
    assert (q.batch_shape, q.event_shape) == ((4, 2), (3,))
    assert q.sample((5,), generator=generator).shape == (5, 4, 2, 3)
    assert q.enumerate_support().shape == (8, 4, 2, 3)


def test_relaxed_distributions_become_events(generator: Generator) -> None:
    p = hg.Concrete(0.5, logits=torch.randn(4, 2, 3, generator=generator)).to_event(1)
    sample = p.rsample_with_twin((6,), generator=generator)
    assert sample.value.shape == (6, 4, 2, 3)
    torch.testing.assert_close(
        p.log_prob(sample), p.bases[0].log_prob(sample).sum(-1), rtol=1e-6, atol=1e-6
    )
    torch.testing.assert_close(
        p.log_prob_of_twin(sample.twin), p.bases[0].log_prob_of_twin(sample.twin).sum(-1)
    )
    assert p.rsample((6,), generator=generator).shape == (6, 4, 2, 3)


def pair(logits: Tensor, family: str, ndims: int) -> tuple[td.Distribution, td.Distribution]:
    """Our distribution and torch's, both as events."""
    ours = {"bits": hg.Bernoulli, "categories": hg.OneHotCategorical}[family]
    theirs = {"bits": td.Bernoulli, "categories": td.OneHotCategorical}[family]
    return ours(logits=logits).to_event(ndims), td.Independent(theirs(logits=logits), ndims)


@pytest.mark.parametrize("ndims", [0, 1, 2])
@pytest.mark.parametrize("family", ["bits", "categories"])
def test_kl_between_joint_distributions(family: str, ndims: int, generator: Generator) -> None:
    first, second = torch.randn(2, 4, 2, 3, dtype=torch.float64, generator=generator)
    p, torch_p = pair(first, family, ndims)
    q, torch_q = pair(second, family, ndims)
    expected = td.kl_divergence(torch_p, torch_q)
    for left, right in ((p, q), (p, torch_q), (torch_p, q)):
        torch.testing.assert_close(td.kl_divergence(left, right), expected)
    assert not torch.allclose(td.kl_divergence(q, p), expected)  # mutant: the other direction


@pytest.mark.parametrize("ndims", [-1, 3, 1.0, True, None, "1"])
def test_a_number_of_dimensions_that_is_none(ndims: Any) -> None:
    q = hg.Bernoulli(logits=torch.zeros(2, 3))
    message = "take a number of dimensions from 0 to 2, those of the batch (2, 3); got"
    makes = (
        q.to_event,
        hg.Joint(z=q).to_event,
        lambda n: hg.Independent(q, n),
        q.to_event(0).to_event,
    )
    for make in makes:
        with pytest.raises(ValueError, match=re.escape(message)):
            make(ndims)
    # a dimension can't be taken out of an event again
    with pytest.raises(ValueError, match="got -1"):
        q.to_event(1).to_event(-1)


def test_a_distribution_of_torchs_inside_is_this_librarys(generator: Generator) -> None:
    logits = torch.randn(2, 3, generator=generator)
    q = hg.Independent(td.Bernoulli(logits=logits), 1)
    assert type(q.bases[0]) is hg.Bernoulli
    assert q.sample((4,), generator=generator).shape == (4, 2, 3)
    value = hg.expectation(lambda z: z.sum(-1), q, hg.Exact())
    torch.testing.assert_close(value, logits.sigmoid().sum(-1))


def test_any_other_inside_draws_as_it_does() -> None:
    q = hg.Independent(td.Normal(torch.zeros(2, 3), 1.0), 1)
    assert q.sample((4,)).shape == (4, 2, 3)
    with pytest.raises(ValueError, match="Normal draws from torch's global generator alone"):
        q.sample((4,), generator=Generator())


def test_only_a_distribution_has_parts() -> None:
    with pytest.raises(ValueError, match="base_distribution must be a distribution, got a tensor"):
        hg.Independent(torch.zeros(3), 1)  # type: ignore[arg-type]


def test_joint_entropy_of_uniform_bits() -> None:
    q = hg.Bernoulli(logits=torch.zeros(8)).to_event(1)
    assert q.entropy().item() == pytest.approx(8 * math.log(2))
