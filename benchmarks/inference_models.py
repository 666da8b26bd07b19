"""Models whose factorised optimum is known: quadratic log joints of bits, one-hot and k-hot parts.

log p(x, z) = z' W z / 2 + b' z, with no coupling inside a part, is linear in each part. So E_q of
it is the same function of q's means, the exact ELBO is at hand, and the best law of one part, the
others fixed, is of that part's own kind with logits W m + b: coordinate ascent needs no step size.
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
    """A model, with the laws of its parts in the order of the columns of W."""

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
        laws = self._laws(flat.detach().double())
        mean = torch.cat([law.mean for law in laws])
        return float(self.log_joint(mean) + sum(law.entropy().sum() for law in laws))

    def ascend(self, logits: Tensor) -> float:
        """The ELBO where coordinate ascent from these logits ends."""
        laws = self._laws(logits.double())
        mean = torch.cat([law.mean for law in laws])
        for _ in range(SWEEPS):
            before, at = mean.clone(), 0
            for law in laws:
                here = slice(at, at + law.logits.shape[-1])
                better = law.with_logits(self.coupling[here] @ mean + self.field[here])
                mean[here], at = better.mean, here.stop
            if (mean - before).abs().max() < TOLERANCE:
                return self.elbo(self.coupling @ mean + self.field)
        raise RuntimeError(f"coordinate ascent hasn't settled after {SWEEPS} sweeps")

    def _laws(self, logits: Tensor) -> list[Any]:
        pieces = logits.split([law.logits.shape[-1] for law in self.parts])
        return [law.with_logits(piece) for law, piece in zip(self.parts, pieces, strict=True)]


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
    return _random(label, q.laws, q, seed, 1.0)


def _random(label: str, laws: dict[str, Any], q: Any, seed: int, spread: float) -> Quadratic:
    generator = torch.Generator().manual_seed(seed)
    parts: list[Any] = []
    for law in laws.values():
        inner = getattr(law, "law", law)
        bits = 0 if inner.event_shape else law.event_shape.numel()
        parts += [inner.with_logits(torch.zeros(1))] * bits if bits else [inner]
    sizes = [law.logits.shape[-1] for law in parts]
    total = sum(sizes)
    upper = torch.randn(total, total, generator=generator, dtype=torch.float64).triu(1) * spread
    owner = torch.repeat_interleave(torch.arange(len(parts)), torch.tensor(sizes))
    upper = torch.where(owner == owner.unsqueeze(1), 0.0, upper)
    field = torch.randn(total, generator=generator, dtype=torch.float64)
    return Quadratic(label, upper + upper.T, field, tuple(parts), q)
