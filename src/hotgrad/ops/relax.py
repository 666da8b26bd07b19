"""Relaxations: the argmax of perturbed logits replaced by a softmax at a temperature.

Half-precision logits are relaxed in float32 and cast back at the end: a score divided by a
temperature of 1e-3 doesn't fit into float16, and bfloat16 scores tie.
"""

import torch
from torch import Tensor

from hotgrad.ops.precision import centred, widened
from hotgrad.ops.softmax import log_softmax, softmax

Temperature = float | Tensor


def gumbel_softmax(
    logits: Tensor, noise: Tensor | float, temperature: Temperature, dim: int = -1
) -> Tensor:
    """softmax((logits + noise) / temperature), in the logits' dtype.

    Categorical Reparameterization with Gumbel-Softmax (Jang, Gu, Poole, 2016), Eq. 2.
    """
    scores = before_noise(logits, temperature, dim) + noise
    return softmax(tempered(scores, temperature), dim).to(logits.dtype)


def log_gumbel_softmax(logits: Tensor, noise: Tensor | float, temperature: Temperature) -> Tensor:
    """The logarithm of `gumbel_softmax`, in the noise's dtype.

    Finite where the sample itself underflows to 0; -inf at masked categories alone.
    """
    return log_softmax(tempered(before_noise(logits, temperature) + noise, temperature))


def binary_concrete(logits: Tensor, noise: Tensor | float, temperature: Temperature) -> Tensor:
    """sigmoid((logits + noise) / temperature), in the logits' dtype.

    The Concrete Distribution (Maddison, Mnih, Teh, 2016), appendix B.
    """
    return tempered(widened(logits) + noise, temperature).sigmoid().to(logits.dtype)


def before_noise(logits: Tensor, temperature: Temperature, dim: int = -1) -> Tensor:
    """Logits to add noise to, and to divide by a temperature then.

    Centred, unless a row's categories have temperatures of their own: those make several numbers of
    a common constant.
    """
    if isinstance(temperature, Tensor):
        place = dim if dim < 0 else dim - logits.ndim
        if -place <= temperature.ndim and temperature.shape[place] > 1:
            return widened(logits)
    return centred(logits, dim)


def tempered(scores: Tensor, temperature: Temperature) -> Tensor:
    """scores / temperature, with a finite gradient to the temperature where a score is infinite."""
    if not isinstance(temperature, Tensor):
        return scores if temperature == 1 else scores / temperature
    # an infinite score is kept out of the division
    certain = scores.isinf()
    return torch.where(certain, scores, torch.where(certain, 0.0, scores) / temperature)
