"""Independent parts of few states each, for estimators that list the states of one part.

The joint support has as many states as those of one part to the power of the number of parts; what
is listed here is the support of one part, and each part's probabilities. The parts of one base are
alike and make up a group; a `Joint` has several groups.
"""

import math
from typing import Any

import torch
from torch import Tensor

from hotgrad import ops
from hotgrad.distributions import DiscreteDistribution
from hotgrad.distributions.budget import check_budget
from hotgrad.ops.noise import noise_dtype

MAX_ELEMENTS = 2**24
"""The most elements of z that f is asked about at once, unless one z has more."""


class Group:
    """The parts of one base: its batch dimensions beyond those of q.

    Args:
        base: a distribution that is no product of others.
        batch_shape: of q.
        budget: the most states of a part.

    Raises:
        ValueError: a part with more states.
    """

    def __init__(self, base: Any, batch_shape: torch.Size, budget: int) -> None:
        self.base, self.batch_shape = base, batch_shape
        self.shape = base.batch_shape[len(batch_shape) :]
        """Of the parts among each other, `()` if there is one."""
        self.count = self.shape.numel()
        self._states: Tensor | None = None
        """The states of a part, `(K, *event of the base)`; None for the K one-hot vectors."""
        if base.states_are_one_hot:
            self.num_states: int = base.event_shape[0]  # K
            self.dtype = base.dtype
            check_budget(self.num_states, budget, f"{self.num_states:,} categories")
            return
        own = base.enumerate_support(expand=False, budget=budget)
        if own.numel() != own.shape[0] * base.event_shape.numel():
            raise ValueError(
                f"{type(base).__name__}.enumerate_support(expand=False) must return states of "
                f"shape (states, 1, .., *event), the same for each element of the batch; got "
                f"{tuple(own.shape)} for an event {tuple(base.event_shape)}."
            )
        self.num_states, self.dtype = own.shape[0], own.dtype
        self._states = own.reshape(own.shape[:1] + base.event_shape)

    def log_probs(self) -> Tensor:
        """Of each part's states, `(K, *batch, parts)`, in at least float32, where they sum to 1."""
        if self._states is None:
            log_probs: Tensor = self.base.log_probs.movedim(-1, 0)
        else:
            # not expanded: a distribution's own checks, and what it works out of its parameters,
            # stay small
            states = self._listed(self._states, len(self.base.batch_shape))
            log_probs = self.base.log_prob(ops.widened(states))
        wide = noise_dtype(log_probs.dtype)
        if log_probs.dtype != wide:
            # rounded by the distribution, they sum to 1 only to some per cent
            log_probs = ops.log_softmax(log_probs.to(wide), 0)
        return log_probs.reshape((self.num_states, *self.batch_shape, self.count))

    def joined(self, numbers: Tensor) -> Tensor:
        """The parts' states from their numbers, `(*sample, *batch, parts)` to `(..., *event)`."""
        shape = numbers.shape[:-1] + self.shape + self.base.event_shape
        if self._states is None:
            hot = torch.zeros(
                (*numbers.shape, self.num_states), dtype=self.dtype, device=numbers.device
            )
            return hot.scatter(-1, numbers.unsqueeze(-1), 1.0).reshape(shape)
        # not states[numbers], whose strides the compiler guesses wrong where numbers are a slice
        return self._states.index_select(0, numbers.flatten()).reshape(shape)

    def numbers(self, z: Tensor) -> Tensor:
        """The numbers of the parts' states in `(S, *batch, *event)`: `(S, *batch, parts)`."""
        shape = (*z.shape[:1], *self.batch_shape, self.count)
        if self._states is None:
            return z.argmax(-1).reshape(shape)
        ndim = z.ndim - len(self.base.event_shape)
        alike = self._listed(self._states, ndim) == z
        if self.base.event_shape:
            alike = alike.flatten(1 + ndim).all(-1)
        return alike.int().argmax(0).reshape(shape)

    def _listed(self, states: Tensor, ndim: int) -> Tensor:
        """The states of a part, with `ndim` dimensions before the base's event."""
        return states.reshape((self.num_states, *(1,) * ndim, *self.base.event_shape))


class Parts:
    """All parts of q, numbered group by group.

    Args:
        q: a distribution, what `as_distribution` returns.
        budget: the most states of a part.

    Raises:
        ValueError: a part with more states.
    """

    def __init__(self, q: DiscreteDistribution, budget: int) -> None:
        self._q = q
        self.groups = [Group(base, q.batch_shape, budget) for base in q.bases]
        # lists, which the compiler traces
        self.count = sum([group.count for group in self.groups])
        self.joint_states = math.prod([group.num_states**group.count for group in self.groups])
        """The states of all parts together."""

    @property
    def name(self) -> str:
        """What they are parts of, for messages."""
        kinds = dict.fromkeys(type(group.base).__name__ for group in self.groups)
        named = " and ".join(kinds)
        return named if self.count == 1 else f"{named} of {self.count:,} parts"

    def placed(self) -> list[tuple[Group, int, int]]:
        """Each group with the numbers of its first part and of the first one after it."""
        places, start = [], 0
        for group in self.groups:
            places.append((group, start, start + group.count))
            start += group.count
        return places

    def log_probs(self) -> Tensor:
        """Of each part's states, `(K, *batch, parts)`; -inf where a part has fewer than K."""
        found = [group.log_probs() for group in self.groups]
        most = max([len(log_probs) for log_probs in found])
        padded = [
            torch.cat([own, own.new_full((most - len(own), *own.shape[1:]), -torch.inf)])
            for own in found
        ]
        return padded[0] if len(padded) == 1 else torch.cat(padded, -1)

    def joint_log_probs(self) -> Tensor:
        """Of all parts' states together, `(states, *batch)`, the last part's changing fastest."""
        found = [group.log_probs() for group in self.groups]
        # of no parts 0, that depends on the logits all the same
        total = torch.stack([own[:1, ..., :0].sum(-1) for own in found]).sum(0)
        for own in found:
            # parts of one state are certain, however many they are
            for part in own.unbind(-1) if len(own) > 1 else [own.sum(-1)]:
                total = (total.unsqueeze(1) + part).flatten(0, 1)
        return total

    def own_numbers(self, joint: Tensor) -> Tensor:
        """The parts' own states in the joint states of these numbers: `(...)` to `(..., parts)`."""
        digits = [joint.new_zeros((*joint.shape, 0))]
        for group in reversed(self.groups):
            if group.num_states == 1:
                digits.append(joint.new_zeros((*joint.shape, group.count)))
                continue
            for _ in range(group.count):
                digits.append((joint % group.num_states).unsqueeze(-1))
                joint = joint // group.num_states
        return torch.cat(digits[::-1], -1)

    def joined(self, numbers: Tensor) -> Tensor:
        """Joint states, from each part's own: `(*sample, *batch, parts)` to `(..., *event)`."""
        states = [group.joined(numbers[..., a:b]) for group, a, b in self.placed()]
        return self._q.join(states)

    def numbers(self, z: Tensor) -> Tensor:
        """The parts' own states in joint states `(S, *batch, *event)`: `(S, *batch, parts)`."""
        pairs = zip(self.groups, self._q.split(z), strict=True)
        found = [group.numbers(states) for group, states in pairs]
        return found[0] if len(found) == 1 else torch.cat(found, -1)
