"""A law as independent parts of few states each, for estimators that list the states of one part.

The joint support has as many states as those of one part to the power of the number of parts; what
is listed here is the support of one part, and each part's probabilities. The parts of one law are
alike and make up a group; the laws of a `Joint` are several groups.
"""

import math
from typing import Any

import torch
from torch import Tensor

from hotgrad import ops
from hotgrad.distributions import as_law
from hotgrad.distributions.flattened import Flattened
from hotgrad.ops.noise import noise_dtype


class Group:
    """The parts of one law: its batch dimensions beyond those of q.

    Args:
        law: without event dimensions that were added around it.
        batch_shape: of q.
        budget: the most states of a part.

    Raises:
        ValueError: a part with more states.
    """

    def __init__(self, law: Any, batch_shape: torch.Size, budget: int) -> None:
        self.law, self.batch_shape = law, batch_shape
        own = law.enumerate_support(expand=False, budget=budget)
        self.shape = law.batch_shape[len(batch_shape) :]
        """Of the parts among each other, `()` if there is one."""
        self.count = self.shape.numel()
        self.states: Tensor = own.reshape(own.shape[:1] + law.event_shape)
        """The states of a part, `(K, *event of the law)`."""

    @property
    def num_states(self) -> int:
        """K, the states of one part."""
        return self.states.shape[0]

    def log_probs(self) -> Tensor:
        """Of each part's states, `(K, *batch, parts)`, in at least float32, where they sum to 1."""
        # not expanded: a law's own checks, and what it works out of its logits, stay small
        log_probs: Tensor = self.law.log_prob(self._listed(len(self.law.batch_shape)))
        wide = noise_dtype(log_probs.dtype)
        if log_probs.dtype != wide:
            # rounded, they sum to 1 only to some per cent
            log_probs = ops.log_softmax(log_probs.to(wide), 0)
        return log_probs.reshape((self.num_states, *self.batch_shape, self.count))

    def joined(self, numbers: Tensor) -> Tensor:
        """The parts' states from their numbers, `(*sample, *batch, parts)` to `(..., *event)`."""
        shape = numbers.shape[:-1] + self.shape + self.law.event_shape
        # not states[numbers], whose strides the compiler guesses wrong where numbers are a slice
        return self.states.index_select(0, numbers.flatten()).reshape(shape)

    def numbers(self, z: Tensor) -> Tensor:
        """The numbers of the parts' states in `(S, *batch, *event)`: `(S, *batch, parts)`."""
        ndim = z.ndim - len(self.law.event_shape)
        alike = self._listed(ndim) == z
        if self.law.event_shape:
            alike = alike.flatten(1 + ndim).all(-1)
        return alike.int().argmax(0).reshape((*z.shape[:1], *self.batch_shape, self.count))

    def _listed(self, ndim: int) -> Tensor:
        """The states of a part, with `ndim` dimensions before the law's event."""
        return self.states.reshape((self.num_states, *(1,) * ndim, *self.law.event_shape))


class Parts:
    """All parts of q, numbered group by group.

    Args:
        q: the law of the joint event.
        budget: the most states of a part.

    Raises:
        ValueError: a part with more states.
    """

    def __init__(self, q: Any, budget: int) -> None:
        q = as_law(q)
        law = getattr(q, "law", q)
        self._flattened = law if isinstance(law, Flattened) else None
        laws = [law] if self._flattened is None else law.laws.values()
        self.groups = [Group(getattr(part, "law", part), q.batch_shape, budget) for part in laws]
        # lists, which the compiler traces
        self.count = sum([group.count for group in self.groups])
        self.joint_states = math.prod([group.num_states**group.count for group in self.groups])
        """The states of all parts together."""

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

    def joined(self, numbers: Tensor) -> Tensor:
        """Joint states, from each part's own: `(*sample, *batch, parts)` to `(..., *event)`."""
        states = [group.joined(numbers[..., a:b]) for group, a, b in self.placed()]
        if self._flattened is None:
            return states[0]
        return self._flattened.pack(dict(zip(self._flattened.laws, states, strict=True)))

    def numbers(self, z: Tensor) -> Tensor:
        """The parts' own states in joint states `(S, *batch, *event)`: `(S, *batch, parts)`."""
        if self._flattened is None:
            return self.groups[0].numbers(z)
        states = self._flattened.unpack(z).values()
        return torch.cat([g.numbers(s) for g, s in zip(self.groups, states, strict=True)], -1)
