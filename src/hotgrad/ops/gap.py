"""The least move of the logits that puts a given outcome ahead of the rest by a gap.

What such a move leaves is a softmax that agrees with the hard sample, without any noise in it.
"""

import torch
from torch import Tensor

from hotgrad.ops.precision import widened


def gap_noise_of_categories(logits: Tensor, outcome: Tensor, gap: float) -> Tensor:
    r"""The move that puts the outcome's category ahead by a gap, a constant.

    $m_1 - m_2$, to be added to logits `(..., K)`:

    $$m_1 = (\max_j \theta_j - \langle \theta, D \rangle) D, \quad
    m_2 = (\theta + \mathrm{gap} - \max_j \theta_j)_+ \odot (1 - D):$$

    the chosen category D is raised to the largest logit, and the others are lowered until they are
    `gap` below it.

    Reference: Training Discrete Deep Generative Models via Gapped Straight-Through Estimator (Fan,
    Chi, Rudnicky, Ramadge, 2022), Section 3.2, https://arxiv.org/abs/2206.07235
    """
    theta = widened(logits.detach())
    # a masked category is never chosen, and already below by more than any gap
    theta = torch.where(theta == -torch.inf, torch.finfo(theta.dtype).min, theta)
    top = theta.amax(-1, keepdim=True)
    chosen = outcome > 0.5
    return torch.where(chosen, top - theta, -(theta - top + gap).clamp(min=0))


def gap_noise_of_bits(logits: Tensor, outcome: Tensor, gap: float) -> Tensor:
    """The same for a bit, a choice of two: log-odds a become s max(s a, gap), s = 2 outcome - 1."""
    odds = widened(logits.detach())
    sign = torch.where(outcome > 0.5, 1.0, -1.0).to(odds.dtype)
    # a certain bit is infinitely far ahead
    ahead = torch.where(odds.isinf(), gap, sign * odds)
    return sign * (gap - ahead).clamp(min=0)
