"""What `benchmarks.subsets` compares with, written by hand in plain PyTorch."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Code = Callable[[Tensor, int], tuple[Tensor, Tensor]]
"""From logits `(batch, variables, n)` and k to codes with a gradient, and the KL of each item."""


def top_k_straight_through(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of logits + Gumbel noise, the gradient of k times the softmax; no KL at all."""
    gumbel = -torch.empty_like(logits).exponential_().log()
    chosen = (logits + gumbel).topk(k).indices
    hard = torch.zeros_like(logits).scatter_(-1, chosen, 1.0)
    soft = k * logits.softmax(-1)
    return hard + soft - soft.detach(), logits.new_zeros(len(logits))


def top_k_with_softmax_kl(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The same, with the KL of one draw from the softmax in place of the subset's."""
    z, _ = top_k_straight_through(logits, k)
    log_q = logits.log_softmax(-1)
    return z, (log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum((-1, -2))


def plain_dynamic_programme(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Exact samples, marginals and KL from the textbook's table in log space, by autograd."""
    table = log_table(logits, k)
    log_normaliser = table[-1][..., k]
    marginals = marginals_by_autograd(logits, log_normaliser)
    z = sample_from_table([level.detach() for level in table], logits.detach(), k)
    states = math.log(math.comb(logits.shape[-1], k))
    kl = ((marginals * logits).sum(-1) - log_normaliser + states).sum(-1)
    return z + marginals - marginals.detach(), kl


def marginals_by_autograd(logits: Tensor, log_normaliser: Tensor) -> Tensor:
    """The gradient of the log-normaliser, differentiable once more."""
    (marginals,) = torch.autograd.grad(log_normaliser.sum(), logits, create_graph=True)
    return marginals


def log_table(logits: Tensor, k: int) -> list[Tensor]:
    """log of the sum over subsets of j of the first i items, item after item, `(..., k + 1)`."""
    level = logits.new_full((*logits.shape[:-1], k + 1), -1e30)
    level[..., 0] = 0.0
    table = [level]
    for i in range(logits.shape[-1]):
        taken = F.pad(level[..., :-1] + logits[..., i : i + 1], (1, 0), value=-1e30)
        level = torch.logaddexp(level, taken)
        table.append(level)
    return table


def sample_from_table(table: list[Tensor], logits: Tensor, k: int) -> Tensor:
    """From the last item to the first: is it among the j that are left to choose?"""
    left = torch.full_like(logits[..., :1], k, dtype=torch.long)
    chosen = []
    for i in range(logits.shape[-1] - 1, -1, -1):
        without = table[i].gather(-1, (left - 1).clamp(min=0))
        log_prob = without + logits[..., i : i + 1] - table[i + 1].gather(-1, left)
        taken = (torch.rand_like(log_prob).log() < log_prob) & (left > 0)
        left = left - taken.long()
        chosen.append(taken)
    return torch.cat(chosen[::-1], -1).to(logits.dtype)


def hand_written_step(
    code: Code, x: Tensor, *, hidden: tuple[int, int], variables: int, n: int, k: int
) -> Callable[[], float]:
    """One training step of the autoencoder with that code."""
    outer, inner = hidden
    encoder = nn.Sequential(
        *(nn.Linear(x.shape[1], outer), nn.ReLU(), nn.Linear(outer, inner), nn.ReLU()),
        nn.Linear(inner, variables * n),
    )
    decoder = nn.Sequential(
        *(nn.Linear(variables * n, inner), nn.ReLU(), nn.Linear(inner, outer), nn.ReLU()),
        nn.Linear(outer, x.shape[1]),
    )
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, 5e-4, fused=True)

    def step() -> float:
        z, kl = code(encoder(x).view(-1, variables, n), k)
        outputs = decoder(z.flatten(1))
        loss = F.binary_cross_entropy_with_logits(outputs, x, reduction="none").sum(-1)
        mean = (loss + kl).mean()
        optimizer.zero_grad()
        mean.backward()
        optimizer.step()
        return mean.item()

    return step


def m_hot_by_rejection(logits: Tensor, m: int, temperature: float) -> Tensor:
    """The row-wise maximum of m relaxed columns, each drawn again while its winner isn't new."""
    columns: list[Tensor] = []
    seen = torch.zeros_like(logits)
    for _ in range(m):
        column = F.gumbel_softmax(logits, temperature)
        while True:
            winner = column.argmax(-1, keepdim=True)
            again = seen.gather(-1, winner).squeeze(-1) > 0
            if not bool(again.any()):
                break
            column[again] = F.gumbel_softmax(logits[again], temperature)
        seen = seen.scatter(-1, winner, 1.0)
        columns.append(column)
    return torch.stack(columns).amax(0)


def independent_columns(logits: Tensor, m: int, temperature: float) -> Tensor:
    """The maximum of m columns by torch's function; winners may coincide, so it isn't m-hot."""
    return torch.stack([F.gumbel_softmax(logits, temperature) for _ in range(m)]).amax(0)
