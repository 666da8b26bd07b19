"""What the two laws of k-hot vectors share: their event, their states and their best state.

`KSubset` and `PlackettLuceSubset` have the same states and different probabilities; samples of the
one scored with the other disagree with it.
"""

from abc import abstractmethod
from itertools import combinations
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.distributions import constraints

from hotgrad import ops
from hotgrad.distributions import base
from hotgrad.distributions.budget import check_budget, spread, subsets
from hotgrad.distributions.formulas import NoFormula
from hotgrad.distributions.independent import EventMixin
from hotgrad.ops import checks, parameters


class KHot(constraints.Constraint):
    """Vectors of n entries, k of them 1 and the others 0."""

    is_discrete = True
    event_dim = 1

    def __init__(self, k: int) -> None:
        self.k = k
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Whether each vector is one."""
        exact = ((value == 0) | (value == 1)).all(-1)
        return exact & (value.sum(-1, dtype=torch.float64) == self.k)


class SubsetLaw(EventMixin, NoFormula):
    """A law of k-hot vectors `(n,)` with one logit for each item.

    Args:
        logits: `(*batch, n)`; -inf masks an item, which is then never chosen.
        k: how many of the n items, the same for all rows.
        validate_args: check values (waits for the GPU); torch's default, which the first
            `torch.compile` in a process turns off.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"logits": constraints.real_vector}

    def __init__(self, logits: Tensor, k: int, validate_args: bool | None = None) -> None:
        validate = base.resolve_validation(validate_args)
        parameters.check_parameter(logits, "logits", event_dims=1)
        self.k = checks.check_subset_size(k, logits.shape[-1])
        if validate and checks.values_readable(logits):
            parameters.check_subset_logits(logits, self.k)
        self.logits = logits
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=False)
        self._validate_args = validate

    @property
    def support(self) -> KHot:
        """The k-hot vectors."""
        return KHot(self.k)

    def __repr__(self) -> str:
        return base.described(self, k=self.k, logits=self.logits)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        return self.with_logits(self.logits.expand(self._expanded(batch_shape) + self.event_shape))

    @abstractmethod
    def with_logits(self, logits: Tensor) -> Self:
        """k of as many items with other logits, of any batch shape."""

    @property
    def variance(self) -> Tensor:
        """Of each component: p (1 - p), p the marginal."""
        return self.mean * (1 - self.mean)

    @property
    def mode(self) -> Tensor:
        """The likeliest subset: the k largest logits."""
        return self.argmax(self.logits)

    def argmax(self, scores: Tensor) -> Tensor:
        """The k-hot vector z with the largest <scores, z>, for scores `(..., n)`."""
        return ops.k_hot(scores, self.k, self.logits.dtype)

    def enumerate_support(self, expand: bool = True, *, budget: int = base.MAX_STATES) -> Tensor:
        """All n choose k vectors, `(states, *batch_shape, n)`, or `(states, 1, .., n)`.

        Raises:
            ValueError: more states than the budget.
        """
        n, k = self.event_shape[0], self.k
        states = subsets(n, k)
        check_budget(
            states,
            budget,
            f"{type(self).__name__} of {k} of {n} items",
            state_bytes=n * self.logits.element_size(),
        )
        chosen = torch.tensor(list(combinations(range(n), k)), dtype=torch.long)
        chosen = chosen.reshape(states, k).to(self.logits.device)
        listed = self.logits.new_zeros((states, n)).scatter(1, chosen, 1.0)
        listed = listed.view((states,) + (1,) * len(self.batch_shape) + (n,))
        return spread(listed, self, expand)

    @property
    def _wide(self) -> Tensor:
        """The logits in at least float32."""
        return ops.widened(self.logits)

    def _draw_gumbel(
        self, sample_shape: Any, generator: torch.Generator | None, *rows: int
    ) -> Tensor:
        """Gumbel noise `(*sample_shape, *batch_shape, *rows, n)`."""
        shape = (
            checks.as_shape(sample_shape, "sample_shape")
            + self.batch_shape
            + torch.Size(rows)
            + self.event_shape
        )
        return ops.draw_gumbel(
            shape, dtype=self.logits.dtype, device=self.logits.device, generator=generator
        )

    def _check_value(self, value: Tensor) -> None:
        checks.check_value(value)
        if not self._validate_args or not checks.values_readable(value):
            return
        n = self.event_shape[0]
        if value.shape[-1:] != self.event_shape:
            raise ValueError(
                f"{type(self).__name__} expects values that end in ({n},), "
                f"got {tuple(value.shape)}."
            )
        good = self.support.check(value)
        if not bool(good.all()):
            bad = tuple((~good).nonzero()[0].tolist())
            row = value[bad].detach()
            raise ValueError(
                f"{type(self).__name__} expects vectors with {self.k} ones and {n - self.k} zeros; "
                f"{f'row {bad}' if bad else 'the row'} has {int((row == 1).sum())} ones and "
                f"{int((row == 0).sum())} zeros."
            )
