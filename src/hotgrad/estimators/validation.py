"""What `expectation` and `importance_bound` check of f, q and estimator that users pass in."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from hotgrad.distributions import DiscreteDistribution
from hotgrad.distributions.capabilities import lacking
from hotgrad.estimators.base import Function, label_of, missing_methods
from hotgrad.estimators.numbers import Numbers
from hotgrad.estimators.registry import ESTIMATORS
from hotgrad.ops import checks

CheckValues = Callable[[Tensor], None]

LISTED = 2**12
"""States of one part up to which an estimator that lists them is recommended."""


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
        f"got {checks.shown(estimator)}."
    )


def check_not_in_jit_trace() -> None:
    """Refuse `torch.jit.trace`, which keeps one run's gradients and shapes as constants.

    Raises:
        ValueError: it is at work.
    """
    if checks.jit_traced():
        raise ValueError(
            "torch.jit.trace can't record how an expectation is differentiated: use torch.compile "
            "or torch.export. It does record gumbel_softmax, binary_concrete and m_hot, and the "
            "samples of distributions and of pathwise estimators."
        )


def check_pairing(estimator: Any, q: DiscreteDistribution) -> None:
    """Refuse a q that lacks a method which the estimator calls; name estimators that work with it.

    Raises:
        NotImplementedError: it lacks one.
    """
    # the compiler would follow it for every pair; what is missing shows as an AttributeError
    if torch.compiler.is_compiling():
        return
    required = getattr(estimator, "requires", ())
    for base in q.bases:
        missing = lacking(base, *required)
        if not missing:
            continue
        groups = {
            "": estimators_for(q),
            "where f has a gradient, ": estimators_for(q, differentiating=True),
            "where f also takes z between 0 and 1, ": estimators_for(q, relaxing=True),
        }
        work = "; ".join(f"{when}{', '.join(names)}" for when, names in groups.items() if names)
        raise NotImplementedError(
            f"{type(estimator).__name__} needs {', '.join(missing)}, which {q.naming(base)} "
            f"doesn't have. Estimators that work with it: {work or 'none of this library'}."
        )


def estimators_for(
    q: DiscreteDistribution, *, differentiating: bool = False, relaxing: bool = False
) -> list[str]:
    """The estimators of this library that work with q, as one writes them.

    Args:
        q: what `as_distribution` returns.
        differentiating: those that differentiate f, at hard samples.
        relaxing: those that evaluate f between the vertices. With neither, those that only evaluate
            f, at hard samples.
    """
    found: list[str] = []
    classes: list[Any] = list(ESTIMATORS.values())
    for cls in classes:
        asks = (cls.differentiates_f and not cls.relaxes_f, cls.relaxes_f)
        if asks != (differentiating, relaxing) or missing_methods(cls, q):
            continue
        if "budget" in getattr(cls, "__dataclass_fields__", {}):
            try:
                cls(budget=LISTED).evaluations(q, 1)
            # too many states, or a distribution of a user's own that lists them in another way
            except Exception:
                continue
        found.append(cls.example())
    return found


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
    q: DiscreteDistribution,
    estimator: Any,
    *,
    numbers: Numbers | None = None,
    name: str = "f",
    check_values: CheckValues = check_finite,
) -> Function:
    """The function f that checks its output: shape, dtype, gradient; where q validates, values.

    Args:
        f: `(num_samples, *batch, *event) -> (num_samples, *batch)`.
        q: the distribution of its argument; f is given the unknowns of a `Joint` by name.
        estimator: the one that will call it.
        numbers: q's continuous unknowns, which are drawn already.
        name: what messages call f.
        check_values: raises if the values aren't right.

    Raises:
        ValueError: f can't be called.
    """
    checks.check_function(f, name)
    differentiates = getattr(estimator, "differentiates_f", False)
    relaxes = getattr(estimator, "relaxes_f", False)

    def ask(z: Tensor, beside: dict[str, Tensor]) -> Tensor:
        given = own_copy({**q.named(z), **beside} if beside else q.named(z))
        try:
            values = f(given)
        except Exception as error:
            if relaxes:
                hard = estimators_for(q) + estimators_for(q, differentiating=True)
                error.add_note(
                    f"{label_of(estimator)} evaluates {name} between the vertices, where z isn't 0 "
                    f"and 1. If {name} can't take that, use an estimator that stays at hard "
                    f"samples{_such_as(hard)}."
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
                f"*batch), for z of shape {_shape_of(q.named(z))}; got "
                f"{tuple(values.shape)}.{to_event_advice(values.shape, expected)}"
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
                f"only evaluates {name}{_such_as(estimators_for(q))}."
            )
        if q._validate_args and checks.values_readable(values):
            check_values(values.detach())
        return values

    def checked_f(z: Tensor) -> Tensor:
        if numbers is None:
            return ask(z, {})
        if getattr(estimator, "draws", True):
            return ask(z, numbers.beside(len(z)))
        return numbers.mean(ask, z)

    return checked_f


def own_copy(z: Any) -> Any:
    """z for a function of a user's, which may change it in place: a tensor, or a dict of such.

    What an estimator does with z afterwards, and what autograd has kept of it, stays as it was.
    """
    if isinstance(z, Tensor):
        return z.clone()
    return {name: unknown.clone() for name, unknown in z.items()}


def to_event_advice(came: Sequence[int], expected: Sequence[int]) -> str:
    """What to do if values lack the last dimensions of `(num_samples, *batch)`; "" if they don't.

    They do where q's parts were left in its batch, and f takes them together.
    """
    lacking = len(expected) - len(came)
    if not came or lacking < 1 or tuple(came) != tuple(expected[: len(came)]):
        return ""
    parts, batch = tuple(expected[len(came) :]), tuple(expected[1:])
    these = "these are" if parts == batch else f"its last dimensions, {parts}, are"
    return (
        f" q has the batch {batch}: if {these} parts of one z, use q.to_event({lacking}), or "
        f"Independent(q, {lacking}) of a torch distribution."
    )


def _such_as(estimators: list[str]) -> str:
    return f", such as {' or '.join(estimators[:3])}" if estimators else ""


def _shape_of(z: Any) -> str:
    """Of a tensor, or of each in a dict."""
    if isinstance(z, Tensor):
        return str(tuple(z.shape))
    return checks.listed(f"{tuple(unknown.shape)} ({name!r})" for name, unknown in z.items())
