"""Several distributions as one q: what an estimator makes of each alone it makes of them together.

Beside the suites that take every estimator and distribution, which take joints too.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from estimators.cases import (
    ESTIMATORS,
    EVERY,
    JOINED,
    JOINTS,
    PATHWISE,
    WORKING,
    Bowl,
    Probe,
    SampledOnly,
    in_one,
    thinned,
    tuples,
    with_samples,
)
from estimators.replicates import exact_gradient, gradients
from estimators.test_exact_sums import SUMS
from estimators.toys import OwnMean, Toy, jagged, polynomial
from stats import unbiased
from torch import Generator, Tensor, nn

import hotgrad as hg
from hotgrad.distributions import as_distribution
from hotgrad.distributions.joint_vector import JointVector
from hotgrad.distributions.samples import Antithetic
from hotgrad.estimators.parts import Parts


@pytest.mark.parametrize(("estimator", "distribution"), thinned(WORKING))
def test_a_joint_of_one_distribution_is_that_distribution(
    estimator: str, distribution: str, generator: Generator
) -> None:
    results = []
    for joined in (False, True):
        logits = EVERY[distribution].logits((5,))
        alone = EVERY[distribution].make(logits)
        f = Probe(alone, torch.float64)
        q, ask = (hg.Joint(z=alone), lambda z, f=f: f(z["z"])) if joined else (alone, f)
        value = hg.expectation(
            ask, q, ESTIMATORS[estimator](q), num_samples=4, generator=generator.clone_state()
        )
        results.append((value, *torch.autograd.grad(value.sum(), (logits, f.scale))))
    torch.testing.assert_close(*results, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("estimator", "distribution"), [pair for pair in JOINED if pair[0] in [*PATHWISE, "Exact"]]
)
def test_where_f_is_a_sum_over_the_unknowns_each_has_its_own_gradient(
    estimator: str, distribution: str, generator: Generator
) -> None:
    # drawn in turn, so that the generator gives each the noise that it has alone
    logits = JOINTS[distribution].logits((5,))
    q = JOINTS[distribution].make(logits)
    chosen = ESTIMATORS[estimator](q)
    probes = {name: Probe(distribution, torch.float64) for name, distribution in q.factors.items()}
    together = hg.expectation(
        lambda z: sum(probe.values(z[name]) for name, probe in probes.items()),
        q,
        chosen,
        num_samples=3,
        generator=generator.clone_state(),
    )
    apart = sum(
        hg.expectation(probe.values, q[name], chosen, num_samples=3, generator=generator)
        for name, probe in probes.items()
    )
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-12)
    slopes = [torch.autograd.grad(value.sum(), logits)[0] for value in (together, apart)]
    torch.testing.assert_close(*slopes, rtol=0, atol=1e-12)


# Summed over all samples.


class JointToy(Toy):
    """A bit and one of three, by name; as one vector the bit comes first."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(5)
        self.logits = torch.randn(4, generator=generator, dtype=torch.float64).requires_grad_()
        self.event_dims = 1
        bits = torch.tensor([0.0, 1.0]).repeat_interleave(3).unsqueeze(-1)
        self.states = torch.cat([bits, torch.eye(3).repeat(2, 1)], -1).double()

    def probs(self) -> Tensor:
        up, kind = self.logits[0], self.logits[1:].softmax(-1)
        return torch.cat([(-up).sigmoid() * kind, up.sigmoid() * kind])

    def flat(self, z: Any) -> Tensor:
        if isinstance(z, Tensor):
            return z
        return torch.cat([z["bit"].unsqueeze(-1), z["kind"]], -1)

    def q(self, samples: Tensor) -> Any:
        logits = self.logits.expand(samples.shape[1:2] + self.logits.shape)
        return hg.Joint(
            bit=with_samples(hg.Bernoulli, logits[..., 0], samples[..., 0]),
            kind=with_samples(hg.OneHotCategorical, logits[..., 1:], samples[..., 1:]),
        )


@pytest.fixture
def toy() -> JointToy:
    return JointToy()


def cube(toy: Toy) -> Callable[[Any], Tensor]:
    return polynomial(toy, 3)


BLACK_BOX = [
    *((f"{name}, S={count}", make, count, jagged) for name, make, count in SUMS),
    *((f"IndeCateR, S={count}", lambda q: hg.IndeCateR(), count, jagged) for count in (1, 2)),
    ("MuProp, S=1", lambda q: hg.MuProp(), 1, cube),
    ("MuProp(LeaveOneOut), S=2", lambda q: hg.MuProp(hg.LeaveOneOut()), 2, cube),
]


@pytest.mark.parametrize(
    ("make", "count", "function"),
    [case[1:] for case in BLACK_BOX],
    ids=[case[0] for case in BLACK_BOX],
)
def test_mean_gradient_of_the_unbiased_is_exact(
    toy: JointToy, make: Callable[[Any], Any], count: int, function: Callable[[Toy], Any]
) -> None:
    f = function(toy)
    batch = toy.states[tuples(len(toy.states), count)].transpose(0, 1)
    value, exact = toy.mean_of(make(toy.q(batch)), f, count), toy.exact(f)
    torch.testing.assert_close(value, exact, rtol=0, atol=1e-12)
    torch.testing.assert_close(toy.gradient(value), toy.gradient(exact), rtol=0, atol=1e-12)


def test_the_biased_are_seen(toy: JointToy) -> None:
    assert toy.bias(hg.ScoreFunction(OwnMean()), jagged(toy), 2) > 0.01
    assert toy.bias(hg.StraightThrough(), cube(toy)) > 0.01
    assert toy.bias(hg.StraightThrough(), polynomial(toy, 1)) < 1e-12
    assert toy.bias(hg.ReinMax(), cube(toy)) > 0.01
    assert toy.bias(hg.ReinMax(), polynomial(toy, 2)) < 1e-12


@pytest.mark.parametrize("count", [1, 2])
def test_the_bound_of_several_samples_is_the_sum_over_all_of_them(
    toy: JointToy, count: int
) -> None:
    table = jagged(toy)
    q = hg.Joint(
        bit=hg.Bernoulli(logits=toy.logits[0]), kind=hg.OneHotCategorical(logits=toy.logits[1:])
    )
    value = hg.importance_bound(lambda z: table(z) - q.log_prob(z), q, hg.Exact(), count)
    index = tuples(len(toy.states), count)
    weights = table(toy.states).exp() / toy.probs()
    right = (toy.probs()[index].prod(-1) * weights[index].mean(-1).log()).sum()
    torch.testing.assert_close(value, right, rtol=0, atol=1e-12)
    torch.testing.assert_close(toy.gradient(value), toy.gradient(right), rtol=0, atol=1e-12)


# Real noise, where one estimator draws for several distributions at once.


TOTAL, ANTITHETIC = JointVector.total, hg.Bernoulli.antithetic


def one_score_too_few(q: JointVector, scores: list[Tensor]) -> Tensor:
    """Mutant: the last factor is drawn and not scored."""
    return TOTAL(q, [*scores[:-1], torch.zeros_like(scores[-1])])


def others_noise(q: hg.Bernoulli, *args: Any, **options: Any) -> Antithetic:
    """Mutant: the second sample is that of another replicate."""
    pair = ANTITHETIC(q, *args, **options)
    return pair._replace(second=pair.second.roll(1, 1))


def relax() -> hg.RELAX:
    case = JOINTS["Joint"]
    return hg.RELAX(Bowl(case.make(case.logits())), temperature=0.5)


NOISY: dict[str, tuple[Callable[[], Any], str, tuple[type, str, Any]]] = {
    "REBAR": (lambda: hg.REBAR().eval(), "Joint", (JointVector, "total", one_score_too_few)),
    "RELAX": (lambda: relax().eval(), "Joint", (JointVector, "total", one_score_too_few)),
    "ARM": (hg.ARM, "Joint of bits", (hg.Bernoulli, "antithetic", others_noise)),
    "DisARM": (hg.DisARM, "Joint of bits", (hg.Bernoulli, "antithetic", others_noise)),
}


@pytest.mark.parametrize("case", NOISY)
def test_unbiased_with_real_samples(
    case: str, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, distribution, mutant = NOISY[case]
    replicate, exact = gradients(distribution, make(), num_samples=4), exact_gradient(distribution)
    verdict = unbiased(replicate, exact, generator=generator)
    assert verdict, verdict.figures
    monkeypatch.setattr(*mutant)
    assert not unbiased(replicate, exact, generator=generator)


# A stochastic layer of named unknowns above another.


def two_bits(logits: Tensor) -> hg.Joint:
    return hg.Joint(
        up=hg.Bernoulli(logits=logits[..., 0]), pick=hg.Bernoulli(logits=logits[..., 1])
    )


def test_a_joint_may_depend_on_a_joint() -> None:
    generator = torch.Generator().manual_seed(3)
    logits, weight = (
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in ((2,), (2, 2))
    )

    def below(z: dict[str, Tensor]) -> Tensor:
        r = two_bits(torch.stack([z["up"], z["pick"]], -1) @ weight)
        return hg.expectation(
            lambda y: (2 * y["up"] - y["pick"] + z["up"] * y["pick"]).square(), r, hg.Exact()
        )

    value = hg.expectation(below, two_bits(logits), hg.Exact())
    bits = tuples(2, 2).double()
    above, under = logits.sigmoid(), (bits @ weight).sigmoid()
    chance = torch.where(bits > 0, above, 1 - above).prod(-1)
    chance_below = torch.where(bits.unsqueeze(1) > 0, under, 1 - under).prod(-1)
    up, pick = bits.T
    cost = (2 * up - pick).unsqueeze(-1) + up * pick.unsqueeze(-1)
    by_hand = (chance * chance_below * cost.square()).sum()
    torch.testing.assert_close(value, by_hand, rtol=0, atol=1e-12)
    slopes = [torch.autograd.grad(total, (logits, weight)) for total in (value, by_hand)]
    torch.testing.assert_close(*slopes, rtol=0, atol=1e-12)


# What estimators see of a joint.


@pytest.mark.parametrize("copies", [False, True], ids=["itself", "copies"])
@pytest.mark.parametrize("distribution", EVERY)
def test_parts_are_numbered_as_they_are_joined(
    distribution: str, copies: bool, generator: Generator
) -> None:
    # copies are what a bound of several samples is made of
    logits = EVERY[distribution].logits((2, 3))
    q = as_distribution(EVERY[distribution].make(logits))
    q = q.to_event(1) if copies else q
    parts = Parts(q, 2**16)
    z = q.sample((7,), generator=generator)
    numbers = parts.numbers(z)
    assert numbers.shape == (7, *q.batch_shape, parts.count)
    assert torch.equal(parts.joined(numbers), z)
    chances = parts.log_probs()
    torch.testing.assert_close(chances.exp().sum(0), torch.ones_like(chances[0]))
    each = chances.expand(7, *chances.shape).gather(1, numbers.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(each.sum(-1), q.log_prob(z))


def test_f_is_given_a_dict_by_all_that_ask(generator: Generator) -> None:
    case = JOINTS["Joint"]
    logits = case.logits((4,))
    q = case.make(logits)
    seen = []

    def f(z: dict[str, Tensor]) -> Tensor:
        seen.append({name: tuple(u.shape[1:]) for name, u in z.items()})
        return z["bits"].sum(-1) * z["kind"][..., 0]

    for name, distribution in JOINED:
        if distribution == "Joint":
            hg.expectation(f, q, ESTIMATORS[name](q), num_samples=2, generator=generator)
    hg.importance_bound(f, q, hg.VIMCO(), 2, generator=generator)
    hg.importance_bound(f, q, hg.StraightThrough(), 3, generator=generator)
    assert all(shapes == {"bits": (4, 2), "kind": (4, 4)} for shapes in seen)
    assert len(seen) > len(ESTIMATORS)


class Remembering(nn.Module):
    """A baseline's module that keeps what it was shown."""

    def forward(self, mean: Tensor) -> Tensor:
        self.shown = mean
        return mean.sum(-1)


def test_a_learned_baseline_is_shown_the_marginals_in_one_vector(generator: Generator) -> None:
    q = JOINTS["Joint"].make(JOINTS["Joint"].logits((4,)))
    module = Remembering()
    learned = hg.ScoreFunction(hg.Learned(module))
    hg.expectation(Probe(q, torch.float64), q, learned, num_samples=2, generator=generator)
    assert torch.equal(module.shown, in_one(q.mean, q))
    assert module.shown.shape == (4, *q.event_shape)


@pytest.mark.parametrize("distribution", JOINTS)
def test_the_cost_is_told_of_a_joint_as_it_is(distribution: str) -> None:
    q = JOINTS[distribution].make(JOINTS[distribution].logits((4,)))
    for estimator in (hg.IndeCateR(), hg.UnorderedSet(), hg.REBAR(), hg.ScoreFunction()):
        assert estimator.evaluations(q, 2) == estimator.evaluations(as_distribution(q), 2)
    states = {"Joint": (2, 2, 4), "Joint of bits": (2, 2, 2), "Joint of subsets": (3, 3)}[
        distribution
    ]
    assert hg.IndeCateR().evaluations(q, 5) == 5 * (1 + sum(count - 1 for count in states))


def test_a_distribution_of_ones_own_among_others(generator: Generator) -> None:
    logits = torch.tensor([0.3, -0.8], dtype=torch.float64, requires_grad=True)
    results = []
    for own in (SampledOnly, lambda logits: hg.Bernoulli(logits=logits)):
        q = hg.Joint(own=own(logits), bit=hg.Bernoulli(logits=2 * logits))
        value = hg.expectation(
            lambda z: (z["own"] - 2 * z["bit"]).square(),
            q,
            hg.ScoreFunction(),
            num_samples=4,
            generator=generator.clone_state(),
        )
        results.append((value, torch.autograd.grad(value.sum(), logits)[0]))
    torch.testing.assert_close(*results, rtol=0, atol=0)
    with pytest.raises(NotImplementedError, match=r"needs mean, which SampledOnly \('own'\) does"):
        hg.expectation(lambda z: z["bit"], hg.Joint(own=SampledOnly(logits)), hg.StraightThrough())


# What is said.


def test_a_refusal_names_what_the_first_factor_lacks_and_no_more() -> None:
    # KSubset lacks the tangent alone
    q = JOINTS["Joint of subsets"].make(JOINTS["Joint of subsets"].logits())
    why = r"^ReinMax needs tempered_mean, tangent, .*\('drawn'\) doesn't"
    with pytest.raises(NotImplementedError, match=why):
        hg.expectation(Probe(q, torch.float64), q, hg.ReinMax())


def test_a_wrong_shape_is_told_with_the_shapes_of_all_unknowns() -> None:
    q = JOINTS["Joint"].make(JOINTS["Joint"].logits((5,)))
    why = r"\(2, 5\) .*\(2, 5, 2\) \('bits'\), \(2, 5, 4\) \('kind'\)"
    with pytest.raises(ValueError, match=why):
        hg.expectation(lambda z: z["bits"], q, hg.ScoreFunction(), num_samples=2)
