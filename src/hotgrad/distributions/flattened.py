"""Several laws as the law of one vector: what estimators see of named unknowns."""

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from hotgrad.distributions import base
from hotgrad.distributions.budget import check_budget, spread
from hotgrad.distributions.formulas import NoFormula
from hotgrad.distributions.independent import EventMixin
from hotgrad.ops import checks


class Flattened(EventMixin, NoFormula):
    """Independent laws of one batch shape, their events flattened and joined in one dimension.

    It has what can be told of independent parts together. What concerns the noise of a part,
    estimators ask of the part.

    Args:
        laws: by name, all with the same batch shape, dtype and device.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, laws: Mapping[str, Any]) -> None:
        self.laws = dict(laws)
        first = next(iter(self.laws.values()))
        self.sizes = [law.event_shape.numel() for law in self.laws.values()]
        super().__init__(first.batch_shape, torch.Size([sum(self.sizes)]), validate_args=False)
        self._validate_args = any(law._validate_args for law in self.laws.values())

    def unpack(self, z: Tensor) -> dict[str, Tensor]:
        """The unknowns in vectors `(..., total)`: views `(..., *event)` by name."""
        return {
            name: piece.reshape(piece.shape[:-1] + law.event_shape)
            for (name, law), piece in zip(self.laws.items(), z.split(self.sizes, -1), strict=True)
        }

    def each(self, of: Callable[[Any], Tensor]) -> Tensor:
        """What a function makes of every law, `(..., *event)`, flattened and joined."""
        return self._join([of(law) for law in self.laws.values()])

    def pack(self, values: Mapping[str, Tensor]) -> Tensor:
        """The inverse of `unpack`."""
        return self._join([values[name] for name in self.laws])

    @property
    def logits(self) -> Tensor:
        """All laws' own, `(*batch, total)`."""
        return self.each(lambda law: law.logits)

    @property
    def mean(self) -> Tensor:
        """The marginals, differentiable."""
        return self.each(lambda law: law.mean)

    @property
    def mode(self) -> Tensor:
        """The likeliest state."""
        return self.each(lambda law: law.mode)

    def with_logits(self, logits: Tensor) -> "Flattened":
        """The same kinds of law with other logits, of any batch shape."""
        pieces = self.unpack(logits)
        return Flattened({name: law.with_logits(pieces[name]) for name, law in self.laws.items()})

    def sample(self, sample_shape: Any = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Samples of shape `sample_shape + batch_shape + event_shape`."""
        return self.each(lambda law: law.sample(sample_shape, generator=generator))

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(value), summed over the laws."""
        pieces = self.unpack(value)
        return torch.stack([law.log_prob(pieces[name]) for name, law in self.laws.items()]).sum(0)

    def entropy(self) -> Tensor:
        """In nats, summed over the laws."""
        return torch.stack([law.entropy() for law in self.laws.values()]).sum(0)

    def enumerate_support(self, expand: bool = True, *, budget: int = base.MAX_STATES) -> Tensor:
        """Every joint state, `(states, *batch, total)`, or `(states, 1, .., total)`.

        Raises:
            ValueError: more states than the budget.
        """
        ones = (1,) * len(self.batch_shape)
        listed = [law.enumerate_support(expand=False, budget=budget) for law in self.laws.values()]
        states = math.prod([own.shape[0] for own in listed])
        check_budget(
            states,
            budget,
            f"a Joint of {checks.listed(self.laws)}",
            state_bytes=sum(self.sizes) * listed[0].element_size(),
        )
        choices = torch.cartesian_prod(
            *(torch.arange(own.shape[0], device=own.device) for own in listed)
        ).reshape(states, len(listed))
        joint = self._join(
            [
                own[choices[:, i]].reshape((states, *ones, *law.event_shape))
                for i, (own, law) in enumerate(zip(listed, self.laws.values(), strict=True))
            ]
        )
        return spread(joint, self, expand)

    def couple(
        self,
        sample_shape: Any,
        temperature: float | Tensor,
        *,
        generator: torch.Generator | None = None,
    ) -> base.Coupled:
        """Outcomes of all laws, with two relaxed samples that lead to them."""
        pairs = [
            law.couple(sample_shape, temperature, generator=generator) for law in self.laws.values()
        ]
        return base.Coupled(
            hard=self._join([pair.hard for pair in pairs]),
            log_prob=torch.stack([pair.log_prob for pair in pairs]).sum(0),
            relaxed=self._join([pair.relaxed for pair in pairs]),
            relaxed_given=self._join([pair.relaxed_given for pair in pairs]),
        )

    def antithetic(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> base.Antithetic:
        """Bits from noise, and bits from its negative."""
        pairs = [law.antithetic(sample_shape, generator=generator) for law in self.laws.values()]
        first, second, noise = (self._join(list(field)) for field in zip(*pairs, strict=True))
        return base.Antithetic(first, second, noise)

    def _join(self, values: list[Tensor]) -> Tensor:
        """Values `(..., *event)` of the laws in one vector `(..., total)`."""
        flat = [
            value.reshape((*value.shape[: value.ndim - len(law.event_shape)], size))
            for value, law, size in zip(values, self.laws.values(), self.sizes, strict=True)
        ]
        return torch.cat(flat, -1)
