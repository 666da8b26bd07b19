"""What is audited: E_q[f(z)] as a function of q's parameters, and gradients of it.

Independent gradients of the same f and q are drawn side by side, in bounded memory: replicates are
a batch dimension of q, and f doesn't notice, since to it they are more samples, of which its
contract allows any number. All that an audit asks of a distribution, it asks here.
"""

import zlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from hotgrad.distributions import DiscreteDistribution, as_distribution
from hotgrad.estimators import missing_methods, validation
from hotgrad.estimators.base import Function
from hotgrad.expectation import expectation
from hotgrad.ops import checks

MAX_ELEMENTS = 2**20
"""The most elements of z that f is asked about at once, unless one replicate takes more."""
MAX_ROWS = 2**12
"""The most values of f that are asked for at once, unless one replicate takes more."""


class FunctionError(ValueError):
    """What is wrong with f where an estimator asked it, in one line."""


class Objective:
    """f and q, and a generator of random numbers for every purpose.

    Args:
        f: `(num_samples, *batch, *event) -> (num_samples, *batch)`.
        q: the distribution of z; f sees a `Joint`'s unknowns by name, estimators one vector.
        generator: where all random numbers come from; torch's global one by default.

    Raises:
        ValueError: q has no parameters that a gradient could be taken to.
    """

    def __init__(self, f: Function, q: Any, generator: torch.Generator | None = None) -> None:
        named = as_distribution(q)
        _check_parameters(named)
        self.f: Function = lambda z: f(named.named(z))
        # one vector to the audit, whatever names the unknowns have
        self.q = named.to_event(0)
        # copies may be differentiated, even if q was made in inference mode
        self._params = {name: value.detach().clone() for name, value in named.params.items()}
        first = next(iter(self._params.values()))
        self.device, self.dtype = first.device, first.dtype
        at = torch.device("cpu") if generator is None else generator.device
        self._seed = int(torch.randint(2**62, (), generator=generator, device=at))

    @property
    def name(self) -> str:
        """Of the classes that q is a product of."""
        return " and ".join(dict.fromkeys(type(base).__name__ for base in self.q.bases))

    @property
    def size(self) -> int:
        """The coordinates of the gradient: all elements of all parameters."""
        return sum(value.numel() for value in self._params.values())

    @property
    def elements(self) -> int:
        """Of one sample of z, for the whole batch."""
        return (self.q.batch_shape + self.q.event_shape).numel()

    def seed(self, *purpose: object) -> int:
        """A seed for a purpose.

        So an estimator has the same figures in a longer or a shorter list.
        """
        return self._seed ^ zlib.crc32(repr(purpose).encode())

    def generator(self, *purpose: object) -> torch.Generator:
        """A generator for a purpose, in its first state."""
        return torch.Generator(self.device).manual_seed(self.seed(*purpose))

    def lacks(self, estimator: Any) -> list[str]:
        """The methods that an estimator, or its class, needs and q doesn't have."""
        return missing_methods(estimator, self.q)

    def evaluations(self, estimator: Any, num_samples: int) -> int:
        """Values of f in one call; an estimator of a user's own need not say."""
        says = getattr(estimator, "evaluations", None)
        return num_samples if says is None else int(says(self.q, num_samples))

    def per_call(self, estimator: Any, num_samples: int, generator: torch.Generator | None) -> int:
        """How many replicates may go into one call; 1 means one by one, in q's own shapes.

        So are those measured that can't take a batch dimension in front of q's, as a baseline's
        network may do.

        Raises:
            Exception: whatever the estimator raises with f and q as they are.
        """
        self.gradients(estimator, num_samples, 1, generator)
        asked = self.evaluations(estimator, num_samples)
        rows = asked * max(self.q.batch_shape.numel(), 1)
        most = min(MAX_ELEMENTS // max(asked * self.elements, 1), MAX_ROWS // rows)
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
        for done in range(0, count, per_call):
            yield self.gradients(estimator, num_samples, min(per_call, count - done), generator)

    def gradients(
        self, estimator: Any, num_samples: int, count: int, generator: torch.Generator | None
    ) -> Tensor:
        """Independent gradients `(count, coordinates)`, all from one call; 0 where none arrives."""
        value, leaves = self.surrogate(estimator, num_samples, count, generator)
        slopes: tuple[Tensor | None, ...] = (None,) * len(leaves)
        if value.requires_grad:
            # not backward(), which would leave gradients in f's parameters
            slopes = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
        return torch.cat(
            [
                (torch.zeros_like(leaf) if slope is None else slope).reshape(count, -1)
                for leaf, slope in zip(leaves, slopes, strict=True)
            ],
            dim=-1,
        )

    def surrogate(
        self, estimator: Any, num_samples: int, count: int, generator: torch.Generator | None
    ) -> tuple[Tensor, list[Tensor]]:
        """The estimator's value for `count` replicates, and the parameters it is a function of.

        Raises:
            ValueError: not one value for each batch element, as when it takes the mean over them.
        """
        q, leaves = self.at_leaves(() if count == 1 else (count,))
        ask = self.ask if count == 1 else self._ask_replicates
        value = expectation(ask, q, estimator, num_samples=num_samples, generator=generator)
        if not isinstance(value, Tensor) or value.shape != q.batch_shape:
            came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                "its surrogate must be a tensor of one value for each batch element, shape "
                f"{tuple(q.batch_shape)}; got {came}"
            )
        return value, leaves

    def at_leaves(
        self, replicates: tuple[int, ...] = (), dtype: torch.dtype | None = None
    ) -> tuple[Any, list[Tensor]]:
        """q with parameters that a gradient can be taken to, and these."""
        leaves = {
            name: value.to(dtype or value.dtype)
            .expand(replicates + value.shape)
            .clone()
            .requires_grad_()
            for name, value in self._params.items()
        }
        return self.q.with_params(leaves), list(leaves.values())

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

    def check_function(self, num_samples: int) -> None:
        """Asks f about hard samples, twice, the second time about one more.

        Raises:
            ValueError: its values have a wrong shape, aren't finite, or differ for the same z.
            Exception: whatever f raises.
        """
        f, generator = validation.checked(self.f, self.q, None), self.generator("sanity")
        with torch.no_grad():
            f(self.q.sample((num_samples,), generator=generator))
            z = self.q.sample((num_samples + 1,), generator=generator)
            values = f(z)
            validation.check_finite(values)
            alone = f(z[:1])
        tolerance = torch.finfo(values.dtype).eps ** 0.5 * float(values.abs().max())
        off = float((alone - values[:1]).abs().max())
        if off > tolerance:
            raise ValueError(
                "f must be a fixed function of each sample of z, but the same z got values that "
                f"differ by {off:.3g} when it was asked about again, alone: does f draw at random, "
                "or look at other samples too? Put dropout and batch normalisation into "
                "evaluation mode with module.eval(), or fix the noise inside f."
            )


def _check_parameters(q: DiscreteDistribution) -> None:
    if q.continuous:
        raise ValueError(
            f"audit measures the gradients to discrete unknowns: q has the continuous "
            f"{checks.listed(map(repr, q.continuous))}. Fix them, or draw them inside f."
        )
    for base in q.bases:
        if not base.has_params:
            raise ValueError(
                f"audit measures the gradient to q's params, which {type(base).__name__} doesn't "
                "tell."
            )


def _is_hard(z: Tensor) -> bool:
    return bool(((z == 0) | (z == 1)).all())


def _cannot(z: Tensor) -> str:
    if not _is_hard(z):
        return "can't take relaxed values"
    return "can't be differentiated" if z.requires_grad else "fails at hard samples"
