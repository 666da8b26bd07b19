"""The k largest scores, relaxed: softmax after softmax, each past what the earlier ones took."""

import torch
from torch import Tensor

from hotgrad.ops.relax import Temperature, before_noise, tempered
from hotgrad.ops.softmax import log_softmax


def relaxed_top_k(scores: Tensor, k: int, temperature: Temperature) -> Tensor:
    r"""A relaxed k-hot vector along the last dimension: entries in [0, 1] that sum to k.

    $$a^j = \mathrm{softmax}(\alpha^j / \tau), \quad \alpha^{j+1} = \alpha^j + \log(1 - a^j),$$

    with $\alpha^1$ the scores, and the value $v = \sum_{j=1}^k a^j$. Where two scores are close,
    each takes a part of one round and one of them perhaps the whole of a later one, so that an
    entry of v passes 1. The paper leaves it there. Here what is above 1 is shared among the others
    in proportion to the room they have left: the sum stays k.

    Computed in at least float32, with log(1 - a) from the logarithm of a: a score that was taken
    whole is out of the way for all the rounds that follow, however far it led.

    Args:
        scores: `(..., n)`; -inf masks an item.
        k: at most the number of unmasked items.
        temperature: positive; a number, or a tensor that broadcasts against the scores.

    Reference: Reparameterizable Subset Sampling via Continuous Relaxations (Xie, Ermon, 2019),
    Algorithm 2, https://arxiv.org/abs/1901.10517; the relaxation itself: Neural Nearest Neighbors
    Networks (Plötz, Roth, 2018), https://arxiv.org/abs/1810.12575
    """
    alpha = before_noise(scores, temperature)
    masked = alpha.detach() == -torch.inf
    total = torch.where(masked, 0.0, alpha) * 0
    for j in range(k):
        log_taken = log_softmax(tempered(alpha, temperature))
        total = total + log_taken.exp()
        if j < k - 1:
            alpha = torch.where(masked, -torch.inf, alpha + _log_rest(log_taken))
    return _shared(total, masked, k).to(scores.dtype)


def _log_rest(log_taken: Tensor) -> Tensor:
    """log(1 - a) of a softmax's logarithm, exact where a is 1 to the last digit.

    An entry above 1/2 is the largest; what it leaves is what the others have.
    """
    largest = torch.zeros_like(log_taken, dtype=torch.bool).scatter(
        -1, log_taken.detach().argmax(-1, keepdim=True), 1
    )
    others = torch.where(largest, -torch.inf, log_taken)
    # an infinity would stay: the others' logarithm overflows near the least temperature allowed
    left = others.logsumexp(-1, keepdim=True).clamp(min=torch.finfo(others.dtype).min / 4)
    return torch.where(largest, left, torch.log1p(-others.exp()))


def _shared(total: Tensor, masked: Tensor, k: int) -> Tensor:
    """The entries, with what is above 1 shared in proportion to the others' room below it.

    The room exceeds what is above by the number of items left out. Where that is 0, each is 1.
    """
    above = (total - 1).clamp(min=0)
    room = torch.where(masked, 0.0, (1 - total).clamp(min=0))
    share = above.sum(-1, keepdim=True) / room.sum(-1, keepdim=True).clamp(min=0.5)
    certain = (~masked).sum(-1, keepdim=True) == k
    return torch.where(certain & ~masked, 1.0, total - above + room * share.clamp(max=1))
