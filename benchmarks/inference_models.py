"""Models whose factorised optimum is known: quadratic log joints of bits, one-hot and k-hot parts.

log p(x, z) = z' W z / 2 + b' z, with no coupling inside a part, is linear in each part. So E_q of
it is the same function of q's means, the exact ELBO is at hand, and the best distribution of one
part, the others fixed, is of that part's own kind with logits W m + b: coordinate ascent needs no
step size.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import hotgrad as hg

TOLERANCE = 1e-12
SWEEPS = 100_000


@dataclass(frozen=True)
class Quadratic:
    """A model, with the distributions of its parts in the order of the columns of W."""

    label: str
    coupling: Tensor
    field: Tensor
    parts: tuple[Any, ...]
    q: Any

    def log_joint(self, z: Any) -> Tensor:
        """For z as `fit` gives it."""
        flat = torch.cat(list(z.values()), -1) if isinstance(z, dict) else z
        coupling, field = self.coupling.to(flat.dtype), self.field.to(flat.dtype)
        return (flat @ coupling * flat).sum(-1) / 2 + flat @ field

    def elbo(self, logits: Any) -> float:
        """Of the factorised q with these logits, exactly."""
        flat = torch.cat(list(logits.values()), -1) if isinstance(logits, dict) else logits
        parts = self._parts_at(flat.detach().double())
        mean = torch.cat([part.mean for part in parts])
        return float(self.log_joint(mean) + sum(part.entropy().sum() for part in parts))

    def ascend(self, logits: Tensor) -> float:
        """The ELBO where coordinate ascent from these logits ends."""
        parts = self._parts_at(logits.double())
        mean = torch.cat([part.mean for part in parts])
        for _ in range(SWEEPS):
            before, at = mean.clone(), 0
            for part in parts:
                here = slice(at, at + part.logits.shape[-1])
                logits = self.coupling[here] @ mean + self.field[here]
                better = part.with_params({"logits": logits})
                mean[here], at = better.mean, here.stop
            if (mean - before).abs().max() < TOLERANCE:
                return self.elbo(self.coupling @ mean + self.field)
        raise RuntimeError(f"coordinate ascent hasn't settled after {SWEEPS} sweeps")

    def _parts_at(self, logits: Tensor) -> list[Any]:
        pieces = logits.split([part.logits.shape[-1] for part in self.parts])
        return [
            part.with_params({"logits": piece})
            for part, piece in zip(self.parts, pieces, strict=True)
        ]


def boltzmann(bits: int, seed: int, *, spread: float = 1.0) -> Quadratic:
    """Fully connected bits, couplings from N(0, spread^2), fields from N(0, 1)."""
    q = hg.Bernoulli(logits=torch.zeros(bits)).to_event(1)
    return _random(f"{bits} bits", {"bits": q}, q, seed, spread)


def mixed(bits: int, categories: int, items: int, k: int, seed: int) -> Quadratic:
    """Bits, one of several and k of several, all coupled with each other."""
    q = hg.Joint(
        bits=hg.Bernoulli(logits=torch.zeros(bits)).to_event(1),
        one=hg.OneHotCategorical(logits=torch.zeros(categories)),
        subset=hg.KSubset(torch.zeros(items), k),
    )
    label = f"{bits} bits, one of {categories}, {k} of {items}"
    return _random(label, q.factors, q, seed, 1.0)


def _random(label: str, factors: dict[str, Any], q: Any, seed: int, spread: float) -> Quadratic:
    generator = torch.Generator().manual_seed(seed)
    parts: list[Any] = []
    for factor in factors.values():
        (base,) = factor.bases
        bits = 0 if base.event_shape else factor.event_shape.numel()
        parts += [base.with_params({"logits": torch.zeros(1)})] * bits if bits else [base]
    sizes = [part.logits.shape[-1] for part in parts]
    total = sum(sizes)
    upper = torch.randn(total, total, generator=generator, dtype=torch.float64).triu(1) * spread
    owner = torch.repeat_interleave(torch.arange(len(parts)), torch.tensor(sizes))
    upper = torch.where(owner == owner.unsqueeze(1), 0.0, upper)
    field = torch.randn(total, generator=generator, dtype=torch.float64)
    return Quadratic(label, upper + upper.T, field, tuple(parts), q)
