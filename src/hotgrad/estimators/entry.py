"""The checks at the door: what `expectation` and `importance_bound` ask of what users pass in."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hotgrad.estimators.base import Function, label_of, missing_methods
from hotgrad.estimators.named import ESTIMATORS
from hotgrad.ops import checks

CheckValues = Callable[[Tensor], None]


def check_is_estimator(estimator: Any, *methods: str) -> None:
    """Refuse what isn't an object with one of the methods.

    Raises:
        ValueError: it is a class, a name, or an estimator for another function.
    """
    is_object = not isinstance(estimator, type)
    if is_object and any(hasattr(estimator, name) for name in methods):
        return
    if is_object and hasattr(estimator, "bound_surrogate"):
        raise ValueError(
            f"{type(estimator).__name__} estimates the gradient of a bound of several samples: use "
            "importance_bound(log_weight, q, estimator, num_samples)."
        )
    raise ValueError(
        "estimator must be an estimator object such as GumbelSoftmax(temperature=0.5), "
        f"got {estimator!r}."
    )


def check_pairing(estimator: Any, q: Any) -> None:
    """Refuse a law that lacks a method which the estimator calls; name estimators that serve it.

    Raises:
        NotImplementedError: it lacks one.
    """
    law = getattr(q, "law", q)
    missing = missing_methods(estimator, law)
    if missing:
        names = [cls.__name__ for cls in ESTIMATORS.values() if not missing_methods(cls, law)]
        served = ", ".join(names) or "none of this library"
        lacking, missing = _lacking(estimator, law, missing)
        raise NotImplementedError(
            f"{type(estimator).__name__} needs {', '.join(missing)}, which {lacking} doesn't have. "
            f"Estimators that serve it: {served}."
        )


def _lacking(estimator: Any, law: Any, missing: list[str]) -> tuple[str, list[str]]:
    """The law that lacks methods, of those in a `Joint` the first, and what it lacks."""
    for name, part in getattr(law, "laws", {}).items():
        inner = getattr(part, "law", part)
        if own := missing_methods(estimator, inner):
            return f"{type(inner).__name__} ({name!r})", own
    return "Joint" if hasattr(law, "laws") else type(law).__name__, missing


def check_finite(values: Tensor) -> None:
    """Refuse values of f that aren't finite, naming the first.

    Raises:
        NotFiniteError: there are such.
    """
    bad = ~values.isfinite()
    if bool(bad.any()):
        raise checks.NotFiniteError(f"f returned non-finite values: {describe_bad(values, bad)}")


def check_logarithms(values: Tensor, name: str, after: str = "") -> None:
    """Refuse logarithms that are NaN or inf, naming the first; -inf is that of 0.

    Args:
        values: `(num_samples, *batch)`.
        name: of the function that returned them.
        after: what the message ends with.

    Raises:
        NotFiniteError: there are such.
    """
    bad = values.isnan() | (values == torch.inf)
    if bool(bad.any()):
        raise checks.NotFiniteError(
            f"{name} returned values that are neither finite nor -inf: "
            f"{describe_bad(values, bad)}{after}"
        )


def describe_bad(values: Tensor, bad: Tensor) -> str:
    """How many values `(num_samples, *batch)` are bad, and which is the first."""
    where = tuple(bad.nonzero()[0].tolist())
    element = f", batch element {where[1:]}" if where[1:] else ""
    return (
        f"{int(bad.sum())} of {bad.numel()}, the first {values[where].item()} at sample {where[0]}"
        f"{element}."
    )


def checked(
    f: Function,
    q: Any,
    estimator: Any,
    *,
    name: str = "f",
    check_values: CheckValues = check_finite,
) -> Function:
    """The function f that checks its output: shape, dtype, gradient; where q validates, values.

    Args:
        f: `(num_samples, *batch, *event) -> (num_samples, *batch)`.
        q: the law of its argument; f is given the unknowns of a `Joint` by name.
        estimator: the one that will call it.
        name: what messages call f.
        check_values: raises if the values aren't right.
    """
    named = getattr(q, "unpack", None)
    differentiates = getattr(estimator, "differentiates_f", False)
    relaxes = getattr(estimator, "relaxes_f", False)

    def checked_f(z: Tensor) -> Tensor:
        given = named(z) if named else z
        try:
            values = f(given)
        except Exception as error:
            if relaxes:
                error.add_note(
                    f"{label_of(estimator)} evaluates {name} between the vertices, where z isn't 0 "
                    f"and 1. If {name} can't take that, use an estimator that stays at hard "
                    "samples, such as ScoreFunction() or StraightThrough()."
                )
            raise
        expected = z.shape[: z.ndim - len(q.event_shape)]
        if not isinstance(values, Tensor):
            raise ValueError(
                f"{name} must return a tensor of shape {tuple(expected)}, got "
                f"{type(values).__name__}."
            )
        if values.shape != expected:
            raise ValueError(
                f"{name} must return one value per sample, shape {tuple(expected)} (num_samples, "
                f"*batch), for z of shape {_shape_of(given)}; got {tuple(values.shape)}."
            )
        if not values.is_floating_point():
            raise ValueError(
                f"{name} must return floating point values, got {values.dtype}. "
                "Convert with .to(z.dtype)."
            )
        if differentiates and z.requires_grad and not values.requires_grad:
            raise ValueError(
                f"{label_of(estimator)} differentiates {name}, but {name}'s values carry no "
                f"gradient to z: {name} isn't differentiable, or detaches z. Use an estimator that "
                f"only evaluates {name}, such as ScoreFunction() or, for bits, DisARM()."
            )
        if q._validate_args and checks.values_readable(values):
            check_values(values.detach())
        return values

    return checked_f


def _shape_of(z: Any) -> str:
    """Of a tensor, or of each in a dict."""
    if isinstance(z, Tensor):
        return str(tuple(z.shape))
    return ", ".join(f"{tuple(unknown.shape)} ({name!r})" for name, unknown in z.items())
