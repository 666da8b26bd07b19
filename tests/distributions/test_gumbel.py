"""Gumbel(loc, scale): torch's density, our noise."""

import torch
from stats import gumbel_cdf, law_fits
from torch import Generator
from torch.distributions import Gumbel as TorchGumbel

import hotgrad as hg


def test_law(generator: Generator) -> None:
    law = hg.Gumbel(torch.tensor(2.0), torch.tensor(0.5))
    sample = law.sample((100_000,), generator=generator)
    assert law_fits(sample, lambda x: gumbel_cdf((x - 2.0) / 0.5))
    assert not law_fits(sample, lambda x: gumbel_cdf((x - 2.0) / 0.5**2))  # mutant: scale squared


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
