"""Relaxations: the argmax of perturbed logits replaced by a softmax at a temperature.

Half-precision logits are relaxed in float32 (the noise's dtype promotes them) and cast back at the end: a score
divided by a temperature of 1e-3 doesn't fit into float16, and bfloat16 scores tie.
"""

import torch
from torch import Tensor

Temperature = float | Tensor


def gumbel_softmax(logits: Tensor, noise: Tensor | float, temperature: Temperature, dim: int = -1) -> Tensor:
    """softmax((logits + noise) / temperature), in the logits' dtype.

    Categorical Reparameterization with Gumbel-Softmax (Jang, Gu, Poole, 2016), Eq. 2.
    """
    return ((logits + noise) / temperature).softmax(dim).to(logits.dtype)


def log_gumbel_softmax(logits: Tensor, noise: Tensor | float, temperature: Temperature) -> Tensor:
    """The logarithm of `gumbel_softmax`, finite where the sample itself underflows to 0; in the noise's dtype."""
    return ((logits + noise) / temperature).log_softmax(-1)


def binary_concrete(logits: Tensor, noise: Tensor | float, temperature: Temperature) -> Tensor:
    """sigmoid((logits + noise) / temperature), in the logits' dtype.

    The Concrete Distribution (Maddison, Mnih, Teh, 2016), Eq. 16, with the temperature inside.
    """
    return torch.sigmoid((logits + noise) / temperature).to(logits.dtype)
