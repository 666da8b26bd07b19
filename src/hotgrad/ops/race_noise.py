"""Gumbel noise given how the race ended: given the first k in order, or given only their set.

Item i of rate w_i = exp(logit_i) arrives at T_i, and its noise is -log(w_i T_i). Fresh noise goes
in, `-log E_i` with E_i exponential, and comes out as a smooth map of it that leads to the outcome.
"""

import torch
from torch import Tensor

from hotgrad.ops.precision import centred
from hotgrad.ops.quadrature import gauss_legendre
from hotgrad.ops.race import (
    SetRace,
    bisect,
    log_arrived,
    order_rates,
    running_logsumexp,
)
from hotgrad.ops.softmax import logaddexp

PANELS = 48
NODES = 8
AT_ONCE = 2**17
"""The most integrands worked out together: more don't fit into a processor's cache."""


def gumbel_given_order(logits: Tensor, order: Tensor, noise: Tensor) -> Tensor:
    """Noise whose k largest perturbed logits are those of `order`, the largest first.

    The j-th arrives E / (the rate of all that are left) after the one before; the others E_i / w_i
    after the k-th.

    Args:
        logits: `(..., n)`; -inf masks an item.
        order: indices, `(..., k)`.
        noise: fresh standard Gumbel noise, `(..., n)`.
    """
    logits = centred(logits).to(noise.dtype)
    shape = torch.broadcast_shapes(logits.shape[:-1], order.shape[:-1], noise.shape[:-1])
    logits, noise = (x.expand((*shape, x.shape[-1])) for x in (logits, noise))
    order = order.expand((*shape, order.shape[-1]))
    if order.shape[-1] == 0:
        return noise
    drawn, left = order_rates(logits, order)
    gaps = -noise.gather(-1, order) - left
    times = running_logsumexp(gaps)
    masked = logits == -torch.inf
    later = -noise - torch.where(masked, 0.0, logits)
    later = logaddexp(times[..., -1:], later)
    later = torch.where(masked, noise, -later - torch.where(masked, 0.0, logits))
    return later.scatter(-1, order, -drawn - times)


def gumbel_given_set(logits: Tensor, chosen: Tensor, noise: Tensor, k: int) -> Tensor:
    """Noise whose k largest perturbed logits are those that `chosen` marks, in whatever order.

    Given the set, the others' first arrival has the density of `log_prob_of_set`'s integral, and is
    drawn by inverting its distribution function. Given that time, each member's arrival is an
    exponential one before it, and what the other arrivals exceed it by is as it was.

    Args:
        logits: `(..., n)`; -inf masks an item.
        chosen: k-hot, broadcasts against the logits.
        noise: fresh standard Gumbel noise, broadcasts against the logits.
        k: how many are marked.
    """
    logits, chosen, noise = torch.broadcast_tensors(
        centred(logits).to(noise.dtype), chosen > 0.5, noise
    )
    race = SetRace(logits, chosen, k)
    masked = logits == -torch.inf
    log_rates = torch.where(masked, 0.0, race.log_rates)
    alone = (race.unopposed.unsqueeze(-1) | masked).expand_as(masked)
    # the clock is y = log(W t), on which the others' fresh first arrival is exponential
    fresh = -noise - log_rates
    rivals = torch.where(chosen | masked, torch.inf, fresh)
    first = rivals.amin(-1, keepdim=True)
    first = torch.where(first == torch.inf, 0.0, first)
    clock = _quantile(race, -torch.expm1(-first.squeeze(-1).exp())).unsqueeze(-1)
    winner = rivals <= first
    excess = torch.where(winner | chosen | masked, 0.0, fresh - first)
    slower = excess > 0
    behind = fresh + (-torch.expm1(-torch.where(slower, excess, 1.0))).log()
    later = torch.where(slower, logaddexp(clock, behind), clock)
    time = torch.where(chosen, _before(log_rates + clock, noise), later + log_rates)
    return torch.where(alone, noise, -time)


def _before(limit: Tensor, noise: Tensor) -> Tensor:
    """log of an exponential time given that it is before e^limit, from fresh noise.

    The fresh time's distribution function, times that of the limit, is the time's own.
    """
    e, fresh = (x.clamp(max=6.0).exp() for x in (limit, -noise))
    log_level = log_arrived(-noise) + log_arrived(limit)
    level = log_level.exp()
    # -log(1 - level) in the form that neither cancels nor underflows
    close, tiny = level > 0.5, level < 1e-4
    late = logaddexp(-fresh, log_arrived(-noise) - e)
    early = -torch.log1p(-torch.where(close | tiny, 0.1, level))
    series = log_level + level / 2 + level.square() * (5 / 24)
    return torch.where(tiny, series, torch.where(close, -late, early).log())


def _quantile(race: SetRace, level: Tensor) -> Tensor:
    """The clock by which the others' first arrival, given the set, has come with this probability.

    Found without a gradient; then two Newton steps, which make it exact and carry the gradient of
    the implicit function: one step the first derivative, two also the second and the third.
    """
    nodes, weights = gauss_legendre(NODES, level)

    def integral(low: Tensor, high: Tensor) -> Tensor:
        half = (high - low) / 2
        points = (low + high) / 2 + half * nodes.view(-1, *(1,) * half.ndim)
        density = (race.log_density(points) - scale).exp()
        return (density * weights.view(-1, *(1,) * half.ndim)).sum(0) * half

    with torch.no_grad():
        low, high = race.window()
        grid = torch.linspace(0, 1, PANELS + 1).to(level).view(-1, *(1,) * level.ndim)
        edges = low + (high - low) * grid
        scale = race.log_density(edges).amax(0)
    at_once = max(1, AT_ONCE // (NODES * max(1, race.member_rates.numel())))
    panels = zip(edges[:-1].split(at_once), edges[1:].split(at_once), strict=True)
    parts = torch.cat([integral(*ends) for ends in panels])
    below = torch.cat([torch.zeros_like(parts[:1]), parts.cumsum(0)])
    target = level * below[-1]
    panel = (below[1:] < target).sum(0, keepdim=True).clamp(max=PANELS - 1)
    start, end = edges.gather(0, panel)[0], edges.gather(0, panel + 1)[0]
    rest = target - below.gather(0, panel)[0]
    with torch.no_grad():
        clock = bisect(lambda y: integral(start, y) > rest, start, end)
    for _ in range(2):
        density = (race.log_density(clock) - scale).exp()
        clock = (clock - (integral(start, clock) - rest) / density).clamp(start, end)
    return clock
