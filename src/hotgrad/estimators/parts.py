"""A law as independent parts of few states each, for estimators that list the states of one part.

The joint support has as many states as those of one part to the power of the number of parts; what
is listed here is the support of one part, and each part's probabilities.
"""

from typing import Any

from torch import Tensor

from hotgrad import ops
from hotgrad.ops.noise import noise_dtype


class Parts:
    """The parts of q, which are batch dimensions of the law inside it.

    Args:
        q: the law of the joint event.
        budget: the most states of a part.

    Raises:
        ValueError: a part with more states.
    """

    def __init__(self, q: Any, budget: int) -> None:
        self.law = getattr(q, "law", q)
        own = self.law.enumerate_support(expand=False, budget=budget)
        self.batch_shape = q.batch_shape
        self.shape = self.law.batch_shape[len(q.batch_shape) :]
        """Of the parts among each other, `()` if there is one."""
        self.count = self.shape.numel()
        self.states: Tensor = own.reshape(own.shape[:1] + self.law.event_shape)
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
        """Joint states, from each part's own: `(*sample, *batch, parts)` to `(..., *event)`."""
        shape = numbers.shape[:-1] + self.shape
        return self.states[numbers].reshape(shape + self.law.event_shape)

    def numbers(self, z: Tensor) -> Tensor:
        """The parts' own states in joint states `(S, *batch, *event)`: `(S, *batch, parts)`."""
        ndim = z.ndim - len(self.law.event_shape)
        alike = self._listed(ndim) == z
        if self.law.event_shape:
            alike = alike.flatten(1 + ndim).all(-1)
        return alike.int().argmax(0).reshape((*z.shape[:1], *self.batch_shape, self.count))

    def _listed(self, ndim: int) -> Tensor:
        """The states of a part, with `ndim` dimensions before the law's event."""
        return self.states.reshape((self.num_states, *(1,) * ndim, *self.law.event_shape))
