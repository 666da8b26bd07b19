"""Gradients computed by hand inside an estimator, and how they reach the logits and nothing else.

Control variates evaluate f, and differentiate it, where the model must not learn from it. So their
gradient is worked out on a copy of the logits, and tied to the law's own as a finished number.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from hotgrad.ops import over_event
from hotgrad.ops.checks import values_readable

Pull = Callable[[Sequence[Tensor]], Tensor]
"""From the outputs' cotangents to the gradient at the point."""


def transformed(tensor: Tensor) -> bool:
    """Whether torch.func or the compiler is at work, neither of which knows `autograd.grad`."""
    return torch._C._functorch.maybe_current_level() is not None or not values_readable(tensor)


def pullback(
    function: Callable[[Tensor], tuple[tuple[Tensor, ...], Any]],
    point: Tensor,
    *,
    create_graph: bool = False,
) -> tuple[tuple[Tensor, ...], Pull, Any]:
    """A function's values at a point that nothing flows back from, and its gradients there.

    Args:
        function: from the point to its outputs, and to whatever has no gradient.
        point: taken without its own gradient.
        create_graph: whether the gradients are to be differentiated again, with respect to the
            cotangents too.
    """
    if transformed(point):
        results: tuple[Any, ...] = torch.func.vjp(function, point.detach(), has_aux=True)
        outputs, pull, rest = results
        return outputs, lambda cotangents: pull(tuple(cotangents))[0], rest
    with torch.enable_grad():
        # made in inference mode, it can't require a gradient outside of it
        leaf = (point.clone() if point.is_inference() else point.detach()).requires_grad_()
        outputs, rest = function(leaf)

    def gradient(cotangents: Sequence[Tensor]) -> Tensor:
        (total,) = torch.autograd.grad(
            outputs, leaf, cotangents, create_graph=create_graph, allow_unused=True
        )
        # as vjp has it, where the outputs don't depend on the point
        return torch.zeros_like(leaf) if total is None else total

    return outputs, gradient, rest


def with_gradient(value: Tensor, carrier: Tensor, gradient: Tensor) -> Tensor:
    """The value `(*batch,)`; what flows back to it also flows, times `gradient`, to the carrier.

    Args:
        value: whatever gradient it has itself stays.
        carrier: the law's logits, or its mean, `(*batch, *event)`.
        gradient: per unit of the value, of the carrier's shape; 0 where that is infinite.
    """
    certain = carrier.isinf()
    finite = torch.where(certain, 0.0, carrier)
    weight = torch.where(certain, 0.0, gradient.detach()).to(carrier.dtype)
    tied = weight * (finite - finite.detach())
    return value + over_event(tied, value.ndim)
