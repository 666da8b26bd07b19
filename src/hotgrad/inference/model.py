"""The user's log joint: called, its values checked, its likelihood scaled from a minibatch to all.

What it returns for unknowns that all rows share is one tensor, or the pair of the prior and each
item's likelihood: only of the second can a minibatch be scaled up.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hotgrad.estimators.entry import own_copy, to_event_advice
from hotgrad.inference.rows import Data
from hotgrad.ops import checks

LogJointFunction = Callable[..., Tensor | tuple[Tensor, Tensor]]


class Batch(NamedTuple):
    """Some items of the data."""

    x: Data
    items: int
    own: bool
    """Whether each item has unknowns of its own, in the first dimension of the law's batch."""
    scale: float
    """How many items of all each of these stands for."""


class Model:
    """The log joint as a function of samples, `(S, *batch)` whatever the user's function returns.

    Args:
        log_joint: `log_joint(z)`, or `log_joint(z, x)` with data.

    Raises:
        ValueError: not a function.
    """

    def __init__(self, log_joint: LogJointFunction) -> None:
        checks.check_function(log_joint, "log_joint")
        self.function = log_joint

    def __call__(
        self, z: Any, law: Any, batches: Sequence[Batch], *, allow_impossible: bool
    ) -> Tensor:
        """log p(x, z) `(S, *batch)`, of the items in all the batches.

        Args:
            z: samples, by name where the law is a `Joint`.
            law: theirs.
            batches: none without data.
            allow_impossible: whether a sample may have -inf, as the weights of a bound may.

        Raises:
            ValueError: values of a wrong kind or shape.
            NotFiniteError: values that aren't finite.
        """
        in_parts = len(batches) > 1
        values, likelihood = self._terms(z, law, batches[0] if batches else None, in_parts)
        for batch in batches[1:]:
            likelihood = likelihood + self._terms(z, law, batch, in_parts)[1]
        values = values + likelihood
        if law._validate_args and checks.values_readable(values):
            _check_finite(values.detach(), z, allow_impossible)
        return values

    def _terms(
        self, z: Any, law: Any, batch: Batch | None, in_parts: bool
    ) -> tuple[Tensor, Tensor | float]:
        """The part that is there once, and the part that is summed over the items."""
        given = own_copy(z)
        returned = self.function(given) if batch is None else self.function(given, batch.x)
        shape = (len(next(iter(z.values())) if isinstance(z, Mapping) else z), *law.batch_shape)
        if isinstance(returned, tuple):
            if len(returned) != 2:
                raise ValueError(
                    "log_joint must return a tensor, or the pair (log p(z), log p(x_i | z)); it "
                    f"returned a tuple of {len(returned)}."
                )
            if batch is None or batch.own:
                raise ValueError(
                    "log_joint returned a pair, which serves unknowns that all rows of the data "
                    f"share. Return one tensor of shape {shape}, log p(x, z)."
                )
            prior = _checked(returned[0], shape, "log_joint's first part, log p(z),")
            what = "log_joint's second part, log p(x_i | z) of each item,"
            likelihood = _checked(returned[1], (*shape, batch.items), what, ", items")
            return prior, likelihood.sum(-1) * batch.scale
        values = _checked(returned, shape, "log_joint")
        if batch is not None and (in_parts or batch.scale != 1) and not batch.own:
            raise ValueError(
                "In minibatches log_joint must return a pair: log p(z) of shape "
                f"{shape} and log p(x_i | z) of each item, shape {(*shape, batch.items)}, so that "
                "the items can stand for all of them. It returned one tensor."
            )
        return values, 0.0


def _check_finite(values: Tensor, z: Any, allow_impossible: bool) -> None:
    bad = values.isnan() | (values == torch.inf)
    if bool(bad.any()):
        raise checks.NotFiniteError(_describe(values, bad, z) + " Expected a log-probability.")
    impossible = values == -torch.inf
    if allow_impossible or not bool(impossible.any()):
        return
    said = _describe(values, impossible, z)
    if bool(impossible.all()):
        raise checks.NotFiniteError(
            f"{said} It is -inf everywhere: the model rules out all that q proposes. Check that z "
            "is read as it comes (0 and 1, categories last), or start from a q that keeps to what "
            "the model allows."
        )
    raise checks.NotFiniteError(
        f"{said} The bound is -inf while q gives such states a probability: mask them with logits "
        'of -inf, give them a large finite penalty, or use objective="importance", which allows '
        "them."
    )


def _checked(values: Any, shape: tuple[int, ...], what: str, further: str = "") -> Tensor:
    if not isinstance(values, Tensor) or values.shape != shape:
        came = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        seen = values.shape if isinstance(values, Tensor) and not further else ()
        advice = to_event_advice(seen, shape)
        raise ValueError(
            f"{what} must have shape {shape}, (num_samples, *batch{further}); got {came}.{advice}"
        )
    if not values.is_floating_point():
        raise ValueError(
            f"{what} must be floating point, got {values.dtype}. Convert with .to(z.dtype)."
        )
    return values


def _describe(values: Tensor, bad: Tensor, z: Any) -> str:
    """How many values are bad, and the first with its sample."""
    where = tuple(bad.nonzero()[0].tolist())
    element = f" of batch element {where[1:]}" if where[1:] else ""
    return (
        f"log_joint returned {values[where].item()} at {int(bad.sum())} of {bad.numel()} samples, "
        f"first at sample {where[0]}{element}, z = {_shown(z, where)}."
    )


def _shown(z: Any, where: tuple[int, ...]) -> str:
    """One sample, in full if it is short."""
    if isinstance(z, Mapping):
        parts = (f"{name}: {_shown(part, where)}" for name, part in z.items())
        return "{" + checks.listed(parts) + "}"
    one: Tensor = z[where].detach()
    if one.numel() <= 32:
        exact = bool(((one == 0) | (one == 1)).all())
        return str((one.int() if exact else one).tolist())
    return f"a tensor of shape {tuple(one.shape)} with {int((one == 1).sum())} ones"
