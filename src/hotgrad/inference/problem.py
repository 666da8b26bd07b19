"""The problem that a fit solves: model, unknowns and data, for learning and for looking back."""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hotgrad.distributions import as_law
from hotgrad.inference.marginals import mean_of
from hotgrad.inference.model import Batch, LogJointFunction, Model
from hotgrad.inference.rows import Data, Rows, size_of
from hotgrad.inference.unknowns import tensors_of, unknowns_of
from hotgrad.ops import checks

BLOCK = 1024
"""The most rows with unknowns of their own that are looked at together, unless told otherwise."""


class Block(NamedTuple):
    """Unknowns that are looked at together, and their log joint with all the data they have."""

    law: Any
    """Of batch `(*batch,)`."""
    log_joint: Callable[[Any], Tensor]
    """From what `law.sample((S,))` gives to log p(x, z), `(S, *batch)`; -inf is allowed."""


class Problem:
    """Model, unknowns and data.

    Args:
        log_joint: as `fit` takes it.
        q: as `fit` takes it.
        data: or None.
        batch_size: of a minibatch, or None.
        parameters: what plain functions learn.
    """

    def __init__(
        self,
        log_joint: LogJointFunction,
        q: Any,
        data: Data | None,
        batch_size: int | None,
        parameters: Iterable[Tensor],
    ) -> None:
        if data is None and batch_size is not None:
            raise ValueError("batch_size needs data, which it makes minibatches of.")
        self.model = Model(log_joint)
        self.rows = None if data is None else Rows(data, batch_size)
        self.unknowns = unknowns_of(q, self.rows)
        self.parameters = checked_parameters(parameters)
        self._own: bool | None = None

    def at(self, rows: Tensor | slice) -> tuple[Any, list[Batch]]:
        """The law of some rows, and those rows; without data no rows at all."""
        if self.rows is None:
            return self.unknowns.law(None, None), []
        x = self.rows.take(rows)
        items = size_of(rows, self.rows.count)
        law = self.unknowns.law(x, rows)
        if self._own is None:
            # once: a last, smaller minibatch may be as long as a batch that all rows share
            self._own = self.unknowns.own_rows and law.batch_shape[:1] == (items,)
        return law, [Batch(x, items, self._own, self.rows.count / items)]

    def at_first(self) -> tuple[Any, list[Batch]]:
        """The law of the first minibatch in the data's order, and its rows."""
        return self.at(slice(None) if self.rows is None else slice(0, self.rows.batch_size))

    def batches(self, generator: torch.Generator | None) -> Iterator[Tensor | slice]:
        """The rows of each step, without end."""
        if self.rows is None:
            return itertools.repeat(slice(None))
        return self.rows.batches(generator)

    @contextlib.contextmanager
    def looking_back(self) -> Iterator[None]:
        """Without gradients, and with modules in eval mode, so that looking changes nothing.

        Around all that is done with `blocks` and `laws`, not in them: what a generator sets while
        it waits holds for everyone.
        """
        tops = [self.unknowns.posterior, self.model.function]
        modules = [m for top in tops if isinstance(top, nn.Module) for m in top.modules()]
        modes = [module.training for module in modules]
        try:
            for module in modules:
                module.training = False
            with torch.no_grad():
                yield
        finally:
            for module, mode in zip(modules, modes, strict=True):
                module.training = mode

    def blocks(self) -> Iterator[Block]:
        """Everything, with all the data: one block of shared unknowns, or several of rows' own."""
        for law, batches in self._pieces():
            yield Block(law, functools.partial(self._all_of, law, batches))

    def laws(self) -> Iterator[Any]:
        """The laws of `blocks`."""
        return (law for law, _ in self._pieces())

    def _pieces(self) -> Iterator[tuple[Any, list[Batch]]]:
        if self.rows is None:
            yield self.at(slice(None))
            return
        slices = list(self.rows.blocks(BLOCK))
        law, batches = self.at(slices[0])
        if batches[0].own:
            yield law, batches
            yield from (self.at(rows) for rows in slices[1:])
        else:
            # one tensor of a log joint can't be put together from pieces of the data
            slices = [slice(None)] if self.rows.whole else slices
            yield self.at(slice(None))[0], [self.at(rows)[1][0] for rows in slices]

    def _all_of(self, law: Any, batches: list[Batch], z: Any) -> Tensor:
        each = [batch._replace(scale=1.0) for batch in batches]
        return self.model(z, law, each, allow_impossible=True)

    def state(self) -> dict[str, Tensor]:
        """Every tensor that learning changes, by name; not copies."""
        return {
            **{f"q.{name}": tensor for name, tensor in self.unknowns.state().items()},
            **{f"model.{name}": t for name, t in tensors_of(self.model.function).items()},
            **{f"parameters.{number}": t for number, t in enumerate(self.parameters)},
        }


def device_of(law: Any) -> torch.device:
    """Where a law's unknowns are; one of a user's own need not have logits."""
    return mean_of(as_law(law)).device


def checked_parameters(parameters: Iterable[Tensor]) -> list[Tensor]:
    """What plain functions learn, as a list.

    Raises:
        ValueError: something that can't be learned.
    """
    if not isinstance(parameters, Iterable):
        raise ValueError(f"parameters must be a list of tensors, got {checks.shown(parameters)}.")
    found = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    for number, parameter in enumerate(found):
        if (
            not isinstance(parameter, Tensor)
            or not parameter.is_leaf
            or not parameter.requires_grad
        ):
            raise ValueError(
                "parameters must be tensors that require a gradient and weren't computed from "
                f"others, such as nn.Parameter; number {number} is {_kind(parameter)}."
            )
    return found


def _kind(parameter: Any) -> str:
    if not isinstance(parameter, Tensor):
        return type(parameter).__name__
    return "one without requires_grad" if parameter.is_leaf else "computed from others"
