"""Test bounds with hard samples, in bounded memory: one-sample ELBO, importance-weighted bound."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from hotgrad.ops.checks import check_count, check_function, check_instance
from hotgrad.vae.data import iterate_batches
from hotgrad.vae.model import VAE, Elbo

MAX_ELEMENTS = 2**22
"""Decoder outputs, or elements of codes, held at a time: 16 MiB in float32."""


class Evaluation(NamedTuple):
    """Means over a data set, in nats."""

    elbo: float
    reconstruction: float
    kl: float
    bound: float
    bound_samples: int


@torch.no_grad()
def elbo(model: VAE, x: Tensor, *, generator: torch.Generator | None = None) -> Elbo:
    """The bound with one hard sample for each item and the analytic KL."""
    check_instance(model, VAE, "model")
    q = model.encode(x)
    z = q.sample((1,), generator=generator)
    kl = torch.distributions.kl_divergence(q, model.prior())
    return Elbo(model.log_likelihood(x, z)[0], kl)


@torch.no_grad()
def importance_weighted_bound(
    model: VAE, x: Tensor, *, num_samples: int, generator: torch.Generator | None = None
) -> Tensor:
    r"""The importance-weighted bound of each item, by m hard samples, `(batch,)`.

    $\log \frac{1}{m} \sum_{i=1}^m p(x, z_i) / q(z_i | x)$, $z_i \sim q(z|x)$.

    Its mean is at most log p(x) and rises with m. Samples are drawn and summed in chunks, so memory
    doesn't grow with m.

    Reference: Importance Weighted Autoencoders (Burda, Grosse, Salakhutdinov, 2015), Section 3,
    https://arxiv.org/abs/1509.00519
    """
    check_instance(model, VAE, "model")
    num_samples = check_count(num_samples, "num_samples")
    q, prior = model.encode(x), model.prior()
    chunk = max(1, MAX_ELEMENTS // max(x.numel(), len(x) * model.latent.size))
    total = torch.full(x.shape[:1], -torch.inf, dtype=x.dtype, device=x.device)
    for start in range(0, num_samples, chunk):
        z = q.sample((min(chunk, num_samples - start),), generator=generator)
        # first, since a decoder may change z in place
        log_prior, log_q = prior.log_prob(z), q.log_prob(z)
        log_weight = model.log_likelihood(x, z) + log_prior - log_q
        total = torch.logaddexp(total, log_weight.logsumexp(0))
    return total - math.log(num_samples)


def evaluate(
    model: VAE,
    data: Tensor,
    *,
    num_samples: int = 1000,
    batch_size: int = 100,
    generator: torch.Generator | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Both bounds over a data set `(N, items)`.

    Args:
        model: in evaluation mode.
        data: targets as the likelihood expects them.
        num_samples: m of the importance-weighted bound.
        batch_size: items at a time.
        generator: the source of randomness.
        progress: called with (items done, items in all).
    """
    check_instance(model, VAE, "model")
    check_function(progress, "progress", "(items done, items in all)")
    sums = torch.zeros(3, dtype=torch.float64)
    done = 0
    for x in iterate_batches(data, batch_size, generator=None, shuffle=False):
        terms = elbo(model, x, generator=generator)
        bound = importance_weighted_bound(model, x, num_samples=num_samples, generator=generator)
        batch = torch.stack([terms.reconstruction.sum(), terms.kl.sum(), bound.sum()])
        sums += batch.double().cpu()
        done += len(x)
        progress(done, len(data))
    reconstruction, kl, bound_mean = (sums / len(data)).tolist()
    return Evaluation(reconstruction - kl, reconstruction, kl, bound_mean, num_samples)
