"""The exact posterior: against sums written out on the whole support, in pieces, with masks."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch import distributions as td

import hotgrad as hg
from hotgrad.distributions import as_distribution
from hotgrad.inference import exact_posterior
from hotgrad.inference.exact import TooManyStatesError

F64 = torch.float64


def slopes(*shape: int) -> Tensor:
    return torch.linspace(-1.0, 1.3, math.prod(shape), dtype=F64).reshape(shape)


CASES: dict[str, Callable[[], Any]] = {
    "one bit": lambda: hg.Bernoulli(logits=torch.tensor(0.3, dtype=F64)),
    "bits": lambda: hg.Bernoulli(logits=slopes(4)).to_event(1),
    "torch's bits": lambda: td.Independent(td.Bernoulli(logits=slopes(3)), 1),
    "rows of bits": lambda: hg.Bernoulli(logits=slopes(2, 3, 2)).to_event(1),
    "category": lambda: hg.OneHotCategorical(logits=slopes(4)),
    "rows of categories": lambda: hg.OneHotCategorical(logits=slopes(2, 2, 3)).to_event(1),
    "subset": lambda: hg.KSubset(slopes(5), 2),
    "rows of two subsets": lambda: hg.KSubset(slopes(3, 2, 4), 2).to_event(1),
    "drawn subset": lambda: hg.PlackettLuceSubset(slopes(2, 4), 2),
    "named": lambda: hg.Joint(
        kept=hg.Bernoulli(logits=slopes(3)).to_event(1),
        kind=hg.OneHotCategorical(logits=slopes(3)),
    ),
    "rows of named": lambda: hg.Joint(
        kept=hg.Bernoulli(logits=slopes(3, 2)).to_event(1), kind=hg.KSubset(slopes(3, 4), 3)
    ),
}


def energy(z: Any) -> Tensor:
    """A log joint of any unknowns, far from a sum over them; the first dimensions are kept."""
    return energy_of(z, dims=1)


def energy_of(z: Any, dims: int) -> Tensor:
    parts = list(z.values()) if isinstance(z, dict) else [z]
    flat = torch.cat(
        [part.flatten(dims) if part.ndim > dims else part[..., None] for part in parts], -1
    )
    score = (flat * torch.linspace(-1.0, 2.0, flat.shape[-1], dtype=flat.dtype)).sum(-1)
    return -(score - 0.7).square() - 40.0


@pytest.mark.parametrize("name", CASES)
def test_posterior_is_the_sum_over_the_whole_support(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    q = CASES[name]()
    flat, dims = as_distribution(q), 1 + len(q.batch_shape)
    log_joint = lambda z: energy_of(z, dims)  # noqa: E731
    # pieces of three states, in which nothing may go astray
    monkeypatch.setattr("hotgrad.inference.marginals.MAX_ELEMENTS", 3 * max(flat.mean.numel(), 1))
    sizes: list[int] = []

    def counted(z: Any) -> Tensor:
        values = log_joint(z)
        sizes.append(len(values))
        return values

    found = exact_posterior(q, counted)

    states = flat.enumerate_support()
    log_p, log_q = log_joint(flat.named(states)), flat.log_prob(states)
    probs = log_p.softmax(0)
    wide = probs.reshape(probs.shape + (1,) * (states.ndim - probs.ndim))
    marginals = (wide * states).sum(0)
    assert found.states == len(states) == sum(sizes)
    assert max(sizes) == min(3, len(states))
    torch.testing.assert_close(found.log_evidence, log_p.logsumexp(0))
    torch.testing.assert_close(found.kl, (log_q.exp() * (log_q - log_p.log_softmax(0))).sum(0))
    torch.testing.assert_close(found.entropy, -(probs * probs.log()).sum(0))
    torch.testing.assert_close(found.marginals, flat.named(marginals))
    distance = (flat.mean - marginals).abs().max()
    torch.testing.assert_close(torch.tensor(found.worst.difference, dtype=F64), distance)
    apart = (log_q.exp() - probs).abs().sum(0) / 2
    assert bool((apart <= found.any_event + 1e-12).all())
    torch.testing.assert_close(found.elbo, (log_q.exp() * (log_p - log_q)).sum(0))


@pytest.mark.parametrize("name", ["rows of categories", "rows of named"])
def test_worst_marginal_has_its_place(name: str) -> None:
    q = CASES[name]()
    found = exact_posterior(q, lambda z: energy_of(z, 1 + len(q.batch_shape)))
    worst, fitted, exact = found.worst, q.mean, found.marginals
    if isinstance(fitted, dict):
        fitted, exact = fitted[worst.name], exact[worst.name]
    assert float(fitted[worst.index]) == pytest.approx(worst.fitted)
    assert float(exact[worst.index]) == pytest.approx(worst.reference)
    assert worst.place == f"{worst.name}[{', '.join(map(str, worst.index))}]"


def test_posterior_itself_has_no_divergence() -> None:
    logits = slopes(6)
    q = hg.Bernoulli(logits=logits).to_event(1)
    found = exact_posterior(q, lambda z: z @ logits + 5.0)
    assert float(found.kl) < 1e-14
    assert found.worst.difference < 1e-14
    torch.testing.assert_close(found.entropy, q.entropy())


def test_masked_states_are_no_states() -> None:
    logits = torch.tensor([0.0, 1.0, -torch.inf], dtype=F64)
    q = hg.OneHotCategorical(logits=logits)

    def log_joint(z: Tensor) -> Tensor:
        # has no value at the masked state
        return torch.where(z[..., 2] > 0, torch.nan, z[..., 0])

    found = exact_posterior(q, log_joint)
    assert float(found.log_evidence) == pytest.approx(math.log(math.e + 1))
    torch.testing.assert_close(
        found.marginals, torch.tensor([math.e, 1.0, 0.0], dtype=F64) / (math.e + 1)
    )


def test_states_that_the_model_rules_out() -> None:
    q = hg.Bernoulli(logits=slopes(2)).to_event(1)
    found = exact_posterior(q, lambda z: torch.where(z[..., 0] > 0, -torch.inf, z[..., 1]))
    assert found.kl == torch.inf
    assert float(found.any_event) == 1
    torch.testing.assert_close(
        found.marginals, torch.tensor([0.0, 1 / (1 + math.exp(-1))], dtype=F64)
    )
    certain = hg.Bernoulli(logits=torch.tensor([-torch.inf, 1.0], dtype=F64)).to_event(1)
    kept = exact_posterior(certain, lambda z: torch.where(z[..., 0] > 0, -torch.inf, z[..., 1]))
    assert float(kept.kl) < 1e-14


def test_joint_densities_of_any_size() -> None:
    q = hg.OneHotCategorical(logits=torch.zeros(3, dtype=F64))
    levels = torch.tensor([-1e5, 3e4, 3e4 + 1], dtype=F64)
    found = exact_posterior(q, lambda z: z @ levels)
    torch.testing.assert_close(found.marginals, levels.softmax(0))
    assert float(found.log_evidence) == pytest.approx(float(levels.logsumexp(0)))


def test_rows_without_a_possible_state_are_named() -> None:
    q = hg.Bernoulli(logits=torch.zeros(3, 2)).to_event(1)
    ruled_out = torch.tensor([0.0, -torch.inf, 0.0])
    with pytest.raises(ValueError, match=r"-inf at every state of row \(1,\)"):
        exact_posterior(q, lambda z: z.sum(-1) + ruled_out)


@pytest.mark.parametrize(
    ("q", "states"),
    [
        (hg.Bernoulli(logits=torch.zeros(11)).to_event(1), "2,048 states"),
        (hg.Bernoulli(logits=torch.zeros(1_000_000)).to_event(1), r"about 10\^301030 states"),
        (hg.KSubset(torch.zeros(50), 25), "126,410,606,437,752 states"),
        (
            hg.Joint(
                a=hg.OneHotCategorical(logits=torch.zeros(600)), b=hg.Bernoulli(torch.tensor(0.5))
            ),
            "1,200 states",
        ),
    ],
    ids=["bits", "a million bits", "subset", "joint"],
)
def test_too_many_states(q: Any, states: str) -> None:
    with pytest.raises(TooManyStatesError, match=states):
        exact_posterior(q, energy, budget=1024)


def test_budget_is_inclusive() -> None:
    q = hg.Joint(
        a=hg.OneHotCategorical(logits=torch.zeros(512)), b=hg.Bernoulli(logits=torch.zeros(()))
    )
    assert exact_posterior(q, energy, budget=1024).states == 1024
    with pytest.raises(TooManyStatesError):
        exact_posterior(q, energy, budget=1023)


class Coin(hg.DiscreteDistribution):
    """A distribution of a user's own that can't list its states."""

    mean = mode = torch.tensor(0.5)

    def sample(self, sample_shape: Any = (), *, generator: Generator | None = None) -> Tensor:
        return torch.rand(*sample_shape, generator=generator).round()

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.full_like(value, -math.log(2))


def test_distributions_that_list_no_states() -> None:
    with pytest.raises(NotImplementedError, match="Coin has no enumerate_support"):
        exact_posterior(Coin(validate_args=False), energy)


@pytest.mark.parametrize(
    ("log_joint", "message"),
    [
        (lambda z: z, r"shape \(8,\).*got \(8, 3\)"),
        (lambda z: 1.0, "got float"),
        (lambda z: z.sum(-1).long(), "floating point, got torch.int64"),
        (
            lambda z: z.sum(-1).log() * 0,
            "neither finite nor -inf: 1 of 8, the first nan at sample 0",
        ),
        (lambda z: -(z.sum(-1) - 3).log(), "neither finite nor -inf"),
    ],
    ids=["shape", "number", "integers", "nan", "inf"],
)
def test_bad_log_joint(log_joint: Any, message: str) -> None:
    q = hg.Bernoulli(logits=torch.zeros(3)).to_event(1)
    with pytest.raises(ValueError, match=message):
        exact_posterior(q, log_joint)


def test_budget_must_be_a_count() -> None:
    with pytest.raises(ValueError, match="budget must be an integer of at least 1, got 0"):
        exact_posterior(CASES["bits"](), energy, budget=0)
