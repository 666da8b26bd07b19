"""Relaxed bits: density, exact distribution, and numbers at the edge of a float."""

import pytest
import torch
from stats import distribution_fits, event_fits, integral, logistic_cdf
from torch import Generator, Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.distributions import RelaxedBernoulli

import hotgrad as hg
from hotgrad.distributions import RelaxedSample

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 3.0])
def test_density_integrates_to_one(temperature: float) -> None:
    p = hg.BinaryConcrete(temperature, logits=torch.tensor(0.8, dtype=torch.float64))

    def density_of_logit(logit: Tensor) -> Tensor:
        z = logit.sigmoid()
        log_slope = torch.nn.functional.logsigmoid(logit) + torch.nn.functional.logsigmoid(-logit)
        return (p.log_prob(RelaxedSample(z, logit)) + log_slope).exp()

    reach = 60 / temperature + 60
    assert integral(density_of_logit, -reach, reach, pieces=2000).item() == pytest.approx(
        1, abs=1e-8
    )


def test_density_on_the_unit_interval_itself() -> None:
    p = hg.BinaryConcrete(1.0, logits=torch.tensor(0.8, dtype=torch.float64))
    total = integral(lambda z: p.log_prob(z).exp(), 0.0, 0.5, 1.0)
    assert total.item() == pytest.approx(1, abs=1e-9)
    wrong = integral(lambda z: p.log_prob_of_twin(torch.logit(z)).exp(), 0.0, 0.5, 1.0)
    assert abs(wrong.item() - 1) > 0.1  # mutant: no Jacobian


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_density_is_torchs_at_moderate_temperatures(
    dtype: torch.dtype, generator: Generator
) -> None:
    logits = torch.randn(5, dtype=dtype, generator=generator)
    for temperature in (0.5, 1.0, 2.0):
        ours = hg.BinaryConcrete(temperature, logits=logits)
        theirs = RelaxedBernoulli(torch.tensor(temperature, dtype=dtype), logits=logits)
        value = torch.rand(20, 5, dtype=dtype, generator=generator) * 0.98 + 0.01
        torch.testing.assert_close(
            ours.log_prob(value), theirs.log_prob(value), rtol=1e-4, atol=1e-4
        )
        twin = RelaxedSample(value, torch.logit(value))
        torch.testing.assert_close(ours.log_prob(twin), ours.log_prob(value), rtol=1e-4, atol=1e-4)
        assert not torch.allclose(
            hg.BinaryConcrete(0.8, logits=logits).log_prob(value), theirs.log_prob(value)
        )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("temperature", [1e-3, 0.5, 2.0])
def test_distribution(dtype: torch.dtype, temperature: float, generator: Generator) -> None:
    p = hg.BinaryConcrete(temperature, logits=torch.tensor(-0.7, dtype=dtype))
    sample = p.rsample_with_twin((100_000,), generator=generator)
    assert distribution_fits(temperature * sample.twin + 0.7, logistic_cdf)
    assert not distribution_fits(
        1.1 * temperature * sample.twin + 0.7, logistic_cdf
    )  # mutant: temperature
    assert not distribution_fits(
        temperature * sample.twin - 0.7, logistic_cdf
    )  # mutant: sign of the logit
    ones = int((sample.value > 0.5).sum())
    assert event_fits(ones, 100_000, float(torch.tensor(-0.7).sigmoid()))
    assert not event_fits(100_000 - ones, 100_000, float(torch.tensor(-0.7).sigmoid()))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [1e-5, 1e-3, 0.5, 10.0])
def test_density_is_finite_at_its_own_samples(
    temperature: float, dtype: torch.dtype, generator: Generator
) -> None:
    logits = (5 * torch.randn(100, generator=generator)).to(dtype).requires_grad_()
    p = hg.BinaryConcrete(temperature, logits=logits)
    sample = p.rsample_with_twin((50,), generator=generator)
    assert sample.value.dtype == dtype
    for value in (sample, sample.value, torch.zeros(100).to(dtype), torch.ones(100).to(dtype)):
        log_prob = p.log_prob(value)
        assert log_prob.dtype in (torch.float32, torch.float64)
        assert log_prob.isfinite().all()
        (grad,) = torch.autograd.grad(log_prob.mean(), logits, retain_graph=True)
        assert grad.isfinite().all()


def test_half_precision_values_are_scored_in_single_precision(generator: Generator) -> None:
    value = torch.rand(1000, generator=generator).clamp(0.01, 0.99).bfloat16()
    p = hg.BinaryConcrete(0.5, logits=torch.zeros(1000, dtype=torch.bfloat16))
    exact = hg.BinaryConcrete(0.5, logits=torch.zeros(1000)).log_prob(value.float())
    torch.testing.assert_close(p.log_prob(value), exact, rtol=1e-5, atol=1e-5)


def test_gradients(generator: Generator) -> None:
    logits = torch.randn(3, dtype=torch.float64, generator=generator).requires_grad_()
    tau = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    value = torch.tensor([0.1, 0.4, 0.95], dtype=torch.float64, requires_grad=True)

    def density(logits: Tensor, tau: Tensor, value: Tensor) -> Tensor:
        return hg.BinaryConcrete(tau, logits=logits).log_prob(value)

    def from_probs(logits: Tensor, tau: Tensor, value: Tensor) -> Tensor:
        return hg.BinaryConcrete(tau, probs=logits.sigmoid()).log_prob(value)

    for function in (density, from_probs):
        assert gradcheck(function, (logits, tau, value))
        assert gradgradcheck(function, (logits, tau, value))


@pytest.mark.parametrize("shape", [(), (1,), (4, 1), (4, 3), (5, 1, 1)])
def test_temperature_shapes(shape: tuple[int, ...], generator: Generator) -> None:
    logits = torch.randn(4, 3, generator=generator)
    p = hg.BinaryConcrete(torch.rand(shape, generator=generator) + 0.2, logits=logits)
    batch = torch.broadcast_shapes((4, 3), shape)
    assert p.batch_shape == batch
    sample = p.rsample_with_twin((6,), generator=generator)
    assert sample.value.shape == (6, *batch)
    assert p.log_prob(sample).shape == (6, *batch)
    wide = p.expand((2, *batch))
    assert isinstance(wide, hg.BinaryConcrete)
    assert wide.sample((6,), generator=generator).shape == (6, 2, *batch)


@pytest.mark.parametrize("probs", [0.0, 1.0])
def test_certain_bits_have_no_density(probs: float) -> None:
    with pytest.raises(ValueError, match=r"finite logits \(probs strictly between 0 and 1\)"):
        hg.BinaryConcrete(0.5, probs=torch.tensor([0.5, probs]))


def test_values_outside_are_refused() -> None:
    with pytest.raises(ValueError, match=r"lies in \[0, 1\], got 1\.5"):
        hg.BinaryConcrete(0.5, logits=torch.zeros(2)).log_prob(torch.tensor([0.5, 1.5]))


def test_samples_are_reproducible_and_sample_has_no_gradient() -> None:
    p = hg.BinaryConcrete(0.5, logits=torch.zeros(3, requires_grad=True))
    first, again = (p.rsample((2,), generator=torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.requires_grad
    assert not p.sample((2,)).requires_grad
