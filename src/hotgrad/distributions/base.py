"""What the discrete laws share: how they become events, and what estimators may ask of them.

A law is a `torch.distributions.Distribution` with `logits` of shape `(*batch, *event)`,
`sample(shape, generator=)`, `log_prob`, `mean`, `mode`, `entropy`,
`enumerate_support(expand, budget=)` and `with_logits(logits)`: the same kind of law with other
logits, of any batch shape. Where it can be reached by perturbing logits and taking an argmax it
also has

- `draw_noise(sample_shape)`: its noise,
- `harden(noise)`: the hard sample that the noise leads to,
- `relax(noise, temperature)`: the relaxed sample that the same noise leads to,
- `conditional_noise(outcome, noise)`: fresh noise turned into noise that leads to `outcome`,
- `redraw(noise, fresh)`: other noise of the same outcome, independent given it as far as `relax`
  looks at it,
- `couple(sample_shape, temperature)`: an outcome with its relaxed sample, and with another one that
  is drawn given the outcome,
- `antithetic(sample_shape)`: bits from noise and from its negative,
- `gap_noise(outcome, gap)`: fixed noise that puts the outcome ahead of the rest,
- `tangent(point)`: a tensor whose gradient to the logits is that of the mean, taken at the law with
  mean `point`.

Where the best state for any scores is found, it has

- `argmax(scores)`: the state z with the largest <scores, z>,
- `perturb(sample_shape)`: logits plus noise, differentiable in the logits, whose argmax follows the
  law or comes close to it,
- `perturb_with_slope(sample_shape, scale)`: the same with the slope of the noise's -log density,
- `relax_top_k(scores, temperature)`: for laws of the k largest scores, those relaxed.

Estimators name the methods they need, so a new law is served by every estimator that its methods
allow.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from hotgrad.distributions.formulas import NoFormula
from hotgrad.ops import checks, parameters

MAX_STATES = 2**20
"""The most states that `enumerate_support` lists unless told otherwise."""


class RelaxedSample(NamedTuple):
    """A relaxed sample and its twin in unbounded space, which neither underflows nor rounds to 1.

    A tuple and not an attribute on a tensor, since attributes don't survive `clone`, `stack` or
    indexing.
    """

    value: Tensor
    """The sample, in [0, 1]."""
    twin: Tensor
    """Its logarithm (Concrete) or its logit (BinaryConcrete)."""


class Coupled(NamedTuple):
    """An outcome and two relaxed samples that lead to it, for control variates.

    All is differentiable in the logits, but for the outcome itself.
    """

    hard: Tensor
    """The sample z, `(*sample_shape, *batch, *event)`."""
    log_prob: Tensor
    """Of what the second relaxed sample is conditional on, `(*sample_shape, *batch)`."""
    relaxed: Tensor
    """The relaxed sample whose noise led to z."""
    relaxed_given: Tensor
    """A relaxed sample whose noise was drawn anew, given the outcome."""


class Antithetic(NamedTuple):
    """Two samples of bits, each exact, from logistic noise and from its negative."""

    first: Tensor
    second: Tensor
    noise: Tensor


class RsampleMixin:
    """`sample` of a continuous law: `rsample` without the gradient."""

    def sample(self, sample_shape: Any = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Samples without a gradient."""
        with torch.no_grad():
            return self.rsample(sample_shape, generator=generator)  # type: ignore[attr-defined]


class TwinMixin(RsampleMixin):
    """`rsample` of a relaxed law: the value of the pair that `rsample_with_twin` draws."""

    # torch's go through the distribution inside, which has none and doesn't say so
    cdf, icdf = NoFormula.cdf, NoFormula.icdf

    def rsample(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Samples of shape `sample_shape + batch_shape + event_shape` with a gradient."""
        pair: RelaxedSample = self.rsample_with_twin(  # type: ignore[attr-defined]
            sample_shape, generator=generator
        )
        return pair.value


class OutcomeMixin:
    """What laws have whose noise, given the outcome, is had from fresh noise in closed form."""

    def redraw(self, noise: Tensor, fresh: Tensor) -> Tensor:
        """Other noise that leads to the same outcome as `noise`, made of fresh noise."""
        law: Any = self
        return law.conditional_noise(law.harden(noise), fresh)

    def couple(
        self,
        sample_shape: Any,
        temperature: float | Tensor,
        *,
        generator: torch.Generator | None = None,
    ) -> Coupled:
        """Outcomes, each with two relaxed samples that lead to it."""
        law: Any = self
        noise, fresh = (law.draw_noise(sample_shape, generator=generator) for _ in range(2))
        hard = law.harden(noise)
        given = law.conditional_noise(hard, fresh)
        relaxed, relaxed_given = (law.relax(n, temperature) for n in (noise, given))
        return Coupled(hard, law.log_prob(hard), relaxed, relaxed_given)


def resolve_validation(validate_args: bool | None) -> bool:
    """The caller's choice, or else torch's default.

    The first `torch.compile` in a process turns torch's default off for good.
    """
    if validate_args is not None:
        checks.check_flag(validate_args, "validate_args")
    default: bool = Distribution._validate_args
    return default if validate_args is None else validate_args


def described(distribution: Distribution, **made_of: Any) -> str:
    """What repr says: the class and what it is made of, a tensor by its shape, as torch does."""
    shown = {
        name: value.shape if isinstance(value, Tensor) and value.numel() > 1 else value
        for name, value in made_of.items()
    }
    inside = ", ".join(f"{name}: {value}" for name, value in shown.items())
    return f"{type(distribution).__name__}({inside})"


def as_category_logits(probs: Tensor | None, logits: Tensor | None, *, validate: bool) -> Tensor:
    """Checked logits of categories from either parameter, log 0 being -inf."""
    _exactly_one(probs, logits)
    if logits is None:
        probs = _as_probs(probs)
        parameters.check_parameter(probs, "probs", event_dims=1)
        if validate and checks.values_readable(probs):
            parameters.check_probs(probs, sum_to_one=True)
        return _log_of_probs(probs)
    parameters.check_parameter(logits, "logits", event_dims=1)
    if validate and checks.values_readable(logits):
        parameters.check_categorical_logits(logits)
    return logits


def as_bit_logits(probs: Tensor | None, logits: Tensor | None, *, validate: bool) -> Tensor:
    """Checked log-odds of bits from either parameter; certain bits have +-inf."""
    _exactly_one(probs, logits)
    if logits is None:
        probs = _as_probs(probs)
        parameters.check_parameter(probs, "probs", event_dims=0)
        if validate and checks.values_readable(probs):
            parameters.check_probs(probs, sum_to_one=False)
        return _log_of_probs(probs) - _log_of_probs(1 - probs)
    logits = _as_tensor(logits)
    parameters.check_parameter(logits, "logits", event_dims=0)
    if validate and checks.values_readable(logits):
        parameters.check_bit_logits(logits)
    return logits


def _exactly_one(probs: Tensor | None, logits: Tensor | None) -> None:
    if (probs is None) == (logits is None):
        given = "neither" if probs is None else "both"
        raise ValueError(f"Give exactly one of probs and logits; got {given}.")


def _as_tensor(value: Any) -> Any:
    """A number, which torch takes for a scalar parameter, as a tensor; others as they are."""
    value = checks.plain_number(value)
    return torch.tensor(float(value)) if isinstance(value, (int, float)) else value


def as_real(value: Any, name: str) -> Tensor:
    """A parameter that is any real number, or a tensor of such.

    Raises:
        ValueError: it is neither.
    """
    real = value if isinstance(value, bool) else _as_tensor(value)
    if not isinstance(real, Tensor) or not real.is_floating_point():
        raise ValueError(
            f"{name} must be a number or a floating point tensor, got {checks.shown(value)}."
        )
    return real


def _as_probs(value: Any) -> Any:
    """Whole numbers, which torch takes for certain outcomes, as floats."""
    value = _as_tensor(value)
    whole = isinstance(value, Tensor) and not (value.is_floating_point() or value.is_complex())
    return value.to(torch.get_default_dtype()) if whole else value


def _log_of_probs(probs: Tensor) -> Tensor:
    """log(probs) with log 0 = -inf whose gradient is 0 there, not NaN."""
    possible = probs > 0
    return torch.where(possible, torch.where(possible, probs, 1.0).log(), -torch.inf)


def check_temperature_fits(temperature: Tensor, logits: Tensor) -> None:
    """Refuse a temperature that doesn't broadcast against the logits."""
    if not checks.broadcasts(temperature.shape, logits.shape):
        raise ValueError(
            "temperature must be a number, or a tensor that broadcasts against the logits; got one "
            f"of shape {tuple(temperature.shape)} for logits of shape {tuple(logits.shape)}."
        )


def parameter_of(law: Any) -> dict[str, Tensor]:
    """The parameter that torch's law was made with; it derives the other one, and clamps it."""
    holder = getattr(law, "_categorical", law)
    given_probs = holder.__dict__.get("probs") is holder._param
    return {"probs": holder.probs} if given_probs else {"logits": holder.logits}


def times_log(weight: Tensor, log_term: Tensor) -> Tensor:
    """weight * log_term with 0 * -inf = 0, linear in the weight wherever the log is finite."""
    dead = log_term.isinf() & (weight == 0)
    return weight * torch.where(dead, 0.0, log_term)
