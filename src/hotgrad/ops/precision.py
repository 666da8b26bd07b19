"""Numbers that rounding spares: wide enough to be added up, near enough to 0 to have noise added.

A sum of half-precision terms overflows at 65,520 of them, and a difference of two such sums keeps
no digit. And noise of size 1 that is added to a float32 number of 1e7 is rounded to a whole number:
the sample would follow another distribution than the probabilities, which no common constant moves.
"""

from typing import Any

import torch
from torch import Tensor

from hotgrad.ops import checks
from hotgrad.ops.noise import noise_dtype

PLAIN = 100.0
"""Beyond logits of this size a float32 probability is 0 or 1. Below it noise keeps five digits
after the point."""


def widened(values: Tensor) -> Tensor:
    """The values in at least float32."""
    return values.to(noise_dtype(values.dtype))


def plain(logits: Tensor) -> bool:
    """Whether all logits are small, where that is seen without waiting for a device.

    Then no state is ruled out or nearly so, and the short formulas hold to the last digits; they
    spare a training step its masks.
    """
    seen = logits.device.type == "cpu" and checks.values_readable(logits)
    if not seen or logits.element_size() < 4 or logits.numel() == 0:
        return False
    low, high = torch.aminmax(logits.detach())
    return low.item() > -PLAIN and high.item() < PLAIN


def centred(logits: Tensor, dim: int = -1) -> Tensor:
    """Logits that are near 0: their maximum along `dim` is subtracted, unless all are small anyway.

    For whatever a common constant leaves alone. In at least float32; the gradient stays as it is.
    -inf remains -inf, also where there is nothing else.
    """
    # on a CPU one look at all numbers is several times faster than a maximum for each short row
    if plain(logits):
        return logits
    top = widened(logits.detach().amax(dim, keepdim=True))
    # an infinite maximum would make NaN of the infinities themselves
    info = torch.finfo(top.dtype)
    return logits - top.clamp(info.min, info.max)


def saturating(values: Tensor) -> Tensor:
    """The values in at least float32, with a gradient that ends at their dtype's largest number.

    That of log x, 1 / x, overflows next to 0, though it stays finite once it is multiplied by x in
    what x was computed from. An infinity would be NaN there.
    """
    wide: Tensor = _Saturating.apply(values)  # type: ignore[no-untyped-call]
    return wide


class _Saturating(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(values: Tensor) -> Tensor:
        return values.to(noise_dtype(values.dtype), copy=True)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.dtype = inputs[0].dtype

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        info = torch.finfo(ctx.dtype)
        return upstream.clamp(info.min, info.max).to(ctx.dtype)
