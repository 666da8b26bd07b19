"""Data as rows: one item to each, in a tensor, or in a tuple or a dict of tensors."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from hotgrad.ops import checks

Data = Tensor | tuple[Tensor, ...] | dict[str, Tensor]


class Rows:
    """Data whose first dimension counts the items.

    Args:
        data: a tensor, or a tuple or a dict of tensors of equal length.
        batch_size: the items of a minibatch; all of them where it is None.

    Raises:
        ValueError: something else, no items, lengths that differ, a minibatch that is larger.
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
            raise ValueError("The data have no items.")
        if batch_size is not None:
            batch_size = checks.check_count(batch_size, "batch_size")
            if batch_size > self.count:
                raise ValueError(
                    f"batch_size must be at most the {self.count} items of the data, got "
                    f"{batch_size}."
                )
        self.batch_size = self.count if batch_size is None else batch_size

    @property
    def whole(self) -> bool:
        """Whether every batch is all of the data."""
        return self.batch_size == self.count

    def take(self, rows: Tensor | slice) -> Data:
        """Some of the items, in the structure of the data."""
        if isinstance(rows, slice):
            return _apply(lambda part: part[rows], self.data)
        return _apply(lambda part: part[rows.to(part.device)], self.data)

    def batches(self, generator: torch.Generator | None) -> Iterator[Tensor | slice]:
        """Without end, the items of minibatches: each pass over the data in a new order."""
        if self.whole:
            while True:
                yield slice(None)
        device = "cpu" if generator is None else generator.device
        while True:
            order = torch.randperm(self.count, generator=generator, device=device)
            yield from order.split(self.batch_size)

    def blocks(self, most: int) -> Iterator[slice]:
        """All items in their order, a minibatch at a time, or fewer if it has more than `most`."""
        size = min(self.batch_size, most)
        for start in range(0, self.count, size):
            yield slice(start, min(start + size, self.count))


def size_of(rows: Tensor | slice, count: int) -> int:
    """How many of so many items are taken."""
    return len(range(*rows.indices(count))) if isinstance(rows, slice) else len(rows)


def _named(data: Any) -> dict[str, Any]:
    """The tensors of the data, by what messages call them."""
    if isinstance(data, dict) and data:
        return {f"data[{name!r}]": part for name, part in data.items()}
    if isinstance(data, tuple) and data:
        return {f"data[{number}]": part for number, part in enumerate(data)}
    return {"data": data}


def _length(name: str, part: Any) -> int:
    if not isinstance(part, Tensor) or part.ndim == 0:
        came = "a single number" if isinstance(part, Tensor) else type(part).__name__
        raise ValueError(
            f"{name} must be a tensor with one item to a row; got {came}. data is a tensor, or a "
            "tuple or a dict of tensors: convert with torch.as_tensor."
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
