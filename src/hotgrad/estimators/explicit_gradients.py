"""Gradients computed by hand inside an estimator, and how they reach the parameters alone.

Control variates evaluate f, and differentiate it, where the model must not learn from it. So their
gradient is worked out on a copy of the parameters, and tied to q's own as a finished number.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from hotgrad.ops import over_event
from hotgrad.ops.checks import values_readable

Pull = Callable[[Sequence[Tensor]], tuple[Tensor, ...]]
"""From the outputs' cotangents to the gradients at the points."""


def transformed(*tensors: Tensor) -> bool:
    """Whether torch.func or the compiler is at work, neither of which knows `autograd.grad`."""
    return torch._C._functorch.maybe_current_level() is not None or not values_readable(*tensors)


def pullback(
    function: Callable[..., tuple[tuple[Tensor, ...], Any]],
    points: Sequence[Tensor],
    *,
    create_graph: bool = False,
) -> tuple[tuple[Tensor, ...], Pull, Any]:
    """A function's values at points that nothing flows back from, and its gradients there.

    Args:
        function: from the points to its outputs, and to whatever has no gradient.
        points: taken without their own gradients.
        create_graph: whether the gradients are to be differentiated again, with respect to the
            cotangents too.
    """
    if transformed(*points):
        results: tuple[Any, ...] = torch.func.vjp(
            function, *(point.detach() for point in points), has_aux=True
        )
        outputs, pull, rest = results
        return outputs, lambda cotangents: pull(tuple(cotangents)), rest
    with torch.enable_grad():
        # made in inference mode, one can't require a gradient outside of it
        leaves = [
            (point.clone() if point.is_inference() else point.detach()).requires_grad_()
            for point in points
        ]
        outputs, rest = function(*leaves)

    def gradients(cotangents: Sequence[Tensor]) -> tuple[Tensor, ...]:
        totals = torch.autograd.grad(
            outputs, leaves, cotangents, create_graph=create_graph, allow_unused=True
        )
        # as vjp has it, where the outputs don't depend on a point
        return tuple(
            torch.zeros_like(leaf) if total is None else total
            for leaf, total in zip(leaves, totals, strict=True)
        )

    return outputs, gradients, rest


def with_gradient(
    value: Tensor, carriers: Sequence[Tensor], gradients: Sequence[Tensor], label: str
) -> Tensor:
    """The value `(*batch,)`; what flows back to it also flows, times gradients, to the carriers.

    Args:
        value: whatever gradient it has itself stays.
        carriers: q's parameters, or its mean, each `(*batch, ...)`.
        gradients: per unit of the value, of the carriers' shapes; 0 where those are infinite.
        label: of the estimator, for the error where the gradient is differentiated again.
    """
    for carrier, gradient in zip(carriers, gradients, strict=True):
        certain = carrier.isinf()
        finite = torch.where(certain, 0.0, carrier)
        weight = torch.where(certain, 0.0, gradient.detach()).to(carrier.dtype)
        # 0, with the gradient
        tied = over_event(weight * (finite - finite.detach()), value.ndim)
        value = value + once_differentiable(tied, label, carrier, value)
    return value


def once_differentiable(tied: Tensor, label: str, *sources: Tensor) -> Tensor:
    """A tensor whose gradient is a finished number: to differentiate that raises.

    What flows back to it may be differentiated, as it is passed on; what the number was worked out
    of may not.

    Args:
        tied: what has the gradient.
        label: of the estimator.
        sources: what the number depends on: q's parameters, f's values.
    """
    # the compiler has no second derivatives anyway
    if torch.compiler.is_compiling():
        return tied
    if torch._C._functorch.maybe_current_level() is not None or forward_ad._current_level >= 0:
        same: Tensor = _Once.apply(label, tied, *sources)  # type: ignore[no-untyped-call]
        return same
    if tied.requires_grad:
        # costs nothing unless a graph of the gradient is asked for; the sources don't hold `tied`,
        # which would keep itself alive
        tied.register_hook(lambda upstream: _alarmed(upstream, label, sources))
    return tied


def _alarmed(gradient: Tensor, label: str, sources: Sequence[Tensor]) -> Tensor | None:
    """The gradient with an alarm, if it may be differentiated; None means as it is."""
    if not torch.is_grad_enabled():
        return None
    alarm = _Alarm.apply(label, *sources)  # type: ignore[no-untyped-call]
    return gradient + alarm.to(gradient.dtype)


class NotTwiceDifferentiableError(NotImplementedError):
    """A gradient that is a finished number is to be differentiated."""


class _Once(torch.autograd.Function):
    """The identity, to whose gradient an alarm is added."""

    generate_vmap_rule = True

    @staticmethod
    def forward(label: str, tied: Tensor, *sources: Tensor) -> Tensor:
        return tied.view_as(tied)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.label, _, *sources = inputs
        ctx.save_for_backward(*sources)
        ctx.save_for_forward(*sources)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        alarm = _Alarm.apply(ctx.label, *ctx.saved_tensors)  # type: ignore[no-untyped-call]
        return None, upstream + alarm.to(upstream.dtype), *(None,) * len(ctx.saved_tensors)

    @staticmethod
    def jvp(ctx: Any, _: None, tangent: Tensor, *sources: Tensor) -> Tensor:
        alarm = _Alarm.apply(ctx.label, *ctx.saved_tensors)  # type: ignore[no-untyped-call]
        return tangent + alarm.to(tangent.dtype)


class _Alarm(torch.autograd.Function):
    """0, which raises where it is differentiated, which is on the way to its inputs alone."""

    generate_vmap_rule = True

    @staticmethod
    def forward(label: str, *tensors: Tensor) -> Tensor:
        return tensors[0].new_zeros(())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.label = inputs[0]

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        raise NotTwiceDifferentiableError(
            f"The gradient of {ctx.label} is a finished number and can't be differentiated again. "
            "For second derivatives use Exact(), ScoreFunction() or UnorderedSet()."
        )

    jvp = backward
