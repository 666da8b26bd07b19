"""RelaxedTopK against its own target: the gradient of the objective whose z is relaxed."""

from collections.abc import Callable

import pytest
import torch
from stats import unbiased
from torch import Generator, Tensor

import hotgrad as hg
from hotgrad import ops

TEMPERATURE = 0.7
LOGITS = torch.tensor([0.4, -0.3, 0.8, 0.1], dtype=torch.float64)
WEIGHT = torch.tensor([1.0, -0.6, 0.3, 1.4], dtype=torch.float64)


def bent(z: Tensor) -> Tensor:
    """An f that tells the inside from the vertices."""
    return z.square() @ WEIGHT


def by_the_density(k: int, temperature: float) -> Callable[[int, Generator], Tensor]:
    """Gradients of E[f(v)] as f times the slope of the noise's density: nothing is differentiated.

    Less the pathwise gradient at the same noise, so that the mean of the difference is 0.
    """

    def replicate(n: int, generator: Generator) -> Tensor:
        logits = LOGITS.expand(n, 4).clone().requires_grad_()
        q = hg.PlackettLuceSubset(logits, k)
        noise = q.perturb(generator=generator.clone_state())["logits"].detach() - LOGITS
        v = ops.relaxed_top_k(LOGITS + noise, k, TEMPERATURE)
        slope = ops.perturbed_by_gumbel(LOGITS, noise).slope
        value = hg.expectation(bent, q, hg.RelaxedTopK(temperature), generator=generator)
        (pathwise,) = torch.autograd.grad(value.sum(), logits)
        return pathwise - (bent(v) - bent(v).mean()).unsqueeze(-1) * slope

    return replicate


@pytest.mark.parametrize("k", [1, 2, 3])
def test_its_mean_is_the_gradient_of_the_relaxed_objective(k: int, generator: Generator) -> None:
    zero = torch.zeros(4, dtype=torch.float64)
    right = by_the_density(k, TEMPERATURE)
    assert unbiased(right, zero, delta=0.015, generator=generator)
    # the mutant: another temperature
    assert not unbiased(by_the_density(k, 3 * TEMPERATURE), zero, delta=0.015, generator=generator)


def test_one_of_n_is_gumbel_softmax(generator: Generator) -> None:
    results = []
    for q, estimator in (
        (hg.PlackettLuceSubset, hg.RelaxedTopK(TEMPERATURE)),
        (hg.OneHotCategorical, hg.GumbelSoftmax(TEMPERATURE)),
    ):
        logits = LOGITS.expand(50, 4).clone().requires_grad_()
        distribution = q(logits, 1) if q is hg.PlackettLuceSubset else q(logits=logits)
        value = hg.expectation(
            bent, distribution, estimator, num_samples=3, generator=generator.clone_state()
        )
        results.append((value, torch.autograd.grad(value.sum(), logits)[0]))
    torch.testing.assert_close(*results)


def test_cold_it_is_the_hard_sample_of_the_same_noise(generator: Generator) -> None:
    q = hg.PlackettLuceSubset(LOGITS.expand(1000, 4), 2)
    relaxed = hg.RelaxedTopK(1e-6).sample(q, generator=generator.clone_state())
    torch.testing.assert_close(relaxed, q.sample(generator=generator), rtol=0, atol=1e-3)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 5.0])
def test_samples_have_entries_in_the_unit_interval_that_sum_to_k(
    temperature: float, generator: Generator
) -> None:
    q = hg.PlackettLuceSubset(LOGITS.float().expand(1000, 4), 3)
    v = hg.RelaxedTopK(temperature).sample(q, (2,), generator=generator)
    assert v.min() >= 0
    assert v.max() <= 1 + 1e-6
    torch.testing.assert_close(v.sum(-1), torch.full((2, 1000), 3.0), rtol=0, atol=1e-5)
