"""log p(x given z): what the decoder's outputs mean."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hotgrad.ops.checks import check_choice, values_readable

LIKELIHOODS = ("bernoulli", "gaussian")
"""By the names that a configuration gives them."""


class BernoulliLikelihood(nn.Module):
    """Independent pixels in [0, 1]; the decoder gives their logits.

    A grey target x scores x log p + (1 - x) log(1 - p), the expected log-probability of the pixel
    sampled with probability x.
    """

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        """`(*batch,)` nats, summed over the pixels.

        Raises:
            ValueError: a pixel outside [0, 1] (looked for on the CPU alone), or another number of
                pixels than of outputs.
        """
        _check_widths(x, outputs)
        if x.device.type == "cpu" and x.numel() and values_readable(x):
            low, high = torch.aminmax(x.detach())
            # written so that NaN fails too
            if not (low >= 0 and high <= 1):
                raise ValueError(
                    f"BernoulliLikelihood needs values in [0, 1], got {low:.4g} to {high:.4g}. "
                    "Scale the items, or use GaussianLikelihood."
                )
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
        """`(*batch,)` nats, summed over the values.

        Raises:
            ValueError: another number of values than of outputs.
        """
        _check_widths(x, outputs)
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
    check_choice("likelihood", kind, LIKELIHOODS)
    return BernoulliLikelihood() if kind == "bernoulli" else GaussianLikelihood()


def _check_widths(x: Tensor, outputs: Tensor) -> None:
    if x.shape[-1:] != outputs.shape[-1:]:
        raise ValueError(
            f"the decoder's outputs have shape {tuple(outputs.shape)} and the items "
            f"{tuple(x.shape)}: expected as many outputs as an item has values. Give the decoder a "
            "last layer of that width."
        )
