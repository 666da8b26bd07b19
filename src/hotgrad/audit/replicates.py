"""One problem many times over: independent gradients of the same f and q, in bounded memory.

Replicates are a batch dimension of the law. f doesn't notice: to it they are more samples, of which
its contract allows any number.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from hotgrad.estimators.base import Function
from hotgrad.expectation import expectation

MAX_ELEMENTS = 2**20
"""The most elements of z that f is asked about at once, unless one replicate takes more."""
MAX_ROWS = 2**12
"""The most values of f that are asked for at once, unless one replicate takes more."""


class FunctionError(ValueError):
    """What is wrong with f where an estimator asked it, in one line."""


class Replicates:
    """The problem: f, q and q's logits, whose gradient is measured.

    Args:
        f: `(num_samples, *batch, *event) -> (num_samples, *batch)`.
        q: the law.
    """

    def __init__(self, f: Function, q: Any) -> None:
        self.f, self.q = f, q
        # a copy may be differentiated, even if q was made in inference mode
        self.logits: Tensor = q.logits.detach().clone()

    @property
    def size(self) -> int:
        """The coordinates of the gradient."""
        return self.logits.numel()

    def per_call(self, estimator: Any, num_samples: int, generator: torch.Generator | None) -> int:
        """How many replicates may go into one call; 1 means one by one, in q's own shapes.

        So are those measured that can't take a batch dimension in front of q's, as a baseline's
        network may do.

        Raises:
            Exception: whatever the estimator raises with f and q as they are.
        """
        self.gradients(estimator, num_samples, 1, generator)
        asked = evaluations_of(estimator, self.q, num_samples)
        rows = asked * max(self.q.batch_shape.numel(), 1)
        most = min(MAX_ELEMENTS // max(asked * self.size, 1), MAX_ROWS // rows)
        if most < 2:
            return 1
        try:
            self.gradients(estimator, num_samples, 2, generator)
        except Exception:
            return 1
        return most

    def run(
        self,
        estimator: Any,
        num_samples: int,
        count: int,
        per_call: int,
        generator: torch.Generator | None,
    ) -> Iterator[Tensor]:
        """`count` gradients in blocks `(replicates, coordinates)`."""
        done = 0
        while done < count:
            block = min(per_call, count - done)
            yield self.gradients(estimator, num_samples, block, generator)
            done += block

    def gradients(
        self, estimator: Any, num_samples: int, count: int, generator: torch.Generator | None
    ) -> Tensor:
        """Independent gradients `(count, coordinates)`, all from one call; 0 where none arrives."""
        value, leaf = self.surrogate(estimator, num_samples, count, generator)
        slope = None
        if value.requires_grad:
            # not backward(), which would leave gradients in f's parameters
            (slope,) = torch.autograd.grad(value.sum(), leaf, allow_unused=True)
        slope = torch.zeros_like(leaf) if slope is None else slope
        return slope.reshape(count, self.size)

    def surrogate(
        self, estimator: Any, num_samples: int, count: int, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """The estimator's value for `count` replicates, and the logits that it is a function of.

        Raises:
            ValueError: not one value for each batch element, as when it takes the mean over them.
        """
        shape = self.logits.shape if count == 1 else (count, *self.logits.shape)
        leaf = self.logits.expand(shape).clone().requires_grad_()
        ask = self.ask if count == 1 else self._ask_replicates
        law = self.q.with_logits(leaf)
        value = expectation(ask, law, estimator, num_samples=num_samples, generator=generator)
        if not isinstance(value, Tensor) or value.shape != law.batch_shape:
            came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                "its surrogate must be a tensor of one value for each batch element, shape "
                f"{tuple(law.batch_shape)}; got {came}"
            )
        return value, leaf

    def ask(self, z: Tensor) -> Tensor:
        """The values of f.

        Raises:
            FunctionError: f raised something, or values that aren't finite.
        """
        try:
            values = self.f(z)
        except Exception as error:
            lines = str(error).strip().splitlines()
            said = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
            raise FunctionError(f"f {_cannot(z)}: {said}") from error
        if isinstance(values, Tensor) and values.is_floating_point():
            bad = int((~values.isfinite()).sum())
            if bad:
                raise FunctionError(
                    f"f isn't finite at {'hard' if _is_hard(z) else 'relaxed'} values: "
                    f"{bad} of {values.numel()} are inf or NaN"
                )
        return values

    def _ask_replicates(self, z: Tensor) -> Tensor:
        values = self.ask(z.flatten(0, 1))
        return values.unflatten(0, z.shape[:2]) if isinstance(values, Tensor) else values


def evaluations_of(estimator: Any, q: Any, num_samples: int) -> int:
    """Values of f in one call; an estimator of a user's own need not say."""
    says = getattr(estimator, "evaluations", None)
    return num_samples if says is None else int(says(q, num_samples))


def _is_hard(z: Tensor) -> bool:
    return bool(((z == 0) | (z == 1)).all())


def _cannot(z: Tensor) -> str:
    if not _is_hard(z):
        return "can't take relaxed values"
    return "can't be differentiated" if z.requires_grad else "fails at hard samples"
