"""Marginals of the unknowns: means of q, weighted means, and the one furthest off."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hotgrad.distributions import DiscreteDistribution, as_distribution
from hotgrad.distributions.capabilities import HasMean, lacking
from hotgrad.ops import checks, like_event

Marginals = Tensor | dict[str, Tensor]
"""`(*batch, *event)`; by name for a `Joint`."""

MAX_ELEMENTS = 2**22
"""The most entries of z that log_joint is asked about at once, unless one sample has more."""


def as_unknowns(q: Any) -> DiscreteDistribution:
    """The distribution of all unknowns together, in one vector where q is a `Joint`.

    Raises:
        ValueError: q isn't a distribution of discrete unknowns alone.
    """
    accepted = as_distribution(q)
    if accepted.continuous:
        raise ValueError(
            f"q has continuous unknowns, {checks.listed(map(repr, accepted.continuous))}, where "
            "only discrete ones are taken. Maximise importance_bound, which takes both, or learn "
            "the continuous ones as `parameters`."
        )
    return accepted


def by_name(z: Any) -> dict[str, Tensor]:
    """Tensors by name; a single one has the empty name."""
    return dict(z) if isinstance(z, Mapping) else {"": z}


def mean_of(q: DiscreteDistribution) -> Tensor:
    """The mean, which is what marginals are, `(*batch, *event)`.

    Raises:
        ValueError: it has none, or one of another shape.
    """
    for base in q.bases:
        if lacking(base, HasMean):
            raise ValueError(
                f"q has no marginals, which are means: {q.naming(base)} has no `mean`. Give its "
                "class a property `mean` of shape (*batch, *event)."
            )
    mean: Tensor = q.mean
    expected = q.batch_shape + q.event_shape
    if mean.shape != expected:
        raise ValueError(
            f"The `mean` of q has shape {tuple(mean.shape)}; expected its batch and event, "
            f"{tuple(expected)}."
        )
    return mean


def rows_at_once(q: DiscreteDistribution) -> int:
    """How many samples or states of q, for its whole batch, are held at one time."""
    entries = q.batch_shape.numel() * q.event_shape.numel()
    return max(MAX_ELEMENTS // max(entries, 1), 1)


def fixed_generator(q: DiscreteDistribution) -> torch.Generator:
    """The same random numbers every time, where q is."""
    return torch.Generator(mean_of(q).device).manual_seed(0)


@dataclass(frozen=True, eq=False)
class Unknown:
    """One unknown's marginals, for pictures and tables.

    Args:
        name: `z` where it has none.
        values: `(*batch, *event)`, in float64 on the CPU.
        is_choice: whether the last dimension counts the categories of one choice; else each value
            is the probability of 1.
    """

    name: str
    values: Tensor
    is_choice: bool


def unknowns_of(q: Any, marginals: Marginals) -> list[Unknown]:
    """The unknowns of a distribution, with its own marginals, or those of more rows like it."""
    return [
        Unknown(name or "z", values.detach().to("cpu", torch.float64), base.is_choice)
        for (name, values), base in zip(
            by_name(marginals).items(), as_unknowns(q).bases, strict=True
        )
    ]


class WeightedMean:
    """The mean of values with weights given by their logarithms, in pieces of any size.

    Everything is scaled by the largest weight so far, so that nothing overflows.

    Args:
        batch_shape: of the weights.
        value_shape: of a value, beyond that.
        device: of both.
    """

    def __init__(
        self, batch_shape: torch.Size, value_shape: torch.Size, device: torch.device
    ) -> None:
        self._top = torch.full(batch_shape, -torch.inf, dtype=torch.float64, device=device)
        self._total = torch.zeros_like(self._top)
        self._moment = self._top.new_zeros(batch_shape + value_shape)

    def add(self, log_weights: Tensor, values: Tensor) -> None:
        """Weights `(n, *batch)` in float64, values `(n, *batch, *value_shape)`."""
        top = torch.maximum(self._top, log_weights.amax(0))
        shift = torch.where(top.isfinite(), top, 0.0)
        shrink, weights = (self._top - shift).exp(), (log_weights - shift).exp()
        self._top, self._total = top, self._total * shrink + weights.sum(0)
        added = (like_event(weights, values) * values).sum(0)
        self._moment = self._moment * like_event(shrink, added) + added

    @property
    def log_total(self) -> Tensor:
        """The logarithm of the sum of weights, `(*batch,)`; -inf where all are 0."""
        return self._top + self._total.log()

    @property
    def mean(self) -> Tensor:
        """`(*batch, *value_shape)`; NaN where all weights are 0."""
        return self._moment / like_event(self._total, self._moment)


@dataclass(frozen=True)
class Worst:
    """The marginal that is furthest from what it should be.

    Args:
        name: of the unknown; `z` where it has none.
        index: in the marginals `(*batch, *event)`.
        fitted: what q has.
        reference: what it should be.
        error: of the reference: chance alone may move one of all marginals as far, with a
            probability of 5 % or less. 0 for the exact posterior.
    """

    name: str
    index: tuple[int, ...]
    fitted: float
    reference: float
    error: float = 0.0

    @property
    def difference(self) -> float:
        """How far off, without the sign."""
        return abs(self.fitted - self.reference)

    def moved(self, rows: int) -> "Worst":
        """The same one, where so many rows come before."""
        return replace(self, index=(self.index[0] + rows, *self.index[1:]))

    @property
    def place(self) -> str:
        """For example `kept[3]`."""
        return self.name + (f"[{', '.join(map(str, self.index))}]" if self.index else "")


def furthest(
    fitted: Tensor, reference: Tensor, error: Tensor, named: Callable[[Tensor], Any]
) -> Worst:
    """The largest difference of two tensors of marginals, by name and index.

    Args:
        fitted: `(*batch, *event)`.
        reference: the same; NaN where it isn't known.
        error: of the reference.
        named: takes them apart by name, or leaves them as they are.
    """
    found = []
    columns = [by_name(named(of)) for of in (fitted, reference, error)]
    for name, *parts in zip(columns[0], *(column.values() for column in columns), strict=True):
        if parts[0].numel():
            number = (parts[0] - parts[1]).abs().nan_to_num(-1.0).argmax().cpu()
            where = tuple(int(i) for i in torch.unravel_index(number, parts[0].shape))
            found.append(Worst(name or "z", where, *(float(part[where]) for part in parts)))
    return _worst_of(found)


def _worst_of(found: Iterable[Worst]) -> Worst:
    """The one that is furthest off; those that aren't known come last."""
    return max(found, key=lambda one: one.difference if one.difference >= 0 else -1.0)


def joined(pieces: Sequence[Any], dim: int = 0) -> Any:
    """Pieces of a batch as one: tensors, dicts of such, or records of both.

    Args:
        pieces: all of one kind; None if any of them is None.
        dim: the first of the batch.
    """
    first = pieces[0]
    if len(pieces) == 1:
        return first
    if any(piece is None for piece in pieces):
        return None
    if isinstance(first, Tensor):
        return torch.cat(list(pieces), dim)
    if isinstance(first, dict):
        return {name: joined([piece[name] for piece in pieces], dim) for name in first}
    if not is_dataclass(first) or isinstance(first, type):
        # as many states, or samples, as any piece has; what one of them says
        return max(pieces)
    columns = {field.name: [getattr(p, field.name) for p in pieces] for field in fields(first)}
    if "worst" in columns:
        lengths = next(map(len, c) for c in columns.values() if isinstance(c[0], Tensor))
        starts = itertools.accumulate(lengths, initial=0)
        columns["worst"] = [_worst_of(map(Worst.moved, columns["worst"], starts))]
    return replace(first, **{name: joined(column) for name, column in columns.items()})
