"""Distributions made of others: of the same class with other parameters, of ours for torch's."""

import functools
import inspect
from typing import Any, TypeVar

from torch import Tensor
from torch.distributions import Distribution

from hotgrad.distributions.arguments import parameter_of

D = TypeVar("D", bound=Distribution)


def like(source: D, fresh: Any) -> D:
    """A distribution as its source's class would make it, of one that has other parameters.

    A subclass of a user's own keeps its type and what it holds beside the parameters, which is
    copied, since nothing is known of its constructor. So is the source's validation; its values
    were checked when it was made.

    Raises:
        NotImplementedError: the subclass holds tensors, or distributions, which were made for the
            parameters that it had.
    """
    cls, library = type(source), type(fresh)
    if cls is not library:
        own = {name: held for name, held in vars(source).items() if name not in vars(fresh)}
        for name, held in own.items():
            if isinstance(held, (Tensor, Distribution)):
                raise NotImplementedError(
                    f"{cls.__name__} holds {name!r}, a {type(held).__name__} that other parameters "
                    f"need not go with, so it can't be made from {library.__name__}'s. Write "
                    f"with_params(params), or expand(batch_shape) if it is no q, in "
                    f"{cls.__name__}."
                )
        copy = cls.__new__(cls)
        vars(copy).update(own, **vars(fresh))
        fresh = copy
    fresh._validate_args = source._validate_args
    return fresh


COUNTERPARTS: dict[type[Distribution], Any] = {}
"""From torch's classes to this library's, which enter themselves here."""

_DEFINING = ("sample", "log_prob", "mean", "entropy", "enumerate_support")


def counterpart(q: Any) -> Any:
    """This library's distribution in place of torch's; any other as it is.

    A subclass that says otherwise what it draws, or how likely that is, is another distribution.
    """
    for theirs, ours in COUNTERPARTS.items():
        if isinstance(q, theirs) and all(
            getattr(type(q), name) is getattr(theirs, name) for name in _DEFINING
        ):
            return ours(**parameter_of(q), validate_args=q._validate_args)
    return q


def takes_generator(cls: type[Distribution]) -> bool:
    """Whether `sample` of a class has the argument, which torch's own classes lack."""
    return _has_generator(cls.sample)


def arguments_of(cls: Any) -> tuple[str, ...]:
    """The names of what the constructor of a class takes."""
    return _arguments_of(cls.__init__)


@functools.cache
def _arguments_of(function: Any) -> tuple[str, ...]:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return tuple(parameter.name for parameter in parameters if parameter.kind not in several)


@functools.cache
def _has_generator(function: Any) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return any(p.name == "generator" or p.kind is p.VAR_KEYWORD for p in parameters)
