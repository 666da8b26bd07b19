"""Products of any factors: bases, values joined and split, scores added up, states in order."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from distributions.families import Chain, Dial
from torch import Generator, Tensor

import hotgrad as hg
from hotgrad.distributions import DiscreteDistribution, as_distribution


def normal(generator: Generator, *shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=generator)


Make = Callable[[Generator], Any]
# batch (2,), few states
PRODUCTS: dict[str, tuple[Make, list[type], list[tuple[int, ...]]]] = {
    "no product": (lambda g: hg.KSubset(normal(g, 2, 3), 2), [hg.KSubset], [(3,)]),
    "parts": (
        lambda g: hg.OneHotCategorical(logits=normal(g, 2, 2, 3)).to_event(1),
        [hg.OneHotCategorical],
        [(2, 3)],
    ),
    "parts of parts": (
        lambda g: hg.Independent(hg.Independent(hg.Bernoulli(logits=normal(g, 2, 2, 2)), 1), 1),
        [hg.Bernoulli],
        [(2, 2)],
    ),
    "own": (
        lambda g: Dial(normal(g, 2, 2, 3), normal(g, 2, 2).exp()).to_event(1),
        [Dial],
        [(2, 3)],
    ),
    "kinds": (
        lambda g: hg.Joint(
            bits=hg.Bernoulli(logits=normal(g, 2, 2)).to_event(1),
            bit=hg.Bernoulli(logits=normal(g, 2)),
            kinds=hg.OneHotCategorical(logits=normal(g, 2, 2, 2)).to_event(1),
            set=hg.PlackettLuceSubset(normal(g, 2, 3), 1),
            own=Dial(normal(g, 2, 3), normal(g, 2).exp()),
        ),
        [hg.Bernoulli, hg.Bernoulli, hg.OneHotCategorical, hg.PlackettLuceSubset, Dial],
        [(2,), (), (2, 2), (3,), (3,)],
    ),
    "of nested parts": (
        lambda g: hg.Joint(
            deep=hg.Independent(hg.Bernoulli(logits=normal(g, 2, 2, 2)).to_event(1), 1),
            kind=hg.OneHotCategorical(logits=normal(g, 2, 3)),
        ),
        [hg.Bernoulli, hg.OneHotCategorical],
        [(2, 2), (3,)],
    ),
    "made an event": (
        lambda g: hg.Joint(
            a=hg.KSubset(normal(g, 2, 2, 3), 1), b=hg.Bernoulli(logits=normal(g, 2, 2))
        ).to_event(1),
        [hg.KSubset, hg.Bernoulli],
        [(2, 3), (2,)],
    ),
}
each = pytest.mark.parametrize("name", PRODUCTS)


def of(name: str, generator: Generator) -> tuple[Any, DiscreteDistribution]:
    """The distribution as made, and as estimators get it."""
    q = PRODUCTS[name][0](generator)
    return q, as_distribution(q)


def seen(z: Any) -> list[Tensor]:
    return list(z.values()) if isinstance(z, dict) else [z]


@each
def test_bases(name: str, generator: Generator) -> None:
    q, accepted = of(name, generator)
    assert [type(base) for base in accepted.bases] == PRODUCTS[name][1]
    assert q.bases == accepted.bases
    for base, event in zip(accepted.bases, PRODUCTS[name][2], strict=True):
        assert base.bases == (base,)
        assert base.batch_shape[:1] == accepted.batch_shape == (2,)
        assert base.batch_shape[1:] + base.event_shape == event


@each
def test_split_undoes_join(name: str, generator: Generator) -> None:
    q, accepted = of(name, generator)
    values = [normal(generator, 5, 2, *event) for event in PRODUCTS[name][2]]
    for product in (q, accepted):
        joined = product.join(values)
        torch.testing.assert_close(product.split(joined), values, rtol=0, atol=0)
    joined = accepted.join(values)
    assert joined.shape == (5, 2, *accepted.event_shape)
    named = accepted.named(joined)
    assert isinstance(named, dict) == isinstance(q, hg.Joint)
    torch.testing.assert_close(q.join(values), named, rtol=0, atol=0)


@each
def test_all_that_is_told_is_of_the_bases(name: str, generator: Generator) -> None:
    q, accepted = of(name, generator)
    z = accepted.sample((5,), generator=generator.clone_state())
    pieces = accepted.split(z)
    scores = [base.log_prob(piece) for base, piece in zip(accepted.bases, pieces, strict=True)]
    assert [score.shape for score in scores] == [(5, *b.batch_shape) for b in accepted.bases]
    total = accepted.total(scores)
    by_hand = sum(score.reshape(5, 2, -1).sum(-1) for score in scores)
    torch.testing.assert_close(total, by_hand)
    torch.testing.assert_close(accepted.log_prob(z), total)
    torch.testing.assert_close(q.log_prob(accepted.named(z)), total)
    torch.testing.assert_close(accepted.each(lambda base: base.mean), accepted.mean)
    named = q.sample((5,), generator=generator.clone_state())
    for mine, theirs in zip(seen(named), seen(accepted.named(z)), strict=True):
        assert torch.equal(mine, theirs)


@each
def test_states_in_their_order(name: str, generator: Generator) -> None:
    """The last base's last part changes fastest, and each of them in its own order."""
    q, accepted = of(name, generator)
    states = accepted.enumerate_support()
    own = []
    for base in accepted.bases:
        listed = base.enumerate_support(expand=False)
        listed = listed.reshape(len(listed), *base.event_shape)
        own += [listed] * base.batch_shape[1:].numel()
    expected = [torch.cat([part.flatten() for part in parts]) for parts in itertools.product(*own)]
    assert states.shape == (len(expected), 2, *accepted.event_shape)
    for row in range(2):
        assert torch.equal(states[:, row].flatten(1), torch.stack(expected))
    small = accepted.enumerate_support(expand=False)
    assert small.shape == (len(expected), 1, *accepted.event_shape)
    assert torch.equal(small.expand_as(states), states)
    for mine, theirs in zip(seen(q.enumerate_support()), seen(accepted.named(states)), strict=True):
        assert torch.equal(mine, theirs)
    # and the figures are those of these states
    log_probs = accepted.log_prob(states)
    probs = log_probs.exp()
    torch.testing.assert_close(probs.sum(0), torch.ones(2).double())
    mean = torch.einsum("sb,sb...->b...", probs, states)
    torch.testing.assert_close(accepted.mean, mean)
    if all(base.entropy_is_exact for base in accepted.bases):
        assert accepted.entropy_is_exact
        torch.testing.assert_close(accepted.entropy(), -(probs * log_probs).sum(0))
    else:
        assert not accepted.entropy_is_exact


def thrice(z: Any) -> Any:
    """Samples `(5, 2, ..)` for a batch of `(3, 2)`."""
    if isinstance(z, dict):
        return {name: thrice(u) for name, u in z.items()}
    return z.unsqueeze(1).expand(5, 3, *z.shape[1:])


@each
def test_other_parameters(name: str, generator: Generator) -> None:
    q, accepted = of(name, generator)
    tripled = {key: torch.stack([p, 2 * p, 3 * p]) for key, p in q.params.items()}
    assert list(accepted.params) == list(q.params)
    for product in (q, accepted):
        other = product.with_params(tripled)
        assert type(other) is type(product)
        assert (other.batch_shape, other.event_shape) == ((3, 2), product.event_shape)
        z = product.sample((5,), generator=generator)
        row = product.with_params({key: p[1] for key, p in tripled.items()})
        wide = other.log_prob(thrice(z))
        torch.testing.assert_close(wide[:, 0], product.log_prob(z))
        torch.testing.assert_close(wide[:, 1], row.log_prob(z))
        assert not torch.allclose(wide[:, 1], wide[:, 0])


def test_nested_events_keep_their_class(generator: Generator) -> None:
    q = hg.Bernoulli(logits=normal(generator, 2, 3, 4)).to_event(1)
    inside = hg.Independent(q, 1)
    assert inside.event_shape == (3, 4)
    doubled = inside.with_params({"logits": 2 * q.logits})
    assert isinstance(doubled.base_dist, hg.Independent)
    assert doubled.expand((5, 2)).event_shape == (3, 4)
    assert inside.unchecked().log_prob(torch.full((2, 3, 4), 0.5).double()).shape == (2,)


def test_chains_in_a_product(generator: Generator) -> None:
    """Parameters of other shapes than the event's go along."""
    chain = Chain(normal(generator, 2, 2, 3, 2), normal(generator, 2, 2, 2, 2, 2))
    q = hg.Joint(chain=chain.to_event(1), bit=hg.Bernoulli(logits=normal(generator, 2)))
    assert {key: param.shape for key, param in q.params.items()} == {
        "chain.unary": (2, 2, 3, 2),
        "chain.pairwise": (2, 2, 2, 2, 2),
        "bit.logits": (2,),
    }
    z = q.sample((4,), generator=generator)
    assert z["chain"].shape == (4, 2, 2, 3, 2)
    expected = chain.log_prob(z["chain"]).sum(-1) + q["bit"].log_prob(z["bit"])
    torch.testing.assert_close(q.log_prob(z), expected)
    torch.testing.assert_close(q.entropy(), chain.entropy().sum(-1) + q["bit"].entropy())
    wide = q.expand((5, 2))
    torch.testing.assert_close(wide.mean["chain"], chain.mean.expand(5, 2, 2, 3, 2))
