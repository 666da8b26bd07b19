"""Relaxed samples of the compiled functions, with their gradients to the logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from hotgrad.ops.kernels.fused import draw_key, functions, usable
from hotgrad.ops.relax import Temperature


def takes_temperature(temperature: Temperature, shape: torch.Size) -> bool:
    """Whether it is a number, or one for each row, without a gradient of its own."""
    if not isinstance(temperature, Tensor):
        return True
    if temperature.requires_grad or not usable(temperature):
        return False
    return temperature.numel() == 1 or temperature.shape == (*shape[:-1], 1)


def relaxed_categories(
    logits: Tensor,
    temperature: Temperature,
    sample_shape: tuple[int, ...],
    generator: torch.Generator | None,
    *,
    hard: bool,
) -> tuple[Tensor, Tensor, bool]:
    """Hard one-hot vectors (the soft ones if there are to be none), soft ones, and if all is well.

    Not well is a row without a possible category, or with NaN: its soft vector is NaN.
    """
    samples = _drawn(_categories, logits, temperature, sample_shape, generator, hard)
    return samples[0], samples[1], samples[2]


def relaxed_bits(
    logits: Tensor,
    temperature: float,
    sample_shape: tuple[int, ...],
    generator: torch.Generator | None,
    *,
    hard: bool,
) -> tuple[Tensor, Tensor]:
    """Hard bits (the soft ones if there are to be none), and soft ones."""
    samples = _drawn(_bits, logits, temperature, sample_shape, generator, hard)
    return samples[0], samples[1]


def _drawn(
    draw: Callable[..., tuple[Any, ...]],
    logits: Tensor,
    temperature: Temperature,
    sample_shape: tuple[int, ...],
    generator: torch.Generator | None,
    hard: bool,
) -> tuple[Any, ...]:
    """Samples of a new key, with a gradient where one is wanted."""
    arguments = logits, temperature, sample_shape, draw_key(generator), hard
    if not (torch.is_grad_enabled() and logits.requires_grad):
        return draw(*arguments)
    samples: tuple[Any, ...] = _Relaxed.apply(draw, *arguments)  # type: ignore[no-untyped-call]
    return samples


def _categories(
    logits: Tensor, temperature: Temperature, sample_shape: Sequence[int], key: int, hard: bool
) -> tuple[Tensor, Tensor, bool]:
    own = logits.contiguous()
    samples: tuple[Tensor, Tensor, bool] = functions().relaxed_categories(
        own, temperature, sample_shape, key, hard=hard
    )
    return samples


def _bits(
    logits: Tensor, temperature: Temperature, sample_shape: Sequence[int], key: int, hard: bool
) -> tuple[Tensor, Tensor]:
    own = logits.contiguous()
    pair: tuple[Tensor, Tensor] = functions().relaxed_bits(
        own, temperature, sample_shape, key, hard=hard
    )
    return pair


class _Relaxed(torch.autograd.Function):
    """Hard and soft samples, with the gradient of the soft ones to the logits.

    A soft sample in float32 is all that the gradient needs. One in half precision has lost digits;
    there it is computed anew from the logits and the key.
    """

    @staticmethod
    def forward(
        ctx: Any,
        draw: Callable[..., tuple[Any, ...]],
        logits: Tensor,
        temperature: Temperature,
        sample_shape: tuple[int, ...],
        key: int,
        hard: bool,
    ) -> tuple[Any, ...]:
        samples = draw(logits, temperature, sample_shape, key, hard)
        if hard:
            ctx.mark_non_differentiable(samples[0])
        ctx.save_for_backward(samples[1] if logits.dtype == torch.float32 else logits)
        ctx.draw, ctx.temperature, ctx.shape, ctx.key = draw, temperature, logits.shape, key
        # else zeros are made for the hard samples
        ctx.set_materialize_grads(False)
        return samples

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> tuple[Any, ...]:
        saved = ctx.saved_tensors[0].contiguous()
        given = upstream[1]
        if given is None:
            return (None,) * 6
        function = _categories_gradient if ctx.draw is _categories else _bits_gradient
        again = torch.is_grad_enabled() or not usable(given)
        gradient = function(given.contiguous(), saved, ctx.temperature, ctx.shape, ctx.key, again)
        gradient = gradient.to(saved.dtype).sum_to_size(ctx.shape)
        return None, gradient, None, None, None, None


def _categories_gradient(
    given: Tensor,
    saved: Tensor,
    temperature: Temperature,
    shape: torch.Size,
    key: int,
    again: bool,
) -> Tensor:
    """The gradient to each sample's logits, which may be differentiated again."""
    single = saved.dtype == torch.float32
    compiled = functions()
    if again:
        soft = saved if single else _softmax(saved, temperature, given.shape, key)
        weighted = given * soft
        return (weighted - soft * weighted.sum(-1, keepdim=True)) / temperature
    if single:
        repeat = shape.numel() // shape[-1]
        return compiled.softmax_gradient(given, saved, temperature, repeat)
    return compiled.relaxed_categories_gradient(saved, given, temperature, key)


def _bits_gradient(
    given: Tensor,
    saved: Tensor,
    temperature: float,
    shape: torch.Size,
    key: int,
    again: bool,
) -> Tensor:
    """The gradient to each sample's logits, which may be differentiated again."""
    if saved.dtype == torch.float32:
        gradient: Tensor = torch.ops.aten.sigmoid_backward(given, saved)
        if temperature == 1:
            return gradient
        return gradient / temperature if again else gradient.div_(temperature)
    compiled = functions()
    if again:
        noise = compiled.noise("logistic", given.shape, key)
        soft = ((saved.float() + noise) / temperature).sigmoid()
        return given * soft * (1 - soft) / temperature
    return compiled.relaxed_bits_gradient(saved, given, temperature, key)


def _softmax(logits: Tensor, temperature: Temperature, shape: torch.Size, key: int) -> Tensor:
    """The relaxed sample of a key, in float32, made of torch's functions."""
    noise = functions().noise("gumbel", shape, key)
    centred = logits.float() - logits.detach().float().amax(-1, keepdim=True)
    return ((centred + noise) / temperature).softmax(-1)
