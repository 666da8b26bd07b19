"""What a distribution has no formula for, and what to use instead."""

from typing import Any, ClassVar, Never

from torch import Tensor
from torch.distributions import Distribution


class NoFormula(Distribution):
    """A last base class, in whose methods torch's raises an error without a word.

    Subclasses name what is better in `instead`, by the method.
    """

    instead: ClassVar[dict[str, str]] = {}

    _usual: ClassVar[dict[str, str]] = {
        "mean": "Average samples: q.sample((1000,)).mean(0).",
        "variance": "Take it of samples: q.sample((1000,)).var(0).",
        "mode": "Compare log_prob at the samples that matter.",
        "entropy": "Average -q.log_prob(z) over samples z.",
        "cdf": "Count the samples at or below the value: (q.sample((1000,)) <= value).",
        "icdf": "Take quantiles of samples: q.sample((1000,)).quantile(p, 0).",
        "enumerate_support": "Its states can't be listed: use an estimator that samples.",
        "rsample": (
            "A discrete sample has no gradient of its own: use an estimator, as in "
            "hg.StraightThrough().sample(q) or hg.expectation(f, q, estimator)."
        ),
        "log_prob": "Write one, as an estimator of the score function needs it.",
        "support": "Ask each of its parts.",
        "params": "Write the property params, a dict of the tensors that it is made of.",
    }

    def _has_none(self, what: str) -> Never:
        advice = self.instead.get(what, self._usual[what])
        raise NotImplementedError(f"{type(self).__name__} has no {what}. {advice}")

    @property
    def mean(self) -> Tensor:
        self._has_none("mean")

    @property
    def variance(self) -> Tensor:
        self._has_none("variance")

    @property
    def mode(self) -> Tensor:
        self._has_none("mode")

    @property
    def params(self) -> dict[str, Tensor]:
        """The tensors that it is made of, by name."""
        self._has_none("params")

    @property
    def support(self) -> Any:
        self._has_none("support")

    def entropy(self) -> Tensor:
        self._has_none("entropy")

    def cdf(self, value: Tensor) -> Tensor:
        self._has_none("cdf")

    def icdf(self, value: Tensor) -> Tensor:
        self._has_none("icdf")

    def enumerate_support(self, expand: bool = True, *, budget: int = 0) -> Tensor:
        self._has_none("enumerate_support")

    def rsample(self, sample_shape: Any = (), *, generator: Any = None) -> Tensor:
        self._has_none("rsample")

    def log_prob(self, value: Tensor) -> Tensor:
        self._has_none("log_prob")
