"""The Concrete distribution: its density, exact marginals, and numbers at the edge of a float."""

import math

import pytest
import torch
from stats import cells_fit, distribution_fits, integral, logistic_cdf
from torch import Generator, Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.distributions import RelaxedOneHotCategorical

import hotgrad as hg
from hotgrad.distributions import RelaxedSample

INF = math.inf
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def twin_of(logit: Tensor) -> Tensor:
    """log z of two categories whose log-ratio is `logit`."""
    zero = torch.zeros_like(logit)
    return torch.stack([logit, zero], -1).log_softmax(-1)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 3.0])
def test_density_of_two_categories_integrates_to_one(temperature: float) -> None:
    p = hg.Concrete(temperature, logits=torch.tensor([1.2, -0.3], dtype=torch.float64))

    def density_of_logit(logit: Tensor) -> Tensor:
        log_z = twin_of(logit)
        # dz = z (1 - z) d logit
        return (p.log_prob(RelaxedSample(log_z.exp(), log_z)) + log_z.sum(-1)).exp()

    reach = 60 / temperature + 60
    assert integral(density_of_logit, -reach, reach, pieces=2000).item() == pytest.approx(
        1, abs=1e-10
    )


def test_density_on_the_unit_interval_itself() -> None:
    p = hg.Concrete(2.0, logits=torch.tensor([0.4, -0.3], dtype=torch.float64), validate_args=False)

    def density(z: Tensor) -> Tensor:
        return p.log_prob(torch.stack([z, 1 - z], -1)).exp()

    assert integral(density, 0.0, 0.5, 1.0).item() == pytest.approx(1, abs=1e-10)
    # mutant: no Jacobian
    wrong = integral(lambda z: density(z) * z * (1 - z), 0.0, 0.5, 1.0)
    assert abs(wrong.item() - 1) > 0.1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_density_is_torchs_at_moderate_temperatures(
    dtype: torch.dtype, generator: Generator
) -> None:
    logits = torch.randn(5, 4, dtype=dtype, generator=generator)
    for temperature in (0.5, 1.0, 2.0):
        ours = hg.Concrete(temperature, logits=logits)
        theirs = RelaxedOneHotCategorical(torch.tensor(temperature, dtype=dtype), logits=logits)
        sample = ours.rsample_with_twin((20,), generator=generator)
        expected = theirs.base_dist.log_prob(sample.twin) - sample.twin.sum(-1)
        torch.testing.assert_close(ours.log_prob(sample), expected, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(ours.log_prob(sample.value), expected, rtol=1e-3, atol=1e-2)
        shifted = hg.Concrete(temperature, logits=logits + 3)
        torch.testing.assert_close(shifted.log_prob(sample), expected, rtol=1e-4, atol=1e-3)
        # mutant: another temperature
        assert not torch.allclose(hg.Concrete(0.8, logits=logits).log_prob(sample), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("temperature", [1e-3, 0.5, 2.0])
def test_log_ratios_are_logistic(
    dtype: torch.dtype, temperature: float, generator: Generator
) -> None:
    """temperature (log z_i - log z_j) - (logit_i - logit_j) ~ Logistic(0, 1)."""
    logits = torch.tensor([0.5, -1.0, 2.0], dtype=dtype)
    p = hg.Concrete(temperature, logits=logits)
    twin = p.rsample_with_twin((100_000,), generator=generator).twin
    pairs = [(0, 1), (0, 2), (1, 2)]
    for i, j in pairs:
        ratio = twin[:, i] - twin[:, j]
        spread = logits[i] - logits[j]
        assert distribution_fits(
            temperature * ratio - spread, logistic_cdf, alpha=1e-6 / len(pairs)
        )
        # mutants: another temperature, and logits left out
        assert not distribution_fits(1.1 * temperature * ratio - spread, logistic_cdf)
        assert not distribution_fits(temperature * ratio, logistic_cdf)


def test_argmax_is_an_exact_draw(generator: Generator) -> None:
    logits = torch.tensor([0.5, -1.0, 2.0, -INF])
    z = hg.Concrete(3.0, logits=logits).sample((200_000,), generator=generator)
    counts = torch.bincount(z.argmax(-1), minlength=4)
    assert cells_fit(counts, logits.double().softmax(-1))
    # mutant: the temperature applied to the logits before the noise
    assert not cells_fit(counts, (logits.double() / 3).softmax(-1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [1e-5, 1e-3, 0.5, 10.0])
def test_density_is_finite_at_its_own_samples(
    temperature: float, dtype: torch.dtype, generator: Generator
) -> None:
    logits = (5 * torch.randn(20, 6, generator=generator)).to(dtype).requires_grad_()
    p = hg.Concrete(temperature, logits=logits)
    sample = p.rsample_with_twin((50,), generator=generator)
    assert sample.value.dtype == dtype
    for value in (sample, sample.value):
        log_prob = p.log_prob(value)
        assert log_prob.shape == (50, 20)
        assert log_prob.dtype in (torch.float32, torch.float64)
        assert log_prob.isfinite().all()
        (grad,) = torch.autograd.grad(log_prob.mean(), logits, retain_graph=True)
        assert grad.isfinite().all()
    # mutant: torch's density of the same samples
    theirs = RelaxedOneHotCategorical(
        torch.tensor(1e-3), logits=logits.float(), validate_args=False
    )
    low = hg.Concrete(1e-3, logits=logits).sample((50,), generator=generator)
    assert not theirs.log_prob(low.float()).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_hundred_thousand_categories(dtype: torch.dtype, generator: Generator) -> None:
    logits = torch.randn(2, 100_000, generator=generator).to(dtype)
    for temperature in (1e-3, 0.5):
        p = hg.Concrete(temperature, logits=logits)
        sample = p.rsample_with_twin(generator=generator)
        exact = hg.Concrete(temperature, logits=logits.double())
        expected = exact.log_prob(RelaxedSample(sample.value.double(), sample.twin.double()))
        torch.testing.assert_close(p.log_prob(sample).double(), expected, rtol=1e-5, atol=1.0)
        assert p.log_prob(sample.value).isfinite().all()


def test_masks(generator: Generator) -> None:
    """A masked category is exactly absent, and the rest is the distribution without it."""
    logits = torch.tensor([0.3, -INF, 1.0, -0.5], requires_grad=True)
    tau = torch.tensor(0.5, requires_grad=True)
    p = hg.Concrete(tau, logits=logits)
    sample = p.rsample_with_twin((500,), generator=generator)
    assert torch.equal(sample.value[:, 1], torch.zeros(500))
    kept = [0, 2, 3]
    rest = hg.Concrete(tau, logits=logits[kept])
    expected = rest.log_prob(RelaxedSample(sample.value[:, kept], sample.twin[:, kept]))
    torch.testing.assert_close(p.log_prob(sample), expected)
    torch.testing.assert_close(p.log_prob(sample.value), expected, rtol=1e-4, atol=1e-3)
    for output in (p.log_prob(sample), sample.value.square()):
        grads = torch.autograd.grad(output.sum(), (logits, tau), retain_graph=True)
        assert all(grad.isfinite().all() for grad in grads)
        assert grads[0][1] == 0


def test_outside_its_face_of_the_simplex_the_density_is_zero() -> None:
    p = hg.Concrete(0.5, logits=torch.tensor([0.0, 0.0, -INF]))
    assert p.log_prob(torch.tensor([0.3, 0.3, 0.4])) == -INF
    assert p.log_prob(torch.tensor([0.5, 0.5, 0.0])).isfinite()
    absent = torch.tensor([0.0, -INF, -INF])
    assert p.log_prob(RelaxedSample(absent.exp(), absent)) == -INF


def test_one_possible_category_is_certain(generator: Generator) -> None:
    p = hg.Concrete(0.5, logits=torch.tensor([-INF, 2.0]))
    sample = p.rsample_with_twin(generator=generator)
    assert torch.equal(sample.value, torch.tensor([0.0, 1.0]))
    assert p.log_prob(sample) == 0


def test_gradients(generator: Generator) -> None:
    logits = torch.randn(2, 3, dtype=torch.float64, generator=generator).requires_grad_()
    tau = torch.tensor([[0.5], [1.5]], dtype=torch.float64, requires_grad=True)
    log_z = torch.randn(2, 3, dtype=torch.float64, generator=generator).requires_grad_()

    def density(logits: Tensor, tau: Tensor, log_z: Tensor) -> Tensor:
        log_z = log_z.log_softmax(-1)
        return hg.Concrete(tau, logits=logits).log_prob(RelaxedSample(log_z.exp(), log_z))

    assert gradcheck(density, (logits, tau, log_z))
    assert gradgradcheck(density, (logits, tau, log_z))


@pytest.mark.parametrize("shape", [(), (1,), (4, 1), (1, 1), (5, 1, 1)])
def test_temperature_shapes(shape: tuple[int, ...], generator: Generator) -> None:
    logits = torch.randn(4, 3, generator=generator)
    tau = torch.rand(shape, generator=generator) + 0.2
    p = hg.Concrete(tau, logits=logits)
    batch = torch.broadcast_shapes((4,), shape[:-1])
    assert p.batch_shape == batch
    sample = p.rsample_with_twin((6,), generator=generator)
    assert sample.value.shape == (6, *batch, 3)
    assert p.log_prob(sample).shape == (6, *batch)
    rows = tau.expand(*batch, 1)
    full = hg.Concrete(rows, logits=logits.expand(*batch, 3))
    torch.testing.assert_close(p.log_prob(sample), full.log_prob(sample))
    wide = p.expand((2, *batch))
    assert isinstance(wide, hg.Concrete)
    assert wide.sample((6,), generator=generator).shape == (6, 2, *batch, 3)


def test_batch_rows_have_noise_of_their_own(generator: Generator) -> None:
    """Also where only the temperature has the batch dimension."""
    p = hg.Concrete(torch.full((1000, 1), 0.5), logits=torch.zeros(3))
    z = p.sample(generator=generator)
    assert len(z[:, 0].unique()) > 990


def test_temperatures_that_arent_one_per_row_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(\) or \(\*batch, 1\).*got \(3,\)"):
        hg.Concrete(torch.ones(3), logits=torch.zeros(3))


def test_values_off_the_simplex_are_refused() -> None:
    p = hg.Concrete(0.5, logits=torch.zeros(3))
    with pytest.raises(ValueError, match=r"values that end in \(3,\), got \(2,\)"):
        p.log_prob(torch.tensor([0.5, 0.5]))
    with pytest.raises(ValueError, match=r"a row misses 1 by 0\.5"):
        p.log_prob(torch.tensor([0.5, 0.5, 0.5]))
    with pytest.raises(ValueError, match="at least 0"):
        p.log_prob(torch.tensor([-0.5, 0.5, 1.0]))


def test_samples_are_reproducible_and_sample_has_no_gradient() -> None:
    p = hg.Concrete(0.5, logits=torch.zeros(3, requires_grad=True))
    first, again = (p.rsample((2,), generator=torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.requires_grad
    assert not p.sample((2,)).requires_grad


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [3.0, 10.0, 30.0])
def test_gradients_just_above_underflow_are_finite(
    temperature: float, dtype: torch.dtype, generator: Generator
) -> None:
    """log z is read with the slope 1 / z, which overflows before z itself underflows."""
    edge = math.log(torch.finfo(dtype).tiny)
    spread = temperature * torch.linspace(edge, edge + 3, 500, dtype=torch.float64)
    logits = torch.stack([torch.zeros(500), spread], -1).to(dtype).requires_grad_()
    categories = hg.Concrete(temperature, logits=logits)
    bits = hg.BinaryConcrete(temperature, logits=logits[:, 1] - logits[:, 0])
    for p in (categories, bits):
        sample = p.rsample_with_twin(generator=generator)
        found, exact = (
            torch.autograd.grad(p.log_prob(z).sum(), logits, retain_graph=True)[0]
            for z in (sample.value, sample)
        )
        assert found.isfinite().all()
        # where the slope is representable, it is right
        value = sample.value if sample.value.ndim == 1 else sample.value[:, 1]
        clear = value.double() > 4 * (temperature + 1) / torch.finfo(dtype).max
        clear &= value > torch.finfo(dtype).tiny
        tolerance = 4 * torch.finfo(dtype).eps * (temperature + 1)
        torch.testing.assert_close(found[clear], exact[clear], rtol=0, atol=tolerance)
    # mutant: the logarithm's own slope
    z = torch.tensor([0.0, temperature * edge + 1]).div(temperature).softmax(-1).to(dtype)
    z = z.clamp(min=torch.finfo(dtype).tiny).requires_grad_()
    (slope,) = torch.autograd.grad(
        (10 * z.to(torch.promote_types(dtype, torch.float32)).log()).sum(), z
    )
    assert not slope.isfinite().all()
