"""A user's own distribution, of two parameters of different shapes; and writing any down."""

import json
from typing import Any

import pytest
import torch
from distributions.families import Bits, Chain, Choice, Dial, Subset
from torch import Generator, Tensor
from torch import distributions as td

import hotgrad as hg
from hotgrad.distributions import DiscreteDistribution, as_distribution, from_description


def dial(generator: Generator, *batch: int, **options: Any) -> Dial:
    weights = torch.randn((*batch, 3), dtype=torch.float64, generator=generator)
    sharpness = torch.rand(batch, dtype=torch.float64, generator=generator) + 0.5
    return Dial(weights, sharpness, **options)


def test_it_is_taken_as_it_is(generator: Generator) -> None:
    q = dial(generator, 2)
    assert as_distribution(q) is q
    assert q.bases == (q,)
    assert (q.batch_shape, q.event_shape, q.dtype) == ((2,), (3,), torch.float64)
    assert q.has_params
    assert q.has_enumerate_support
    assert (q.is_choice, q.entropy_is_exact, q.states_are_one_hot) == (False, False, False)


def test_other_parameters_of_any_batch(generator: Generator) -> None:
    q, other = dial(generator, 2, power=3), dial(generator, 4, 5, power=3)
    made = q.with_params(other.params)
    assert type(made) is Dial
    assert (made.batch_shape, made.power) == ((4, 5), 3)
    assert torch.equal(made.mean, other.mean)
    assert not torch.equal(dial(generator, 2).with_params(other.params).mean, other.mean)


def test_expanded(generator: Generator) -> None:
    q = dial(generator, 2, 1)
    wide = q.expand((4, 2, 5))
    assert {name: param.shape for name, param in wide.params.items()} == {
        "weights": (4, 2, 5, 3),
        "sharpness": (4, 2, 5),
    }
    torch.testing.assert_close(wide.mean, q.mean.expand(4, 2, 5, 3))
    with pytest.raises(ValueError, match=r"that \(2, 1\) expands to, got \(3, 2\)"):
        q.expand((3, 2))


def test_as_an_event(generator: Generator) -> None:
    q = dial(generator, 4, 2)
    joint = q.to_event(1)
    assert (joint.batch_shape, joint.event_shape) == ((4,), (2, 3))
    assert list(joint.params) == ["weights", "sharpness"]
    states = joint.enumerate_support()
    assert states.shape == (9, 4, 2, 3)
    log_probs = joint.log_prob(states)
    torch.testing.assert_close(log_probs.exp().sum(0), torch.ones(4).double())
    mean = torch.einsum("sb,sbij->bij", log_probs.exp(), states)
    torch.testing.assert_close(joint.mean, q.mean)
    torch.testing.assert_close(mean, q.mean)
    doubled = joint.with_params({name: 2 * param for name, param in joint.params.items()})
    assert type(doubled.bases[0]) is Dial
    torch.testing.assert_close(doubled.mean, (q.weights * q.sharpness[..., None] * 4).softmax(-1))


def test_every_gradient_reaches_both_parameters(generator: Generator) -> None:
    plain = dial(generator, 2)
    params = {name: param.clone().requires_grad_() for name, param in plain.params.items()}
    worth = torch.tensor([1.0, -2.0, 0.5]).double()
    exact = torch.autograd.grad((Dial(**params).mean @ worth).sum(), list(params.values()))
    for q, f in (
        (Dial(**params), lambda z: z @ worth),
        (hg.Joint(own=Dial(**params)), lambda z: z["own"] @ worth),
    ):
        value = hg.expectation(f, q, hg.Exact())
        found = torch.autograd.grad(value.sum(), list(params.values()))
        for mine, theirs in zip(found, exact, strict=True):
            torch.testing.assert_close(mine, theirs)


def test_unchecked(generator: Generator) -> None:
    q = dial(generator, 2, validate_args=True)
    between = torch.full((2, 3), 0.2, dtype=torch.float64)
    loose = [q.unchecked(), q.to_event(1).unchecked(), hg.Joint(own=q).vector.unchecked()]
    for one in loose:
        assert one.log_prob(between).isfinite().all()
        assert one.expand((4, *one.batch_shape)).log_prob(between).isfinite().all()
    assert hg.Joint(own=q).unchecked().log_prob({"own": between}).isfinite().all()
    for strict in (q, q.to_event(1), q.with_params(q.params)):
        with pytest.raises(ValueError, match="not one-hot"):
            strict.log_prob(between)


# the tests' collector may import the module of their base classes under another name too
class OwnDial(Dial): ...


class OwnSubset(Subset): ...


class OwnChain(Chain): ...


LOGITS = torch.tensor([[0.5, -1.0, 2.0], [0.0, 0.3, -0.7]])
EACH: dict[str, Any] = {
    "Bernoulli": hg.Bernoulli(logits=LOGITS),
    "OneHotCategorical": hg.OneHotCategorical(logits=LOGITS, validate_args=False),
    "KSubset": hg.KSubset(LOGITS, 2),
    "PlackettLuceSubset": hg.PlackettLuceSubset(LOGITS, 1),
    "to_event": hg.Bernoulli(logits=LOGITS).to_event(2),
    "no event": hg.KSubset(LOGITS, 2).to_event(0),
    "of torch": td.Independent(td.OneHotCategorical(logits=LOGITS), 1),
    "own": OwnDial(LOGITS, torch.ones(2), power=2),
    "own family": OwnSubset(LOGITS, 2),
    "chain": OwnChain(torch.zeros(2, 3, 2), torch.randn(2, 2, 2, 2)),
    "Joint": hg.Joint(
        **{"a.b": hg.KSubset(LOGITS, 2), "a": OwnDial(LOGITS, torch.ones(2)).to_event(0)},
        bits=hg.Bernoulli(logits=LOGITS).to_event(1),
    ),
}


@pytest.mark.parametrize("name", EACH)
def test_what_is_written_down_is_read_back(name: str, generator: Generator) -> None:
    given = EACH[name]
    q: Any = given if isinstance(given, hg.Joint) else as_distribution(given)
    description = json.loads(json.dumps(q.describe()))
    params = {key: param.clone() for key, param in q.params.items()}
    again: Any = from_description(description, params)
    assert type(again) is type(q)
    assert again.describe() == q.describe()
    assert (again.batch_shape, again.event_shape) == (q.batch_shape, q.event_shape)
    z = q.sample((5,), generator=generator.clone_state())
    torch.testing.assert_close(again.sample((5,), generator=generator.clone_state()), z)
    torch.testing.assert_close(again.log_prob(z), q.log_prob(z))
    # of other parameters, and of the same kind
    other: Any = from_description(description, {key: 2 * param for key, param in params.items()})
    assert type(other) is type(q)
    assert not torch.allclose(other.log_prob(z), q.log_prob(z))


def test_a_joints_vector_is_written_down_as_the_joint() -> None:
    q = EACH["Joint"]
    assert as_distribution(q).describe() == q.describe()


def test_validation_is_written_down_too() -> None:
    for checked in (False, True):
        q = hg.Bernoulli(logits=LOGITS, validate_args=checked)
        for own in (q, q.to_event(1), hg.Joint(own=q)):
            again: Any = from_description(own.describe(), own.params)
            assert again._validate_args is checked
            assert [base._validate_args for base in again.bases] == [checked]


GOOD = hg.KSubset(LOGITS, 2).describe()


@pytest.mark.parametrize(
    ("description", "said"),
    [
        (None, "None is no description"),
        ([], "no description"),
        ({}, "no description"),
        ("KSubset", "no description"),
        (GOOD | {"kind": "Lost"}, "'Lost' isn't known here: import the module"),
        (GOOD | {"kind": "DiscreteDistribution"}, "'DiscreteDistribution' isn't known"),
        (GOOD | {"kind": "Normal"}, "'Normal' isn't known"),
        (GOOD | {"kind": 3}, "kind is 3, no str"),
        (GOOD | {"validate_args": 1}, "validate_args is 1, no bool"),
        ({"kind": "KSubset", "k": 2}, "no description"),
        (GOOD | {"k": 7}, "k must be an integer from 0 to n = 3"),
        (GOOD | {"more": 7}, "No KSubset can be made of what was given"),
        ({"kind": "KSubset", "validate_args": True}, "No KSubset can be made"),
        (GOOD | {"kind": "Bernoulli"}, "No Bernoulli can be made"),
        ({"kind": "Independent", "validate_args": True, "ndims": 1}, "no description"),
        (
            {"kind": "Independent", "validate_args": True, "ndims": True, "inside": GOOD},
            "ndims is True, no int",
        ),
        (
            {"kind": "Independent", "validate_args": True, "ndims": 2, "inside": GOOD},
            "from 0 to 1",
        ),
        ({"kind": "Independent", "validate_args": True, "ndims": 1, "inside": 3}, "inside is 3"),
        ({"kind": "Joint"}, "no description"),
        ({"kind": "Joint", "factors": {"a": 3}}, "3 is no description"),
        ({"kind": "Joint", "factors": {}}, "Joint needs one distribution or more"),
    ],
)
def test_a_description_of_nothing(description: Any, said: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011  # what it says is looked at below
        from_description(description, {"logits": LOGITS})
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "No KSubset can be made"),
        ({"scores": LOGITS}, "No KSubset can be made"),
        ({"logits": LOGITS, "scores": LOGITS}, "No KSubset can be made"),
        ({"logits": LOGITS.long()}, "logits must be floating point"),
    ],
)
def test_parameters_that_do_not_fit(params: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        from_description(GOOD, params)


def test_two_classes_of_one_name() -> None:
    def defined() -> type:
        class Again(Bits): ...

        return Again

    def elsewhere() -> type:
        class Again(Choice): ...

        return Again

    old, new = defined(), defined()
    q = old(LOGITS)
    # as when a cell of a notebook is run once more
    assert type(from_description(q.describe(), q.params)) is new
    other = elsewhere()
    with pytest.raises(ValueError, match="'Again' is the name of several classes"):
        from_description(q.describe(), q.params)
    del other


class Bare(DiscreteDistribution):
    """With neither parameters nor anything else."""


def test_what_it_lacks_is_said() -> None:
    q = Bare((2,), (3,))
    assert (q.has_params, q.has_enumerate_support, q.entropy_is_exact) == (False, False, False)
    asks: list[Any] = [
        lambda: q.params,
        lambda: q.mean,
        lambda: q.mode,
        lambda: q.log_prob(torch.zeros(2, 3)),
        lambda: q.enumerate_support(),
        lambda: q.with_params({}).params,
        lambda: q.expand((4, 2)),
    ]
    for ask in asks:
        with pytest.raises(NotImplementedError, match="Bare has no"):
            ask()


def test_another_kind_of_distribution_is_refused(generator: Generator) -> None:
    class Foreign(td.Distribution):
        arg_constraints: Any = {}  # noqa: RUF012

        def sample(self, shape: Any = (), *, generator: Any = None) -> Tensor:
            return torch.zeros(shape)

    with pytest.raises(ValueError, match="Foreign, which isn't a DiscreteDistribution"):
        hg.expectation(lambda z: z, Foreign(validate_args=False), hg.ScoreFunction())
    with pytest.raises(ValueError, match="'own': q is Foreign, which isn't"):
        hg.Joint(own=Foreign(validate_args=False))


class Scaled(hg.DiscreteDistribution):
    """Takes a number beside its parameter, and doesn't tell."""

    def __init__(self, bias: Tensor, strength: float = 1.0) -> None:
        self.bias, self.strength = bias, strength
        super().__init__(bias.shape)

    @property
    def params(self) -> dict[str, Tensor]:
        return {"bias": self.bias}


class Told(Scaled):
    @property
    def constants(self) -> dict[str, Any]:
        return {"strength": self.strength}


def test_a_copy_does_not_lose_what_the_constructor_was_given() -> None:
    q = Scaled(torch.zeros(3), strength=3.0)
    for copy in (lambda: q.with_params(q.params), lambda: q.expand((2, 3)), q.describe):
        with pytest.raises(NotImplementedError, match=r"'strength'.*Write the property constants"):
            copy()
    told = Told(torch.zeros(3), strength=3.0)
    assert told.expand((2, 3)).strength == 3.0
    assert hg.distributions.from_description(told.describe(), told.params).strength == 3.0  # type: ignore[attr-defined]


def test_a_parameter_without_the_batch_is_named() -> None:
    class Loose(Told):
        def __init__(self, bias: Tensor, strength: float = 1.0) -> None:
            super().__init__(bias, strength)
            self._batch_shape = torch.Size([5, 3])

    with pytest.raises(ValueError, match=r"batch shape \(5, 3\).*'bias' must begin.*\(3,\)"):
        Loose(torch.zeros(3)).expand((2, 5, 3))


def test_an_attribute_called_vector_is_nothing_special() -> None:
    class Own(hg.Bernoulli):
        def __init__(self, logits: Tensor) -> None:
            super().__init__(logits=logits)
            self.vector = hg.Bernoulli(logits=torch.zeros(1))

    q = Own(torch.full((3,), 9.0))
    assert as_distribution(q) is q
    assert as_distribution(q.to_event(1)).bases == (q,)
