"""Independent gradient estimates, side by side along the batch."""

from collections.abc import Callable

import torch
from estimators.cases import EVERY, Case, in_one
from torch import Generator, Tensor

import hotgrad as hg

# beside DISTRIBUTIONS, whose subsets of several parts are certain but for one part
CASES = EVERY | {
    "KSubset, two parts": Case(lambda a: hg.KSubset(a, 2).to_event(1), (2, 3), {}),
    "PlackettLuceSubset, two parts": Case(
        lambda a: hg.PlackettLuceSubset(a, 2).to_event(1), (2, 3), {}
    ),
}

Replicate = Callable[[int, Generator], Tensor]


def hinge(z: Tensor, event_dims: int) -> Tensor:
    """A function of pairs that is not smooth."""
    flat = z.reshape((*z.shape[: z.ndim - event_dims], -1))
    weight = torch.linspace(-1, 1.5, flat.shape[-1], dtype=z.dtype)
    return ((flat * weight).sum(-1) - 0.2).abs() + flat[..., 0] * flat[..., -1] + 3.0


def gradients(distribution: str, estimator: hg.Estimator, num_samples: int = 2) -> Replicate:
    """`(n, generator)` to n gradients to the distribution's logits that aren't fixed."""
    case = CASES[distribution]
    start = case.logits().detach()

    def replicate(n: int, generator: Generator) -> Tensor:
        logits = start.expand(n, *start.shape).clone().requires_grad_()
        q = case.make(logits)
        value = hg.expectation(
            lambda z: hinge(in_one(z, q), len(q.event_shape)),
            q,
            estimator,
            num_samples=num_samples,
            generator=generator,
        )
        (gradient,) = torch.autograd.grad(value.sum(), logits)
        return gradient.reshape(n, -1)[:, start.flatten().isfinite()]

    return replicate


def exact_gradient(distribution: str) -> Tensor:
    return gradients(distribution, hg.Exact())(1, Generator())[0]


def nested(
    distribution: str,
    outer: hg.Estimator,
    inner: hg.Estimator,
    num_samples: tuple[int, int] = (1, 1),
) -> Replicate:
    """The same of two bits above the distribution: gradients to the logits of both."""
    case = CASES[distribution]
    top = torch.tensor([0.4, -0.7], dtype=torch.float64)
    below = torch.stack([case.logits(seed=seed).detach() for seed in (1, 2)])

    def replicate(n: int, generator: Generator) -> Tensor:
        logits, weight = (a.expand(n, *a.shape).clone().requires_grad_() for a in (top, below))

        def f(z: Tensor) -> Tensor:
            q = case.make(torch.einsum("snk,nk...->sn...", z, weight))
            return hg.expectation(
                lambda y: hinge(y, len(q.event_shape)) * (0.5 + z[..., 0] * (1 + z[..., 1])),
                q,
                inner,
                num_samples=num_samples[1],
                generator=generator,
            )

        value = hg.expectation(
            f,
            hg.Bernoulli(logits=logits).to_event(1),
            outer,
            num_samples=num_samples[0],
            generator=generator,
        )
        both = torch.autograd.grad(value.sum(), (logits, weight))
        return torch.cat([gradient.flatten(1) for gradient in both], -1)

    return replicate
