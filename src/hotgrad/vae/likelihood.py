"""log p(x given z): what the decoder's outputs mean."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BernoulliLikelihood(nn.Module):
    """Independent pixels in [0, 1]; the decoder gives their logits.

    A grey target x scores x log p + (1 - x) log(1 - p), the expected log-probability of the pixel
    sampled with probability x.
    """

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        """`(*batch,)` nats, summed over the pixels."""
        return -F.binary_cross_entropy_with_logits(
            outputs, x.expand_as(outputs), reduction="none"
        ).sum(-1)

    def mean(self, outputs: Tensor) -> Tensor:
        """The expected item."""
        return outputs.sigmoid()


class GaussianLikelihood(nn.Module):
    """Independent values around the decoder's output, with one learned standard deviation."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(-1.0))

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        """`(*batch,)` nats, summed over the values."""
        # a perfect reconstruction must not drive the density to infinity
        log_scale = self.log_scale.clamp(min=-6.0)
        residual = (x - outputs) * torch.exp(-log_scale)
        constant = log_scale + 0.5 * math.log(2 * math.pi)
        return -(0.5 * residual.square() + constant).sum(-1)

    def mean(self, outputs: Tensor) -> Tensor:
        """The expected item."""
        return outputs


Likelihood = BernoulliLikelihood | GaussianLikelihood


def make_likelihood(kind: str) -> Likelihood:
    """The likelihood that a configuration names."""
    return BernoulliLikelihood() if kind == "bernoulli" else GaussianLikelihood()
