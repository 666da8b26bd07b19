"""What the two distributions of k-hot vectors share: event, states and most probable state.

`KSubset` and `PlackettLuceSubset` have the same states and different probabilities; samples of the
one scored with the other disagree with it.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints

from hotgrad import ops
from hotgrad.distributions import arguments
from hotgrad.distributions.budget import MAX_STATES, check_budget, spread, subsets
from hotgrad.distributions.capabilities import Scores
from hotgrad.distributions.discrete import DiscreteDistribution
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


class SubsetDistribution(DiscreteDistribution):
    """A distribution of k-hot vectors `(n,)` with one logit for each item.

    Args:
        logits: `(*batch, n)`; -inf masks an item, which is then never chosen.
        k: how many of the n items, the same for all rows.
        validate_args: check values (waits for the GPU); torch's default, which the first
            `torch.compile` in a process turns off.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"logits": constraints.real_vector}

    def __init__(self, logits: Tensor, k: int, validate_args: bool | None = None) -> None:
        validate = arguments.resolve_validation(validate_args)
        parameters.check_parameter(logits, "logits", event_dims=1)
        self.k = checks.check_subset_size(k, logits.shape[-1])
        if validate and checks.values_readable(logits):
            parameters.check_subset_logits(logits, self.k)
        self._logits = logits
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=validate)

    @property
    def logits(self) -> Tensor:
        """Of the items, as they were given."""
        return self._logits

    @property
    def params(self) -> dict[str, Tensor]:
        return {"logits": self._logits}

    @property
    def constants(self) -> dict[str, Any]:
        return {"k": self.k}

    @property
    def support(self) -> KHot:
        """The k-hot vectors."""
        return KHot(self.k)

    def __repr__(self) -> str:
        return arguments.described(self, k=self.k, logits=self.logits)

    @property
    def variance(self) -> Tensor:
        """Of each component: p (1 - p), p the marginal."""
        return self.mean * (1 - self.mean)

    @property
    def mode(self) -> Tensor:
        """The most probable subset: the k largest logits."""
        return self.argmax(self.params)

    def argmax(self, scores: Mapping[str, Tensor]) -> Tensor:
        """The k-hot vector of the k largest scores `(..., n)`."""
        return ops.k_hot(scores["logits"], self.k, self.logits.dtype)

    def statistics(self, value: Tensor) -> Scores:
        """The items chosen, each of which counts its logit."""
        return {"logits": value}

    def enumerate_support(self, expand: bool = True, *, budget: int = MAX_STATES) -> Tensor:
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
        return spread(listed, self.batch_shape + self.event_shape, expand)

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
