"""Gradients computed by hand inside an estimator, and how they reach the logits and nothing else.

Control variates evaluate f, and differentiate it, where the model must not learn from it. So their
gradient is worked out on a copy of the logits, and tied to the law's own as a finished number.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from hotgrad.ops.checks import values_readable

Pull = Callable[[Sequence[Tensor]], Tensor]
"""From the outputs' cotangents to the gradient at the point."""


def pullback(
    function: Callable[[Tensor], tuple[Tensor, ...]], point: Tensor, *, create_graph: bool = False
) -> tuple[tuple[Tensor, ...], Pull]:
    """A function's values at a point that nothing flows back from, and its gradients there.

    Args:
        function: from the point to its outputs.
        point: taken without its own gradient.
        create_graph: whether the gradients are to be differentiated again, with respect to the
            cotangents too.
    """
    transformed = torch._C._functorch.maybe_current_level() is not None
    if transformed or not values_readable(point):
        # autograd.grad knows neither torch.func's transforms nor the compiler
        outputs, pull = torch.func.vjp(function, point.detach())[:2]
        return outputs, lambda cotangents: pull(tuple(cotangents))[0]
    with torch.enable_grad():
        leaf = point.detach().requires_grad_()
        outputs = function(leaf)

    def gradient(cotangents: Sequence[Tensor]) -> Tensor:
        (total,) = torch.autograd.grad(
            outputs, leaf, cotangents, create_graph=create_graph, retain_graph=True
        )
        return total

    return outputs, gradient


def with_gradient(value: Tensor, q: Any, gradient: Tensor) -> Tensor:
    """The value `(*batch,)`, which adds `gradient` to what flows back to the logits of q.

    Args:
        value: whatever it carries itself stays.
        q: the law, whose logits have the gradient's shape `(*batch, *event)`.
        gradient: per unit of the value; where a logit is infinite it is left out.
    """
    logits = q.logits
    certain = logits.isinf()
    finite = torch.where(certain, 0.0, logits)
    weight = torch.where(certain, 0.0, gradient.detach()).to(logits.dtype)
    tied = weight * (finite - finite.detach())
    return value + tied.flatten(value.ndim).sum(-1) if tied.ndim > value.ndim else value + tied
