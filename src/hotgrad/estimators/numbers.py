"""The continuous unknowns of a `Joint`, drawn once and shown to f beside the discrete ones.

An expectation over both is one over the discrete z of an f that draws the continuous x itself, with
a gradient. Every estimator is linear in f's values, so it stays as unbiased, or biased, as it is.
What it asks about one sample, and compares, is asked with the same x.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hotgrad.distributions import DiscreteDistribution
from hotgrad.distributions.continuous import rsample_each
from hotgrad.estimators.parts import MAX_ELEMENTS


class Numbers:
    """One value of every continuous unknown for each sample of z.

    Args:
        q: what `as_distribution` makes of the `Joint`.
        num_samples: of z.
        generator: the source of randomness.
        copies: how many copies of q make up one sample, as in a bound of several.
    """

    def __init__(
        self,
        q: DiscreteDistribution,
        num_samples: int,
        generator: torch.Generator | None,
        copies: int = 1,
    ) -> None:
        self._copies, self._count = copies, num_samples
        self._drawn = rsample_each(q.continuous, (copies, num_samples), generator)

    def beside(self, rows: int) -> dict[str, Tensor]:
        """For so many rows of z, which go through the samples in order, again and again."""
        place = torch.arange(rows // self._copies) % self._count
        return self._at(place)

    def mean(self, ask: Callable[[Tensor, dict[str, Tensor]], Tensor], z: Tensor) -> Tensor:
        """A function's mean over the samples for each row of z, all of which meet all of them."""
        most = max(1, MAX_ELEMENTS // max(1, z.numel()))
        sums = []
        for place in torch.arange(self._count).split(most):
            rows = z.repeat(len(place), *(1,) * (z.ndim - 1))
            values = ask(rows, self._at(place.repeat_interleave(len(z) // self._copies)))
            sums.append(values.unflatten(0, (len(place), len(z))).sum(0))
        return torch.stack(sums).sum(0) / self._count

    def _at(self, place: Tensor) -> dict[str, Tensor]:
        return {
            name: drawn[:, place.to(drawn.device)].flatten(0, 1)
            for name, drawn in self._drawn.items()
        }


def numbers_of(
    q: DiscreteDistribution,
    estimator: Any,
    num_samples: int,
    generator: torch.Generator | None,
    copies: int = 1,
) -> Numbers | None:
    """The continuous unknowns of q for an estimator's samples; None where it has none."""
    if not q.continuous:
        return None
    paired = getattr(estimator, "paired", False)
    return Numbers(q, num_samples // 2 if paired else num_samples, generator, copies)
