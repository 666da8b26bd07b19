"""What distributions are made with: probabilities or logits, checked, as one kind of number."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from hotgrad.ops import checks, parameters


def resolve_validation(validate_args: bool | None) -> bool:
    """The caller's choice, or else torch's default.

    The first `torch.compile` in a process turns torch's default off for good.
    """
    if validate_args is not None:
        checks.check_flag(validate_args, "validate_args")
    default: bool = Distribution._validate_args
    return default if validate_args is None else validate_args


def described(distribution: Distribution, **made_of: Any) -> str:
    """What repr says: the class and what it is made of, a tensor by its shape, as torch does."""
    shown = {
        name: value.shape if isinstance(value, Tensor) and value.numel() > 1 else value
        for name, value in made_of.items()
    }
    inside = ", ".join(f"{name}: {value}" for name, value in shown.items())
    return f"{type(distribution).__name__}({inside})"


def as_category_logits(probs: Tensor | None, logits: Tensor | None, *, validate: bool) -> Tensor:
    """Checked logits of categories from either parameter, log 0 being -inf."""
    _exactly_one(probs, logits)
    if logits is None:
        probs = _as_probs(probs)
        parameters.check_parameter(probs, "probs", event_dims=1)
        if validate and checks.values_readable(probs):
            parameters.check_probs(probs, sum_to_one=True)
        return _log_of_probs(probs)
    parameters.check_parameter(logits, "logits", event_dims=1)
    if validate and checks.values_readable(logits):
        parameters.check_categorical_logits(logits)
    return logits


def as_bit_logits(probs: Tensor | None, logits: Tensor | None, *, validate: bool) -> Tensor:
    """Checked log-odds of bits from either parameter; certain bits have +-inf."""
    _exactly_one(probs, logits)
    if logits is None:
        probs = _as_probs(probs)
        parameters.check_parameter(probs, "probs", event_dims=0)
        if validate and checks.values_readable(probs):
            parameters.check_probs(probs, sum_to_one=False)
        return _log_of_probs(probs) - _log_of_probs(1 - probs)
    logits = _as_tensor(logits)
    parameters.check_parameter(logits, "logits", event_dims=0)
    if validate and checks.values_readable(logits):
        parameters.check_bit_logits(logits)
    return logits


def _exactly_one(probs: Tensor | None, logits: Tensor | None) -> None:
    if (probs is None) == (logits is None):
        given = "neither" if probs is None else "both"
        raise ValueError(f"Give exactly one of probs and logits; got {given}.")


def _as_tensor(value: Any) -> Any:
    """A number, which torch takes for a scalar parameter, as a tensor; others as they are."""
    value = checks.plain_number(value)
    return torch.tensor(float(value)) if isinstance(value, (int, float)) else value


def as_real(value: Any, name: str) -> Tensor:
    """A parameter that is any real number, or a tensor of such.

    Raises:
        ValueError: it is neither.
    """
    real = value if isinstance(value, bool) else _as_tensor(value)
    if not isinstance(real, Tensor) or not real.is_floating_point():
        raise ValueError(
            f"{name} must be a number or a floating point tensor, got {checks.shown(value)}."
        )
    return real


def _as_probs(value: Any) -> Any:
    """Whole numbers, which torch takes for certain outcomes, as floats."""
    value = _as_tensor(value)
    whole = isinstance(value, Tensor) and not (value.is_floating_point() or value.is_complex())
    return value.to(torch.get_default_dtype()) if whole else value


def _log_of_probs(probs: Tensor) -> Tensor:
    """log(probs) with log 0 = -inf whose gradient is 0 there, not NaN."""
    possible = probs > 0
    return torch.where(possible, torch.where(possible, probs, 1.0).log(), -torch.inf)


def check_temperature_fits(temperature: Tensor, logits: Tensor) -> None:
    """Refuse a temperature that doesn't broadcast against the logits."""
    if not checks.broadcasts(temperature.shape, logits.shape):
        raise ValueError(
            "temperature must be a number, or a tensor that broadcasts against the logits; got one "
            f"of shape {tuple(temperature.shape)} for logits of shape {tuple(logits.shape)}."
        )


def parameter_of(distribution: Any) -> dict[str, Tensor]:
    """The parameter that one of torch's was made with; it derives the other one, and clamps it."""
    holder = getattr(distribution, "_categorical", distribution)
    given_probs = holder.__dict__.get("probs") is holder._param
    return {"probs": holder.probs} if given_probs else {"logits": holder.logits}


def times_log(weight: Tensor, log_term: Tensor) -> Tensor:
    """weight * log_term with 0 * -inf = 0, linear in the weight wherever the log is finite."""
    dead = log_term.isinf() & (weight == 0)
    return weight * torch.where(dead, 0.0, log_term)
