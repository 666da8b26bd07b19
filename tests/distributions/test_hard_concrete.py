"""Gates: two atoms and a density that together weigh 1, and the distribution of the samples."""

import pytest
import torch
from stats import cells_fit, event_fits, integral
from torch import Generator, Tensor
from torch.autograd import gradcheck, gradgradcheck

import hotgrad as hg

GATES = [(2 / 3, 0.5, (-0.1, 1.1)), (0.3, -2.0, (-0.5, 1.1)), (1.5, 3.0, (-0.1, 2.0))]


def gate(temperature: float, logit: float, stretch: tuple[float, float]) -> hg.HardConcrete:
    return hg.HardConcrete(
        temperature, logits=torch.tensor(logit, dtype=torch.float64), stretch=stretch
    )


def mass_below(p: hg.HardConcrete, x: float) -> Tensor:
    """P(z <= x), x in (0, 1): the atom at 0 and the density's integral."""
    return p.prob_zero + integral(lambda z: p.log_prob(z).exp(), 0.0, x)


@pytest.mark.parametrize(("temperature", "logit", "stretch"), GATES)
def test_atoms_and_density_weigh_one(
    temperature: float, logit: float, stretch: tuple[float, float]
) -> None:
    p = gate(temperature, logit, stretch)
    total = mass_below(p, 1.0) + p.prob_one
    assert total.item() == pytest.approx(1, abs=1e-10)
    assert (p.prob_zero + p.prob_nonzero).item() == pytest.approx(1, abs=1e-12)
    # the ends' log_prob is the atoms'
    ends = p.log_prob(torch.tensor([0.0, 1.0], dtype=torch.float64)).exp()
    torch.testing.assert_close(ends, torch.stack([p.prob_zero, p.prob_one]))


@pytest.mark.parametrize(("temperature", "logit", "stretch"), GATES)
def test_samples_have_the_distribution(
    temperature: float, logit: float, stretch: tuple[float, float], generator: Generator
) -> None:
    p = gate(temperature, logit, stretch)
    z = p.sample((100_000,), generator=generator)
    edges = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
    cells = torch.bucketize(z, edges.double())
    counts = torch.bincount(cells, minlength=6)[:5]
    counts = torch.cat([counts, (z == 1).sum().reshape(1)])
    counts[4] -= counts[5]
    below = [mass_below(p, float(x)) for x in (0.25, 0.5, 0.75, 1.0)]
    probs = torch.stack([p.prob_zero, *below]).diff(prepend=torch.zeros(1).double())
    probs = torch.cat([probs, p.prob_one.reshape(1)])
    assert cells_fit(counts, probs)
    # mutants: the sign of the logits in the atoms, and no stretch at all
    flipped = torch.cat([probs[-1:], probs[1:-1], probs[:1]])
    assert not cells_fit(counts, flipped)
    inner = probs * torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    assert not cells_fit(counts, inner / inner.sum())


def test_median(generator: Generator) -> None:
    p = gate(0.5, 0.5, (-0.1, 1.1))
    z = p.sample((100_000,), generator=generator)

    assert event_fits(int((z <= p.median).sum()), len(z), 0.5)
    # mutant: the temperature left out
    assert not event_fits(int((z <= -0.1 + 1.2 * p.logits.sigmoid()).sum()), len(z), 0.5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_every_dtype(dtype: torch.dtype, generator: Generator) -> None:
    logits = torch.linspace(-8, 8, 100).to(dtype).requires_grad_()
    p = hg.HardConcrete(0.5, logits=logits)
    z = p.rsample((200,), generator=generator)
    assert z.dtype == dtype
    assert bool(((z >= 0) & (z <= 1)).all())
    assert bool((z == 0).any())
    assert bool((z == 1).any())
    log_prob = p.log_prob(z.detach())
    assert log_prob.dtype in (torch.float32, torch.float64)
    exact = hg.HardConcrete(0.5, logits=logits.double()).log_prob(z.detach().double())
    torch.testing.assert_close(log_prob.double(), exact, rtol=1e-4, atol=1e-4)
    for output in (log_prob, z, p.prob_nonzero, p.median):
        (grad,) = torch.autograd.grad(output.float().sum(), logits, retain_graph=True)
        assert grad.isfinite().all()


def test_gradients(generator: Generator) -> None:
    logits = torch.randn(3, dtype=torch.float64, generator=generator).requires_grad_()
    tau = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64, requires_grad=True)

    def between(logits: Tensor, tau: Tensor) -> Tensor:
        value = torch.tensor([0.1, 0.4, 0.95], dtype=torch.float64)
        return hg.HardConcrete(tau, logits=logits).log_prob(value)

    def ends(logits: Tensor, tau: Tensor) -> Tensor:
        value = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
        return hg.HardConcrete(tau, logits=logits).log_prob(value)

    def nonzero(logits: Tensor, tau: Tensor) -> Tensor:
        return hg.HardConcrete(tau, logits=logits).prob_nonzero

    for function in (between, ends, nonzero):
        assert gradcheck(function, (logits, tau))
        assert gradgradcheck(function, (logits, tau))


def test_gradient_of_samples_is_zero_at_the_ends(generator: Generator) -> None:
    logits = torch.zeros(1000, requires_grad=True)
    z = hg.HardConcrete(0.5, logits=logits).rsample(generator=generator)
    (grad,) = torch.autograd.grad(z.sum(), logits)
    at_end = (z == 0) | (z == 1)
    assert torch.equal(grad == 0, at_end)
    assert bool(at_end.any())


def test_shapes(generator: Generator) -> None:
    tau = torch.tensor([[0.5], [1.0]])
    p = hg.HardConcrete(tau, logits=torch.zeros(2, 3))
    assert p.batch_shape == (2, 3)
    wide = p.expand((4, 2, 3))
    assert isinstance(wide, hg.HardConcrete)
    assert wide.stretch == p.stretch
    z = wide.to_event(1).sample((5,), generator=generator)
    assert z.shape == (5, 4, 2, 3)
    assert wide.to_event(1).log_prob(z).shape == (5, 4, 2)
    assert not p.sample().requires_grad


@pytest.mark.parametrize("stretch", [(0.0, 1.1), (-0.1, 1.0), (0.2, 0.8), (float("nan"), 1.1)])
def test_bad_stretch(stretch: tuple[float, float]) -> None:
    with pytest.raises(
        ValueError, match=r"stretch\[[01]\] must be a number (below 0|above 1), got"
    ):
        hg.HardConcrete(0.5, logits=torch.zeros(2), stretch=stretch)


def test_values_outside_are_refused() -> None:
    with pytest.raises(ValueError, match=r"lies in \[0, 1\], got -0\.5"):
        hg.HardConcrete(0.5, logits=torch.zeros(2)).log_prob(torch.tensor([-0.5, 0.5]))
