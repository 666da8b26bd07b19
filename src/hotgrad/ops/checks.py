"""Checks of what users pass in, each raising one clear `ValueError`.

Shapes, dtypes and Python numbers are always checked. Values are looked at only where that is cheap
and possible: not while a graph is recorded, not inside `torch.func` transforms.
"""

import difflib
import operator
import sys
from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch
from torch import Tensor, nn


class NotFiniteError(ValueError):
    """A function's values are NaN, or infinite where they may not be."""


def recorded() -> bool:
    """Whether torch may be writing down what is called: a graph for other values and batch sizes.

    By torch.compile, torch.export and torch.jit.trace, or in a mode that answers for torch, as
    `make_fx` and fake tensors do, with which tools foretell memory and sharding.
    """
    return torch.compiler.is_compiling() or jit_traced() or torch._C._len_torch_dispatch_stack() > 0


def jit_traced() -> bool:
    """Whether `torch.jit.trace` is at work."""
    traced: bool = torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    return traced


def values_readable(*tensors: Tensor) -> bool:
    """Whether tensors hold values that Python may look at now.

    Not where they are recorded or mapped by vmap, and not where there are none: in fake tensors
    and on the device "meta".
    """
    return not recorded() and not any(_without_values(t) for t in tensors)


def _without_values(tensor: Tensor) -> bool:
    # a fake tensor outside of its mode is still of a class that answers for torch
    plain = type(tensor).__torch_dispatch__ is Tensor.__torch_dispatch__
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    return tensor.is_meta or wrapped or not plain


LEAST_TEMPERATURE = 1e-30
"""Dividing ordinary scores by less overflows float32."""


def plain_number(value: Any) -> Any:
    """NumPy's scalars and arrays without dimensions as Python's numbers; others as they are."""
    # those first that the compiler makes of numbers, which answer no other question
    if type(value) in (bool, int, float) or isinstance(value, Tensor):
        return value
    return value.item() if getattr(value, "ndim", None) == 0 else value


def plain_fields(settings: Any) -> None:
    """NumPy's numbers in the fields of a frozen dataclass become Python's."""
    # by the names that the class knows: a compiler may not see what an object being made holds
    for name in type(settings).__dataclass_fields__:
        value = getattr(settings, name)
        plain = plain_number(value)
        if plain is not value:
            object.__setattr__(settings, name, plain)


def check_temperature(
    temperature: Any,
    name: str = "temperature",
    *,
    for_hard: str = "a straight-through estimator",
) -> float | Tensor:
    """A positive, finite number, as Python's, or a tensor of such.

    Args:
        temperature: the number or tensor.
        name: what messages call it.
        for_hard: what gives hard samples, which some expect of 0.
    """
    temperature = plain_number(temperature)
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
        if not LEAST_TEMPERATURE <= temperature <= sys.float_info.max:
            raise ValueError(
                f"{name} must be positive and finite, got {shown(temperature)}. For hard samples "
                f"use {for_hard} instead of 0 (or of less than {LEAST_TEMPERATURE:g}, which "
                "overflows)."
            )
    else:
        raise ValueError(f"{name} must be a number or a tensor, got {shown(temperature)}.")
    return temperature


def check_one_temperature(temperature: Any, name: str) -> None:
    """A temperature that is a number, where there is nothing that a tensor would broadcast to."""
    if isinstance(temperature, Tensor):
        raise ValueError(f"{name} must be a Python number, got {shown(temperature)}.")
    check_temperature(temperature, name)


def check_value(
    value: Any, method: str = "log_prob", batch_shape: torch.Size | None = None
) -> None:
    """What a distribution is asked about is a tensor of numbers that fits its batch."""
    if not isinstance(value, Tensor):
        raise ValueError(f"{method} takes a tensor, got {shown(value)}. Use torch.tensor(value).")
    if value.is_complex() or value.dtype == torch.bool:
        raise ValueError(f"{method} takes real numbers, got {value.dtype}. Use value.float().")
    if batch_shape is not None and not broadcasts(value.shape, batch_shape):
        raise ValueError(
            f"{method} takes values that broadcast against the batch {tuple(batch_shape)}, got "
            f"shape {tuple(value.shape)}."
        )


def broadcasts(*shapes: tuple[int, ...]) -> bool:
    """Whether shapes broadcast together."""
    widest = max(map(len, shapes), default=0)
    padded = [(1,) * (widest - len(shape)) + tuple(shape) for shape in shapes]
    return all(len({*sizes} - {1}) <= 1 for sizes in zip(*padded, strict=True))


def broadcasts_into(own: torch.Size, shape: torch.Size) -> bool:
    """Whether a shape broadcasts against another without making it larger."""
    pairs = zip(own[::-1], shape[::-1], strict=False)
    return len(own) <= len(shape) and all(size in (1, other) for size, other in pairs)


def check_broadcasts(value: Any, shape: torch.Size, name: str) -> None:
    """A number, or a tensor that broadcasts against a shape without making it larger."""
    if not isinstance(value, Tensor):
        return
    if not broadcasts_into(value.shape, shape):
        raise ValueError(
            f"{name} must be a number, or a tensor that broadcasts against the logits' shape "
            f"{tuple(shape)}; got one of shape {tuple(value.shape)}."
            + (f" One value for each row has the shape {(*shape[:-1], 1)}." if shape else "")
        )


def check_generator(generator: Any) -> None:
    """A generator of torch's, or None."""
    if generator is not None and not isinstance(generator, torch.Generator):
        raise ValueError(
            f"generator must be a torch.Generator or None, got {shown(generator)}. Of a seed make "
            "one by torch.Generator().manual_seed(seed)."
        )


def check_function(value: Any, name: str, of: str = "z") -> None:
    """Something that can be called, and not a class."""
    if isinstance(value, type) or not callable(value):
        raise ValueError(f"{name} must be a function of {of}, got {shown(value)}.")


def check_number(
    value: Any, name: str, fits: Callable[[float], bool], expected: str = "a finite number"
) -> float:
    """A finite number that fits, as Python's."""
    value = plain_number(value)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not (abs(value) <= sys.float_info.max and fits(value)):
        raise ValueError(f"{name} must be {expected}, got {shown(value)}.")
    return value


def check_positive(value: Any, name: str) -> float:
    """A positive, finite number, as Python's."""
    return check_number(value, name, lambda number: number > 0, "a positive, finite number")


def check_count(value: Any, name: str, *, minimum: int = 1) -> int:
    """An integer of at least `minimum` that fits into 64 bits, as Python's."""
    value = plain_number(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {shown(value)}.")
    if value > sys.maxsize:
        raise ValueError(f"{name} must be below 2^63, got about 2^{value.bit_length()}.")
    return value


def check_flag(value: object, name: str) -> None:
    """True or False, or 1 or 0; a text such as "no" would count as true."""
    # NumPy's truth values are no integers
    plain = isinstance(value, int) or type(value).__name__ in ("bool", "bool_")
    if not (plain and value in (0, 1)):
        raise ValueError(f"{name} must be True or False, got {shown(value)}.")


def as_shape(value: Any, name: str, *, minimum: int = 0) -> torch.Size:
    """Sizes in a tuple or a list, as torch has them."""
    try:
        listed = isinstance(value, (tuple, list)) and not any(isinstance(n, bool) for n in value)
        sizes = torch.Size(value) if listed else None
    except (TypeError, OverflowError):
        sizes = None
    if sizes is None or not all(minimum <= size <= sys.maxsize for size in sizes):
        raise ValueError(
            f"{name} must be a tuple of integers of at least {minimum}, got {shown(value)}."
        )
    return sizes


def check_instance(value: object, cls: type, name: str, instead: str = "") -> None:
    """An object of a class; what makes one may be said."""
    if not isinstance(value, cls):
        raise ValueError(f"{name} must be a {cls.__name__}, got {shown(value)}.{instead}")


def check_tensor(value: object, name: str) -> None:
    """A tensor."""
    if not isinstance(value, Tensor):
        raise ValueError(f"{name} must be a tensor, got {shown(value)}.")


def check_values(values: object, name: str) -> None:
    """A floating point tensor."""
    check_tensor(values, name)
    if isinstance(values, Tensor) and not values.is_floating_point():
        raise ValueError(f"{name} must be floating point, got dtype {values.dtype}.")


def check_text(value: object, name: str) -> None:
    """A string."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string, got {shown(value)}.")


def check_subset_size(k: Any, n: int, name: str = "k") -> int:
    """k items of n: one integer in [0, n] for all rows."""
    if isinstance(k, Tensor):
        raise ValueError(
            f"{name} must be one Python integer, got a tensor of shape {tuple(k.shape)}. All rows "
            f"have one {name}, which sets the shape of its tables: make a distribution for each."
        )
    k = plain_number(k)
    try:
        size = operator.index(k)
    except TypeError:
        size = -1
    if isinstance(k, bool) or not 0 <= size <= n:
        raise ValueError(
            f"{name} must be an integer from 0 to n = {n}, the number of items; got {shown(k)}."
        )
    return size


def check_choice(name: str, value: str, known: Collection[str]) -> None:
    """One of the known names; a near miss is told which one was meant."""
    if not isinstance(value, str) or value not in known:
        close = difflib.get_close_matches(str(value), known, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ValueError(f"Unknown {name} {shown(value)}.{hint} Known: {', '.join(known)}.")


MOST_SHOWN = 6
"""Names in a message, which may be one of hundreds."""


def shown(value: Any) -> str:
    """An argument that was wrong, in a message: short, whatever it is."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, nn.Module):
        return f"a module {type(value).__name__}"
    if isinstance(value, int) and value.bit_length() > 10_000:
        return "an integer of thousands of digits"  # which Python refuses to write
    if not isinstance(value, type) and getattr(value, "ndim", False) and hasattr(value, "dtype"):
        return f"an array of shape {tuple(value.shape)}"
    said = " ".join(repr(value).split())
    return said if len(said) <= 100 else f"{said[:97]}..."


def listed(items: Iterable[Any]) -> str:
    """Items with commas in between, the first few where they are many."""
    said = [str(item) for item in items]
    rest = len(said) - MOST_SHOWN
    return ", ".join(said if rest <= 1 else [*said[:MOST_SHOWN], f"and {rest:,} more"])
