"""Control variates at relaxed samples: f itself, or a network that learns to follow it.

Unbiased whatever is subtracted from the score function; the closer it follows f, the less noise.
All of it is worked out beside the model's own graph: neither f's parameters nor what made the
logits learn from anything but f at hard samples and the finished gradient.
"""

import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self, cast

import torch
from torch import Tensor, nn

from hotgrad.distributions import DiscreteDistribution
from hotgrad.distributions.capabilities import CanCouple, CanSample, HasMean, HasParams
from hotgrad.estimators.base import Estimator, Function
from hotgrad.estimators.baselines import LeaveOneOut
from hotgrad.estimators.critic import Critic
from hotgrad.estimators.explicit_gradients import (
    NotTwiceDifferentiableError,
    pullback,
    transformed,
    with_gradient,
)
from hotgrad.estimators.learned_temperature import WithTemperature, in_words
from hotgrad.estimators.pathwise import check_temperature_fits
from hotgrad.ops import checks, widened


class _Relaxing(WithTemperature, Estimator):
    """A control variate c at two relaxed samples that lead to z, the second drawn given z.

    (f(z) - c(y')) grad log q(z) + grad c(y) - grad c(y'): the three terms with c have a mean of 0.
    Of several samples each has the others' mean of f(z) - c(y') as a baseline.
    """

    unbiased = True
    requires: ClassVar[tuple[type, ...]] = (CanSample, CanCouple, HasParams)
    arguments: ClassVar[tuple[str, ...]] = ("temperature",)

    @abstractmethod
    def _control(self, f: Function, relaxed: Tensor, q: DiscreteDistribution) -> Tensor:
        """c, `(samples, *batch)`, for relaxed samples `(samples, *batch, *event)`."""

    def surrogate(
        self,
        f: Function,
        q: DiscreteDistribution,
        num_samples: int,
        generator: torch.Generator | None,
    ) -> Tensor:
        """The mean of f at hard samples; its backward also makes the gradient's variance small."""
        if not torch.is_grad_enabled():
            return f(q.sample((num_samples,), generator=generator)).mean(0)
        check_temperature_fits(self.log_temperature, q)
        params: dict[str, Tensor] = q.params
        carriers = list(params.values())
        own = [p for p in self.parameters() if p.requires_grad] if self.training else []
        learns = len(own) > 0 and not transformed(*carriers)

        def coupled(*points: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
            copy = q.with_params(dict(zip(params, points, strict=True)))
            pairs = [
                base.couple((num_samples,), self.temperature, generator=generator)
                for base in cast(tuple[CanCouple, ...], copy.bases)
            ]
            relaxed = [copy.join([pair.relaxed for pair in pairs])]
            relaxed.append(copy.join([pair.relaxed_given for pair in pairs]))
            control = self._control(f, torch.cat(relaxed), q)
            log_prob = copy.total([pair.log_prob for pair in pairs])
            return (log_prob, *control.chunk(2)), copy.join([pair.hard for pair in pairs])

        (log_prob, first, given), pull, hard = pullback(coupled, carriers, create_graph=learns)
        values = f(hard)
        left = (values.detach() - given).to(log_prob.dtype)
        if num_samples > 1:
            # what is left may lie far from 0, which is noise times the score
            left = LeaveOneOut().centre(left, q)
        share = torch.full_like(first, 1 / num_samples)
        gradients = pull((left / num_samples, share, -share))
        value = with_gradient(values.mean(0), carriers, gradients, self.label)
        return _descend(value, gradients, own) if learns else value


class REBAR(_Relaxing):
    r"""The score function less a control variate that learns: f at relaxed samples.

    $\frac{1}{S} \sum_s (f(z) - \eta f(y')) \nabla \log q(z) + \eta \nabla (f(y) - f(y'))$.

    y is the relaxed sample of the noise that led to z, y' that of noise drawn anew given z.
    Unbiased for any f that is differentiable between the vertices, at any temperature and scale
    $\eta$. Both learn, in training mode, by lowering the variance of the gradient to q's
    parameters: in the backward pass of your own loss, whatever its sign. Give them to the optimiser
    (`REBAR` is a module), do nothing else. With several samples, what the control variate leaves of
    f is taken against the other samples' mean. 3 S evaluations of f, 2 S of them between the
    vertices. Inside `torch.compile` and `torch.func` it doesn't learn.

    On `PlackettLuceSubset` y is `relax_top_k` of the scores, and y' is drawn given the order.

    Args:
        temperature: of the relaxed samples at the start; a number, or a tensor that broadcasts
            against the logits, for parts that learn their own.
        scale: $\eta$ at the start; 0 is plain REINFORCE.

    Raises:
        ValueError: a temperature that isn't positive, a scale that isn't finite.

    Example:
        >>> logits = torch.zeros(4, requires_grad=True)
        >>> q = hg.Bernoulli(logits=logits).to_event(1)
        >>> rebar = hg.REBAR()
        >>> optimizer = torch.optim.Adam([logits, *rebar.parameters()], lr=0.01)
        >>> loss = hg.expectation(lambda z: (z.sum(-1) - 1.2).square(), q, rebar)
        >>> loss.backward()
        >>> rebar.scale.grad is not None, rebar.log_temperature.grad is not None
        (True, True)

    Reference: REBAR: Low-variance, Unbiased Gradient Estimates for Discrete Latent Variable Models
    (Tucker, Mnih, Maddison, Lawson, Sohl-Dickstein, 2017), Section 3,
    https://arxiv.org/abs/1703.07370; for Plackett-Luce: Low-variance Black-box Gradient Estimates
    for the Plackett-Luce Distribution (Gadetsky et al., 2020), https://arxiv.org/abs/1911.10036
    """

    relaxes_f = True
    differentiates_f = True
    name = "rebar"

    def __init__(self, temperature: float | Tensor = 0.5, scale: float = 1.0) -> None:
        super().__init__(temperature)
        scale = checks.check_number(scale, "scale", lambda number: True)
        self.scale = nn.Parameter(torch.tensor(float(scale)))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, scale={in_words(self.scale)}"

    def evaluations(self, q: DiscreteDistribution, num_samples: int) -> int:
        """Three a sample: at z, y and y'."""
        return 3 * num_samples

    def _control(self, f: Function, relaxed: Tensor, q: DiscreteDistribution) -> Tensor:
        return self.scale * f(relaxed)


class RELAX(_Relaxing):
    r"""The score function less a control variate that learns: a network, the critic.

    $\frac{1}{S} \sum_s (f(z) - c(y')) \nabla \log q(z) + \nabla (c(y) - c(y'))$.

    As `REBAR`, with a network c, the critic, in place of f: f is only evaluated, at hard samples.
    Unbiased whatever the critic says. It learns, with the temperature, in training mode, by
    lowering the variance of the gradient to q's parameters: in the backward pass of your own loss,
    whatever its sign. Give its parameters to the optimiser (`RELAX` is a module), do nothing else.
    Until it has learnt something it is as noisy as `ScoreFunction`, with several samples as with
    `LeaveOneOut`. S evaluations of f. Inside `torch.compile` and `torch.func` it doesn't learn.

    Args:
        critic: `critic(y, mean) -> (samples, *batch)` for relaxed samples y `(samples, *batch,
            *event)`; `mean` is `q.mean` in the same shape, by which the critic may tell one batch
            element's distribution from another's. For example `Critic(event_shape)`.
        temperature: of the relaxed samples at the start; a number, or a tensor that broadcasts
            against the logits, for parts that learn their own.

    Raises:
        ValueError: a temperature that isn't positive, a critic that can't be called; when used, one
            that returns another shape.

    Example:
        >>> logits = torch.zeros(4, requires_grad=True)
        >>> q = hg.Bernoulli(logits=logits).to_event(1)
        >>> relax = hg.RELAX(hg.Critic(q.event_shape))
        >>> optimizer = torch.optim.Adam([logits, *relax.parameters()], lr=0.01)
        >>> hg.expectation(lambda z: (z.sum(-1) > 2).float(), q, relax, num_samples=2).backward()
        >>> all(p.grad is not None for p in relax.parameters())
        True

    Reference: Backpropagation through the Void: Optimizing Control Variates for Black-box Gradient
    Estimation (Grathwohl, Choi, Wu, Roeder, Duvenaud, 2018), https://arxiv.org/abs/1711.00123
    """

    relaxes_f = False
    differentiates_f = False
    requires = (CanSample, CanCouple, HasParams, HasMean)
    name = "relax"
    arguments = ("critic", "temperature")
    must_learn = True

    def __init__(
        self, critic: Callable[[Tensor, Tensor], Tensor], temperature: float | Tensor = 0.5
    ) -> None:
        super().__init__(temperature)
        if not callable(critic) or isinstance(critic, type):
            raise ValueError(
                "critic must be a module critic(y, mean), such as Critic(event_shape); "
                f"got {checks.shown(critic)}."
            )
        self.critic = critic

    @classmethod
    def example(cls) -> str:
        return "RELAX(critic)"

    @property
    def in_python(self) -> str:
        """With a critic that has learnt nothing yet."""
        return "hg.RELAX(hg.Critic(q.event_shape))"

    @classmethod
    def defaults_for(cls, q: DiscreteDistribution, *, budget: int) -> list[Self]:
        """With a critic of its own, which has learnt nothing yet."""
        return [cls(Critic(q.event_shape))]

    def extra_repr(self) -> str:
        said = super().extra_repr()
        return said if isinstance(self.critic, nn.Module) else f"{self.critic!r}, {said}"

    def _control(self, f: Function, relaxed: Tensor, q: DiscreteDistribution) -> Tensor:
        said = self.critic(relaxed, q.mean.detach().expand_as(relaxed))
        expected = relaxed.shape[: relaxed.ndim - len(q.event_shape)]
        got = tuple(said.shape) if isinstance(said, Tensor) else type(said).__name__
        if got != tuple(expected):
            raise ValueError(
                f"The critic must return shape {tuple(expected)} for relaxed samples of shape "
                f"{tuple(relaxed.shape)}, got {got}."
            )
        if relaxed.requires_grad and not said.requires_grad:
            raise ValueError(
                "The critic's values must carry a gradient to the relaxed samples, whose slope "
                "RELAX subtracts: it isn't differentiable, or detaches them."
            )
        return said


def _descend(value: Tensor, gradients: Sequence[Tensor], parameters: list[nn.Parameter]) -> Tensor:
    """The value, whose backward also gives the parameters the slope of the gradient's square.

    The gradient's mean is fixed, so the slope of its square is that of its variance.
    """
    square = torch.stack([widened(gradient).square().sum() for gradient in gradients]).sum()
    slopes = _slopes(square, parameters)
    # f's second derivative may be infinite where its first isn't: nothing is learnt from that
    pairs = [
        (p, torch.where(s.isfinite().all(), s, 0.0))
        for p, s in zip(parameters, slopes, strict=True)
        if s is not None
    ]
    joined: Tensor = _Descend.apply(value, [s for _, s in pairs], *(p for p, _ in pairs))  # type: ignore[no-untyped-call]
    return joined


def _slopes(square: Tensor, parameters: list[nn.Parameter]) -> list[Tensor | None]:
    """Of each parameter; none where f holds an expectation that can't be differentiated twice."""
    try:
        # f may hold the graph of an outer expectation by the same module, which is still needed
        return list(torch.autograd.grad(square, parameters, allow_unused=True, retain_graph=True))
    except NotTwiceDifferentiableError as error:
        if len(parameters) > 1:
            return [slope for parameter in parameters for slope in _slopes(square, [parameter])]
        warnings.warn(
            f"f holds an expectation of its own. {error} So a parameter of the control variate, "
            "such as its temperature, learns nothing.",
            stacklevel=4,
        )
        return [None]


class _Descend(torch.autograd.Function):
    """Passes the upstream gradient on, and finished slopes to the parameters.

    The outer loss's sign must not decide whether the variance falls or rises, hence the absolute
    value; the mean keeps the outer loss's averaging over the batch.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor, slopes: list[Tensor], *parameters: Tensor) -> Tensor:
        ctx.slopes = slopes
        return value.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
        # a mean that is 0, and not NaN, for an empty batch
        size = upstream.abs().sum() / max(upstream.numel(), 1)
        return upstream, None, *(slope * size.to(slope.dtype) for slope in ctx.slopes)
