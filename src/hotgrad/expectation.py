"""The one entry point: E_q[f(z)] with a gradient, by whichever estimator is given."""

from typing import Any

import torch
from torch import Tensor
from torch import distributions as td

from hotgrad.distributions import as_law
from hotgrad.estimators import ESTIMATORS, Estimator, missing_methods
from hotgrad.estimators.base import Function, check_num_samples, label_of
from hotgrad.ops import checks


def expectation(
    f: Function,
    q: td.Distribution,
    estimator: Estimator,
    *,
    num_samples: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""The Monte Carlo mean of f under q, whose backward is the estimator's gradient.

    $$\mathbb{E}_{z \sim q_\phi}[f(z)] = \sum_z q_\phi(z) f(z).$$

    Parameters inside f receive ordinary gradients. An expectation may stand inside another's f: the
    gradient of a stochastic layer below a stochastic layer is right too.

    Args:
        f: `(num_samples, *batch, *event) -> (num_samples, *batch)`.
        q: the law of z: `Bernoulli`, `OneHotCategorical`, `KSubset`, `PlackettLuceSubset`,
            `to_event` of them, torch's own classes of the first two names, or any distribution with
            the methods that the estimator calls.
        estimator: for example `GumbelSoftmax(temperature=0.5)` or `ScoreFunction()`.
        num_samples: samples of z for each element of the batch.
        generator: the source of randomness; torch's global one by default.

    Returns:
        `(*batch,)`.

    Raises:
        ValueError: f returned a wrong shape or (where q validates its arguments) non-finite values,
            or values without a gradient to an estimator that differentiates f; q is relaxed,
            continuous or a law of torch that isn't listed above; num_samples isn't a positive
            integer, or not one that the estimator takes.
        NotImplementedError: the estimator needs a method that q hasn't; the message names
            estimators that serve it.

    Example:
        >>> logits = torch.zeros(2, 3, requires_grad=True)
        >>> q = hg.OneHotCategorical(logits=logits).to_event(1)
        >>> f = lambda z: (z[..., 0, :] * z[..., 1, :]).sum(-1)         # do the two agree?
        >>> hg.expectation(f, q, hg.Exact())
        tensor(0.3333, grad_fn=<SumBackward1>)
    """
    _check_estimator(estimator)
    check_num_samples(estimator, num_samples)
    q = as_law(q)
    _check_pairing(estimator, q)
    return estimator.surrogate(_checked(f, q, estimator), q, num_samples, generator)


def _check_estimator(estimator: Any) -> None:
    if hasattr(estimator, "surrogate") and not isinstance(estimator, type):
        return
    if hasattr(estimator, "bound_surrogate"):
        raise ValueError(
            f"{type(estimator).__name__} estimates the gradient of a bound of several samples: use "
            "importance_bound(log_weight, q, estimator, num_samples)."
        )
    raise ValueError(
        "estimator must be an estimator object such as GumbelSoftmax(temperature=0.5), "
        f"got {estimator!r}."
    )


def _check_pairing(estimator: Estimator, q: Any) -> None:
    """Refuse a law that lacks a method which the estimator calls; name estimators that serve it."""
    law = getattr(q, "law", q)
    missing = missing_methods(estimator, law)
    if missing:
        names = [cls.__name__ for cls in ESTIMATORS.values() if not missing_methods(cls, law)]
        served = ", ".join(names) or "none of this library"
        raise NotImplementedError(
            f"{type(estimator).__name__} needs {', '.join(missing)}, which {type(law).__name__} "
            f"doesn't have. Estimators that serve it: {served}."
        )


def _checked(f: Function, q: Any, estimator: Any) -> Function:
    """The function f that checks its output: shape, dtype, gradient; where q validates, values."""
    differentiates = getattr(estimator, "differentiates_f", False)

    def checked(z: Tensor) -> Tensor:
        values = f(z)
        expected = z.shape[: z.ndim - len(q.event_shape)]
        if not isinstance(values, Tensor):
            raise ValueError(
                f"f must return a tensor of shape {tuple(expected)}, got {type(values).__name__}."
            )
        if values.shape != expected:
            raise ValueError(
                f"f must return one value per sample, shape {tuple(expected)} (num_samples, "
                f"*batch), for z of shape {tuple(z.shape)}; got {tuple(values.shape)}."
            )
        if not values.is_floating_point():
            raise ValueError(
                f"f must return floating point values, got {values.dtype}. "
                "Convert with .to(z.dtype)."
            )
        if differentiates and z.requires_grad and not values.requires_grad:
            raise ValueError(
                f"{label_of(estimator)} differentiates f, but f's values carry no gradient to z: f "
                "isn't differentiable, or detaches z. Use an estimator that only evaluates f, such "
                "as ScoreFunction() or, for bits, DisARM()."
            )
        if q._validate_args and checks.values_readable(values):
            _check_finite(values.detach())
        return values

    return checked


def _check_finite(values: Tensor) -> None:
    bad = ~values.isfinite()
    if bool(bad.any()):
        where = tuple(bad.nonzero()[0].tolist())
        raise ValueError(
            f"f returned non-finite values: {int(bad.sum())} of {bad.numel()}, the first "
            f"{values[where].item()} at sample {where[0]}"
            + (f", batch element {where[1:]}." if where[1:] else ".")
        )
