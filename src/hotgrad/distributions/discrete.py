"""The base of all discrete distributions: what they are made of, copied and written down.

A distribution of one's own subclasses it, tells its `params`, and has `sample` and `log_prob`; what
more it can do is in the protocols of `hotgrad.distributions.capabilities`, and each of those opens
it to more estimators.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor
from torch.distributions import Distribution

from hotgrad.distributions import copies
from hotgrad.distributions.arguments import resolve_validation
from hotgrad.distributions.capabilities import HasParams, Shape, lacking
from hotgrad.distributions.formulas import NoFormula
from hotgrad.ops import checks


class ShapeChecks(Distribution):
    """A first base class that checks the shapes which users give, and has `to_event`."""

    _independent: ClassVar[Any]
    """The class of products of equal parts, a subclass itself, which enters itself here."""

    def _extended_shape(self, sample_shape: Any = ()) -> torch.Size:
        return super()._extended_shape(checks.as_shape(sample_shape, "sample_shape"))

    def _expanded(self, batch_shape: Any) -> torch.Size:
        """The shape that `expand` is asked for."""
        sizes = checks.as_shape(batch_shape, "batch_shape")
        if not checks.broadcasts_into(self.batch_shape, sizes):
            raise ValueError(
                f"batch_shape must be one that {tuple(self.batch_shape)} expands to, got "
                f"{tuple(sizes)}."
            )
        return sizes

    def to_event(self, ndims: int) -> Any:
        """The same distribution, its rightmost `ndims` batch dimensions counted as part of z.

        Example:
            >>> q = hg.Bernoulli(logits=torch.zeros(3, 8)).to_event(1)
            >>> q.batch_shape, q.event_shape
            (torch.Size([3]), torch.Size([8]))
        """
        return self._independent(self, ndims, self._validate_args)


class DiscreteDistribution(ShapeChecks, NoFormula):
    r"""A distribution of a discrete z, from parameters of any shape.

    Subclass it to bring a distribution of your own. Tell the batch's and the event's shape to its
    constructor, and write

    - the property `params`: the tensors that it is made of, by name, each `(*batch, ...)`, and, if
      the constructor takes more than those, the property `constants`: the rest, by name;
    - `sample(sample_shape=(), *, generator=None)` and `log_prob(value)`;
    - whatever else it can do: `mean`, `mode`, `entropy`, `enumerate_support` and the methods of
      `hotgrad.distributions.capabilities`, each of which opens it to more estimators.

    `with_params`, `expand`, `to_event` and saving follow from those two.

    Args:
        batch_shape: of the parameters, without what one z needs.
        event_shape: of one z.
        validate_args: whether values are looked at, which waits for a GPU; torch's default.

    Example:
        >>> class Coin(hg.DiscreteDistribution):
        ...     def __init__(self, bias):
        ...         self.bias = bias
        ...         super().__init__(bias.shape)
        ...     @property
        ...     def params(self):
        ...         return {"bias": self.bias}
        ...     def sample(self, sample_shape=(), *, generator=None):
        ...         u = torch.rand(self._extended_shape(sample_shape), generator=generator)
        ...         return (u < self.bias.sigmoid()).float()
        ...     def log_prob(self, value):
        ...         return -torch.nn.functional.softplus((1 - 2 * value) * self.bias)
        >>> q = Coin(torch.zeros(3, requires_grad=True)).to_event(1)
        >>> f = lambda z: z.prod(-1)
        >>> hg.expectation(f, q, hg.ScoreFunction(), num_samples=4).backward()
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        batch_shape: Sequence[int] = (),
        event_shape: Sequence[int] = (),
        validate_args: bool | None = None,
    ) -> None:
        # past the constructors of torch's classes, whose checks would refuse what ours allow
        shapes = torch.Size(batch_shape), torch.Size(event_shape)
        Distribution.__init__(self, *shapes, validate_args=False)
        self._validate_args = resolve_validation(validate_args)

    if TYPE_CHECKING:  # torch's takes no generator

        def sample(
            self, sample_shape: Shape = (), *, generator: torch.Generator | None = None
        ) -> Tensor: ...

    # what it is made of

    @property
    def constants(self) -> dict[str, Any]:
        """What the constructor takes beside the parameters: numbers, texts and the like."""
        return {}

    def with_params(self, params: Mapping[str, Tensor]) -> Self:
        """The same kind of distribution with other parameters, of any batch shape."""
        self._check_told()
        cls: Any = type(self)
        fresh: Self = cls(**params, **self.constants)
        fresh._validate_args = self._validate_args
        return fresh

    @property
    def dtype(self) -> torch.dtype:
        """Of the first parameter, and of the samples."""
        return next(iter(self.params.values())).dtype

    @property
    def device(self) -> torch.device:
        """Of the first parameter."""
        return next(iter(self.params.values())).device

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        check_params(self)
        shape, lead = self._expanded(batch_shape), len(self.batch_shape)
        expanded = {n: p.expand(shape + p.shape[lead:]) for n, p in self.params.items()}
        return self.with_params(expanded)

    def unchecked(self) -> Self:
        """A copy that scores whatever it is given, between the vertices too."""
        copy = self.with_params(self.params)
        copy._validate_args = False
        return copy

    def describe(self) -> dict[str, Any]:
        """All but the parameters, as plain values: what a file holds of it."""
        self._check_told()
        return {
            "kind": type(self).__name__,
            "validate_args": bool(self._validate_args),
            **self.constants,
        }

    @classmethod
    def from_description(
        cls, description: Mapping[str, Any], params: Mapping[str, Tensor]
    ) -> "DiscreteDistribution":
        """The distribution of a description and parameters; `distributions.from_description`."""
        constants = {
            name: value
            for name, value in description.items()
            if name not in ("kind", "validate_args")
        }
        maker: Any = cls
        fresh: DiscreteDistribution = maker(**params, **constants)
        fresh._validate_args = bool(description["validate_args"])
        return fresh

    def _check_told(self) -> None:
        """Refuse to make a copy without what the constructor was given beside the parameters."""
        told = {*self.params, *self.constants, "probs", "logits", "validate_args"}
        if untold := [name for name in copies.arguments_of(type(self)) if name not in told]:
            name = type(self).__name__
            raise NotImplementedError(
                f"{name} takes {checks.listed(map(repr, untold))}, of which neither params nor "
                f"constants tell: a copy of it would have another. Write the property constants of "
                f"{name}, a dict of all that its constructor takes beside the parameters; or "
                "with_params and describe."
            )

    # facts that others ask for

    @property
    def is_choice(self) -> bool:
        """Whether the event's last dimension holds the categories of one choice."""
        return False

    @property
    def log_prob_is_differentiable(self) -> bool:
        """Whether `log_prob` has a gradient to the value."""
        return True

    @property
    def entropy_is_exact(self) -> bool:
        """Whether `entropy` is had without sampling, at a moderate cost."""
        return type(self).entropy is not NoFormula.entropy

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]  # torch's is an attribute
        """Whether its states can be listed."""
        return type(self).enumerate_support is not NoFormula.enumerate_support

    @property
    def states_are_one_hot(self) -> bool:
        """Whether the states are the K one-hot vectors in order, with probabilities `log_probs`."""
        return False

    @property
    def has_params(self) -> bool:
        """Whether it tells its parameters and can be made of others."""
        return not lacking(self, HasParams)

    # what products of several have more of

    @property
    def bases(self) -> tuple["DiscreteDistribution", ...]:
        """The distributions that it is a product of; itself if it is none."""
        return (self,)

    @property
    def continuous(self) -> dict[str, Distribution]:
        """Factors that are no choice, by name; a `Joint` may have some."""
        return {}

    def join(self, values: Sequence[Tensor]) -> Tensor:
        """Values of the bases, one `(..., *event)` of each, as one of the product."""
        (value,) = values
        return value

    def split(self, value: Tensor) -> list[Tensor]:
        """The inverse of `join`."""
        return [value]

    def total(self, scores: Sequence[Tensor]) -> Tensor:
        """Scores of the bases, `(*sample, *batch of the base)`, added up: `(*sample, *batch)`."""
        (score,) = scores
        return score

    def each(self, of: Callable[[Any], Tensor]) -> Tensor:
        """What a function makes of every base, joined."""
        return self.join([of(base) for base in self.bases])

    def naming(self, base: "DiscreteDistribution") -> str:
        """What messages call a base; in a `Joint` its factor's name is told too."""
        return type(base).__name__

    def named(self, value: Tensor) -> Any:
        """z as users see it: a dict of tensors for a `Joint`."""
        return value


def check_params(q: DiscreteDistribution) -> None:
    """Refuse parameters that don't begin with the batch's dimensions.

    Raises:
        ValueError: one doesn't; it is named.
    """
    lead = len(q.batch_shape)
    for name, param in q.params.items():
        if param.shape[:lead] != q.batch_shape:
            raise ValueError(
                f"{type(q).__name__} has the batch shape {tuple(q.batch_shape)}, with which "
                f"{name!r} must begin; it has the shape {tuple(param.shape)}. Expand it."
            )
