"""What a distribution does at Pyro's sample sites: expand, become events, refuse what can't be."""

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from estimators.cases import DISTRIBUTIONS, SampledOnly
from pyro.infer import TraceEnum_ELBO
from torch import Tensor

import hotgrad as hg
from hotgrad.inference.pyro import as_pyro


@pytest.fixture(autouse=True)
def _own_draws(generator: torch.Generator) -> Iterator[None]:
    """Pyro draws from torch's global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator.initial_seed())
        yield


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_expanded_copies_share_the_distribution_and_not_the_sample(
    name: str, generator: torch.Generator
) -> None:
    inner = DISTRIBUTIONS[name].make(DISTRIBUTIONS[name].logits((1, 3)).detach())
    wide = as_pyro(inner).expand((5, 2, 3))
    theirs = inner.expand((2, 3))
    torch.manual_seed(generator.initial_seed())
    z = wide()
    torch.manual_seed(generator.initial_seed())
    torch.testing.assert_close(z, theirs.sample((5,)))
    assert z.shape == wide.shape()
    assert wide.sample((4,)).shape == (4, *wide.shape())
    torch.testing.assert_close(wide.log_prob(z), theirs.log_prob(z))
    torch.testing.assert_close(wide.entropy(), theirs.entropy().expand(5, 2, 3))
    for ours, own in ((wide.mean, theirs.mean), (wide.mode, theirs.mode)):
        torch.testing.assert_close(ours, own.expand(wide.shape()))
    # one state for the whole batch, as enumeration gives it
    states = wide.enumerate_support(expand=False)
    assert wide.log_prob(states).shape == (len(states), 5, 2, 3)
    assert wide.enumerate_support().shape == (len(states), *wide.shape())
    assert bool(wide.support.check(z).all())


@pytest.mark.parametrize("estimator", [None, hg.StraightThrough()], ids=["hard", "pathwise"])
def test_to_event_counts_plates_and_copies_into_one_event(estimator: Any) -> None:
    inner = hg.KSubset(torch.linspace(-1.0, 1.0, 24).view(2, 3, 4), 2)
    q = as_pyro(inner, estimator)
    for ours, own in (
        (q.to_event(1), inner.to_event(1)),
        (q.to_event(), inner.to_event(2)),
        (q.expand((5, 2, 3)).to_event(1), inner.expand((5, 2, 3)).to_event(1)),
        (q.expand((5, 2, 3)).to_event(3), inner.expand((5, 2, 3)).to_event(3)),
        (q.to_event(1).to_event(1), inner.to_event(2)),
    ):
        assert (ours.batch_shape, ours.event_shape) == (own.batch_shape, own.event_shape)
        assert ours.has_rsample == (estimator is not None)
        z = ours()
        torch.testing.assert_close(ours.log_prob(z), own.log_prob(z))


def test_a_mask_that_masks_nothing_changes_nothing() -> None:
    q = as_pyro(hg.Bernoulli(logits=torch.zeros(3)), hg.StraightThrough())
    assert q.mask(True) is q
    assert bool((q.mask(False).log_prob(torch.ones(3)) == 0).all())


@pytest.mark.parametrize("theirs", [torch.distributions.Bernoulli, dist.Bernoulli])
def test_distributions_of_torch_and_of_pyro_work_too(theirs: Any) -> None:
    logits = torch.zeros(2, 3, requires_grad=True)
    inner = torch.distributions.Independent(theirs(logits=logits), 1)
    q = as_pyro(inner, hg.ReinMax())
    assert (q.batch_shape, q.event_shape) == ((2,), (3,))
    assert q().requires_grad


def test_a_guides_sample_without_its_gradient() -> None:
    q = as_pyro(hg.Bernoulli(logits=torch.zeros(3, requires_grad=True)), hg.StraightThrough())
    assert q().requires_grad
    assert not q.sample().requires_grad
    # as Pyro's users ask for the score function at one site
    assert not q.has_rsample_(False)().requires_grad
    z = q.sample()
    torch.testing.assert_close(q.score_parts(z).score_function, q.log_prob(z))


def test_a_site_with_an_estimator_is_not_enumerated() -> None:
    def model() -> None:
        pyro.sample("z", as_pyro(hg.OneHotCategorical(logits=torch.zeros(3))))

    def guide() -> None:
        q = as_pyro(hg.OneHotCategorical(logits=torch.zeros(3)), hg.StraightThrough())
        pyro.sample("z", q, infer={"enumerate": "parallel"})

    with pytest.raises(ValueError, match="with an estimator can't be summed over its states"):
        TraceEnum_ELBO(max_plate_nesting=0).loss(model, guide)


def test_its_name_says_which_distribution_and_estimator() -> None:
    assert repr(as_pyro(BITS)) == f"as_pyro({BITS})"
    assert repr(as_pyro(BITS, hg.StraightThrough())) == f"as_pyro({BITS}, StraightThrough)"


class SampledOnlyWithMean(SampledOnly):
    """A distribution without an entropy."""

    @property
    def mean(self) -> Tensor:
        return self.inner.mean


BITS = hg.Bernoulli(logits=torch.zeros(3))


@pytest.mark.parametrize(
    ("q", "estimator", "error", "message"),
    [
        (0.5, None, ValueError, "q must be a distribution, got float"),
        (dist.Normal(0.0, 1.0), None, ValueError, "a continuous"),
        (dist.Categorical(torch.ones(3)), None, ValueError, "Use OneHotCategorical"),
        (hg.Joint(a=BITS, b=BITS), None, ValueError, "a Joint of a, b, .* a site of its own"),
        (BITS, hg.ScoreFunction(), ValueError, r"such as StraightThrough\(\), got ScoreFunction"),
        (BITS, hg.StraightThrough, ValueError, "got <class .*StraightThrough"),
        (BITS, "straight-through", ValueError, "got str. Leave it out for the score function"),
        (
            hg.PlackettLuceSubset(torch.zeros(3), 1),
            hg.ReinMax(),
            NotImplementedError,
            "ReinMax needs .*, which PlackettLuceSubset .*StraightThrough",
        ),
        (
            SampledOnlyWithMean(torch.zeros(3)),
            hg.StraightThrough(),
            NotImplementedError,
            "needs the entropy of q, which SampledOnlyWithMean doesn't have",
        ),
    ],
)
def test_what_is_no_discrete_vector_or_no_pathwise_estimator(
    q: Any, estimator: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        as_pyro(q, estimator)


def test_shapes_that_do_not_fit() -> None:
    q = as_pyro(hg.Bernoulli(logits=torch.zeros(2, 3)))
    with pytest.raises(ValueError, match=r"shape \(2, 3\) can't be expanded to \(4, 3\)"):
        q.expand((4, 3))
    with pytest.raises(ValueError, match=r"from 0 to 2, those of the batch \(2, 3\); got 3"):
        q.to_event(3)


def test_a_prior_that_validates_says_what_to_do_with_relaxed_samples() -> None:
    q = as_pyro(hg.Bernoulli(logits=torch.zeros(3)))
    z = torch.full((3,), 0.4, requires_grad=True)
    with pytest.raises(ValueError, match="support") as caught:
        q.log_prob(z)
    assert any("validate_args=False" in note for note in caught.value.__notes__)
    loose = as_pyro(hg.Bernoulli(logits=torch.zeros(3), validate_args=False))
    torch.testing.assert_close(loose.log_prob(z), torch.full((3,), 0.5).log())


def test_a_prior_without_a_gradient_in_z_is_refused_rather_than_ignored() -> None:
    prior = as_pyro(hg.PlackettLuceSubset(torch.zeros(2, 4), 2).to_event(1))
    z = torch.tensor([1.0, 1.0, 0.0, 0.0]).expand(2, 4)
    assert torch.isfinite(prior.log_prob(z))
    with pytest.raises(ValueError, match=r"no gradient to the set .* score by KSubset"):
        prior.log_prob(z.clone().requires_grad_())


def test_without_pyro_the_import_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyro.distributions", None)
    monkeypatch.delitem(sys.modules, "hotgrad.inference.pyro")
    with pytest.raises(ModuleNotFoundError, match="comes with Pyro: pip install pyro-ppl"):
        importlib.import_module("hotgrad.inference.pyro")
