"""A subclass of a user's own stays what it is, through every way of making one of another."""

from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch import distributions as td

import hotgrad as hg
from hotgrad.distributions import as_distribution


class Scaled:
    """What a user adds: a number, and a method of the library that is theirs."""

    def __init__(self, *arguments: Any, factor: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.factor = factor

    def log_prob(self, value: Any) -> Tensor:
        return self.factor * super().log_prob(value)  # type: ignore[misc]


class Bits(Scaled, hg.Bernoulli): ...


class Categories(Scaled, hg.OneHotCategorical): ...


class Chosen(Scaled, hg.KSubset): ...


class Drawn(Scaled, hg.PlackettLuceSubset): ...


class Soft(Scaled, hg.Concrete): ...


class SoftBits(Scaled, hg.BinaryConcrete): ...


class Gates(Scaled, hg.HardConcrete): ...


class Noise(Scaled, hg.Gumbel): ...


class Parts(Scaled, hg.Independent): ...


class Named(Scaled, hg.Joint): ...


LOGITS = torch.randn(2, 3, generator=Generator().manual_seed(0))
OWN: list[Any] = [
    Bits(logits=LOGITS, factor=2.0),
    Categories(logits=LOGITS, factor=2.0),
    Chosen(LOGITS, 1, factor=2.0),
    Drawn(LOGITS, 1, factor=2.0),
    Soft(0.5, logits=LOGITS, factor=2.0),
    SoftBits(0.5, logits=LOGITS, factor=2.0),
    Gates(0.5, logits=LOGITS, factor=2.0),
    Noise(LOGITS, 1.0, factor=2.0),
    Parts(hg.Bernoulli(logits=LOGITS[None]), 1, factor=2.0),
    Named(bits=hg.Bernoulli(logits=LOGITS), factor=2.0),
]
DISCRETE = [q for q in OWN if hasattr(q, "with_params")]
each = pytest.mark.parametrize("q", OWN, ids=lambda q: type(q).__name__)


@each
def test_expanded(q: Any) -> None:
    wide = q.expand((4, *q.batch_shape))
    assert type(wide) is type(q)
    assert (wide.factor, wide.batch_shape) == (2.0, (4, *q.batch_shape))
    z = q.sample()
    torch.testing.assert_close(wide.log_prob(z), q.log_prob(z).expand(4, *q.batch_shape))


@pytest.mark.parametrize("q", DISCRETE, ids=lambda q: type(q).__name__)
def test_with_other_params(q: Any) -> None:
    other = q.with_params({name: 2 * own for name, own in q.params.items()})
    assert (type(other), other.factor) == (type(q), 2.0)
    z = q.sample()
    assert not torch.equal(other.log_prob(z), q.log_prob(z))
    torch.testing.assert_close(q.with_params(q.params).log_prob(z), q.log_prob(z))


@each
def test_as_an_event(q: Any) -> None:
    joint = q.to_event(1)
    if isinstance(q, (hg.Independent, hg.Joint)):
        assert type(joint) is type(q)
    else:
        for same in (joint, joint.expand((5, *joint.batch_shape))):
            assert [type(base) for base in same.bases] == [type(q)]


@pytest.mark.parametrize("q", OWN[:4], ids=lambda q: type(q).__name__)
def test_as_a_q(q: Any) -> None:
    assert as_distribution(q) is q
    assert type(as_distribution(td.Independent(q, 1)).bases[0]) is type(q)
    assert type(hg.Joint(z=q).with_params({"z.logits": q.logits})["z"]) is type(q)


def test_validation_stays_as_it_was() -> None:
    q = Bits(logits=LOGITS, validate_args=False, factor=2.0)
    assert not q.expand((4, 2, 3))._validate_args
    assert not q.with_params({"logits": LOGITS})._validate_args


class Never(hg.OneHotCategorical):
    """Always the last category, whatever the logits."""

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Tensor:
        z = super().sample(sample_shape, generator=generator)
        return torch.zeros_like(z).index_fill(-1, torch.tensor([z.shape[-1] - 1]), 1.0)


def test_the_bound_samples_what_the_expectation_samples() -> None:
    q = Never(logits=torch.zeros(3))
    worth = torch.tensor([20.0, 20.0, 0.0])
    for value in (
        hg.expectation(lambda z: z @ worth, q, hg.ScoreFunction(), num_samples=50),
        hg.importance_bound(lambda z: z @ worth, q, hg.ScoreFunction(hg.NoBaseline()), 1),
    ):
        assert float(value) == 0


class Tilted(hg.KSubset):
    """Holds a tensor that was made for its logits."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__(logits, 1)
        self.tilt = logits.exp()


class Inner(hg.Bernoulli):
    """Draws from a distribution inside."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__(logits=logits)
        self.inner = hg.Bernoulli(logits=-logits)


@pytest.mark.parametrize(
    ("q", "held"), [(Tilted(LOGITS), "'tilt', a Tensor"), (Inner(LOGITS), "'inner', a Bernoulli")]
)
def test_what_can_not_be_made_again_is_refused(q: Any, held: str) -> None:
    for make in (lambda: q.expand((4, *q.batch_shape)), lambda: q.with_params({"logits": LOGITS})):
        with pytest.raises(NotImplementedError, match=rf"holds {held} .*Write with_params.*expand"):
            make()
    with pytest.raises(NotImplementedError, match=f"{type(q).__name__} holds"):
        hg.importance_bound(lambda z: z.sum(-1), q.to_event(1), hg.ScoreFunction(), 2)


class Sloppy(td.Bernoulli):
    """A torch distribution with its own probabilities, which is another distribution."""

    def log_prob(self, value: Tensor) -> Tensor:
        return 2 * super().log_prob(value)

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Tensor:
        return super().sample(sample_shape)


def test_torchs_own_classes_alone_are_replaced() -> None:
    assert type(as_distribution(td.Bernoulli(logits=torch.zeros(3)))) is hg.Bernoulli
    for q in (Sloppy(logits=torch.zeros(3)), td.Independent(Sloppy(logits=torch.zeros(3)), 1)):
        with pytest.raises(ValueError, match="Sloppy, which isn't a DiscreteDistribution"):
            as_distribution(q)


def test_a_sample_without_a_generator_is_told() -> None:
    class Plain(hg.Bernoulli):
        def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
            return super().sample(sample_shape)

    q = Plain(logits=torch.zeros(3))
    for own in (q, td.Independent(q, 1)):
        with pytest.raises(ValueError, match="Plain, whose sample takes no generator"):
            hg.expectation(lambda z: z, own, hg.ScoreFunction(), num_samples=2)


def test_pyros_events_are_taken_as_torchs(generator: Generator) -> None:
    pyro = pytest.importorskip("pyro.distributions")
    logits = torch.randn(2, 3, generator=generator)
    bits, kinds = pyro.Bernoulli(logits=logits), pyro.OneHotCategorical(logits=logits)
    worth = torch.tensor([1.0, 2.0, 3.0])
    for q, expected in (
        (bits.to_event(1), (logits.sigmoid() @ worth)),
        (bits.to_event(1).to_event(1), (logits.sigmoid() @ worth).sum()),
        (kinds.to_event(1), (logits.softmax(-1) @ worth).sum()),
    ):
        dims = tuple(range(-len(q.event_shape) + 1, 0))

        def f(z: Tensor, dims: tuple[int, ...] = dims) -> Tensor:
            return (z @ worth).sum(dims) if dims else z @ worth

        torch.testing.assert_close(hg.expectation(f, q, hg.Exact()), expected)
        for estimator in (hg.ScoreFunction(), hg.GumbelSoftmax(0.5)):
            value = hg.expectation(f, q, estimator, num_samples=2, generator=generator)
            assert value.shape == q.batch_shape
    with pytest.raises(ValueError, match="MaskedDistribution, which isn't a DiscreteDistribution"):
        hg.expectation(f, bits.mask(torch.ones(2, 3) > 0), hg.ScoreFunction(), num_samples=2)
