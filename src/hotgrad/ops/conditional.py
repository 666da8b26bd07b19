"""Noise conditional on the outcome it led to: given b, the noise whose hard sample is b.

REBAR's z~ and Gumbel-Rao's inner samples are this noise. Both functions are differentiable in the
logits: fresh, unconditional noise goes in, and the result is a smooth map of it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from hotgrad.ops.softmax import log_softmax, logaddexp


def gumbel_given_outcome(logits: Tensor, outcome: Tensor, noise: Tensor) -> Tensor:
    """Gumbel noise conditional on argmax(logits + noise) being `outcome`'s category.

    As an exponential race with rates p = softmax(logits): the winner w arrives at T ~ Exp(1), class
    i at T + E_i / p_i. With E = exp(-noise) fresh, and noise_i = -log(p_i * arrival_i),

        noise_w = g_w - log p_w,      noise_i = -log(E_i + p_i E_w).

    Args:
        logits: `(..., K)`, unnormalised; -inf masks a class.
        outcome: one-hot, broadcasts against the logits.
        noise: fresh standard Gumbel noise, broadcasts against the logits.

    Reference: REBAR (Tucker et al., 2017), appendix C, with the classes' rates kept in log space.
    """
    log_probs = log_softmax(logits.to(noise.dtype))
    chosen = outcome > 0.5
    shape = torch.broadcast_shapes(chosen.shape, noise.shape)
    index = chosen.max(-1, keepdim=True).indices.expand((*shape[:-1], 1))
    winner = noise.expand(shape).gather(-1, index)
    # a masked class, of rate 0, is kept out: logaddexp takes finite terms
    masked = log_probs == -torch.inf
    log_rates = torch.where(masked, 0.0, log_probs)
    loser = torch.where(masked, noise, -logaddexp(-noise, log_rates - winner))
    return torch.where(chosen, winner - log_probs, loser)


def logistic_given_outcome(logits: Tensor, outcome: Tensor, noise: Tensor) -> Tensor:
    """Logistic noise conditional on the sign of logits + noise: positive where `outcome` is 1.

    With s = 2 outcome - 1, fresh logistic noise l and softplus(x) = log(1 + e^x),

        noise = s log(exp(s l + softplus(-s a)) + exp(-s a)),    a = logits.

    Reference: REBAR (Tucker et al., 2017), appendix C, rewritten without uniforms so that neither
    tail saturates.
    """
    sign = torch.where(outcome > 0.5, 1.0, -1.0).to(noise.dtype)
    against = -sign * logits.to(noise.dtype)
    # a certain bit's noise is unconditional: logaddexp takes finite terms
    certain = against == -torch.inf
    against = torch.where(certain, 0.0, against)
    # logsigmoid, since torch's softplus is off by 2e-9 at 20
    given = sign * logaddexp(sign * noise - F.logsigmoid(-against), against)
    return torch.where(certain, noise, given)
