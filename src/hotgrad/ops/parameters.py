"""Checks of logits and probs: their shapes, and their values row by row where they are readable."""

import math

import torch
from torch import Tensor

from hotgrad.ops import checks


def check_parameter(value: Tensor, name: str, *, event_dims: int, dim: int = -1) -> None:
    """Logits and probs are floating point tensors with at least the event's dimensions.

    Where there is one, `dim` is that of the categories.
    """
    if not isinstance(value, Tensor):
        raise ValueError(f"{name} must be a tensor, got {type(value).__name__}.")
    if not value.is_floating_point():
        raise ValueError(
            f"{name} must be floating point, got dtype {value.dtype}. Convert with {name}.float()."
        )
    if value.ndim < event_dims:
        raise ValueError(
            f"{name} needs a last dimension for the categories, got shape {tuple(value.shape)}."
        )
    if not event_dims:
        return
    if not isinstance(dim, int) or isinstance(dim, bool) or not -value.ndim <= dim < value.ndim:
        raise ValueError(
            f"dim must be a dimension of {name}, an integer from {-value.ndim} to "
            f"{value.ndim - 1} for shape {tuple(value.shape)}; got {checks.shown(dim)}."
        )
    # not asked of torch.jit.trace, where it is a warning and no check
    if not checks.jit_traced() and value.shape[dim] == 0:
        raise ValueError(f"{name} has no categories: its shape is {tuple(value.shape)}.")


def check_categorical_logits(logits: Tensor, dim: int = -1) -> None:
    """Each row has a possible category: no NaN, no +inf, not all -inf."""
    top = logits.detach().amax(dim)
    if bool(top.isfinite().all()):
        return
    bad = (~top.isfinite()).nonzero()
    row = tuple(bad[0].tolist())
    value = top[row].item()
    reason = "all -inf: no category is possible" if value == -math.inf else f"{value}"
    raise ValueError(
        "logits must be finite, or -inf for a masked category with at least one left; "
        f"{len(bad)} of {top.numel()} rows are not. In {_row(row)}: {reason}."
    )


def check_bit_logits(logits: Tensor) -> None:
    """Logits of bits are anything but NaN; +-inf is a bit that is certain."""
    bad = logits.detach().isnan()
    if bool(bad.any()):
        raise ValueError(
            f"logits must not be NaN; {int(bad.sum())} of {bad.numel()} are, "
            f"the first at {tuple(bad.nonzero()[0].tolist())}."
        )


def check_probs(probs: Tensor, *, sum_to_one: bool) -> None:
    """Probabilities lie in [0, 1] and, for categories, sum to 1 along the last dimension."""
    detached = probs.detach().to(torch.float64)
    inside = (detached >= 0) & (detached <= 1)
    if not bool(inside.all()):
        where = tuple((~inside).nonzero()[0].tolist())
        raise ValueError(f"probs must lie in [0, 1], got {probs[where].item()} at {where}.")
    if not sum_to_one:
        return
    totals = detached.sum(-1)
    # rounding of K terms; a user's weights miss 1 by far more
    tolerance = max(1e-4, torch.finfo(probs.dtype).eps * probs.shape[-1] ** 0.5)
    off = (totals - 1).abs() > tolerance
    if bool(off.any()):
        where = tuple(off.nonzero()[0].tolist())
        raise ValueError(
            f"probs must sum to 1 along the last dimension; {_row(where)} sums to "
            f"{totals[where].item():.6g}. Divide by the sum, or give the logarithms as logits."
        )


def check_subset_logits(logits: Tensor, k: int, name: str = "k") -> None:
    """Finite, or -inf for a mask, with at least k unmasked items in a row."""
    bad = logits.detach().isnan() | (logits.detach() == torch.inf)
    if bool(bad.any()):
        where = tuple(bad.nonzero()[0].tolist())
        raise ValueError(
            "logits must be finite, or -inf for a masked item; "
            f"{int(bad.sum())} of {bad.numel()} are not, the first "
            f"{logits[where].item()} at {where}."
        )
    left = (logits.detach() > -torch.inf).sum(-1)
    short = left < k
    if bool(short.any()):
        where = tuple(short.nonzero()[0].tolist())
        raise ValueError(
            f"{name} = {k} items can't be chosen where fewer are unmasked: {_row(where)} has "
            f"{int(left[where])} logits above -inf ({int(short.sum())} of {short.numel()} rows "
            f"have fewer than {name}). Unmask items or lower {name}."
        )


def seen_as_nan(sample: Tensor) -> bool:
    """Whether a sample holds NaN, where that can be seen without waiting for a device."""
    seen = sample.device.type == "cpu" and checks.values_readable(sample)
    return seen and math.isnan(sample.detach().sum().item())


def _row(where: tuple[int, ...]) -> str:
    """A row's name; a single vector has no number."""
    return f"row {where}" if where else "the row"
