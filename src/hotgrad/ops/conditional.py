"""Noise conditional on the outcome it led to: given b, the noise whose hard sample is b.

REBAR's z~ and Gumbel-Rao's inner samples are this noise. Both functions are differentiable in the
logits: fresh, unconditional noise goes in, and the result is a smooth map of it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


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
    log_probs = logits.to(noise.dtype).log_softmax(-1)
    chosen = outcome > 0.5
    winner = torch.where(chosen, noise, -torch.inf).amax(-1, keepdim=True)
    return torch.where(chosen, winner - log_probs, -torch.logaddexp(-noise, log_probs - winner))


def logistic_given_outcome(logits: Tensor, outcome: Tensor, noise: Tensor) -> Tensor:
    """Logistic noise conditional on the sign of logits + noise: positive where `outcome` is 1.

    With s = 2 outcome - 1, fresh logistic noise l and softplus(x) = log(1 + e^x),

        noise = s log(exp(s l + softplus(-s a)) + exp(-s a)),    a = logits.

    Reference: REBAR (Tucker et al., 2017), appendix C, rewritten without uniforms so that neither
    tail saturates.
    """
    sign = torch.where(outcome > 0.5, 1.0, -1.0).to(noise.dtype)
    against = -sign * logits.to(noise.dtype)
    return sign * torch.logaddexp(sign * noise + F.softplus(against), against)
