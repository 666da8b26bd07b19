"""What every estimator promises for every law, whatever it estimates."""

from typing import Any, ClassVar

import pytest
import torch
import torch.distributions as td
from estimators.cases import (
    BATCHES,
    DTYPES,
    ESTIMATORS,
    LAWS,
    PATHWISE,
    REFUSED,
    SAMPLING,
    SERVED,
    Probe,
)
from torch import Tensor

import hotgrad as hg

NUM_SAMPLES = 4

every_pair = pytest.mark.parametrize(("estimator", "law"), SERVED)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype)[6:])
every_batch = pytest.mark.parametrize("batch", BATCHES, ids=str)


def test_every_named_estimator_is_in_the_list() -> None:
    q = LAWS["Bernoulli"].make(torch.zeros(()))
    assert {type(make(q)) for make in ESTIMATORS.values()} == set(hg.estimators.ESTIMATORS.values())


class TestContract:
    """One surrogate, looked at from all sides."""

    @pytest.fixture
    def logits(self, law: str, batch: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return LAWS[law].logits(batch, dtype)

    @pytest.fixture
    def q(self, law: str, logits: Tensor) -> Any:
        return LAWS[law].make(logits)

    @pytest.fixture
    def chosen(self, estimator: str, q: Any) -> hg.Estimator:
        return ESTIMATORS[estimator](q)

    @pytest.fixture
    def f(self, q: Any, dtype: torch.dtype) -> Probe:
        return Probe(q, dtype)

    @pytest.fixture
    def value(self, chosen: hg.Estimator, q: Any, f: Probe, generator: torch.Generator) -> Tensor:
        return hg.expectation(f, q, chosen, num_samples=NUM_SAMPLES, generator=generator)

    @every_dtype
    @every_batch
    @every_pair
    def test_value_and_gradients_are_finite_and_in_shape(
        self, value: Tensor, logits: Tensor, f: Probe, batch: tuple[int, ...], dtype: torch.dtype
    ) -> None:
        assert value.shape == batch
        assert value.dtype == dtype
        assert value.isfinite().all()
        value.sum().backward()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()
        assert (logits.grad[logits.isinf()] == 0).all()
        assert f.scale.grad is not None
        assert f.scale.grad.isfinite()

    @every_dtype
    @pytest.mark.parametrize("batch", [(5,)], ids=str)
    @every_pair
    def test_f_is_asked_between_the_vertices_only_by_those_that_relax_it(
        self, value: Tensor, chosen: hg.Estimator, f: Probe
    ) -> None:
        z = f.asked[0]
        assert ((z == 0) | (z == 1)).all() == (not chosen.relaxes_f)

    @pytest.mark.parametrize("dtype", [torch.float64], ids=str)
    @every_batch
    @every_pair
    def test_f_is_called_once_for_as_many_values_as_announced(
        self, value: Tensor, chosen: hg.Estimator, q: Any, f: Probe, batch: tuple[int, ...]
    ) -> None:
        (z,) = f.asked
        assert z.shape == (chosen.evaluations(q, NUM_SAMPLES), *batch, *q.event_shape)

    @pytest.mark.parametrize("dtype", [torch.float64], ids=str)
    @every_batch
    @every_pair
    def test_value_is_the_mean_of_f_and_f_gets_its_ordinary_gradient(
        self, estimator: str, value: Tensor, q: Any, f: Probe
    ) -> None:
        said = f.values(f.asked[0])
        expected = (weights(estimator, q) * said).sum(0)
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-13)
        (ordinary,) = torch.autograd.grad(expected.sum(), f.scale)
        value.sum().backward()
        torch.testing.assert_close(f.scale.grad, ordinary, rtol=0, atol=1e-12)

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
    @pytest.mark.parametrize("batch", [(5,)], ids=str)
    @every_pair
    def test_the_generator_decides_and_the_global_one_is_left_alone(
        self, estimator: str, logits: Tensor, q: Any, f: Probe, generator: torch.Generator
    ) -> None:
        before = torch.random.get_rng_state()
        gradients = []
        for same in (generator.clone_state(), generator):
            value = hg.expectation(
                f, q, ESTIMATORS[estimator](q), num_samples=NUM_SAMPLES, generator=same
            )
            gradients.append(torch.autograd.grad(value.sum(), logits)[0])
        assert torch.equal(f.said[0], f.said[1])
        assert torch.equal(gradients[0], gradients[1])
        assert torch.equal(torch.random.get_rng_state(), before)


def among(estimators: list[str]) -> list[tuple[str, str]]:
    return [pair for pair in SERVED if pair[0] in estimators]


def weights(estimator: str, q: Any) -> Tensor:
    """What each value of f counts: its state's probability, or 1 / S for a sample."""
    probs = q.log_prob(q.enumerate_support()).exp().detach()
    return {"Exact": probs}.get(estimator, torch.tensor(1 / NUM_SAMPLES, dtype=probs.dtype))


@pytest.mark.usefixtures("forked_rng")
@pytest.mark.parametrize(("estimator", "law"), among(SAMPLING))
def test_without_a_generator_torchs_global_one_is_used(estimator: str, law: str) -> None:
    q = LAWS[law].make(LAWS[law].logits((50,)))
    f = Probe(q, torch.float64)
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        hg.expectation(f, q, ESTIMATORS[estimator](q), num_samples=NUM_SAMPLES)
    assert torch.equal(f.asked[0], f.asked[1])
    assert not torch.equal(f.asked[0], f.asked[2])


@pytest.mark.parametrize("sample_shape", [(), (7,), (2, 3)], ids=str)
@pytest.mark.parametrize(("estimator", "law"), among(PATHWISE))
@every_dtype
def test_pathwise_estimators_are_layers(
    estimator: str,
    law: str,
    dtype: torch.dtype,
    sample_shape: tuple[int, ...],
    generator: torch.Generator,
) -> None:
    # so many elements that not every sample and finite difference is at rest
    logits = LAWS[law].logits((50,), dtype)
    q = LAWS[law].make(logits)
    chosen = ESTIMATORS[estimator](q)
    assert isinstance(chosen, hg.Pathwise)
    z = chosen.sample(q, sample_shape, generator=generator.clone_state())
    assert z.shape == (*sample_shape, 50, *q.event_shape)
    assert z.dtype == dtype
    assert ((z == 0) | (z == 1)).all() == (not chosen.relaxes_f)
    assert torch.equal(z, chosen.sample(q, sample_shape, generator=generator))
    (z * torch.linspace(1, 2, z.numel()).view(z.shape)).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad.count_nonzero() > 0


TORCH_LAWS = {
    "OneHotCategorical(logits)": lambda law, p, a: law.OneHotCategorical(logits=a),
    "OneHotCategorical(probs)": lambda law, p, a: law.OneHotCategorical(probs=p),
    "Bernoulli(logits)": lambda law, p, a: law.Bernoulli(logits=a),
    "Bernoulli(probs)": lambda law, p, a: law.Bernoulli(probs=p),
    "Independent(OneHotCategorical)": lambda law, p, a: law.Independent(
        law.OneHotCategorical(logits=a), 1
    ),
    "Independent(Bernoulli)": lambda law, p, a: law.Independent(law.Bernoulli(probs=p), 2),
    "Independent(Independent(Bernoulli))": lambda law, p, a: law.Independent(
        law.Independent(law.Bernoulli(logits=a), 1), 1
    ),
}


@pytest.mark.parametrize("law", TORCH_LAWS)
@pytest.mark.parametrize(
    "estimator", [name for name, law in SERVED if law == "OneHotCategorical.to_event(1)"]
)
def test_torchs_own_laws_give_the_same_as_ours(
    law: str, estimator: str, generator: torch.Generator
) -> None:
    results = []
    for library in (td, hg):
        logits = LAWS["OneHotCategorical.to_event(1)"].logits()
        q = TORCH_LAWS[law](library, logits.softmax(-1), logits)
        f = Probe(q, torch.float64)
        value = hg.expectation(
            f,
            q,
            ESTIMATORS[estimator](q),
            num_samples=NUM_SAMPLES,
            generator=generator.clone_state(),
        )
        (gradient,) = torch.autograd.grad(value.sum(), logits)
        results.append((value, gradient))
    torch.testing.assert_close(*results, rtol=0, atol=1e-12)


class SampledOnly(td.Distribution):
    """A user's law with nothing but samples and their probabilities."""

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, logits: Tensor) -> None:
        self.inner = hg.Bernoulli(logits=logits)
        super().__init__(logits.shape, validate_args=False)

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Tensor:
        return self.inner.sample(sample_shape, generator=generator)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.inner.log_prob(value)


class WithMean(SampledOnly):
    """The same with marginals."""

    @property
    def mean(self) -> Tensor:
        return self.inner.mean


@pytest.mark.parametrize("events", [0, 1], ids=["alone", "to_event"])
@pytest.mark.parametrize(("estimator", "law", "why"), REFUSED)
def test_a_pairing_on_the_list_is_refused(estimator: str, law: str, why: str, events: int) -> None:
    q = LAWS[law].make(LAWS[law].logits((3,))).to_event(events)
    with pytest.raises(NotImplementedError, match=why):
        hg.expectation(Probe(q, torch.float64), q, ESTIMATORS[estimator](q), num_samples=2)


@pytest.mark.parametrize("law", LAWS)
def test_a_refusal_names_all_that_serve_the_law_and_none_that_does_not(law: str) -> None:
    # each class once; what an option of its asks for beside is another matter
    served = {estimator for estimator, other in SERVED if other == law}
    q = LAWS[law].make(LAWS[law].logits())
    refused = next(name for name in LAWS[law].refused if name != "IMLE(sum-of-gamma)")
    with pytest.raises(NotImplementedError) as refusal:
        hg.expectation(Probe(q, torch.float64), q, ESTIMATORS[refused](q))
    named = str(refusal.value).partition("serve it: ")[2].rstrip(".").split(", ")
    assert set(named) == {name.partition("(")[0] for name in served}


PAIRINGS = [
    (SampledOnly, hg.Exact(), r"Exact needs enumerate_support, which SampledOnly .*ScoreFunction"),
    (SampledOnly, hg.ScoreFunction(), None),
    (SampledOnly, hg.GumbelSoftmax(), "GumbelSoftmax needs draw_noise, relax, .*: ScoreFunction.$"),
    (SampledOnly, hg.StraightThrough(), "StraightThrough needs mean, .*: ScoreFunction.$"),
    (SampledOnly, hg.StraightThroughGumbelSoftmax(), "needs draw_noise, harden, relax, which"),
    (SampledOnly, hg.ReinMax(), "ReinMax needs mean, relax, tangent, which SampledOnly"),
    (SampledOnly, hg.IMLE(), "IMLE needs perturb, argmax, which SampledOnly"),
    (SampledOnly, hg.PerturbedMAP(), "PerturbedMAP needs perturb_with_slope, argmax, mode, which"),
    (WithMean, hg.StraightThrough(), None),
    (WithMean, hg.GumbelSoftmax(), "serve it: .*StraightThrough"),
    (WithMean, hg.GumbelSoftmax(), "serve it: .*ScoreFunction"),
]


@pytest.mark.parametrize(
    ("law", "estimator"), [(law, estimator) for law, estimator, why in PAIRINGS if why is None]
)
@pytest.mark.parametrize("batch", [(), (4,)], ids=str)
def test_a_law_of_ones_own_is_served_by_what_its_methods_allow(
    law: Any, estimator: hg.Estimator, batch: tuple[int, ...], generator: torch.Generator
) -> None:
    results = []
    for kind in (law, lambda logits: hg.Bernoulli(logits=logits)):
        logits = LAWS["Bernoulli"].logits(batch)
        q = kind(logits)
        f = Probe(hg.Bernoulli(logits=logits), torch.float64)
        value = hg.expectation(
            f, q, estimator, num_samples=NUM_SAMPLES, generator=generator.clone_state()
        )
        value.sum().backward()
        results.append((value, logits.grad))
    torch.testing.assert_close(*results, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("law", "estimator", "why"), [pairing for pairing in PAIRINGS if pairing[2] is not None]
)
@pytest.mark.parametrize("events", [0, 1], ids=["alone", "to_event"])
def test_a_pairing_that_cannot_work_names_one_that_does(
    law: Any, estimator: hg.Estimator, why: str, events: int
) -> None:
    q = td.Independent(law(torch.zeros(4)), events)
    with pytest.raises(NotImplementedError, match=why):
        hg.expectation(lambda z: z.sum(-1), q, estimator, num_samples=2)
