"""Independent named unknowns of different laws and shapes as one q, whose samples are dicts."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from hotgrad.distributions import base, copies
from hotgrad.distributions.accept import as_law
from hotgrad.distributions.flattened import Flattened
from hotgrad.distributions.formulas import NoFormula
from hotgrad.ops import checks

Named = dict[str, Tensor]


class Joint(NoFormula):
    r"""$q(z) = \prod_{\mathrm{name}} q_{\mathrm{name}}(z_{\mathrm{name}})$, samples in a dict.

    The parts may be of different laws and shapes. Everything goes by name: `sample` returns a dict,
    `log_prob` takes one, and so does f in `expectation(f, q, estimator)`. It works with every
    estimator that serves all its parts: pathwise ones draw each part in their own way, the others
    see one law of independent parts. What those show to a network, as `Learned` and `Critic` do,
    are the parts' marginals flattened and joined, `(*batch, *q.event_shape)`. An estimator's
    temperature, where it is a tensor, must broadcast against the logits of each part.

    Args:
        laws: one or more laws by name, all with the same batch shape, dtype and device. Unknowns
            that f takes together are one event: use `to_event`.

    Raises:
        ValueError: no law, something that isn't one, or laws that differ in batch shape, dtype or
            device.

    Example:
        >>> q = hg.Joint(
        ...     kept=hg.Bernoulli(logits=torch.zeros(5)).to_event(1),
        ...     kind=hg.OneHotCategorical(logits=torch.zeros(3)),
        ... )
        >>> {name: tuple(z.shape) for name, z in q.sample((7,)).items()}
        {'kept': (7, 5), 'kind': (7, 3)}
        >>> f = lambda z: z["kept"].sum(-1) * z["kind"][..., 0]
        >>> hg.expectation(f, q, hg.Exact())                        # 5/2 times 1/3
        tensor(0.8333)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    instead: ClassVar[dict[str, str]] = dict.fromkeys(
        ("cdf", "icdf", "support"), "Ask one of its parts: q[name]."
    )

    def __init__(self, /, **laws: Distribution) -> None:
        if not laws:
            raise ValueError("Joint needs one law or more, by name: Joint(kept=Bernoulli(...)).")
        self.laws: dict[str, Any] = {name: _as_part(name, law) for name, law in laws.items()}
        for what, of in _ALIKE.items():
            found = {name: of(law) for name, law in self.laws.items() if _tells(law, what)}
            if len(set(found.values())) > 1:
                advice = (
                    " Batch dimensions that belong to one unknown become part of its event by "
                    "to_event(ndims)."
                    if what == "batch shape"
                    else ""
                )
                raise ValueError(
                    f"The laws of a Joint must have the same {what}; {_listed(found)}.{advice}"
                )
        self.flattened = Flattened(self.laws)
        """The law of all unknowns in one vector, which is what estimators work on."""
        super().__init__(
            self.flattened.batch_shape, self.flattened.event_shape, validate_args=False
        )
        self._validate_args = self.flattened._validate_args

    def __getitem__(self, name: str) -> Any:
        """The law of one unknown."""
        return self.laws[name]

    def __repr__(self) -> str:
        inside = checks.listed(
            f"{name}={type(getattr(law, 'law', law)).__name__}{tuple(law.event_shape)}"
            for name, law in self.laws.items()
        )
        return f"Joint({inside})"

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]  # a fact of the parts
        """Whether all parts can be enumerated."""
        inside = [type(getattr(law, "law", law)) for law in self.laws.values()]
        return all(cls.enumerate_support is not Distribution.enumerate_support for cls in inside)

    @property
    def logits(self) -> Named:
        """Of each unknown, `(*batch, *event)`."""
        return self._each(lambda law: law.logits)

    @property
    def mean(self) -> Named:  # type: ignore[override]  # by name
        """The marginals, differentiable."""
        return self._each(lambda law: law.mean)

    @property
    def variance(self) -> Named:  # type: ignore[override]  # by name
        """Of each component of each unknown."""
        return self._each(lambda law: law.variance)

    @property
    def stddev(self) -> Named:  # type: ignore[override]  # by name
        """The root of the variance."""
        return self._each(lambda law: law.stddev)

    @property
    def mode(self) -> Named:  # type: ignore[override]  # by name
        """The likeliest state."""
        return self._each(lambda law: law.mode)

    def with_logits(self, logits: Mapping[str, Tensor]) -> "Joint":
        """The same kinds of law with other logits, of any batch shape.

        Raises:
            ValueError: names other than this law's.
        """
        self._check_names(logits, "with_logits")
        return self._of({name: law.with_logits(logits[name]) for name, law in self.laws.items()})

    def expand(self, batch_shape: Any, _instance: Any = None) -> "Joint":
        return self._of({name: law.expand(batch_shape) for name, law in self.laws.items()})

    def to_event(self, ndims: int) -> "Joint":
        """The rightmost `ndims` batch dimensions counted as part of every unknown's event."""
        return self._of({name: law.to_event(ndims) for name, law in self.laws.items()})

    def sample(self, sample_shape: Any = (), *, generator: torch.Generator | None = None) -> Named:  # type: ignore[override]  # by name
        """Samples of shape `sample_shape + batch_shape + event_shape of the unknown`, by name."""
        return self._each(lambda law: law.sample(sample_shape, generator=generator))

    def log_prob(self, value: Mapping[str, Tensor]) -> Tensor:  # type: ignore[override]  # by name
        """log p(value), summed over the unknowns.

        Raises:
            ValueError: names other than this law's, or values that differ in the shape of sample
                and batch.
        """
        self._check_names(value, "log_prob")
        terms = {name: law.log_prob(value[name]) for name, law in self.laws.items()}
        shapes = {name: term.shape for name, term in terms.items()}
        if len(set(shapes.values())) > 1:
            raise ValueError(
                "Joint.log_prob takes values whose shapes before the event's are the same; "
                f"{_listed(shapes)}."
            )
        return torch.stack(list(terms.values())).sum(0)

    def entropy(self) -> Tensor:
        """In nats, summed over the unknowns."""
        return self.flattened.entropy()

    def enumerate_support(self, expand: bool = True, *, budget: int = base.MAX_STATES) -> Named:  # type: ignore[override]  # by name
        """Every state of all unknowns together, `(states, *batch, *event)` by name.

        Raises:
            ValueError: more states than the budget.
        """
        return self.flattened.unpack(self.flattened.enumerate_support(expand, budget=budget))

    def _check_names(self, values: Any, method: str) -> None:
        if not isinstance(values, Mapping) or set(values) != set(self.laws):
            if not isinstance(values, Mapping):
                came = type(values).__name__
            elif lacking := [name for name in self.laws if name not in values]:
                came = f"a dict without {checks.listed(map(repr, lacking))}"
            else:
                others = (repr(name) for name in values if name not in self.laws)
                came = f"a dict with {checks.listed(others)} too"
            raise ValueError(
                f"Joint.{method} takes a dict with the names "
                f"{checks.listed(map(repr, self.laws))}; got {came}."
            )

    def _each(self, of: Callable[[Any], Tensor]) -> Named:
        return {name: of(law) for name, law in self.laws.items()}

    def _of(self, laws: dict[str, Any]) -> "Joint":
        return copies.like(self, Joint(**laws))


def _as_part(name: str, law: Any) -> Any:
    try:
        part = as_law(law)
    except ValueError as error:
        raise ValueError(f"The law of {name!r}: {error}") from None
    if isinstance(part, Flattened):
        raise ValueError(
            f"{name!r} is a Joint itself. Give its laws one by one: Joint(**inner.laws, ...)."
        )
    return part


def _tells(law: Any, what: str) -> bool:
    """Whether a law says that of itself: one of a user's own need not have logits."""
    return what == "batch shape" or hasattr(law, "logits")


def _listed(found: Mapping[str, Any]) -> str:
    """Which names have which value."""
    names: dict[Any, list[str]] = {}
    for name, value in found.items():
        names.setdefault(tuple(value) if isinstance(value, torch.Size) else value, []).append(name)
    return checks.listed(
        f"{checks.listed(those)} {'has' if len(those) == 1 else 'have'} {value}"
        for value, those in names.items()
    )


_ALIKE: dict[str, Callable[[Any], Any]] = {
    "batch shape": lambda law: law.batch_shape,
    "dtype": lambda law: law.logits.dtype,
    "device": lambda law: law.logits.device,
}
