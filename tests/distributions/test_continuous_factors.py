"""A Joint with continuous factors beside the discrete ones."""

import copy
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch import distributions as td
from torch.distributions import kl_divergence

import hotgrad as hg
from hotgrad.distributions import as_distribution, from_description

LOC = torch.tensor([0.5, -1.0], dtype=torch.float64)
BIT = hg.Bernoulli(logits=torch.tensor([0.3, -0.7], dtype=torch.float64))
SHIFT = td.Normal(LOC, torch.full((2,), 2.0, dtype=torch.float64))
RATE = td.Independent(td.Gamma(torch.ones(2, 3).double() * 1.5, torch.ones(2, 3).double()), 1)
OWN = hg.Gumbel(LOC, torch.ones(2).double())
# torch's and the library's, in either's Independent
PARTS = {
    "theirs in theirs": td.Independent(td.Normal(torch.zeros(2, 3).double(), 1.0), 1),
    "theirs in ours": hg.Independent(td.Normal(torch.zeros(2, 3).double(), 1.0), 1),
    "ours in theirs": td.Independent(hg.Gumbel(torch.zeros(2, 3), torch.ones(2, 3)), 1),
    "ours in ours": hg.Gumbel(torch.zeros(2, 3), torch.ones(2, 3)).to_event(1),
}


def mixed() -> hg.Joint:
    """Of both kinds, one after another."""
    kinds = hg.OneHotCategorical(logits=torch.zeros(2, 3).double())
    return hg.Joint(shift=SHIFT, bit=BIT, rate=RATE, kind=kinds, own=OWN)


def test_what_is_discrete_is_in_the_vector() -> None:
    q = mixed()
    assert list(q.factors) == ["shift", "bit", "rate", "kind", "own"]
    vector = as_distribution(q)
    assert vector is q.vector
    assert list(vector.continuous) == ["shift", "rate", "own"]
    assert (q.batch_shape, vector.event_shape) == ((2,), (4,))
    assert list(q.params) == list(vector.params) == ["bit.logits", "kind.logits"]
    assert as_distribution(hg.Joint(bit=BIT)).continuous == {}
    assert BIT.continuous == {}
    assert q["shift"] is SHIFT
    assert repr(q).startswith("Joint(shift=Normal(), bit=Bernoulli(), rate=")


def test_samples_scores_and_figures_are_those_of_each(generator: Generator) -> None:
    q = mixed()
    z = q.sample((5,), generator=generator)
    assert list(z) == list(q.factors)
    assert {name: u.shape for name, u in z.items()} == {
        "shift": (5, 2),
        "bit": (5, 2),
        "rate": (5, 2, 3),
        "kind": (5, 2, 3),
        "own": (5, 2),
    }
    assert not any(u.requires_grad for u in z.values())
    expected = sum(factor.log_prob(z[name]) for name, factor in q.factors.items())
    torch.testing.assert_close(q.log_prob(z), expected)
    torch.testing.assert_close(q.entropy(), sum(factor.entropy() for factor in q.factors.values()))
    for what in ("mean", "variance"):
        told = getattr(hg.Joint(shift=SHIFT, bit=BIT, rate=RATE), what)
        for name, factor in (("shift", SHIFT), ("bit", BIT), ("rate", RATE)):
            torch.testing.assert_close(told[name], getattr(factor, what))
    with pytest.raises(NotImplementedError, match="'shift', 'rate'"):
        q.enumerate_support()
    assert not q.has_enumerate_support


def test_the_divergence_is_the_sum(generator: Generator) -> None:
    p = hg.Joint(shift=SHIFT, bit=BIT, rate=RATE)
    q = hg.Joint(
        rate=td.Independent(td.Gamma(torch.ones(2, 3).double(), torch.ones(2, 3).double()), 1),
        bit=hg.Bernoulli(logits=torch.zeros(2).double()),
        shift=td.Normal(torch.zeros(2).double(), torch.ones(2).double()),
    )
    expected = sum(kl_divergence(p[name], q[name]) for name in p.factors)
    torch.testing.assert_close(kl_divergence(p, q), expected)


def test_the_generator_decides_also_for_torchs() -> None:
    q = mixed()
    before = torch.get_rng_state()
    first, again, other = (
        q.sample((4,), generator=Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    for name in q.factors:
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])
    # one after another from the same generator they differ, and so do equal factors
    generator = Generator().manual_seed(1)
    twice = [q.sample((4,), generator=generator)["shift"] for _ in range(2)]
    assert not torch.equal(*twice)
    pair = hg.Joint(a=SHIFT, b=SHIFT, bit=BIT).sample((4,), generator=generator)
    assert not torch.equal(pair["a"], pair["b"])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        free = q.sample((4,))
        torch.manual_seed(0)
        assert torch.equal(q.sample((4,))["rate"], free["rate"])


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_the_generator_decides_also_for_parts(part: Any) -> None:
    q = hg.Joint(part=part, bit=BIT)
    assert list(q.vector.continuous) == ["part"]
    before = torch.get_rng_state()
    first, again, other = (
        q.sample((4,), generator=Generator().manual_seed(seed))["part"] for seed in (1, 1, 2)
    )
    assert first.shape == (4, 2, 3)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
    assert part.rsample((4,)).shape == (4, 2, 3)
    # one dimension more or less of its event changes nothing of that
    assert list(q.to_event(1).vector.continuous) == ["part"]


def test_other_shapes_and_parameters(generator: Generator) -> None:
    q = mixed()
    wide = q.expand((4, 2))
    z = wide.sample((5,), generator=generator)
    assert wide.batch_shape == (4, 2)
    assert (z["rate"].shape, z["shift"].shape) == ((5, 4, 2, 3), (5, 4, 2))
    torch.testing.assert_close(wide.entropy(), q.entropy().expand(4, 2))
    joint = q.to_event(1)
    assert (joint.batch_shape, joint["rate"].event_shape) == ((), (2, 3))
    one = q.sample((5,), generator=generator)
    torch.testing.assert_close(joint.log_prob(one), q.log_prob(one).sum(-1))
    other = q.with_params({key: 2 * param for key, param in q.params.items()})
    assert other["shift"] is SHIFT
    torch.testing.assert_close(other["bit"].logits, 2 * BIT.logits)
    loose = q.unchecked()
    assert loose.log_prob(one | {"bit": torch.full((5, 2), 0.5).double()}).isfinite().all()
    own = copy.deepcopy(q)
    torch.testing.assert_close(own.log_prob(one), q.log_prob(one))


def test_continuous_factors_can_not_be_written_down() -> None:
    with pytest.raises(NotImplementedError, match="'shift'"):
        mixed().describe()
    discrete = hg.Joint(bit=BIT)
    assert from_description(discrete.describe(), discrete.params).batch_shape == (2,)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "factors", [{"a": SHIFT}, {"a": SHIFT, "b": RATE}, {"a": OWN}], ids=["one", "two", "own"]
)
def test_no_discrete_factor(factors: Any) -> None:
    with pytest.raises(ValueError, match="Joint needs a discrete factor, and has 'a'"):
        hg.Joint(**factors)


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (td.Normal(torch.zeros(3), 1.0), "same batch shape"),
        (td.RelaxedBernoulli(torch.tensor(0.5), logits=torch.zeros(2)), "relaxed"),
        (td.Poisson(torch.ones(2)), "Poisson"),
        (td.Categorical(logits=torch.zeros(2, 3)), "Categorical, whose samples are integers"),
    ],
    ids=["batch", "relaxed", "counts", "integers"],
)
def test_factors_that_are_refused(factor: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        hg.Joint(bit=BIT, other=factor)


@pytest.mark.parametrize(
    "estimator",
    [hg.Exact(), hg.ScoreFunction(), hg.GumbelSoftmax(0.5)],
    ids=lambda e: type(e).__name__,
)
def test_an_expectation_has_a_pathwise_gradient_to_them(
    estimator: Any, generator: Generator
) -> None:
    """f = shift * bit: the gradient to the location, where the sample is, is the bit's mean."""
    loc = LOC.clone().requires_grad_()
    q = hg.Joint(shift=td.Normal(loc, torch.ones(2).double()), bit=BIT)

    def f(z: dict[str, Tensor]) -> Tensor:
        return z["shift"] * z["bit"]

    value = hg.expectation(f, q, estimator, num_samples=2000, generator=generator)
    (gradient,) = torch.autograd.grad(value.sum(), loc)
    torch.testing.assert_close(gradient, BIT.mean, rtol=0, atol=0.06)
    torch.testing.assert_close(value.detach(), LOC * BIT.mean, rtol=0, atol=0.15)
