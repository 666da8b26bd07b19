"""docs/extending.md: its code runs, and all that it makes agrees with a sum over the states."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stats import unbiased
from torch import Generator, Tensor

import hotgrad as hg
from hotgrad.audit import measurement

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the page's code leaves behind, run from top to bottom as a reader would."""
    scope: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        # that REBAR learns in an audit is shown elsewhere
        patch.setattr(measurement, "LEARNING_STEPS", 20)
        torch.manual_seed(0)
        for block in BLOCKS:
            exec(block, scope)
    return scope


@pytest.fixture
def chain(page: dict[str, Any]) -> Any:
    """One with scores of every kind, in double precision."""
    generator = torch.Generator().manual_seed(3)
    unary, pairwise = (
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in ((4, 2), (3, 2, 2))
    )
    return page["TwoStateChain"](unary, pairwise)


STATES = torch.eye(2, dtype=torch.float64)[torch.tensor(list(itertools.product((0, 1), repeat=4)))]


def log_probs(q: Any) -> Tensor:
    """Of the sixteen states, from nothing but sums of scores."""
    pairs = torch.einsum("nta,ntb->ntab", STATES[:, :-1], STATES[:, 1:])
    scores = (STATES * q.unary).sum((-1, -2)) + (pairs * q.pairwise).sum((-1, -2, -3))
    return scores.log_softmax(0)


def test_the_chain_takes_sixty_lines() -> None:
    (body,) = re.findall(r"class TwoStateChain.*?(?=\n\n\ndef hard)", BLOCKS[0], re.DOTALL)
    assert len(body.splitlines()) <= 60


def test_what_follows_of_three_methods_is_right(chain: Any) -> None:
    right = log_probs(chain)
    close = torch.testing.assert_close
    close(chain.log_prob(STATES), right)
    close(chain.mean, torch.einsum("n,nta->ta", right.exp(), STATES))
    close(chain.entropy(), -(right.exp() * right).sum())
    assert torch.equal(chain.mode, STATES[right.argmax()])
    other = type(chain)(0.3 * chain.unary.detach(), -chain.pairwise.detach())
    divergence = torch.distributions.kl_divergence(chain, other)
    close(divergence, (right.exp() * (right - log_probs(other))).sum())
    slopes = (
        torch.autograd.grad(value, [chain.unary, chain.pairwise])
        for value in (divergence, (right.exp() * (right - log_probs(other))).sum())
    )
    for found, wanted in zip(*slopes, strict=True):
        close(found, wanted)


def test_samples_follow_it(chain: Any) -> None:
    z = chain.sample((40_000,), generator=torch.Generator().manual_seed(0))
    counts = (z[:, None] == STATES).flatten(2).all(-1).double().mean(0)
    chances = log_probs(chain).exp()
    assert ((counts - chances).abs() < 5 * (chances * (1 - chances) / 40_000).sqrt()).all()


def bent(z: Tensor) -> Tensor:
    weight = torch.linspace(-1, 1.5, 8, dtype=z.dtype).view(4, 2)
    return ((z * weight).sum((-1, -2)) - 0.2) ** 3


def exact_slopes(chain: Any) -> Tensor:
    value = (log_probs(chain).exp() * bent(STATES)).sum()
    slopes = torch.autograd.grad(value, [chain.unary, chain.pairwise])
    return torch.cat([slope.flatten() for slope in slopes])


def replicates(chain: Any, make: Callable[[], Any], num_samples: int) -> Any:
    def replicate(n: int, generator: Generator) -> Tensor:
        params = [
            value.detach().expand(n, *value.shape).clone().requires_grad_()
            for value in (chain.unary, chain.pairwise)
        ]
        value = hg.expectation(
            bent, type(chain)(*params), make(), num_samples=num_samples, generator=generator
        )
        return torch.cat([s.flatten(1) for s in torch.autograd.grad(value.sum(), params)], -1)

    return replicate


@pytest.mark.parametrize(
    ("make", "num_samples"),
    [
        (lambda: hg.ScoreFunction(), 2),
        (lambda: hg.REBAR().eval(), 2),
        (lambda: hg.RELAX(lambda y, mean: (y - mean).square().sum((-1, -2))).eval(), 2),
        (lambda: hg.UnorderedSet(), 6),
    ],
    ids=["ScoreFunction", "REBAR", "RELAX", "UnorderedSet"],
)
def test_gradients_to_both_parameters_are_unbiased(
    chain: Any, make: Any, num_samples: int, generator: Generator
) -> None:
    replicate = replicates(chain, make, num_samples)
    verdict = unbiased(replicate, exact_slopes(chain), generator=generator)
    assert verdict, verdict.figures


def test_noise_that_does_not_lead_to_the_sample_is_seen(chain: Any, generator: Generator) -> None:
    class Wrong(type(chain)):  # type: ignore[misc]
        def couple(self, sample_shape: Any, temperature: Any, *, generator: Any = None) -> Any:
            pair = super().couple(sample_shape, temperature, generator=generator)
            return pair._replace(relaxed_given=pair.relaxed)

    wrong = replicates(Wrong(chain.unary, chain.pairwise), lambda: hg.REBAR().eval(), 2)
    gradients = wrong(20_000, generator)
    error = (gradients.mean(0) - exact_slopes(chain)) / (gradients.std(0) / 20_000**0.5)
    assert float(error.abs().max()) > 10


@pytest.mark.parametrize(
    "estimator",
    [
        hg.GumbelSoftmax(0.5),
        hg.StraightThroughGumbelSoftmax(0.5),
        hg.StraightThrough(),
        hg.IMLE(),
        hg.PerturbedMAP(),
    ],
    ids=lambda estimator: estimator.label,
)
def test_the_biased_give_finite_gradients_to_both(chain: Any, estimator: Any) -> None:
    value = hg.expectation(bent, chain, estimator, num_samples=200)
    slopes = torch.autograd.grad(value, [chain.unary, chain.pairwise])
    assert all(slope.isfinite().all() and slope.count_nonzero() for slope in slopes)


def test_in_a_bound_of_several_samples(chain: Any) -> None:
    joint = bent(STATES)
    log_weights = joint - log_probs(chain).detach()
    pairs = torch.logaddexp(log_weights[:, None], log_weights) - torch.tensor(2.0).log()
    chances = log_probs(chain).exp()
    right = (chances[:, None] * chances * pairs).sum()
    fixed = chain.with_params({n: p.detach() for n, p in chain.params.items()})
    value = hg.importance_bound(lambda z: bent(z) - fixed.log_prob(z), chain, hg.Exact(), 2)
    torch.testing.assert_close(value, right)
    for found, wanted in zip(
        torch.autograd.grad(value, [chain.unary, chain.pairwise]),
        torch.autograd.grad(right, [chain.unary, chain.pairwise]),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted)


def test_in_a_joint_and_written_down(chain: Any) -> None:
    joint = hg.Joint(path=chain, start=hg.Bernoulli(logits=torch.tensor(0.4, dtype=torch.float64)))
    value = hg.expectation(lambda z: bent(z["path"]) * z["start"], joint, hg.Exact())
    right = (log_probs(chain).exp() * bent(STATES)).sum() * torch.tensor(0.4).sigmoid()
    torch.testing.assert_close(value, right.double(), rtol=1e-6, atol=1e-6)
    again: Any = hg.distributions.from_description(joint.describe(), joint.params)
    assert type(again["path"]) is type(chain)
    torch.testing.assert_close(again["path"].log_prob(STATES), chain.log_prob(STATES))


def test_the_pages_audit_sums_over_the_states(page: dict[str, Any]) -> None:
    for found in (page["audit"], page["compared"]):
        assert found.reference["states"] == 2**5
        rows = {row["estimator"]: row for row in found.rows}
        for name in {"REBAR", "PairDifference"} & set(rows):
            assert rows[name]["unbiased"]
    straight = {row["estimator"]: row for row in page["audit"].rows}["StraightThrough"]
    assert straight["bias_low"] > 0


def test_the_pages_fit_finds_the_posterior_and_is_loaded_again(page: dict[str, Any]) -> None:
    """A chain is what the posterior is, so the bound is the evidence."""
    states = torch.eye(2)[torch.tensor(list(itertools.product((0, 1), repeat=5)))]
    scores = page["log_joint"](states)
    marginals = torch.einsum("n,nta->ta", scores.softmax(0), states)
    for fit in (page["fit"], page["again"]):
        assert fit.elbo == pytest.approx(float(scores.logsumexp(0)), abs=0.02)
        torch.testing.assert_close(fit.marginals.float(), marginals, rtol=0, atol=0.05)
    assert torch.equal(page["fit"].marginals, page["again"].marginals)


def test_what_the_chain_lacks_is_told_by_name(page: dict[str, Any]) -> None:
    with pytest.raises(NotImplementedError, match=r"antithetic, which TwoStateChain .*REBAR\(\)"):
        hg.expectation(page["switches"], page["q"], hg.DisARM())


def test_the_pages_estimator_is_unbiased(
    page: dict[str, Any], chain: Any, generator: Generator
) -> None:
    make = page["PairDifference"]
    verdict = unbiased(replicates(chain, make, 4), exact_slopes(chain), generator=generator)
    assert verdict, verdict.figures
    with pytest.raises(ValueError, match="even"):
        hg.expectation(bent, chain, make(), num_samples=3)
