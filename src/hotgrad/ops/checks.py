"""Checks of what users pass in, each raising one clear `ValueError`.

Shapes, dtypes and Python numbers are always checked. Values are looked at only where that is cheap
and possible: not while compiling, not inside `torch.func` transforms.
"""

import difflib
import math
import operator
from collections.abc import Collection

import torch
from torch import Tensor


class NotFiniteError(ValueError):
    """A function's values are NaN, or infinite where they may not be."""


def values_readable(*tensors: Tensor) -> bool:
    """Whether tensors hold values that Python may look at now (not traced, not inside vmap)."""
    if torch.compiler.is_compiling():
        return False
    return not any(torch._C._functorch.is_functorch_wrapped_tensor(t) for t in tensors)


LEAST_TEMPERATURE = 1e-30
"""Dividing ordinary scores by less overflows float32."""


def check_temperature(temperature: float | Tensor, name: str = "temperature") -> None:
    """A temperature is a positive, finite number or tensor of such."""
    if isinstance(temperature, Tensor):
        if not temperature.is_floating_point():
            raise ValueError(f"{name} must be floating point, got dtype {temperature.dtype}.")
        if values_readable(temperature) and temperature.device.type == "cpu":
            good = (temperature >= LEAST_TEMPERATURE) & temperature.isfinite()
            if not bool(good.all()):
                bad = temperature.detach()[~good].flatten()[0].item()
                raise ValueError(f"{name} must be positive and finite everywhere, got {bad}.")
    elif isinstance(temperature, (int, float)) and not isinstance(temperature, bool):
        # not math.isfinite, which torch.compile can't trace when the temperature is annealed
        if not LEAST_TEMPERATURE <= temperature < math.inf:
            raise ValueError(
                f"{name} must be positive and finite, got {temperature}. For hard samples use "
                f"hard=True or a straight-through estimator instead of 0 (or of less than "
                f"{LEAST_TEMPERATURE:g}, which overflows)."
            )
    else:
        raise ValueError(f"{name} must be a number or a tensor, got {type(temperature).__name__}.")


def check_positive(value: float, name: str) -> None:
    """A positive, finite Python number."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive, finite number, got {value!r}.")


def check_parameter(value: Tensor, name: str, *, event_dims: int) -> None:
    """Logits and probs are floating point tensors with at least the event's dimensions."""
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
    if event_dims and value.shape[-1] == 0:
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
            f"{totals[where].item():.6g}. Divide by the sum, or pass logits=weights.log()."
        )


def check_count(value: int, name: str, *, minimum: int = 1) -> None:
    """A Python integer of at least `minimum`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {value!r}.")


def check_subset_size(k: object, n: int, name: str = "k") -> int:
    """k items of n: one integer in [0, n] for all rows."""
    if isinstance(k, Tensor):
        raise ValueError(
            f"{name} must be one Python integer, got a tensor of shape {tuple(k.shape)}. All rows "
            f"of a law have one {name}, which sets the shape of its tables: make a law for each."
        )
    try:
        size = operator.index(k)  # type: ignore[arg-type]
    except TypeError:
        size = -1
    if isinstance(k, bool) or not 0 <= size <= n:
        raise ValueError(
            f"{name} must be an integer from 0 to n = {n}, the number of items; got {k!r}."
        )
    return size


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


def check_choice(name: str, value: str, known: Collection[str]) -> None:
    """One of the known names; a near miss is told which one was meant."""
    if value not in known:
        close = difflib.get_close_matches(str(value), known, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ValueError(f"Unknown {name} {value!r}.{hint} Known: {', '.join(known)}.")


def _row(where: tuple[int, ...]) -> str:
    """A row's name; a single vector has no number."""
    return f"row {where}" if where else "the row"
