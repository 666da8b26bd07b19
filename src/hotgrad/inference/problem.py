"""The problem that a fit solves: model, data, and the unknowns' distribution as it is learned.

q is a distribution with parameters of its own, or what makes one from data.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributions as td

from hotgrad.distributions.capabilities import HasParams, lacking
from hotgrad.inference.log_joint import Data, LogJointFunction, Piece, Rows, rows_in
from hotgrad.inference.marginals import as_unknowns
from hotgrad.ops import checks

BLOCK = 1024
"""The most rows with unknowns of their own that are looked at together, unless told otherwise."""


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
        checks.check_function(log_joint, "log_joint")
        self.model = log_joint
        self.rows = None if data is None else Rows(data, batch_size)
        self.variational = _variational(q, None if self.rows is None else self.rows.count)
        self.parameters = checked_parameters(parameters)
        self._own: bool | None = None

    def at(self, rows: Tensor | slice) -> Piece:
        """Some rows and their unknowns, scaled to all rows; without data no rows at all."""
        if self.rows is None:
            return Piece(self.variational.at(None, None), self.model)
        x = self.rows.take(rows)
        count = rows_in(x)
        q = self.variational.at(x, rows)
        if self._own is None:
            # once: a last, smaller minibatch may be as long as a batch that all rows share
            self._own = self.variational.own_rows and q.batch_shape[:1] == (count,)
        return Piece(q, self.model, (x,), self._own, self.rows.count / count)

    def at_first(self) -> Piece:
        """As `at`, of the first minibatch in the data's order."""
        return self.at(slice(None) if self.rows is None else slice(0, self.rows.batch_size))

    def batches(self, generator: torch.Generator | None) -> Iterator[Tensor | slice]:
        """The rows of each step, without end."""
        if self.rows is None:
            return itertools.repeat(slice(None))
        return self.rows.batches(generator)

    @contextlib.contextmanager
    def looking_back(self) -> Iterator[None]:
        """Without gradients, and with modules in eval mode, so that looking changes nothing.

        Around all that is done with `blocks`, not in it: what a generator sets while it waits holds
        for everyone.
        """
        tops = [self.variational.posterior, self.model]
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

    def blocks(self) -> Iterator[Piece]:
        """Everything, with all the data: one block of shared unknowns, or several of rows' own."""
        if self.rows is None:
            yield self.at(slice(None))
            return
        slices = list(self.rows.blocks(BLOCK))
        first = self.at(slices[0])
        if first.own:
            pieces = itertools.chain([first], map(self.at, slices[1:]))
            yield from (piece._replace(scale=1.0) for piece in pieces)
        elif self.rows.whole:
            # one tensor of a log joint can't be put together from pieces of the data
            yield self.at(slice(None))
        else:
            data = [self.rows.take(rows) for rows in slices]
            yield self.at(slice(None))._replace(data=data)

    def state(self) -> dict[str, Tensor]:
        """Every tensor that learning changes, by name; not copies."""
        return {
            **{f"q.{name}": tensor for name, tensor in self.variational.state().items()},
            **{f"model.{name}": tensor for name, tensor in tensors_of(self.model).items()},
            **{f"parameters.{number}": t for number, t in enumerate(self.parameters)},
        }


class OwnParameters:
    """A distribution whose parameters are learned, from those of the given one on.

    Args:
        q: the distribution; it stays as it is.
        rows: how many the data have; they have unknowns of their own where q's batch begins with as
            many. None without data.

    Raises:
        ValueError: a distribution that can't be made anew from other parameters.
    """

    def __init__(self, q: td.Distribution, rows: int | None) -> None:
        self._start = _as_given(q)
        _check_learnable(self._start)
        self.parameters = {
            name: nn.Parameter(start.detach().clone()) for name, start in self._start.params.items()
        }
        self.own_rows = rows is not None and self._start.batch_shape[:1] == (rows,)

    def at(self, x: Any, rows: Tensor | slice | None) -> Any:
        """The distribution of some rows' unknowns, x being these rows; None without data."""
        if rows is None or not self.own_rows:
            return self._start.with_params(self.parameters)
        return self._start.with_params({name: p[rows] for name, p in self.parameters.items()})

    def state(self) -> dict[str, Tensor]:
        return dict(self.parameters)

    def moved(self) -> float:
        """The largest change of a parameter since the start; 0 where it was infinite."""
        starts = {name: start.detach() for name, start in self._start.params.items()}
        moves = [
            float((now.detach() - starts[name])[starts[name].isfinite()].abs().max())
            for name, now in self.parameters.items()
            if bool(starts[name].isfinite().any())
        ]
        return max(moves, default=0.0)

    @property
    def posterior(self) -> Any:
        return self._start.with_params({name: p.detach() for name, p in self.parameters.items()})


class Made:
    """A module or a function that makes the distribution: `q(x)` of the data, `q()` without."""

    own_rows = True

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def at(self, x: Any, rows: Tensor | slice | None) -> Any:
        q = self._make() if x is None else self._make(x)
        if not isinstance(q, td.Distribution):
            raise ValueError(
                "q must be a distribution, or a module or function that returns one; it returned "
                f"{type(q).__name__}."
            )
        return _as_given(q)

    def state(self) -> dict[str, Tensor]:
        return tensors_of(self._make)

    @property
    def posterior(self) -> Any:
        return self._make


def _as_given(q: Any) -> Any:
    """q, checked; a `Joint` stays one, torch's own becomes this library's.

    Raises:
        ValueError: q isn't a distribution of discrete unknowns alone.
    """
    ours = as_unknowns(q)
    return q if hasattr(type(q), "with_params") else ours


def _check_learnable(q: Any) -> None:
    vector = as_unknowns(q)
    for base in vector.bases:
        what = vector.naming(base)
        if missing := lacking(base, HasParams):
            raise ValueError(
                f"{what} has no {checks.listed(missing)}, which fit learns. Write it, or give a "
                "module or function that returns the distribution."
            )
        copy = base.with_params(base.params)
        if type(copy) is not type(base):
            raise ValueError(
                f"{what} has a with_params that makes another distribution, a "
                f"{type(copy).__name__}. Override it."
            )
    for name, param in q.params.items():
        if param.requires_grad and not param.is_leaf:
            raise ValueError(
                f"{name} of q was computed from other tensors, which fit would not learn. Give a "
                "module, or a function with `parameters`, that returns the distribution; or "
                f"{name.rpartition('.')[2]}.detach() as a starting point."
            )


def _variational(q: Any, rows: int | None) -> OwnParameters | Made:
    """The variational family that q stands for.

    Raises:
        ValueError: q is neither a distribution nor something that can be called.
    """
    if isinstance(q, td.Distribution):
        return OwnParameters(q, rows)
    if isinstance(q, type) or not callable(q):
        raise ValueError(
            "q must be a distribution such as Bernoulli(logits=torch.zeros(5)).to_event(1), or a "
            f"module or function that returns one; got {checks.shown(q)}."
        )
    return Made(q)


def tensors_of(maybe_module: Any) -> dict[str, Tensor]:
    """Parameters and buffers of a module; nothing of a plain function."""
    if not isinstance(maybe_module, nn.Module):
        return {}
    return {**dict(maybe_module.named_parameters()), **dict(maybe_module.named_buffers())}


def checked_parameters(parameters: Iterable[Tensor]) -> list[Tensor]:
    """What plain functions learn, as a list.

    Raises:
        ValueError: something that can't be learned.
    """
    if not isinstance(parameters, Iterable):
        raise ValueError(f"parameters must be a list of tensors, got {checks.shown(parameters)}.")
    found: list[Any] = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    for number, parameter in enumerate(found):
        if not isinstance(parameter, Tensor):
            came = type(parameter).__name__
        elif not parameter.is_leaf:
            came = "computed from others"
        elif not parameter.requires_grad:
            came = "one without requires_grad"
        else:
            continue
        raise ValueError(
            "parameters must be tensors that require a gradient and weren't computed from others, "
            f"such as nn.Parameter; number {number} is {came}."
        )
    return found
