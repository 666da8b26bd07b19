"""Marginals of the unknowns: weighted means summed piece by piece, and the one furthest off."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from hotgrad.ops import like_event

Marginals = Tensor | dict[str, Tensor]
"""`(*batch, *event)`; by name for a `Joint`."""


def mean_of(q: Any) -> Tensor:
    """The mean of a distribution, which is what marginals are, `(*batch, *event)`.

    Raises:
        ValueError: it has none, or one of another shape.
    """
    expected = q.batch_shape + q.event_shape
    try:
        mean: Tensor = q.mean
    except NotImplementedError as error:
        parts = getattr(q, "laws", {"": q}).items()
        kinds = {name: type(getattr(part, "law", part)) for name, part in parts}
        lacking = next((n for n, kind in kinds.items() if kind.mean is Distribution.mean), "")
        kind = kinds.get(lacking, type(q)).__name__
        raise ValueError(
            f"{f'The distribution of {lacking!r}' if lacking else 'q'} is a {kind}, which has no "
            "`mean`, from which the marginals come. Give its class a property `mean` of shape "
            "(*batch, *event)."
        ) from error
    if mean.shape != expected:
        raise ValueError(
            f"The `mean` of q has shape {tuple(mean.shape)}; expected its batch and event, "
            f"{tuple(expected)}."
        )
    return mean


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
    parts = [named(of) for of in (fitted, reference, error)]
    by_name = [{"z": part} if isinstance(part, Tensor) else part for part in parts]
    found = []
    for name, own in by_name[0].items():
        if not own.numel():
            continue
        other, spread = by_name[1][name], by_name[2][name]
        number = (own - other).abs().nan_to_num(-1.0).argmax().cpu()
        where = tuple(int(i) for i in torch.unravel_index(number, own.shape))
        found.append(
            Worst(name, where, float(own[where]), float(other[where]), float(spread[where]))
        )
    return worst_of(found)


def worst_of(found: Sequence[Worst]) -> Worst:
    """The one that is furthest off; those that aren't known come last."""
    return max(found, key=lambda one: one.difference if one.difference >= 0 else -1.0)


def joined_worst(found: Sequence[Worst], lengths: Sequence[int]) -> Worst:
    """The furthest one of pieces of a batch, counted along its first dimension."""
    if len(found) == 1:
        return found[0]
    moved, start = [], 0
    for one, length in zip(found, lengths, strict=True):
        moved.append(replace(one, index=(one.index[0] + start, *one.index[1:])))
        start += length
    return worst_of(moved)


def joined_rows(pieces: Sequence[Any], dim: int = 0) -> Any:
    """Tensors of pieces of a batch, or dicts of such, as one.

    Args:
        pieces: marginals, or samples.
        dim: the first of the batch.
    """
    first = pieces[0]
    if len(pieces) == 1:
        return first
    if isinstance(first, Tensor):
        return torch.cat(list(pieces), dim)
    return {name: torch.cat([piece[name] for piece in pieces], dim) for name in first}
