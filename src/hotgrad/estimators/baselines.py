"""Baselines: what is subtracted from f before it multiplies the score, to take noise away.

Whatever is subtracted from a sample's f must not depend on that sample, or the gradient is biased.
Each baseline has one method, `centre(values, q)`: f's values `(num_samples, *batch)`, without
gradient, in; the centred values out. Centred values that carry a gradient belong to a baseline that
learns: the estimator makes their squares small.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hotgrad.distributions import DiscreteDistribution
from hotgrad.ops import checks


@dataclass(frozen=True)
class NoBaseline:
    """f as it is: the plain REINFORCE estimator, unbiased and usually far too noisy."""

    def centre(self, values: Tensor, q: DiscreteDistribution) -> Tensor:
        """The values themselves."""
        return values


@dataclass(frozen=True)
class LeaveOneOut:
    r"""The mean of the other samples: $f(z_s) - \frac{1}{S-1} \sum_{t \ne s} f(z_t)$.

    Needs two samples or more.

    Reference: Variational Inference for Monte Carlo Objectives (Mnih, Rezende, 2016),
    and Buy 4 REINFORCE Samples, Get a Baseline for Free! (Kool, van Hoof, Welling, 2019).
    """

    least_samples: ClassVar[int] = 2

    def centre(self, values: Tensor, q: DiscreteDistribution) -> Tensor:
        """Each value less the mean of the others."""
        count = values.shape[0]
        if count < self.least_samples:
            raise ValueError(
                "LeaveOneOut needs num_samples of at least 2, got 1: the baseline of a sample is "
                "the mean of the others. Use num_samples=2, or "
                "ScoreFunction(baseline=MovingAverage())."
            )
        # x - (sum - x) / (n - 1) = (x - mean) n / (n - 1), which cancels less
        return (values - values.mean(0)) * (count / (count - 1))


class MovingAverage(nn.Module):
    r"""An exponential moving average of earlier values of f, over samples and batch.

    $c \leftarrow \beta c + (1 - \beta) \bar f$, corrected for its start at 0, updated after it was
    used, so the current samples have no part in their own baseline. A buffer: checkpoints keep it.
    In evaluation mode it stays as it is.

    Args:
        decay: $\beta$ in [0, 1).

    Raises:
        ValueError: a decay that isn't one.

    Reference: Neural Variational Inference and Learning in Belief Networks (Mnih, Gregor, 2014),
    Section 2.3.
    """

    total: Tensor
    weight: Tensor

    def __init__(self, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = checks.check_number(
            decay, "decay", lambda number: 0 <= number < 1, "a number in [0, 1)"
        )
        self.register_buffer("total", torch.zeros(()))
        self.register_buffer("weight", torch.zeros(()))

    def extra_repr(self) -> str:
        return f"decay={self.decay}"

    def centre(self, values: Tensor, q: DiscreteDistribution) -> Tensor:
        """The values less the average so far (0 at the first call)."""
        centred = values - (self.total / self.weight.clamp(min=1e-12)).to(values.dtype)
        # an empty batch has no mean
        if self.training and values.numel():
            with torch.no_grad():
                self.total.lerp_(values.mean().to(self.total.dtype), 1 - self.decay)
                self.weight.lerp_(torch.ones_like(self.weight), 1 - self.decay)
        return centred


class Learned(nn.Module):
    r"""A network's prediction of f from q's marginals, trained along with everything else.

    $f(z_s) - b(\bar q)$, where $\bar q$ = `q.mean` is detached. The squared error $(f - b)^2$ is
    minimised in the same backward pass as the loss, whatever the loss's sign: give the module's
    parameters to the optimiser, nothing more. No gradient of it reaches q or f. In evaluation mode
    it doesn't learn.

    Args:
        module: `(*batch, *event) -> (*batch,)` or `(*batch, 1)`.

    Raises:
        ValueError: something that can't be called; when used, another shape.

    Reference: Neural Variational Inference and Learning in Belief Networks (Mnih, Gregor, 2014),
    Section 2.3.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        checks.check_function(module, "module", "q.mean")
        self.module = module

    def extra_repr(self) -> str:
        """A function, which torch doesn't show as it does a module."""
        return "" if isinstance(self.module, nn.Module) else repr(self.module)

    def centre(self, values: Tensor, q: DiscreteDistribution) -> Tensor:
        """The values less the prediction, with a gradient to the module."""
        # its own copy, which it may change in place
        prediction: Any = self.module(q.mean.detach().clone())
        batch = values.shape[1:]
        if isinstance(prediction, Tensor) and prediction.shape == (*batch, 1):
            prediction = prediction.squeeze(-1)
        if not isinstance(prediction, Tensor) or prediction.shape != batch:
            raise ValueError(
                f"The baseline's module must return shape {tuple(batch)} or {(*batch, 1)} "
                f"from q.mean of shape {tuple(q.mean.shape)}, got {checks.shown(prediction)}."
            )
        return values - (prediction if self.training else prediction.detach())
