"""Gumbel(loc, scale): torch's density, our noise."""

import math

import pytest
import torch
from stats import distribution_fits, gumbel_cdf
from torch import Generator, Tensor
from torch.distributions import Gumbel as TorchGumbel

import hotgrad as hg
from hotgrad.ops import noise


def test_distribution(generator: Generator) -> None:
    q = hg.Gumbel(torch.tensor(2.0), torch.tensor(0.5))
    sample = q.sample((100_000,), generator=generator)
    assert distribution_fits(sample, lambda x: gumbel_cdf((x - 2.0) / 0.5))
    assert not distribution_fits(
        sample, lambda x: gumbel_cdf((x - 2.0) / 0.5**2)
    )  # mutant: scale squared


def test_density_is_torchs(generator: Generator) -> None:
    loc, scale = torch.randn(3, generator=generator), torch.rand(3, generator=generator) + 0.1
    ours, theirs = hg.Gumbel(loc, scale), TorchGumbel(loc, scale)
    sample = ours.sample((4,), generator=generator)
    torch.testing.assert_close(ours.log_prob(sample), theirs.log_prob(sample))
    assert ours.to_event(1).log_prob(sample).shape == (4,)


def test_samples_have_a_gradient_and_a_dtype(generator: Generator) -> None:
    loc = torch.zeros(3, dtype=torch.bfloat16, requires_grad=True)
    sample = hg.Gumbel(loc, torch.ones(3, dtype=torch.bfloat16)).rsample((5,), generator=generator)
    assert sample.dtype == torch.bfloat16
    sample.sum().backward()
    assert loc.grad is not None
    assert torch.equal(loc.grad, torch.full((3,), 5.0, dtype=torch.bfloat16))
    wide = hg.Gumbel(0.0, 1.0).expand((2,))
    assert isinstance(wide, hg.Gumbel)
    assert wide.sample((3,), generator=generator).shape == (3, 2)


@pytest.mark.usefixtures("plain_kernels")
def test_both_tails_are_resolved(monkeypatch: pytest.MonkeyPatch, generator: Generator) -> None:
    """Given that E = exp(-noise) is above 23 log 2, or that 1 - exp(-E) is below 2^-23."""

    def near_zero(count: int, *_: object) -> Tensor:
        integers = torch.empty(2 * count, dtype=torch.int32).random_(-512, 512, generator=generator)
        return integers.view(torch.int64)

    monkeypatch.setattr(noise, "_random_words", near_zero)
    standard = hg.Gumbel(0.0, 1.0)
    calls = [standard.sample((1000,), generator=generator) for _ in range(100)]
    e = torch.cat(calls).double().neg().exp()
    above, below = e[e > 1] - 23 * math.log(2), -torch.expm1(-e[e < 1]) * 2**23
    assert 49_000 < len(above) < 51_000
    assert distribution_fits(above, lambda x: -torch.expm1(-x))
    assert distribution_fits(below, lambda x: x.clamp(0, 1))
    # mutant: draw_gumbel's own lower tail, which ends at E = 16.64
    ends = torch.tensor([-(2**31), 2**31 - 1] * 500, dtype=torch.int32).view(torch.int64)
    monkeypatch.setattr(noise, "_random_words", lambda *_: ends)
    lowest = hg.ops.draw_gumbel((1000,), generator=generator).double().neg().exp()
    assert not distribution_fits(lowest - 23 * math.log(2), lambda x: -torch.expm1(-x.clamp(min=0)))
