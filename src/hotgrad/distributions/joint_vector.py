"""Named factors flattened and joined in one vector: what estimators work on."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.distributions import Distribution

from hotgrad.distributions.discrete import DiscreteDistribution
from hotgrad.distributions.product import Product
from hotgrad.ops import checks


class NamedFactors:
    """What a `Joint` and its vector have alike: parameters by the names of factor and parameter."""

    factors: dict[str, Any]

    @property
    def vector(self) -> DiscreteDistribution:
        """The discrete unknowns in one vector, which is what estimators work on."""
        raise NotImplementedError

    @property
    def params(self) -> dict[str, Tensor]:
        """Of all discrete factors, as `name.parameter`."""
        return {
            f"{name}.{param}": value
            for name, factor in self.factors.items()
            if not factor.has_rsample
            for param, value in factor.params.items()
        }

    def describe(self) -> dict[str, Any]:
        """All but the parameters, as plain values: what a file holds of it.

        Raises:
            NotImplementedError: a factor is continuous.
        """
        if numbers := [repr(name) for name, factor in self.factors.items() if factor.has_rsample]:
            raise NotImplementedError(
                f"{checks.listed(numbers)} can't be written down: continuous."
            )
        factors = {name: factor.describe() for name, factor in self.factors.items()}
        return {"kind": "Joint", "factors": factors}

    def factors_with(self, params: Mapping[str, Tensor]) -> dict[str, Any]:
        """The factors with other parameters; continuous ones as they are.

        Raises:
            ValueError: names other than those of `params`.
        """
        if not isinstance(params, Mapping) or set(params) != set(self.params):
            named = isinstance(params, Mapping)
            came = (checks.listed(map(repr, params)) or "none") if named else type(params).__name__
            raise ValueError(
                f"with_params of a Joint takes a dict with the names "
                f"{checks.listed(map(repr, self.params))}; got {came}."
            )
        own: dict[str, dict[str, Tensor]] = {}
        for key, value in params.items():
            # the factor's name may have dots, the parameter's is an argument's
            name, _, param = key.rpartition(".")
            own.setdefault(name, {})[param] = value
        return {
            name: factor.with_params(own[name]) if name in own else factor
            for name, factor in self.factors.items()
        }


class JointVector(NamedFactors, Product[Tensor], DiscreteDistribution):
    """The discrete unknowns of a `Joint`, flattened and joined in one vector.

    It is what estimators work on.

    Args:
        factors: by name, all with the same batch shape, dtype and device.
        continuous: those of the `Joint` that are no choice, which are not in the vector.
    """

    def __init__(self, factors: Mapping[str, Any], continuous: Mapping[str, Distribution]) -> None:
        self.factors, self._continuous = dict(factors), dict(continuous)
        self.sizes = [factor.event_shape.numel() for factor in factors.values()]
        first = next(iter(factors.values()))
        checked = any(factor._validate_args for factor in factors.values())
        super().__init__(first.batch_shape, (sum(self.sizes),), validate_args=checked)

    @property
    def vector(self) -> "JointVector":
        return self

    @property
    def parts(self) -> tuple[Any, ...]:
        return tuple(self.factors.values())

    @property
    def continuous(self) -> dict[str, Distribution]:
        return self._continuous

    def merged(self, values: Sequence[Tensor]) -> Tensor:
        """Values `(..., *event)` of the factors in one vector `(..., total)`."""
        flat = [
            value.reshape((*value.shape[: value.ndim - len(factor.event_shape)], size))
            for value, factor, size in zip(values, self.parts, self.sizes, strict=True)
        ]
        return torch.cat(flat, -1)

    def unmerged(self, value: Tensor) -> list[Tensor]:
        return [
            piece.reshape(piece.shape[:-1] + factor.event_shape)
            for factor, piece in zip(self.parts, value.split(self.sizes, -1), strict=True)
        ]

    def named(self, value: Tensor) -> dict[str, Tensor]:
        """The unknowns in vectors `(..., total)`, by name: views `(..., *event)`."""
        return dict(zip(self.factors, self.unmerged(value), strict=True))

    def naming(self, base: DiscreteDistribution) -> str:
        (name,) = (name for name, factor in self.factors.items() if base in factor.bases)
        return f"{type(base).__name__} ({name!r})"

    def with_params(self, params: Mapping[str, Tensor]) -> Self:
        return type(self)(self.factors_with(params), self._continuous)

    def unchecked(self) -> Self:
        factors = {name: factor.unchecked() for name, factor in self.factors.items()}
        return type(self)(factors, self._continuous)

    @property
    def _in_words(self) -> str:
        return f"a Joint of {checks.listed(self.factors)}"
