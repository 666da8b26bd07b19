"""The one entry point: E_q[f(z)] with a gradient, by whichever estimator is given."""

from typing import Any

import torch
from torch import Tensor
from torch import distributions as td

from hotgrad import distributions, estimators
from hotgrad.estimators.base import Estimator, Function
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

    Parameters inside f receive ordinary gradients. An expectation may stand inside another's f: the gradient of a
    stochastic layer below a stochastic layer is right too.

    Args:
        f: `(num_samples, *batch, *event) -> (num_samples, *batch)`.
        q: the law of z: `Bernoulli`, `OneHotCategorical`, `to_event` of them, torch's own classes of these names, or any
            distribution with the methods that the estimator calls.
        estimator: for example `GumbelSoftmax(temperature=0.5)` or `ScoreFunction()`.
        num_samples: samples of z for each element of the batch.
        generator: the source of randomness; torch's global one by default.

    Returns:
        `(*batch,)`.

    Raises:
        ValueError: f returned a wrong shape or (where q validates its arguments) non-finite values; q is relaxed or
            continuous; num_samples isn't a positive integer.
        NotImplementedError: the estimator needs a method that q hasn't; the message names estimators that serve it.

    Example:
        >>> logits = torch.zeros(2, 3, requires_grad=True)
        >>> q = hg.OneHotCategorical(logits=logits).to_event(1)
        >>> f = lambda z: (z[..., 0, :] * z[..., 1, :]).sum(-1)         # do the two agree?
        >>> hg.expectation(f, q, hg.Exact())
        tensor(0.3333, grad_fn=<SumBackward1>)
    """
    if not hasattr(estimator, "surrogate") or isinstance(estimator, type):
        raise ValueError(
            f"estimator must be an estimator object such as GumbelSoftmax(temperature=0.5), got {estimator!r}."
        )
    checks.check_count(num_samples, "num_samples")
    q = as_law(q)
    _check_pairing(estimator, q)
    return estimator.surrogate(_checked(f, q), q, num_samples, generator)


def as_law(q: Any) -> Any:
    """This library's counterpart of a torch distribution; other laws as they are.

    Raises:
        ValueError: q isn't a distribution, or one whose z isn't a discrete vector of floats.
    """
    if not isinstance(q, td.Distribution):
        raise ValueError(f"q must be a distribution, got {type(q).__name__}.")
    inner = getattr(q, "law", q)
    if isinstance(inner, (td.RelaxedOneHotCategorical, td.RelaxedBernoulli)):
        raise ValueError(
            f"q is {type(inner).__name__}, a relaxed law. Give the discrete one, OneHotCategorical or Bernoulli, and "
            "GumbelSoftmax(temperature) as the estimator."
        )
    if isinstance(inner, td.Categorical):
        raise ValueError(
            "q is a Categorical, whose samples are integers. Use OneHotCategorical, whose samples are vectors."
        )
    if type(q) is td.Independent:
        return distributions.Independent(as_law(q.base_dist), q.reinterpreted_batch_ndims)
    ours = (distributions.OneHotCategorical, distributions.Bernoulli)
    for law in ours:
        torch_law = law.__mro__[2]  # the torch class that ours subclasses
        if isinstance(q, torch_law) and not isinstance(q, ours):
            given = {"probs": q.probs} if "probs" in q.__dict__ else {"logits": q.logits}
            return law(**given, validate_args=q._validate_args)
    if q.__class__.__module__.startswith("torch.") and getattr(q.support, "is_discrete", False) is False:
        raise ValueError(
            f"q is {type(q).__name__}, a continuous law: its samples have a gradient already, use q.rsample()."
        )
    return q


def _check_pairing(estimator: Estimator, q: Any) -> None:
    """Refuse a law that lacks a method which the estimator calls, and name estimators that serve it."""
    missing = _missing(estimator, q)
    if missing:
        law = getattr(q, "law", q)
        served = [
            name
            for name in estimators.__all__
            if "surrogate" in dir(cls := getattr(estimators, name))
            and not cls.__abstractmethods__
            and not _missing(cls, q)
        ]
        raise NotImplementedError(
            f"{type(estimator).__name__} needs {', '.join(missing)}, which {type(law).__name__} doesn't have. "
            f"Estimators that serve it: {', '.join(served) or 'none of this library'}."
        )


def _missing(estimator: Any, q: Any) -> list[str]:
    law = getattr(q, "law", q)
    return [name for name in getattr(estimator, "requires", ()) if not hasattr(law, name)]


def _checked(f: Function, q: Any) -> Function:
    """f with its output's shape, dtype and, where q validates, values checked."""

    def checked(z: Tensor) -> Tensor:
        values = f(z)
        expected = z.shape[: z.ndim - len(q.event_shape)]
        if not isinstance(values, Tensor):
            raise ValueError(
                f"f must return a tensor of shape {tuple(expected)}, got {type(values).__name__}."
            )
        if values.shape != expected:
            raise ValueError(
                f"f must return one value per sample, shape {tuple(expected)} (num_samples, *batch), "
                f"for z of shape {tuple(z.shape)}; got {tuple(values.shape)}."
            )
        if not values.is_floating_point():
            raise ValueError(
                f"f must return floating point values, got {values.dtype}. Convert with .to(z.dtype)."
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
