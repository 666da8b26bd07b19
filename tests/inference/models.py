"""Small models whose posteriors, or best factorised q, are known exactly."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import hotgrad as hg


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass(frozen=True)
class Boltzmann:
    """log p(z) = z J z + h z + const, of bits; E_q under a factorised q needs no sampling."""

    couplings: Tensor
    fields: Tensor

    def __call__(self, z: Tensor) -> Tensor:
        return ((z @ self.couplings) * z).sum(-1) + z @ self.fields

    def elbo(self, mean: Tensor) -> float:
        p = mean.double()
        energy = p @ self.couplings.double() @ p + self.fields.double() @ p
        return float(energy - torch.xlogy(p, p).sum() - torch.xlogy(1 - p, 1 - p).sum())

    def best_factorised(self, starts: int = 20) -> float:
        """By coordinate ascent to convergence, from several starts."""
        couplings, fields = self.couplings.double(), self.fields.double()
        p = torch.rand(starts, len(fields), generator=seeded(), dtype=torch.float64)
        for _ in range(1000):
            before = p.clone()
            for i in range(len(fields)):
                p[:, i] = torch.sigmoid(2 * p @ couplings[i] + fields[i])
            if (p - before).abs().max() < 1e-10:
                break
        return max(self.elbo(one) for one in p)


def boltzmann(size: int, seed: int, strength: float = 2.0) -> Boltzmann:
    generator = seeded(seed)
    raw = torch.randn(size, size, generator=generator) * strength / size**0.5
    couplings = ((raw + raw.T) / 2).fill_diagonal_(0)
    return Boltzmann(couplings, torch.randn(size, generator=generator))


def bits(size: int) -> hg.Independent:
    return hg.Bernoulli(logits=torch.zeros(size)).to_event(1)


def bernoulli_mixture(rows: int = 24) -> tuple[Tensor, Tensor, Callable[[Tensor, Tensor], Tensor]]:
    """Items of 4 numbers from 3 kinds: the items, exact log p(x_i, z_i) of each kind, log_joint."""
    centres = torch.tensor([[-2.0, 0, 0, 1], [0, 1, 2, 0], [2, 0, -1, 0]])
    weights = torch.tensor([0.2, 0.3, 0.5])
    generator = seeded(5)
    kinds = torch.multinomial(weights, rows, replacement=True, generator=generator)
    x = centres[kinds] + torch.randn(rows, 4, generator=generator)

    def by_kind(x: Tensor) -> Tensor:
        return weights.log() - (x.unsqueeze(-2) - centres).square().sum(-1) / 2

    return x, by_kind(x), lambda z, x: (z * by_kind(x)).sum(-1)


SCORES = torch.tensor([1.0, -2.0, 3.0])
DATA = torch.arange(12.0).reshape(6, 2)


def linear(z: Tensor) -> Tensor:
    return z @ SCORES


def where_two(value: float) -> Callable[[Tensor], Tensor]:
    """A log joint that has the value where two of the bits are 1."""
    return lambda z: torch.where(z.sum(-1) == 2, value, 0.0)
