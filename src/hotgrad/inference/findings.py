"""The figures of a diagnosis, and what the importance weights among them mean."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hotgrad.inference.exact import ExactPosterior
from hotgrad.inference.marginals import Marginals, Worst
from hotgrad.inference.weights import GOOD, NO_MEAN, largest_reliable_k, tail_length

READINGS = ("good", "usable", "unreliable", "hopeless")
"""What the importance weights of a row say, the best first."""


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
    def readings(self) -> Tensor:
        """Of each row the number of its reading in `READINGS`, `(*batch,)`.

        0, good: k-hat below 0.5, so the weights have a finite variance. 1, usable: k-hat below
        `reliable_k`, or impossible samples; q is off, its weighted samples are right. 2,
        unreliable: k-hat above that, or so few effective samples that they are fewer than the tail
        from which k-hat comes. 3, hopeless: k-hat above 1, as if the weights had no mean.
        Without a tail the effective samples judge: good with half of all.
        """
        k, effective = self.pareto_k, self.effective_samples
        no_tail = k.isnan()
        close = torch.where(no_tail, effective >= self.num_samples / 2, k < self.good_k)
        few = effective < tail_length(self.num_samples)
        reading = torch.where(close & (self.impossible == 0), 0, 1)
        reading = torch.where((k >= self.reliable_k) | few, 2, reading)
        return torch.where(k > NO_MEAN, 3, reading)
