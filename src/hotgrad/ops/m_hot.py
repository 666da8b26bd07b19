"""Relaxed m-hot vectors: m relaxed one-hot columns with distinct winners, and their maximum.

Drawing columns until one's winner is new is drawing winners without replacement. So the winners are
the m largest perturbed logits, and each column is drawn given its winner: no rejection, however
much of the mass one class has.
"""

import torch
from torch import Tensor

from hotgrad.ops.conditional import gumbel_given_outcome
from hotgrad.ops.precision import centred
from hotgrad.ops.relax import Temperature, gumbel_softmax


def relaxed_columns(logits: Tensor, noise: Tensor, temperature: Temperature) -> Tensor:
    """m relaxed one-hot vectors `(..., m, n)`, the j-th of which has the j-th winner.

    The noise that was accepted is treated as fixed: the gradient to the logits is that of the
    softmax alone.

    Args:
        logits: `(..., n)`; -inf masks a class.
        noise: Gumbel noise `(..., m + 1, n)`: row 0 ranks the classes, the others are the columns'.
        temperature: positive; a number, or a tensor that broadcasts against the logits.
    """
    count, classes = noise.shape[-2] - 1, noise.shape[-1]
    fixed = centred(logits.detach()).to(noise.dtype)
    winners = (fixed + noise[..., 0, :]).topk(count).indices.unsqueeze(-1)
    outcome = winners == torch.arange(classes, device=winners.device)
    accepted = gumbel_given_outcome(fixed.unsqueeze(-2), outcome, noise[..., 1:, :])
    if isinstance(temperature, Tensor) and temperature.ndim > 0:
        temperature = temperature.unsqueeze(-2)  # all columns of a row have the row's
    return gumbel_softmax(logits.unsqueeze(-2), accepted, temperature)


def columns_maximum(columns: Tensor) -> Tensor:
    """S of columns `(..., m, n)`: each class's largest entry; zeros for no column."""
    if columns.shape[-2] == 0:
        return columns.sum(-2)
    return columns.amax(-2)
