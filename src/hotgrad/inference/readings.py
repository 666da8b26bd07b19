"""The figures of a diagnosis, and what the importance weights among them mean."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hotgrad.inference.exact import ExactPosterior
from hotgrad.inference.marginals import Marginals, Worst

FEWEST = 25
"""Samples whose largest fifth is just enough for a Pareto fit."""
GOOD, RELIABLE, NO_MEAN = 0.5, 0.7, 1.0
"""Thresholds of the tail's shape k, from the reference of `pareto_k`."""
READINGS = ("good", "usable", "unreliable", "hopeless")
"""What the importance weights of a row say, the best first."""
NEAR = 0.05
"""Nats from the ELBO to the bound of weighted samples: no event's probability is off by more than
0.16 then, by Pinsker's inequality, as far as the samples see."""


@dataclass(frozen=True, eq=False, repr=False)
class Readings:
    """The figures of a diagnosis; `Diagnosis` says what each is."""

    num_samples: int
    elbos: Tensor
    elbo_errors: Tensor
    bounds: Tensor
    pareto_k: Tensor
    effective_samples: Tensor
    impossible: Tensor
    weighted_marginals: Marginals
    worst: Worst
    exact: ExactPosterior | None
    not_exact: str

    @property
    def elbo(self) -> float:
        """Of all rows together: exactly where there is the exact posterior."""
        return float((self.elbos if self.exact is None else self.exact.elbo).sum())

    @property
    def bound(self) -> float:
        """The importance-weighted bound of all rows together."""
        return float(self.bounds.sum())

    @property
    def reliable_k(self) -> float:
        """min(1 - 1 / log10 S, 0.7): above it S samples are too few for what they estimate."""
        return min(1 - 1 / math.log10(self.num_samples), RELIABLE)

    @property
    def tail_length(self) -> int:
        """How many of the largest weights the Pareto fit looks at."""
        return math.ceil(min(self.num_samples / 5, 3 * math.sqrt(self.num_samples)))

    @property
    def good_k(self) -> float:
        """The k-hat below which the weights' variance is finite, and so many samples show it."""
        return min(GOOD, self.reliable_k)

    @property
    def gaps(self) -> Tensor:
        """From the ELBO to the bound of weighted samples, `(*batch,)` in nats: KL(q || p) by them.

        inf where a sample is impossible.
        """
        # a mean isn't below the mean of logarithms, but for rounding
        return (self.bounds - self.elbos).nan_to_num(torch.inf).clamp(min=0)

    @property
    def few(self) -> Tensor:
        """Where few samples carry the weight, `(*batch,)`: fewer than the tail k-hat comes from."""
        return self.effective_samples < self.tail_length

    @property
    def close(self) -> Tensor:
        """Where the weights are so alike that their tail holds little of them, `(*batch,)`.

        Half of the samples are left effective, or the gap is small. Weights that were all a Pareto
        tail of shape 0.7 would leave some 150 of 1,000, and hardly ever 400.
        """
        alike = self.effective_samples >= self.num_samples / 2
        return ~self.few & (alike | (self.gaps <= NEAR))

    @property
    def readings(self) -> Tensor:
        """Of each row the number of its reading in `READINGS`, `(*batch,)`.

        0, good: k-hat below 0.5, so the weights have a finite variance. 1, usable: k-hat below
        `reliable_k`, or impossible samples, or a heavier tail that holds little of the weight; q is
        off, its weighted samples are right. 2, unreliable: another tail, or few samples carry the
        weight. 3, hopeless: k-hat above 1, as if the weights had no mean. Without a tail the
        effective samples judge: good with half of all.
        """
        k, alike = self.pareto_k, self.effective_samples >= self.num_samples / 2
        good = torch.where(k.isnan(), alike, k < self.good_k) & (self.impossible == 0)
        reading = torch.where(good, 0, 1)
        reading = torch.where((k >= self.reliable_k) & ~self.close | self.few, 2, reading)
        return torch.where((k > NO_MEAN) & ~self.close, 3, reading)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A plain dict for each row of the batch, None for what isn't finite."""
        columns: dict[str, Tensor] = {
            "elbo": self.elbos,
            "bound": self.bounds,
            "pareto_k": self.pareto_k,
            "effective_samples": self.effective_samples,
            "impossible": self.impossible,
        }
        if self.exact is not None:
            columns["log_evidence"] = self.exact.log_evidence
            columns["kl"] = self.exact.kl
            columns["posterior_entropy"] = self.exact.entropy
        places = torch.ones_like(self.elbos).nonzero().tolist()
        readings = self.readings.flatten().tolist()
        rows = [
            {"row": place, "reading": READINGS[reading]}
            for place, reading in zip(places, readings, strict=True)
        ]
        for name, column in columns.items():
            for row, value in zip(rows, column.flatten().tolist(), strict=True):
                row[name] = finite_or_none(value)
        return rows


def finite_or_none(value: float) -> float | None:
    """As JSON holds a number."""
    return value if math.isfinite(value) else None
