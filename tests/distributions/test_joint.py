"""Named factors as one q: each by its name, independent of the others, and their vector."""

import copy
import math
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from stats import cells_fit
from torch import Generator, Tensor
from torch import distributions as td
from torch.distributions import kl_divergence

import hotgrad as hg
from hotgrad.distributions import DiscreteDistribution, as_distribution, from_description

KINDS = {
    "bit": hg.Bernoulli,
    "bits": hg.Bernoulli,
    "kinds": hg.OneHotCategorical,
    "chosen": lambda logits: hg.KSubset(logits, 2),
    "drawn": lambda logits: hg.PlackettLuceSubset(logits, 2),
}
EVENTS = {"bit": (), "bits": (2,), "kinds": (2, 3), "chosen": (3,), "drawn": (3,)}
STATES = {"bit": 2, "bits": 4, "kinds": 9, "chosen": 3, "drawn": 3}
TO_EVENT = {"bits": 1, "kinds": 1}


def scores(generator: Generator, *batch: int, names: Any = EVENTS) -> dict[str, Tensor]:
    return {
        name: torch.randn((*batch, *EVENTS[name]), dtype=torch.float64, generator=generator)
        for name in names
    }


def make(logits: dict[str, Tensor]) -> dict[str, Any]:
    return {
        name: KINDS[name](logits=a).to_event(TO_EVENT.get(name, 0)) for name, a in logits.items()
    }


@pytest.fixture
def parts(generator: Generator) -> dict[str, Any]:
    """Of each distribution and shape one, in a batch of 4."""
    return make(scores(generator, 4))


@pytest.fixture
def q(parts: dict[str, Any]) -> hg.Joint:
    return hg.Joint(**parts)


def assert_same(given: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(given) == list(expected)
    for name, value in given.items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


def test_what_it_has_of_each_is_each_ones_own(q: hg.Joint, parts: dict[str, Any]) -> None:
    assert_same(q.mean, {name: part.mean for name, part in parts.items()})
    assert_same(q.mode, {name: part.mode for name, part in parts.items()})
    assert_same(q.logits, {name: part.logits for name, part in parts.items()})
    assert all(q[name] is part for name, part in parts.items())
    assert q.batch_shape == (4,)
    assert repr(q) == (
        "Joint(bit=Bernoulli(), bits=Bernoulli(2,), kinds=OneHotCategorical(2, 3), "
        "chosen=KSubset(3,), drawn=PlackettLuceSubset(3,))"
    )


@pytest.mark.parametrize("shape", [(), (7,), (2, 3)], ids=str)
def test_samples_are_those_of_each_in_turn(
    q: hg.Joint, parts: dict[str, Any], shape: tuple[int, ...], generator: Generator
) -> None:
    same = generator.clone_state()
    z = q.sample(shape, generator=generator)
    assert_same(z, {name: part.sample(shape, generator=same) for name, part in parts.items()})
    assert {name: u.shape for name, u in z.items()} == {
        name: (*shape, 4, *event) for name, event in EVENTS.items()
    }


def test_scores_and_entropies_are_sums(
    q: hg.Joint, parts: dict[str, Any], generator: Generator
) -> None:
    z = q.sample((7,), generator=generator)
    expected = sum(part.log_prob(z[name]) for name, part in parts.items())
    torch.testing.assert_close(q.log_prob(z), expected)
    # the names count, not their order
    torch.testing.assert_close(q.log_prob(dict(reversed(z.items()))), expected)
    torch.testing.assert_close(q.entropy(), sum(part.entropy() for part in parts.values()))


def test_states_are_all_combinations_once(q: hg.Joint, parts: dict[str, Any]) -> None:
    states = q.enumerate_support()
    count = math.prod(STATES.values())
    assert {name: u.shape for name, u in states.items()} == {
        name: (count, 4, *event) for name, event in EVENTS.items()
    }
    rows = torch.cat([u[:, 1].reshape(count, -1) for u in states.values()], -1)
    assert len(rows.unique(dim=0)) == count
    # the last name counts fastest
    last = parts["drawn"].enumerate_support()
    assert torch.equal(states["drawn"][: len(last)], last)
    log_probs = q.log_prob(states)
    torch.testing.assert_close(log_probs.exp().sum(0), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(-(log_probs.exp() * log_probs).sum(0), q.entropy())
    bit = (log_probs.exp() * states["bit"]).sum(0)
    torch.testing.assert_close(bit, q.mean["bit"])
    small = q.enumerate_support(expand=False)
    assert all(u.shape == (count, 1, *EVENTS[name]) for name, u in small.items())


def test_states_beyond_the_budget(parts: dict[str, Any]) -> None:
    q = hg.Joint(bits=parts["bits"], kinds=parts["kinds"])
    assert len(q.enumerate_support(budget=36)["bits"]) == 36
    message = "a Joint of bits, kinds has 36 states, more than the budget of 35"
    with pytest.raises(ValueError, match=message):
        q.enumerate_support(budget=35)
    # or of a part alone, before anything is listed
    with pytest.raises(ValueError, match=r"OneHotCategorical of 3 .* 3 states"):
        q.enumerate_support(budget=2)


def pairs_of_bits(q: hg.Joint, generator: Generator) -> tuple[Tensor, Tensor]:
    """How often each pair of the bits came, and its chance were they independent."""
    z = q.sample((100_000,), generator=generator)
    counts = torch.bincount((2 * z["one"] + z["other"]).long(), minlength=4)
    one, other = (torch.stack([1 - mean, mean]) for mean in q.mean.values())
    return counts, torch.outer(one, other).flatten()


def test_unknowns_are_independent(generator: Generator) -> None:
    bit = hg.Bernoulli(logits=torch.tensor(0.4, dtype=torch.float64))
    verdict = cells_fit(*pairs_of_bits(hg.Joint(one=bit, other=bit), generator))
    assert verdict, verdict.figures

    # the mutant: both from the same noise
    class Same(hg.Bernoulli):
        def sample(self, shape: Any = (), *, generator: Any = None) -> Tensor:
            return super().sample(shape, generator=generator.clone_state())

    same = Same(logits=bit.logits)
    assert not cells_fit(*pairs_of_bits(hg.Joint(one=same, other=same), generator))


def test_its_vector_is_the_unknowns_in_their_order(q: hg.Joint, generator: Generator) -> None:
    flat = as_distribution(q)
    assert as_distribution(flat) is flat
    assert (flat.batch_shape, flat.event_shape) == (q.batch_shape, q.event_shape)
    assert q.event_shape == (sum(math.prod(event) for event in EVENTS.values()),)
    z = flat.sample((7,), generator=generator.clone_state())
    named = q.sample((7,), generator=generator)
    assert torch.equal(z, torch.cat([u.reshape(7, 4, -1) for u in named.values()], -1))
    assert_same(flat.named(z), named)
    assert torch.equal(flat.merged(list(named.values())), z)
    assert torch.equal(flat.log_prob(z), q.log_prob(named))
    assert torch.equal(flat.mean, flat.merged(list(q.mean.values())))
    assert torch.equal(flat.mode, flat.merged(list(q.mode.values())))


def test_other_logits_and_batches(q: hg.Joint, generator: Generator) -> None:
    logits = scores(generator, 2, 3)
    params = {f"{name}.logits": own for name, own in logits.items()}
    assert list(q.params) == list(params)
    other, expected = q.with_params(params), hg.Joint(**make(logits))
    assert_same(other.params, params)
    assert_same(other.logits, expected.logits)
    assert other.batch_shape == (2, 3)
    flat = as_distribution(q).with_params(params)
    assert_same(flat.params, params)
    z = flat.sample((5,), generator=generator)
    torch.testing.assert_close(flat.log_prob(z), expected.log_prob(flat.named(z)))
    wide = hg.Joint(**make(scores(generator))).expand((2, 3))
    assert (wide.batch_shape, wide.entropy().shape) == ((2, 3), (2, 3))
    z = wide.sample((5,), generator=generator)
    assert all(u.shape == (5, 2, 3, *EVENTS[name]) for name, u in z.items())


def test_batch_dimensions_into_every_event(generator: Generator) -> None:
    q = hg.Joint(**make(scores(generator, 2, 3)))
    joint = q.to_event(1)
    z = joint.sample((5,), generator=generator)
    assert joint.batch_shape == (2,)
    assert {name: part.event_shape for name, part in joint.factors.items()} == {
        name: (3, *event) for name, event in EVENTS.items()
    }
    torch.testing.assert_close(joint.log_prob(z), q.log_prob(z).sum(-1))


def test_the_means_carry_a_gradient(generator: Generator) -> None:
    logits = {name: a.requires_grad_() for name, a in scores(generator).items()}
    q = hg.Joint(**make(logits))
    total = sum(u.square().sum() for u in q.mean.values()) + q.entropy()
    for gradient in torch.autograd.grad(total, list(logits.values())):
        assert gradient.count_nonzero() > 0


def test_distributions_of_torch_are_taken_as_they_are(generator: Generator) -> None:
    logits = torch.randn(4, 3, dtype=torch.float64, generator=generator)
    theirs = hg.Joint(
        bits=td.Independent(td.Bernoulli(logits=logits), 1),
        kind=td.OneHotCategorical(logits=logits, validate_args=False),
    )
    assert type(theirs["kind"]) is hg.OneHotCategorical
    assert type(theirs["bits"]) is hg.Independent
    # one that looks at values is enough
    assert as_distribution(theirs)._validate_args
    ours = hg.Joint(
        bits=hg.Bernoulli(logits=logits).to_event(1), kind=hg.OneHotCategorical(logits=logits)
    )
    torch.testing.assert_close(theirs.log_prob(ours.mode), ours.log_prob(ours.mode))


def test_any_name_will_do(generator: Generator) -> None:
    bit = hg.Bernoulli(logits=torch.zeros(()))
    names = ("self", "a b", "a.b", "a", "")
    q = hg.Joint(**dict.fromkeys(names, bit))
    assert set(q.sample()) == set(names)
    # also where it looks like a parameter's
    new = dict(zip(q.params, torch.randn(5, 2, generator=generator), strict=True))
    assert_same(q.with_params(new).params, new)
    assert_same(q.with_params(new).logits, dict(zip(names, new.values(), strict=True)))
    again = from_description(q.describe(), new)
    assert_same(again.logits, q.with_params(new).logits)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda q: pickle.loads(pickle.dumps(q))])
def test_copies_are_whole(q: hg.Joint, copied: Callable[[Any], Any], generator: Generator) -> None:
    own = copied(q)
    assert_same(own.logits, q.logits)
    z = q.sample((3,), generator=generator)
    assert torch.equal(own.log_prob(z), q.log_prob(z))


def test_whether_all_can_be_listed(q: hg.Joint) -> None:
    assert q.has_enumerate_support
    assert q["bits"].has_enumerate_support
    assert not hg.Joint(bit=q["bit"], own=SampledOnly(torch.zeros(4))).has_enumerate_support


class SampledOnly(DiscreteDistribution):
    """A user's own with nothing but samples and their probabilities."""

    def __init__(self, logits: Tensor) -> None:
        self.inner = hg.Bernoulli(logits=logits)
        super().__init__(logits.shape)

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Tensor:
        return self.inner.sample(sample_shape, generator=generator)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.inner.log_prob(value)


def test_a_distribution_of_ones_own_needs_no_parameters(generator: Generator) -> None:
    q = hg.Joint(own=SampledOnly(torch.zeros(4)), bit=hg.Bernoulli(logits=torch.zeros(4)))
    z = q.sample((3,), generator=generator)
    torch.testing.assert_close(q.log_prob(z), torch.full((3, 4), -2 * math.log(2)))
    with pytest.raises(NotImplementedError, match="SampledOnly has no params"):
        q.params  # noqa: B018


def test_divergence_is_the_sum_over_the_unknowns(generator: Generator) -> None:
    names = [name for name in EVENTS if name != "drawn"]
    p, q = (hg.Joint(**make(scores(generator, 4, names=names))) for _ in range(2))
    states = p.enumerate_support()
    log_p, log_q = p.log_prob(states), q.log_prob(states)
    expected = (log_p.exp() * (log_p - log_q)).sum(0)
    torch.testing.assert_close(kl_divergence(p, q), expected)
    # the names count, not their order
    reordered = hg.Joint(**dict(reversed(q.factors.items())))
    torch.testing.assert_close(kl_divergence(p, reordered), expected)
    assert not torch.allclose(kl_divergence(q, p), expected)  # mutant: the other direction


def test_divergence_of_other_names_is_refused(q: hg.Joint) -> None:
    with pytest.raises(ValueError, match=re.escape("the same names, got bit and bits")):
        kl_divergence(hg.Joint(bit=q["bit"]), hg.Joint(bits=q["bits"]))


BIT = hg.Bernoulli(logits=torch.zeros(4))
KIND = hg.OneHotCategorical(logits=torch.zeros(4, 3))
BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "Joint needs one distribution or more, by name: Joint(kept="),
    ({"a": torch.zeros(3)}, "The distribution of 'a': q must be a distribution, got Tensor."),
    ({"a": hg.Bernoulli}, "The distribution of 'a': q must be a distribution, got type."),
    ({"b": td.Normal(torch.zeros(4), 1.0)}, "Joint needs a discrete factor, and has 'b' alone"),
    ({"a": BIT, "b": hg.Concrete(0.5, logits=torch.zeros(4, 3))}, "'b': q is Concrete, a relaxed"),
    (
        {"a": td.Categorical(logits=torch.zeros(3))},
        "The distribution of 'a': q is a Categorical, whose",
    ),
    ({"a": hg.Joint(bit=BIT)}, "'a' is a Joint itself. Give its factors one by one: Joint(**inner"),
    (
        {"a": td.Independent(hg.Joint(bit=BIT), 1)},
        "The distribution of 'a': q is Independent of a Joint",
    ),
    (
        {"a": BIT, "b": hg.Bernoulli(logits=torch.zeros(5))},
        "must have the same batch shape; a has (4,), b has (5,). Batch dimensions that belong to "
        "one unknown become part of its event by to_event(ndims).",
    ),
    (
        {"a": BIT, "b": hg.Bernoulli(logits=torch.zeros(4).double())},
        "must have the same dtype; a has torch.float32, b has torch.float64.",
    ),
    (
        {"a": BIT, "b": hg.Bernoulli(logits=torch.zeros(4, device="meta"), validate_args=False)},
        "must have the same device; a has cpu, b has meta.",
    ),
]


@pytest.mark.parametrize(("given", "message"), BAD)
def test_distributions_that_make_no_joint(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        hg.Joint(**given)


@pytest.mark.parametrize("independent", [td.Independent, hg.Independent])
def test_a_joint_has_an_event_for_each_unknown(independent: Any) -> None:
    q = independent(hg.Joint(bit=BIT), 1)
    with pytest.raises(ValueError, match=re.escape("Use the Joint's own to_event(ndims).")):
        hg.expectation(lambda z: z["bit"].sum(-1), q, hg.StraightThrough())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bit": torch.zeros(4)}, "a dict without 'kind'."),
        ({"bit": 0, "kind": 0, "more": 0}, "a dict with 'more' too."),
        (torch.zeros(4), "Tensor."),
    ],
    ids=["too few", "too many", "a tensor"],
)
def test_values_are_given_by_name(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"'bit', 'kind'; got {message}")):
        hg.Joint(bit=BIT, kind=KIND).log_prob(given)


@pytest.mark.parametrize("vector", [False, True])
@pytest.mark.parametrize(
    ("given", "came"),
    [
        ({"bit.logits": torch.zeros(4)}, "'bit.logits'"),
        (dict.fromkeys(("bit.logits", "kind.logits", "more.logits"), 0), "'more.logits'"),
        ({"bit": 0, "kind": 0}, "got 'bit', 'kind'"),
        ({}, "got none"),
        (torch.zeros(4), "got Tensor"),
    ],
    ids=["too few", "too many", "others", "none", "a tensor"],
)
def test_parameters_are_given_by_name(vector: bool, given: Any, came: str) -> None:
    q: Any = hg.Joint(bit=BIT, kind=KIND)
    q = q.vector if vector else q
    with pytest.raises(ValueError, match=re.escape("'bit.logits', 'kind.logits'; got")) as error:
        q.with_params(given)
    assert came in str(error.value)


def test_values_that_differ_in_samples_are_not_broadcast() -> None:
    q = hg.Joint(bit=BIT, kind=KIND)
    z = q.mode | {"bit": torch.zeros(2, 4)}
    message = "before the event's are the same; bit has (2, 4), kind has (4,)."
    with pytest.raises(ValueError, match=re.escape(message)):
        q.log_prob(z)


def test_an_unknown_name() -> None:
    with pytest.raises(KeyError, match="kept"):
        hg.Joint(bit=BIT)["kept"]


MANY = {f"unknown_{i}": hg.Bernoulli(logits=torch.zeros(4)) for i in range(300)}
ODD = {"odd": hg.Bernoulli(logits=torch.zeros(4).double())}


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda q: q.log_prob({}), "a dict without 'unknown_0', 'unknown_1', "),
        (lambda q: q.log_prob(MANY | {"odd": 1}), "a dict with 'odd' too."),
        (lambda q: q.log_prob(dict.fromkeys(MANY, torch.zeros(4)) | LONGER), "293 more have (4,)"),
        (lambda q: q.enumerate_support(), "a Joint of unknown_0, unknown_1, "),
        (lambda q: kl_divergence(q, hg.Joint(**MANY, more=BIT)), "and 295 more"),
        (lambda q: hg.Joint(**MANY, **ODD), "odd has torch.float64"),
        (lambda q: hg.expectation(lambda z: z["unknown_0"][0], q, hg.DisARM()), "and 294 more;"),
        (lambda q: hg.Joint(**MANY, inner=q), "'inner' is a Joint itself."),
    ],
)
def test_messages_about_many_unknowns_are_short(ask: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as refusal:
        ask(hg.Joint(**MANY))
    assert len(str(refusal.value)) < 600


def test_so_is_what_stands_for_them() -> None:
    assert repr(hg.Joint(**MANY)).endswith("unknown_5=Bernoulli(), and 294 more)")


LONGER = {"unknown_7": torch.zeros(2, 4)}
