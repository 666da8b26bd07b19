"""The model with its data: the user's log joint, called with rows, its values checked and scaled.

What it returns for unknowns that all rows share is one tensor, or the pair of the prior and each
row's likelihood: only of the second can a minibatch be scaled up.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hotgrad.estimators.validation import own_copy, to_event_advice
from hotgrad.inference.marginals import by_name
from hotgrad.ops import checks

LogJointFunction = Callable[..., Tensor | tuple[Tensor, Tensor]]
Data = Tensor | tuple[Tensor, ...] | dict[str, Tensor]


class Piece(NamedTuple):
    """Unknowns that are looked at together, and the model of them with some rows of the data."""

    q: Any
    """Of batch `(*batch,)`."""
    model: LogJointFunction
    """The user's function."""
    data: Sequence[Data] = ()
    """Rows, in several parts where one would be too large; none without data."""
    own: bool = False
    """Whether each row has unknowns of its own, in the first dimension of q's batch."""
    scale: float = 1.0
    """How many of all rows each of these stands for."""

    def log_joint(self, z: Any, *, allow_impossible: bool = True) -> Tensor:
        """log p(x, z) `(S, *batch)` of all these rows, whatever the function returns.

        Args:
            z: samples of q, by name where it is a `Joint`.
            allow_impossible: whether a sample may have -inf, as the weights of a bound may.

        Raises:
            ValueError: values of a wrong kind or shape.
            NotFiniteError: values that aren't finite.
        """
        values, likelihood = self._terms(z, *self.data[:1])
        for x in self.data[1:]:
            likelihood = likelihood + self._terms(z, x)[1]
        values = values + likelihood
        if self.q._validate_args and checks.values_readable(values):
            _refuse_values_that_are_not_finite(values.detach(), z, allow_impossible)
        return values

    def _terms(self, z: Any, *x: Data) -> tuple[Tensor, Tensor | float]:
        """The term that is there once, and the one that is summed over the rows."""
        returned = self.model(own_copy(z), *x)
        shape = (len(next(iter(by_name(z).values()))), *self.q.batch_shape)
        of_rows = (*shape, *(rows_in(part) for part in x))
        if isinstance(returned, tuple):
            if len(returned) != 2:
                raise ValueError(
                    "log_joint must return a tensor, or the pair (log p(z), log p(x_i | z)); it "
                    f"returned a tuple of {len(returned)}."
                )
            if self.own or not x:
                raise ValueError(
                    "log_joint returned a pair, which is for unknowns that all rows of the data "
                    f"share. Return one tensor of shape {shape}, log p(x, z)."
                )
            prior = checked_values(returned[0], shape, "log_joint's first part, log p(z),")
            what = "log_joint's second part, log p(x_i | z) of each row,"
            likelihood = checked_values(returned[1], of_rows, what, ", rows")
            return prior, likelihood.sum(-1) * self.scale
        values = checked_values(returned, shape, "log_joint")
        if not self.own and (self.scale != 1 or len(self.data) > 1):
            raise ValueError(
                "In minibatches log_joint must return a pair: log p(z) of shape "
                f"{shape} and log p(x_i | z) of each row, shape {of_rows}, so that "
                "the rows can stand for all of them. It returned one tensor."
            )
        return values, 0.0


class Rows:
    """Data whose first dimension counts the rows.

    Args:
        data: a tensor, or a tuple or a dict of tensors of equal length.
        batch_size: the rows of a minibatch; all of them where it is None.

    Raises:
        ValueError: something else, no rows, lengths that differ, a minibatch that is larger.
    """

    def __init__(self, data: Data, batch_size: int | None) -> None:
        self.data = data
        lengths = {name: _length(name, part) for name, part in _named(data).items()}
        if len(set(lengths.values())) != 1:
            listed = checks.listed(f"{name} has {length}" for name, length in lengths.items())
            raise ValueError(
                f"All parts of the data must have the same length, their first dimension; {listed}."
            )
        self.count: int = next(iter(lengths.values()))
        if self.count == 0:
            raise ValueError("The data have no rows.")
        if batch_size is not None:
            batch_size = checks.check_count(batch_size, "batch_size")
            if batch_size > self.count:
                raise ValueError(
                    f"batch_size must be at most the {self.count} rows of the data, got "
                    f"{batch_size}."
                )
        self.batch_size = self.count if batch_size is None else batch_size

    @property
    def whole(self) -> bool:
        """Whether every batch is all of the data."""
        return self.batch_size == self.count

    def take(self, rows: Tensor | slice) -> Data:
        """Some of the rows, in the structure of the data."""
        if isinstance(rows, slice):
            return _apply(lambda part: part[rows], self.data)
        return _apply(lambda part: part[rows.to(part.device)], self.data)

    def batches(self, generator: torch.Generator | None) -> Iterator[Tensor | slice]:
        """Without end, the rows of minibatches: each pass over the data in a new order."""
        if self.whole:
            while True:
                yield slice(None)
        device = "cpu" if generator is None else generator.device
        while True:
            order = torch.randperm(self.count, generator=generator, device=device)
            yield from order.split(self.batch_size)

    def blocks(self, most: int) -> Iterator[slice]:
        """All rows in their order, a minibatch at a time, or fewer if it has more than `most`."""
        size = min(self.batch_size, most)
        for start in range(0, self.count, size):
            yield slice(start, min(start + size, self.count))


def checked_values(values: Any, shape: tuple[int, ...], what: str, further: str = "") -> Tensor:
    """What a log joint returned, if it is a tensor of floats of that shape.

    Args:
        values: what it returned.
        shape: `(num_samples, *batch)`, or with more dimensions.
        what: they are, for a message.
        further: the names of those dimensions.

    Raises:
        ValueError: it isn't.
    """
    if not isinstance(values, Tensor) or values.shape != shape:
        came = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        seen = values.shape if isinstance(values, Tensor) and not further else ()
        advice = to_event_advice(seen, shape)
        raise ValueError(
            f"{what} must have shape {tuple(shape)}, (num_samples, *batch{further}); got "
            f"{came}.{advice}"
        )
    if not values.is_floating_point():
        raise ValueError(
            f"{what} must be floating point, got {values.dtype}. Convert with .to(z.dtype)."
        )
    return values


def _refuse_values_that_are_not_finite(values: Tensor, z: Any, allow_impossible: bool) -> None:
    """Refuse NaN and inf among log p(x, z), and -inf where that isn't allowed; name the first.

    Raises:
        NotFiniteError: there are such.
    """
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


def _describe(values: Tensor, bad: Tensor, z: Any) -> str:
    """How many values are bad, and the first with its sample."""
    where = tuple(bad.nonzero()[0].tolist())
    element = f" of batch element {where[1:]}" if where[1:] else ""
    parts = {name: _shown(part[where].detach()) for name, part in by_name(z).items()}
    named = "{" + checks.listed(f"{name}: {part}" for name, part in parts.items()) + "}"
    return (
        f"log_joint returned {values[where].item()} at {int(bad.sum())} of {bad.numel()} samples, "
        f"first at sample {where[0]}{element}, z = {parts.get('', named)}."
    )


def _shown(one: Tensor) -> str:
    """One sample, in full if it is short."""
    if one.numel() <= 32:
        exact = bool(((one == 0) | (one == 1)).all())
        return str((one.int() if exact else one).tolist())
    return f"a tensor of shape {tuple(one.shape)} with {int((one == 1).sum())} ones"


def _named(data: Any) -> dict[str, Any]:
    """The tensors of the data, by what messages call them."""
    if isinstance(data, dict) and data:
        return {f"data[{name!r}]": part for name, part in data.items()}
    if isinstance(data, tuple) and data:
        return {f"data[{number}]": part for number, part in enumerate(data)}
    return {"data": data}


def rows_in(data: Data) -> int:
    """How many the data have, whose parts are of one length."""
    return len(next(iter(_named(data).values())))


def _length(name: str, part: Any) -> int:
    if not isinstance(part, Tensor) or part.ndim == 0:
        came = "a single number" if isinstance(part, Tensor) else type(part).__name__
        raise ValueError(
            f"{name} must be a tensor whose first dimension is the row; got {came}. data is a "
            "tensor, or a tuple or a dict of tensors: convert with torch.as_tensor."
        )
    return len(part)


def _apply(of: Callable[[Tensor], Tensor], data: Data) -> Data:
    if isinstance(data, dict):
        return {name: of(part) for name, part in data.items()}
    if isinstance(data, tuple):
        parts = [of(part) for part in data]
        # a named tuple stays one
        return type(data)._make(parts) if hasattr(data, "_make") else tuple(parts)
    return of(data)
