"""Which estimators work with which kind of code, and what they ask of the other settings."""

import math
from typing import Any

from torch.distributions import Distribution

from hotgrad.distributions.capabilities import CanRelax
from hotgrad.distributions.noise_driven import NoiseDriven
from hotgrad.estimators import (
    ESTIMATORS,
    Learned,
    LeaveOneOut,
    MovingAverage,
    NoBaseline,
    has_baseline,
    missing_methods,
)
from hotgrad.estimators.score_function import Baseline
from hotgrad.vae.latent import DISTRIBUTIONS


def _working(distribution: type[Distribution]) -> tuple[str, ...]:
    names = [name for name, cls in ESTIMATORS.items() if not missing_methods(cls, distribution)]
    # no noise leads to k of n items exactly: what relaxes by noise is no first choice there
    exact = issubclass(distribution, NoiseDriven)
    return tuple(
        sorted(names, key=lambda name: not exact and CanRelax in ESTIMATORS[name].requires)
    )


WORKING = {latent: _working(distribution) for latent, distribution in DISTRIBUTIONS.items()}
"""The estimators that each kind of code admits, the usual one first."""

BASELINES: dict[str, type[Baseline]] = {
    "leave-one-out": LeaveOneOut,
    "none": NoBaseline,
    "moving-average": MovingAverage,
    "learned": Learned,
}
"""By the names that a configuration gives them."""


def check_num_samples(estimator: str, baseline: str, num_samples: int) -> None:
    """Refuse a number of samples that the estimator can't take."""
    needs: Any = ESTIMATORS[estimator]
    who, instead, paired = f"estimator={estimator}", "", needs.paired
    if has_baseline(needs):
        needs = BASELINES[baseline]
        who += f" with baseline={baseline}"
        instead = " or another baseline, such as moving-average"
    least = getattr(needs, "least_samples", 1)
    if num_samples < least:
        raise ValueError(
            f"{who} needs num_samples of at least {least}, got {num_samples}. "
            f"Use num_samples={least}{instead}."
        )
    if paired and num_samples % 2:
        raise ValueError(
            f"{who} draws samples in pairs: num_samples must be even, got {num_samples}. "
            f"Use num_samples={num_samples + 1}."
        )


def check_budget(
    estimator: str, latent: str, num_latents: int, num_categories: int, subset_size: int
) -> None:
    """Refuse to list more states than the estimator does: of the code, or of a variable."""
    budget: int | None = getattr(ESTIMATORS[estimator], "budget", None)
    if budget is None:
        return
    ways = 2 if latent == "bernoulli" else num_categories
    text = str(ways)
    if latent == "k-subset":
        text = f"C({num_categories}, {subset_size})"
        # which is no less than num_categories, and slow to count where that is huge
        if ways <= budget:
            ways = math.comb(num_categories, subset_size)
    if estimator != "exact":
        if ways > budget:
            raise ValueError(
                f"estimator={estimator} lists the {text} states of a variable, more than "
                f"{budget:,}. Use fewer num_categories or another estimator."
            )
    elif min(ways, budget + 1) ** min(num_latents, 64) > budget:
        raise ValueError(
            f"estimator=exact sums over {text}^{num_latents} codes, more than "
            f"{budget:,}. Use fewer num_latents or another estimator."
        )
