"""Gradients of the kernels: of the temperature, of the hard samples, and of the gradients again."""

import math
from typing import Any

import pytest
import torch
from ops.kernels.reasons import needs_kernels
from torch import Generator, Tensor

import hotgrad as hg
from hotgrad import ops
from hotgrad.ops.kernels import bits, categories

KINDS: dict[str, tuple[Any, Any, Any]] = {
    "categories": (categories.relaxed_categories, ops.draw_gumbel, ops.gumbel_softmax),
    "bits": (bits.relaxed_bits, ops.draw_logistic, ops.binary_concrete),
}
TOLERANCES = {torch.float32: 2e-5, torch.bfloat16: 0.05, torch.float16: 0.01}
ROWS = torch.tensor([[0.3], [0.7], [1.0], [2.0]])
each = pytest.mark.parametrize("kind", KINDS)


def reference(kind: str, logits: Tensor, temperature: Any, generator: Generator) -> Any:
    """The sample in float64 with all its gradients, and what they are of."""
    _, draw, relax = KINDS[kind]
    noise = draw((3, *logits.shape), generator=generator.clone_state()).double()
    exact = logits.detach().double().requires_grad_()
    if isinstance(temperature, Tensor):
        temperature = temperature.detach().double().requires_grad_(temperature.requires_grad)
    return relax(exact, noise, temperature), exact, temperature


@pytest.mark.parametrize("temperature", [1.0, 0.7, torch.tensor(0.7), ROWS])
@pytest.mark.parametrize("dtype", TOLERANCES)
@each
def test_second_derivatives(
    kind: str, dtype: torch.dtype, temperature: Any, generator: Generator
) -> None:
    logits = torch.randn(4, 9, generator=generator).to(dtype)
    logits[1, 2] = -math.inf
    logits.requires_grad_()
    weights, directions = (torch.randn(*s, 4, 9, generator=generator).to(dtype) for s in ((3,), ()))
    weights.requires_grad_()
    exact, own, _ = reference(kind, logits, temperature, generator)
    y = KINDS[kind][0](logits, temperature, (3,), generator)

    def derivatives(y: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        (first,) = torch.autograd.grad((y * weights.to(y)).sum(), x, create_graph=True)
        return first, *torch.autograd.grad((first * directions.to(y)).sum(), (x, weights))

    tolerance = TOLERANCES[dtype]
    for mine, theirs in zip(derivatives(y, logits), derivatives(exact, own), strict=True):
        assert mine.dtype == dtype
        scale = float(theirs.detach().abs().max())
        torch.testing.assert_close(
            mine.double(), theirs.double(), rtol=tolerance, atol=tolerance * scale
        )


@each
def test_first_derivatives_with_and_without_a_graph_are_one(
    kind: str, generator: Generator
) -> None:
    for dtype, tolerance in TOLERANCES.items():
        logits = torch.randn(4, 9, generator=generator).to(dtype).requires_grad_()
        y = KINDS[kind][0](logits, 0.7, (), generator)
        upstream = torch.randn(4, 9, generator=generator).to(dtype)
        plain, graph = (
            torch.autograd.grad(y, logits, upstream, create_graph=graph, retain_graph=True)[0]
            for graph in (False, True)
        )
        torch.testing.assert_close(plain, graph.detach(), rtol=tolerance, atol=tolerance / 10)


@pytest.mark.parametrize("shape", [(), (4, 1)], ids=str)
@each
def test_gradients_to_the_temperature(kind: str, shape: Any, generator: Generator) -> None:
    logits = torch.randn(4, 9, generator=generator).requires_grad_()
    temperature = (torch.rand(shape, generator=generator) + 0.3).requires_grad_()
    weights = torch.randn(3, 4, 9, generator=generator)
    exact, *inputs = reference(kind, logits, temperature, generator)
    y = KINDS[kind][0](logits, temperature, (3,), generator)
    mine = torch.autograd.grad((y * weights).sum(), (logits, temperature))
    theirs = torch.autograd.grad((exact * weights.double()).sum(), inputs)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("function", [hg.gumbel_softmax, hg.binary_concrete])
def test_hard_samples_have_the_soft_ones_gradient(function: Any, generator: Generator) -> None:
    logits = torch.randn(50, 9, generator=generator).requires_grad_()
    upstream = torch.randn(50, 9, generator=generator)
    hard, soft = (
        function(logits, 0.7, hard=hard, generator=generator.clone_state())
        for hard in (True, False)
    )
    assert set(hard.unique().tolist()) == {0.0, 1.0}
    gradients = [torch.autograd.grad(y, logits, upstream)[0] for y in (hard, soft)]
    assert torch.equal(*gradients)


def test_what_is_saved_may_come_back_in_another_order_of_memory(generator: Generator) -> None:
    """As hooks that keep it elsewhere may have it."""
    logits = torch.randn(50, 9, generator=generator).requires_grad_()
    upstream = torch.randn(50, 9, generator=generator)

    def turned(saved: Tensor) -> Tensor:
        return saved.T.contiguous().T

    gradients = []
    for unpack in (turned, lambda saved: saved):
        with torch.autograd.graph.saved_tensors_hooks(lambda saved: saved, unpack):
            y = categories.relaxed_categories(logits, 0.7, (), generator.clone_state())
            gradients += torch.autograd.grad(y, logits, upstream)
    assert torch.equal(*gradients)


@needs_kernels
def test_a_sample_changed_in_place_is_refused_in_the_backward_pass(generator: Generator) -> None:
    logits = torch.zeros(5, 3, requires_grad=True)
    y = hg.gumbel_softmax(logits, generator=generator)
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
