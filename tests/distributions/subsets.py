"""The distributions of k of n by brute force, and the cells of their joint distributions."""

import itertools
import math

import torch
from torch import Tensor


def k_hot_vectors(n: int, k: int) -> Tensor:
    """All of them, `(n choose k, n)`, the first items' first."""
    chosen = list(itertools.combinations(range(n), k))
    return torch.tensor([[float(i in row) for i in range(n)] for row in chosen]).double()


def product_log_probs(logits: Tensor, k: int) -> Tensor:
    """log p(S) of the distribution proportional to the weights' product, `(states, *batch)`."""
    states = k_hot_vectors(logits.shape[-1], k)
    states = states.view(len(states), *(1,) * (logits.ndim - 1), -1)
    return torch.where(states == 1, logits.double(), 0.0).sum(-1).log_softmax(0)


def order_log_prob(logits: Tensor, order: Tensor) -> Tensor:
    """log-probability of drawing the items `order` `(..., k)` one by one, for logits `(n,)`."""
    left = logits.double().expand(*order.shape[:-1], -1)
    total = torch.zeros(order.shape[:-1], dtype=torch.float64)
    for item in order.unsqueeze(-1).unbind(-2):
        total = total + left.log_softmax(-1).gather(-1, item).squeeze(-1)
        left = left.scatter(-1, item, -math.inf)
    return total


def race_log_probs(logits: Tensor, k: int) -> Tensor:
    """log P(S) of k of n drawn one after another, `(states,)`: the sum over all orders."""
    sets = itertools.combinations(range(logits.shape[-1]), k)
    orders = torch.tensor([list(itertools.permutations(one)) for one in sets], dtype=torch.long)
    return order_log_prob(logits, orders).logsumexp(-1)


def marginals(log_probs: Tensor, n: int, k: int) -> Tensor:
    """P(item i is chosen), `(*batch, n)`."""
    return torch.einsum("s...,sn->...n", log_probs.exp(), k_hot_vectors(n, k))


def counts_of(z: Tensor, k: int) -> Tensor:
    """How often each k-hot vector came among the rows of `(samples, n)`."""
    n = z.shape[-1]
    place = 2 ** torch.arange(n)
    number = torch.full((2**n,), -1)
    number[k_hot_vectors(n, k).long() @ place] = torch.arange(math.comb(n, k))
    cells = number[z.long() @ place]
    assert bool((cells >= 0).all()), "some rows are not k-hot"
    return torch.bincount(cells, minlength=math.comb(n, k))
