"""Perturbed scores with the slope of their noise, and the two gradients of a MAP state, by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from hotgrad import ops

INF = torch.inf


def one_hot(scores: Tensor) -> Tensor:
    return ops.one_hot_argmax(scores, scores.dtype)


def two_hot(scores: Tensor) -> Tensor:
    return ops.k_hot(scores, 2, scores.dtype)


def bits(scores: Tensor) -> Tensor:
    return ops.threshold(scores, scores.dtype)


Argmax = Callable[[Tensor], Tensor]
STATES: list[tuple[Argmax, int]] = [(one_hot, 1), (two_hot, 1), (bits, 0)]


def of_logits(argmax: Argmax) -> Callable[[dict[str, Tensor]], Tensor]:
    """From the scores of the one parameter there is."""
    return lambda scores: argmax(scores["logits"])


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_logistic_slope_is_that_of_the_density(scale: float, generator: Generator) -> None:
    logits = torch.tensor([0.3, INF, -INF, -2.0], dtype=torch.float64)
    noise = ops.draw_logistic((9, 4), dtype=torch.float64, generator=generator)
    perturbed = ops.perturbed_by_logistic(logits, noise, scale)
    scores = (logits.nan_to_num(0, 0, 0) + scale * noise).requires_grad_()
    # the density of scale * noise around the logits
    x = (scores - logits.nan_to_num(0, 0, 0)) / scale
    minus_log = (x + 2 * torch.nn.functional.softplus(-x)).sum()
    (slope,) = torch.autograd.grad(minus_log, scores)
    finite = logits.isfinite()
    torch.testing.assert_close(perturbed.scores[:, finite], scores.detach()[:, finite])
    torch.testing.assert_close(perturbed.slope[:, finite], slope[:, finite])
    assert (perturbed.slope[:, ~finite] == 0).all()


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_gumbel_slope_is_the_densitys_mean_given_the_differences(
    scale: float, generator: Generator
) -> None:
    logits = torch.tensor([0.3, -INF, 1.0, -2.0], dtype=torch.float64)
    noise = ops.draw_gumbel((9, 4), dtype=torch.float64, generator=generator)
    slope = ops.perturbed_by_gumbel(logits, noise, scale).slope
    # all noise that is a common shift away, weighed with its joint density
    shift = torch.linspace(-12, 40, 20_001, dtype=torch.float64).view(-1, 1, 1)
    shifted = noise[:, logits.isfinite()] + shift
    weight = (-shifted - (-shifted).exp()).sum(-1, keepdim=True).exp()
    mean = ((1 - (-shifted).exp()) * weight).sum(0) / weight.sum(0) / scale
    torch.testing.assert_close(slope[:, logits.isfinite()], mean)
    torch.testing.assert_close(slope.sum(-1), torch.zeros(9).double(), rtol=0, atol=1e-12)
    assert (slope[:, 1] == 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_scores_are_at_least_single_precision(dtype: torch.dtype) -> None:
    for perturbed in (ops.perturbed_by_gumbel, ops.perturbed_by_logistic):
        result = perturbed(torch.zeros(3, dtype=dtype), torch.ones(3))
        assert result.scores.dtype == result.slope.dtype == torch.float32


@pytest.mark.parametrize(("argmax", "event_dims"), STATES)
def test_gradient_by_the_slope(argmax: Argmax, event_dims: int, generator: Generator) -> None:
    scores, slope, gradient = torch.randn(3, 7, 5, generator=generator, dtype=torch.float64)
    scores[:, 3] = -INF
    slope[:, 3] = 0
    scores.requires_grad_()
    reference = argmax(torch.arange(5.0).double())
    z = ops.map_with_slope(
        {"logits": scores}, {"logits": slope}, of_logits(argmax), reference, event_dims
    )
    assert torch.equal(z, argmax(scores))
    (result,) = torch.autograd.grad(z, scores, gradient)
    inner = gradient * (z.detach() - reference)
    inner = inner.sum(-1, keepdim=True) if event_dims else inner
    torch.testing.assert_close(result, inner * slope)


def finite_difference(scores: Tensor, argmax: Argmax, gradient: Tensor, event_dims: int) -> Tensor:
    scores = scores.clone().requires_grad_()
    z = ops.map_with_finite_difference(
        {"logits": scores}, of_logits(argmax), lambda z: {"logits": z}, 0.7, event_dims
    )
    assert torch.equal(z, argmax(scores))
    return torch.autograd.grad(z, scores, gradient)[0]


@pytest.mark.parametrize(("argmax", "event_dims"), STATES)
def test_gradient_by_a_finite_difference(
    argmax: Argmax, event_dims: int, generator: Generator
) -> None:
    scores, gradient = torch.randn(2, 50, 5, generator=generator, dtype=torch.float64)
    result = finite_difference(scores, argmax, gradient, event_dims)
    reach = gradient.abs()
    if event_dims:
        reach = (gradient.amax(-1, keepdim=True) - gradient.amin(-1, keepdim=True)) / 2
    step = 0.7 / reach
    torch.testing.assert_close(result, (argmax(scores) - argmax(scores - step * gradient)) / step)
    assert result.count_nonzero() > 5
    # the size of the gradient is the result's, and nothing else
    torch.testing.assert_close(
        finite_difference(scores, argmax, 1e-6 * gradient, event_dims), 1e-6 * result
    )


@pytest.mark.parametrize("argmax", [one_hot, two_hot])
def test_a_common_part_of_the_gradient_does_not_use_up_the_step(
    argmax: Argmax, generator: Generator
) -> None:
    scores, gradient = torch.randn(2, 50, 5, generator=generator, dtype=torch.float64)
    result = finite_difference(scores, argmax, gradient, 1)
    torch.testing.assert_close(finite_difference(scores, argmax, gradient + 1e3, 1), result)


@pytest.mark.parametrize(("argmax", "event_dims"), STATES)
def test_a_mask_takes_no_part_in_the_finite_difference(
    argmax: Argmax, event_dims: int, generator: Generator
) -> None:
    scores, gradient = torch.randn(2, 50, 5, generator=generator, dtype=torch.float64)
    scores[:, 4] = -INF
    for there in (0.0, 1e9):
        gradient[:, 4] = there
        result = finite_difference(scores, argmax, gradient, event_dims)
        assert (result[:, 4] == 0).all()
        left = finite_difference(scores[:, :4], argmax, gradient[:, :4], event_dims)
        torch.testing.assert_close(result[:, :4], left)


@pytest.mark.parametrize(("argmax", "event_dims"), STATES)
def test_no_gradient_gives_none_and_nan_gives_nan(argmax: Argmax, event_dims: int) -> None:
    scores = torch.tensor([2.0, 0.5, -1.0, 0.1])
    assert torch.equal(
        finite_difference(scores, argmax, torch.zeros(4), event_dims), torch.zeros(4)
    )
    broken = finite_difference(scores, argmax, torch.full((4,), torch.nan), event_dims)
    assert broken.isnan().all()
