"""Divergences: against torch's, against sums and quadrature, at masks and certain bits."""

import math
from typing import Any

import pytest
import torch
from distributions.subsets import product_log_probs
from stats import integral, unbiased
from torch import Generator, Tensor
from torch import distributions as td
from torch.autograd import gradcheck, gradgradcheck
from torch.distributions import kl_divergence

import hotgrad as hg

INF = math.inf
KINDS = [
    pytest.param(hg.Bernoulli, td.Bernoulli, id="bits"),
    pytest.param(hg.OneHotCategorical, td.OneHotCategorical, id="categories"),
]


@pytest.mark.parametrize("parameter", ["logits", "probs"])
@pytest.mark.parametrize(("ours", "theirs"), KINDS)
def test_agrees_with_torch(ours: type, theirs: type, parameter: str, generator: Generator) -> None:
    first, second = torch.randn(2, 4, 3, dtype=torch.float64, generator=generator).softmax(-1)
    given = {"probs": lambda x: x, "logits": torch.log}[parameter]

    def make(cls: type, probs: Tensor) -> td.Distribution:
        made: td.Distribution = cls(**{parameter: given(probs)})
        return made

    expected = kl_divergence(make(theirs, first), make(theirs, second))
    for p_class, q_class in ((ours, ours), (ours, theirs), (theirs, ours)):
        actual = kl_divergence(make(p_class, first), make(q_class, second))
        torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("q_class", [hg.OneHotCategorical, td.OneHotCategorical])
def test_impossible_categories(q_class: type) -> None:
    p = hg.OneHotCategorical(probs=torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]))
    q = q_class(probs=torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.0, 0.5]]))
    expected = torch.tensor([0.0, math.log(2)])
    torch.testing.assert_close(kl_divergence(p, q), expected)
    outside = q_class(probs=torch.tensor([1.0, 0.0, 0.0]))
    assert torch.equal(kl_divergence(p, outside), torch.tensor([INF, 0.0]))


@pytest.mark.parametrize("q_class", [hg.Bernoulli, td.Bernoulli])
def test_certain_bits(q_class: type) -> None:
    p = hg.Bernoulli(probs=torch.tensor([0.0, 1.0, 0.0, 0.5, 0.5, 1.0]))
    q = q_class(probs=torch.tensor([0.0, 1.0, 0.5, 0.0, 1.0, 0.0]))
    expected = torch.tensor([0.0, 0.0, math.log(2), INF, INF, INF])
    torch.testing.assert_close(kl_divergence(p, q), expected)


def test_a_rare_bit_of_torchs_keeps_its_probability() -> None:
    """torch turns probs into logits clamped at float32's resolution: 1e-12 becomes 1e-7."""
    p = hg.Bernoulli(probs=torch.tensor(0.5, dtype=torch.float64))
    q = td.Bernoulli(probs=torch.tensor(1e-12))
    expected = 0.5 * math.log(0.5 / 1e-12) + 0.5 * math.log(0.5)
    assert kl_divergence(p, q).item() == pytest.approx(expected, rel=1e-6)


def test_underflowing_probability_against_an_impossible_state() -> None:
    p = hg.OneHotCategorical(logits=torch.tensor([0.0, -1000.0]))
    q = hg.OneHotCategorical(logits=torch.tensor([0.0, -INF]))
    assert kl_divergence(p, q) == 0
    bit = hg.Bernoulli(logits=torch.tensor(1000.0))
    assert kl_divergence(bit, hg.Bernoulli(logits=torch.tensor(INF))) == 0


def test_gradients(generator: Generator) -> None:
    scores = torch.randn(2, 2, 4, dtype=torch.float64, generator=generator)
    p_scores, q_scores = (row.clone().requires_grad_() for row in scores)
    mask = torch.tensor([False, True, False, False])

    def categories(p: Tensor, q: Tensor) -> Tensor:
        p, q = torch.where(mask, -INF, p), torch.where(mask, -INF, q)
        return kl_divergence(hg.OneHotCategorical(logits=p), hg.OneHotCategorical(logits=q))

    def bits(p: Tensor, q: Tensor) -> Tensor:
        p, q = torch.where(mask, INF, p), torch.where(mask, INF, q)
        return kl_divergence(hg.Bernoulli(logits=p), hg.Bernoulli(logits=q))

    for function in (categories, bits):
        assert gradcheck(function, (p_scores, q_scores))
        assert gradgradcheck(function, (p_scores, q_scores))


def test_gradients_at_masks_are_zero() -> None:
    p_logits = torch.tensor([-INF, 0.0, 1.0], requires_grad=True)
    q_logits = torch.tensor([-INF, 1.0, 0.0], requires_grad=True)
    kl = kl_divergence(hg.OneHotCategorical(logits=p_logits), hg.OneHotCategorical(logits=q_logits))
    kl.backward()
    assert p_logits.grad is not None
    assert q_logits.grad is not None
    assert p_logits.grad.isfinite().all()
    assert q_logits.grad.isfinite().all()
    assert p_logits.grad[0] == q_logits.grad[0] == 0


def subset_kl(p_logits: Tensor, q_logits: Tensor, k: int) -> Tensor:
    """By the sum over all subsets."""
    log_p, log_q = product_log_probs(p_logits, k), product_log_probs(q_logits, k)
    ratio = torch.where(log_p > -INF, log_p - log_q, 0.0)
    return (log_p.exp() * ratio).sum(0)


@pytest.mark.parametrize("k", [0, 1, 3, 5, 6])
def test_subsets(k: int, generator: Generator) -> None:
    p_logits, q_logits = 3 * torch.randn(2, 4, 6, dtype=torch.float64, generator=generator)
    for masks in ((), ((1, 5),), ((1, 5), (2, 0))):
        if len(masks) and k == 6:
            continue
        for row, item in masks:
            p_logits[row, item] = -INF
            q_logits[row, item] = -INF
        p, q = hg.KSubset(p_logits, k), hg.KSubset(q_logits, k)
        expected = subset_kl(p_logits, q_logits, k)
        torch.testing.assert_close(kl_divergence(p, q), expected, rtol=1e-11, atol=1e-11)
        joint = kl_divergence(p.to_event(1), q.to_event(1))
        torch.testing.assert_close(joint, expected.sum(), rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(kl_divergence(p, p), torch.zeros(4).double())
        single = kl_divergence(hg.KSubset(p_logits.float(), k), hg.KSubset(q_logits.float(), k))
        torch.testing.assert_close(single.double(), expected, rtol=1e-5, atol=2e-5)
        if 0 < k < 6:  # mutant: the other direction
            assert not torch.allclose(kl_divergence(q, p), expected)


def test_subsets_against_a_uniform_prior(generator: Generator) -> None:
    q = hg.KSubset(torch.randn(4, 3, 6, dtype=torch.float64, generator=generator), 2)
    prior = hg.KSubset(torch.zeros(6, dtype=torch.float64), 2)
    expected = math.log(math.comb(6, 2)) - q.entropy()
    torch.testing.assert_close(kl_divergence(q, prior), expected)
    joint = kl_divergence(q.to_event(1), prior.expand((3,)).to_event(1))
    torch.testing.assert_close(joint, expected.sum(-1))
    half = hg.KSubset(torch.zeros(6, dtype=torch.bfloat16), 2)
    assert kl_divergence(half, half).dtype == torch.bfloat16


def test_subsets_with_different_masks() -> None:
    full = torch.tensor([0.3, -1.0, 0.5, 2.0], dtype=torch.float64)
    masked = full.index_fill(0, torch.tensor([1]), -INF)
    p, q = hg.KSubset(masked, 2), hg.KSubset(full, 2)
    assert kl_divergence(q, p) == INF
    torch.testing.assert_close(kl_divergence(p, q), subset_kl(masked, full, 2))


def test_subsets_gradient_at_masks_is_zero() -> None:
    p_logits = torch.tensor([-INF, 0.0, 1.0, -0.5], requires_grad=True)
    for mask in (-INF, 0.7):
        q_logits = torch.tensor([mask, 1.0, 0.0, 0.2], requires_grad=True)
        divergence = kl_divergence(hg.KSubset(p_logits, 2), hg.KSubset(q_logits, 2))
        p_grad, q_grad = torch.autograd.grad(divergence, (p_logits, q_logits))
        assert p_grad.isfinite().all()
        assert q_grad.isfinite().all()
        assert p_grad[0] == 0
        assert (q_grad[0] == 0) == (mask == -INF)


def test_subsets_of_other_sizes_are_refused() -> None:
    q = hg.KSubset(torch.zeros(5), 2)
    with pytest.raises(ValueError, match="needs the same k and n, got 2 of 5 and 3 of 5"):
        kl_divergence(q, hg.KSubset(torch.zeros(5), 3))
    with pytest.raises(ValueError, match="needs the same k and n, got 2 of 5 and 2 of 6"):
        kl_divergence(q, hg.KSubset(torch.zeros(6), 2))
    with pytest.raises(NotImplementedError):
        kl_divergence(q, hg.PlackettLuceSubset(torch.zeros(5), 2))


def binary_kl(p_logit: Tensor, p_tau: float, q_logit: Tensor, q_tau: float) -> Tensor:
    """By quadrature in logit space."""
    p, q = hg.BinaryConcrete(p_tau, logits=p_logit), hg.BinaryConcrete(q_tau, logits=q_logit)

    def integrand(logit: Tensor) -> Tensor:
        log_p = p.log_prob_of_twin(logit)
        return log_p.exp() * (log_p - q.log_prob_of_twin(logit))

    return integral(integrand, -100.0, 100.0, pieces=1000)


P_LOGIT, Q_LOGIT = torch.tensor(1.0, dtype=torch.float64), torch.tensor(-0.5, dtype=torch.float64)
TEMPERATURES = (0.7, 1.1)


def binary_estimates(n: int, generator: Generator) -> Tensor:
    p = hg.BinaryConcrete(TEMPERATURES[0], logits=P_LOGIT.expand(n))
    q = hg.BinaryConcrete(TEMPERATURES[1], logits=Q_LOGIT)
    return hg.monte_carlo_kl(p, q, generator=generator).unsqueeze(-1)


def two_class_estimates(n: int, generator: Generator) -> Tensor:
    """The same divergence: two categories are a bit."""
    p_logits = torch.stack([P_LOGIT, torch.zeros_like(P_LOGIT)]).expand(n, 2)
    q_logits = torch.stack([Q_LOGIT, torch.zeros_like(Q_LOGIT)])
    p = hg.Concrete(TEMPERATURES[0], logits=p_logits)
    q = hg.Concrete(TEMPERATURES[1], logits=q_logits)
    return hg.monte_carlo_kl(p, q, generator=generator).unsqueeze(-1)


@pytest.mark.parametrize("estimates", [binary_estimates, two_class_estimates])
def test_monte_carlo_kl_is_unbiased(estimates: object, generator: Generator) -> None:
    exact = binary_kl(P_LOGIT, TEMPERATURES[0], Q_LOGIT, TEMPERATURES[1]).reshape(1)
    assert callable(estimates)
    assert unbiased(estimates, exact, generator=generator)
    # mutants: the direction, and the prior at the posterior's temperature
    reverse = binary_kl(Q_LOGIT, TEMPERATURES[1], P_LOGIT, TEMPERATURES[0]).reshape(1)
    assert not unbiased(estimates, reverse, generator=generator)
    same = binary_kl(P_LOGIT, TEMPERATURES[0], Q_LOGIT, TEMPERATURES[0]).reshape(1)
    assert not unbiased(estimates, same, generator=generator)


def test_monte_carlo_kl_has_an_unbiased_gradient(generator: Generator) -> None:
    p_logit, q_logit = (x.clone().requires_grad_() for x in (P_LOGIT, Q_LOGIT))
    exact_kl = binary_kl(p_logit, TEMPERATURES[0], q_logit, TEMPERATURES[1])
    exact = torch.stack(torch.autograd.grad(exact_kl, (p_logit, q_logit)))

    def gradients(n: int, generator: Generator) -> Tensor:
        p_rows, q_rows = (x.detach().expand(n).clone().requires_grad_() for x in (P_LOGIT, Q_LOGIT))
        p = hg.BinaryConcrete(TEMPERATURES[0], logits=p_rows)
        q = hg.BinaryConcrete(TEMPERATURES[1], logits=q_rows)
        kl = hg.monte_carlo_kl(p, q, generator=generator).sum()
        return torch.stack(torch.autograd.grad(kl, (p_rows, q_rows)), -1)

    def held(n: int, generator: Generator) -> Tensor:
        """Mutant: the samples' dependence on p is cut."""
        rows = P_LOGIT.expand(n).clone().requires_grad_()
        p = hg.BinaryConcrete(TEMPERATURES[0], logits=rows)
        q = hg.BinaryConcrete(TEMPERATURES[1], logits=Q_LOGIT.expand(n).clone().requires_grad_())
        twin = p.rsample_with_twin(generator=generator).twin.detach()
        kl = (p.log_prob_of_twin(twin) - q.log_prob_of_twin(twin)).sum()
        return torch.stack(torch.autograd.grad(kl, (rows, q.logits)), -1)

    assert unbiased(gradients, exact, generator=generator)
    assert not unbiased(held, exact, generator=generator)


def test_monte_carlo_kl_of_joint_distributions(generator: Generator) -> None:
    p = hg.Concrete(0.5, logits=torch.randn(4, 3, 5, generator=generator)).to_event(1)
    q = hg.Concrete(0.5, logits=torch.zeros(3, 5)).to_event(1)
    seeds = (torch.Generator().manual_seed(1), torch.Generator().manual_seed(1))
    joint = hg.monte_carlo_kl(p, q, num_samples=7, generator=seeds[0])
    parts = hg.monte_carlo_kl(p.bases[0], q.bases[0], num_samples=7, generator=seeds[1])
    assert joint.shape == (4,)
    torch.testing.assert_close(joint, parts.sum(-1))


@pytest.mark.parametrize("temperature", [1.0, 1e-3, 1e-5])
def test_monte_carlo_kl_doesnt_lose_digits_at_a_low_temperature(
    temperature: float, generator: Generator
) -> None:
    """log z is of the size 1 / temperature; its Jacobian must cancel before it is rounded."""
    logits = torch.randn(2, 10, generator=generator)
    noise = hg.ops.draw_gumbel((1000, 10), generator=generator)
    twin = hg.ops.log_gumbel_softmax(logits[0].double(), noise.double(), temperature)

    def log_ratio(dtype: torch.dtype) -> Tensor:
        p, q = (hg.Concrete(temperature, logits=row.to(dtype)) for row in logits)
        return p.log_prob_of_twin(twin.to(dtype)) - q.log_prob_of_twin(twin.to(dtype))

    torch.testing.assert_close(
        log_ratio(torch.float32).double(), log_ratio(torch.float64), rtol=1e-4, atol=1e-4
    )


def test_monte_carlo_kl_between_different_masks_is_infinite(generator: Generator) -> None:
    masked = hg.Concrete(0.5, logits=torch.tensor([0.0, 0.0, -INF]))
    full = hg.Concrete(0.5, logits=torch.zeros(3))
    assert hg.monte_carlo_kl(masked, full, num_samples=3, generator=generator) == INF
    assert hg.monte_carlo_kl(full, masked, num_samples=3, generator=generator) == INF
    assert hg.monte_carlo_kl(masked, masked, num_samples=3, generator=generator) == 0


def test_monte_carlo_kl_refuses_other_distributions() -> None:
    concrete = hg.Concrete(0.5, logits=torch.zeros(2))
    with pytest.raises(ValueError, match=r"Concrete or BinaryConcrete, got Bernoulli"):
        hg.monte_carlo_kl(hg.Bernoulli(logits=torch.zeros(2)), concrete)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="of one kind, got Concrete and BinaryConcrete"):
        hg.monte_carlo_kl(concrete, hg.BinaryConcrete(0.5, logits=torch.zeros(2)))
    with pytest.raises(ValueError, match=r"num_samples .*at least 1, got 0"):
        hg.monte_carlo_kl(concrete, concrete, num_samples=0)


def categories(*shape: int) -> hg.OneHotCategorical:
    return hg.OneHotCategorical(logits=torch.zeros(shape))


def bits(*shape: int) -> hg.Bernoulli:
    return hg.Bernoulli(logits=torch.zeros(shape))


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (categories(3), categories(4)),
        (categories(2, 3), categories(5, 3)),
        (categories(3), td.OneHotCategorical(logits=torch.zeros(4))),
        (td.OneHotCategorical(logits=torch.zeros(4)), categories(3)),
        (bits(3), bits(4)),
        (td.Bernoulli(logits=torch.zeros(4)), bits(3)),
        (hg.KSubset(torch.zeros(2, 3), 1), hg.KSubset(torch.zeros(4, 3), 1)),
        (bits(2, 3).to_event(1), bits(2, 4).to_event(1)),
        (bits(2, 3).to_event(1), bits(2, 3).to_event(2)),
        (bits(2, 3).to_event(1), td.Independent(td.Bernoulli(logits=torch.zeros(5, 3)), 1)),
        (hg.Joint(a=bits(3)), hg.Joint(a=bits(4))),
    ],
    ids=repr,
)
def test_shapes_that_do_not_fit_are_told(p: Any, q: Any) -> None:
    with pytest.raises(ValueError, match=r"needs the same event shape, and batch shapes that broa"):
        kl_divergence(p, q)


def test_monte_carlo_kl_tells_shapes_that_do_not_fit() -> None:
    p, q = (hg.Concrete(0.5, logits=torch.zeros(n)) for n in (3, 4))
    with pytest.raises(ValueError, match=r"got Concrete of batch \(\) and event \(3,\), and Concr"):
        hg.monte_carlo_kl(p, q)


def test_batches_that_broadcast_are_taken(generator: Generator) -> None:
    logits = torch.randn(5, 2, 3, generator=generator)
    p, q = hg.Bernoulli(logits=logits), hg.Bernoulli(logits=logits[0, 0])
    once, twice = p.to_event(1).to_event(1), td.Independent(td.Independent(p, 1), 1)
    expected = kl_divergence(p, q).sum((-1, -2))
    wide = q.expand((2, 3)).to_event(2)
    for joint in (once, twice):
        torch.testing.assert_close(kl_divergence(joint, wide), expected)
        torch.testing.assert_close(kl_divergence(wide, joint), kl_divergence(q, p).sum((-1, -2)))


@pytest.mark.parametrize("events", [0, 1])
@pytest.mark.parametrize("relaxed", [hg.Concrete, hg.BinaryConcrete])
def test_relaxed_distributions_have_none_in_closed_form(relaxed: Any, events: int) -> None:
    p = relaxed(0.5, logits=torch.zeros(2, 3)).to_event(events)
    with pytest.raises(NotImplementedError, match=r"no KL divergence in closed form. Use monte_ca"):
        kl_divergence(p, p)
