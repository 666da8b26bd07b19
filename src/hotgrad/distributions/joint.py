"""Named unknowns of different kinds and shapes as one q, whose samples are dicts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions import Independent as TorchIndependent

from hotgrad.distributions import copies
from hotgrad.distributions.accept import as_factor
from hotgrad.distributions.budget import MAX_STATES
from hotgrad.distributions.continuous import rsample_each
from hotgrad.distributions.formulas import NoFormula
from hotgrad.distributions.joint_vector import JointVector, NamedFactors
from hotgrad.distributions.product import Product
from hotgrad.ops import checks

Named = dict[str, Tensor]


class Joint(NamedFactors, Product[Named], NoFormula):  # type: ignore[misc]  # dicts
    r"""Independent unknowns with names, of any kinds and shapes, as one distribution.

    $q(z) = \prod_{\mathrm{name}} q_{\mathrm{name}}(z_{\mathrm{name}})$; samples are dicts.

    The factors may be of different kinds and shapes. Everything goes by name: `sample` returns a
    dict, `log_prob` takes one, and so does f in `expectation(f, q, estimator)`. It works with every
    estimator that works with all its factors. What those show to a network, as `Learned` and
    `Critic` do, are the marginals of the discrete factors flattened and joined,
    `(*batch, *q.event_shape)`. An estimator's temperature, where it is a tensor, must broadcast
    against the parameters of each factor.

    A factor may be continuous, a `Normal` say: any distribution with `rsample`. Its gradient is
    pathwise, whatever the estimator of the discrete ones, and f must be differentiable in it. One
    value of it is drawn for each of `num_samples`, and all that an estimator asks about that sample
    is asked with it.

    Args:
        factors: one discrete distribution or more by name, and continuous ones, all with the same
            batch shape, the discrete ones of one dtype and device. Unknowns that f takes together
            are one event: use `to_event`.

    Raises:
        ValueError: no discrete distribution, something that is none, or distributions that differ
            in batch shape, dtype or device.

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
        ("cdf", "icdf", "support"), "Ask one of its factors: q[name]."
    )

    def __init__(self, /, **factors: Distribution) -> None:
        if not factors:
            raise ValueError(
                "Joint needs one distribution or more, by name: Joint(kept=Bernoulli(...))."
            )
        self.factors = {name: _as_factor(name, factor) for name, factor in factors.items()}
        for what, of in _ALIKE.items():
            found = {n: of(factor) for n, factor in self.factors.items() if _tells(factor, what)}
            # compared, not hashed, which would tie what is compiled to one size of the batch
            values = list(found.values())
            if any(value != values[0] for value in values):
                advice = (
                    " Batch dimensions that belong to one unknown become part of its event by "
                    "to_event(ndims)."
                    if what == "batch shape"
                    else ""
                )
                raise ValueError(
                    f"The factors of a Joint must have the same {what}; {_listed(found)}.{advice}"
                )
        choices = {name: d for name, d in self.factors.items() if not d.has_rsample}
        if not choices:
            raise ValueError(
                f"Joint needs a discrete factor, and has {checks.listed(map(repr, self.factors))} "
                "alone: rsample() of continuous ones has a gradient."
            )
        numbers = {name: d for name, d in self.factors.items() if name not in choices}
        self._vector = JointVector(choices, numbers)
        super().__init__(self._vector.batch_shape, self._vector.event_shape, validate_args=False)
        self._validate_args = self._vector._validate_args

    @property
    def vector(self) -> JointVector:
        return self._vector

    def __getitem__(self, name: str) -> Any:
        """The distribution of one unknown."""
        return self.factors[name]

    def __repr__(self) -> str:
        inside = checks.listed(
            f"{name}={type(getattr(factor, 'bases', (factor,))[0]).__name__}"
            f"{tuple(factor.event_shape)}"
            for name, factor in self.factors.items()
        )
        return f"Joint({inside})"

    @property
    def parts(self) -> tuple[Any, ...]:
        return tuple(self.factors.values())

    def merged(self, values: Sequence[Tensor]) -> Named:
        return dict(zip(self.factors, values, strict=True))

    def unmerged(self, value: Named) -> list[Tensor]:
        return [value[name] for name in self.factors]

    def enumerate_support(self, expand: bool = True, *, budget: int = MAX_STATES) -> Named:  # type: ignore[override]
        """Every state of all unknowns together, `(states, *batch, *event)` by name.

        Raises:
            NotImplementedError: an unknown is continuous.
            ValueError: more states than the budget.
        """
        if self.vector.continuous:
            names = checks.listed(map(repr, self.vector.continuous))
            raise NotImplementedError(f"The states of {names} can't be listed: continuous.")
        return super().enumerate_support(expand, budget=budget)

    @property
    def logits(self) -> Named:
        """Of each discrete unknown."""
        return {name: factor.logits for name, factor in self.vector.factors.items()}

    @property
    def log_prob_is_differentiable(self) -> bool:
        """Whether those of all discrete factors are."""
        return self.vector.log_prob_is_differentiable

    @property
    def has_params(self) -> bool:
        """Whether all discrete factors tell what they are made of."""
        return self.vector.has_params

    def with_params(self, params: Mapping[str, Tensor]) -> Self:
        """The same kinds of distributions with other parameters, of any batch shape.

        Raises:
            ValueError: names other than those of `params`.
        """
        return self._of(self.factors_with(params))

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        return self._of({name: d.expand(batch_shape) for name, d in self.factors.items()})

    def to_event(self, ndims: int) -> Self:
        """The rightmost `ndims` batch dimensions counted as part of every unknown's event."""
        return self._of({name: _to_event(d, ndims) for name, d in self.factors.items()})

    def unchecked(self) -> Self:
        """A copy that scores whatever it is given."""
        loose = {n: getattr(d, "unchecked", lambda d=d: d)() for n, d in self.factors.items()}
        copy = self._of(loose)
        copy._validate_args = False
        return copy

    def sample(  # type: ignore[override]
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Named:
        """Samples of shape `sample_shape + batch_shape + event_shape of the unknown`, by name."""
        shape = checks.as_shape(sample_shape, "sample_shape")
        with torch.no_grad():
            numbers = rsample_each(self.vector.continuous, shape, generator)
        choices = self.vector.named(self.vector.sample(shape, generator=generator))
        return {name: (numbers | choices)[name] for name in self.factors}

    def log_prob(self, value: Mapping[str, Tensor]) -> Tensor:  # type: ignore[override]
        """log p(value), summed over the unknowns.

        Raises:
            ValueError: names other than this one's, or values that differ in the shape of sample
                and batch.
        """
        self._check_names(value, "log_prob")
        terms = {name: factor.log_prob(value[name]) for name, factor in self.factors.items()}
        shapes = {name: term.shape for name, term in terms.items()}
        if len(set(shapes.values())) > 1:
            raise ValueError(
                "Joint.log_prob takes values whose shapes before the event's are the same; "
                f"{_listed(shapes)}."
            )
        return torch.stack(list(terms.values())).sum(0)

    @property
    def _in_words(self) -> str:
        return f"a Joint of {checks.listed(self.factors)}"

    def _check_names(self, values: Any, method: str) -> None:
        if not isinstance(values, Mapping) or set(values) != set(self.factors):
            if not isinstance(values, Mapping):
                came = type(values).__name__
            elif lacking := [name for name in self.factors if name not in values]:
                came = f"a dict without {checks.listed(map(repr, lacking))}"
            else:
                others = (repr(name) for name in values if name not in self.factors)
                came = f"a dict with {checks.listed(others)} too"
            raise ValueError(
                f"Joint.{method} takes a dict with the names "
                f"{checks.listed(map(repr, self.factors))}; got {came}."
            )

    def _of(self, factors: dict[str, Any]) -> Self:
        return copies.like(self, Joint(**factors))


def _as_factor(name: str, factor: Any) -> Any:
    if isinstance(factor, Joint):
        raise ValueError(
            f"{name!r} is a Joint itself. Give its factors one by one: Joint(**inner.factors, ...)."
        )
    try:
        return as_factor(factor)
    except ValueError as error:
        raise ValueError(f"The distribution of {name!r}: {error}") from None


def _to_event(factor: Any, ndims: int) -> Any:
    # torch's own have no to_event
    return (
        factor.to_event(ndims) if hasattr(factor, "to_event") else TorchIndependent(factor, ndims)
    )


def _tells(factor: Any, what: str) -> bool:
    """Whether a factor says that of itself: one of a user's own need not have parameters."""
    return what == "batch shape" or getattr(factor, "has_params", False)


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
    "batch shape": lambda factor: factor.batch_shape,
    "dtype": lambda factor: factor.dtype,
    "device": lambda factor: factor.device,
}
