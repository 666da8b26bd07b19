"""The figures of a diagnosis, and what the importance weights among them mean."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hotgrad.inference.exact import ExactPosterior
from hotgrad.inference.marginals import Marginals, Worst
from hotgrad.inference.weights import GOOD, NO_MEAN, largest_reliable_k, tail_length

READINGS = ("good", "usable", "unreliable", "hopeless")
"""What the importance weights of a row say, the best first."""
NEAR = 0.05
"""Nats from the ELBO to the bound of weighted samples: no event's probability is off by more than
0.16 then, by Pinsker's inequality, as far as the samples see."""


@dataclass(frozen=True, eq=False, repr=False)
class Findings:
    """What was found out about a fit; `Diagnosis` says what each figure is."""

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
        """The largest k-hat with which so many samples are enough."""
        return largest_reliable_k(self.num_samples)

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
        return self.effective_samples < tail_length(self.num_samples)

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
