"""The score-function family: f is only evaluated, never differentiated with respect to z."""

from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from hotgrad.distributions import DiscreteDistribution
from hotgrad.distributions.capabilities import CanSample, HasLogProb
from hotgrad.estimators.base import Estimator, Function
from hotgrad.estimators.baselines import Learned, LeaveOneOut, MovingAverage, NoBaseline
from hotgrad.ops import checks

Baseline = NoBaseline | LeaveOneOut | MovingAverage | Learned


class WithBaseline(Estimator, nn.Module):
    """What estimators share whose signal has a baseline: a module, since the baseline may learn."""

    arguments = ("baseline",)
    default_baseline: ClassVar[type[NoBaseline | LeaveOneOut]]

    def __init__(self, baseline: Baseline | None = None) -> None:
        super().__init__()
        self.baseline = self.default_baseline() if baseline is None else baseline
        if isinstance(self.baseline, type) or not hasattr(self.baseline, "centre"):
            raise ValueError(
                "baseline must be an object with a method centre(values, q), such as "
                f"LeaveOneOut(); got {checks.shown(baseline)}."
            )

    @property
    def least_samples(self) -> int:  # type: ignore[override]  # as many as the baseline needs
        """Two with `LeaveOneOut`."""
        return getattr(self.baseline, "least_samples", 1)

    @classmethod
    def defaults_for(cls, q: DiscreteDistribution, *, budget: int) -> list[Self]:
        """With the baseline that needs no tuning, and without one."""
        return [cls(LeaveOneOut()), cls(NoBaseline())]

    @property
    def label(self) -> str:
        return f"{type(self).__name__}({type(self.baseline).__name__})"

    @property
    def in_python(self) -> str:
        """With its baseline, unless that is the one which nobody has to name."""
        baseline = type(self.baseline)
        inside = "module" if baseline is Learned else ""
        given = "" if baseline is self.default_baseline else f"hg.{baseline.__name__}({inside})"
        return f"hg.{type(self).__name__}({given})"

    def extra_repr(self) -> str:
        """A baseline that isn't a module, which torch shows itself."""
        return "" if isinstance(self.baseline, nn.Module) else repr(self.baseline)


class ScoreFunction(WithBaseline):
    r"""The score function weighs each sample's log-probability by f; also called REINFORCE.

    $\frac{1}{S} \sum_s (f(z_s) - b_s) \nabla_\phi \log q_\phi(z_s)$.

    Unbiased for any f, also one that isn't differentiable, and for any distribution that can be
    sampled and scored; derivatives of any order are unbiased too. Its variance depends on the
    baseline b: with `LeaveOneOut` (the default) it needs two samples or more and is a good first
    choice; with `NoBaseline` it is large. S evaluations of f. A module, since a baseline may learn.

    Args:
        baseline: `LeaveOneOut()`, `NoBaseline()`, `MovingAverage()` or `Learned(module)`; or any
            object with their `centre` method.

    Raises:
        ValueError: a baseline that isn't such an object; when used, one sample with `LeaveOneOut`.

    Example:
        >>> logits = torch.zeros(4, requires_grad=True)
        >>> q = hg.Bernoulli(logits=logits).to_event(1)
        >>> count = lambda z: (z.sum(-1) > 2).float()       # no gradient of its own
        >>> hg.expectation(count, q, hg.ScoreFunction(), num_samples=64).backward()
        >>> bool(logits.grad.abs().sum() > 0)
        True

    Reference: Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement
    Learning (Williams, 1992), https://doi.org/10.1007/BF00992696
    """

    unbiased = True
    relaxes_f = False
    differentiates_f = False
    requires = (CanSample, HasLogProb)
    row_wise = True
    name = "score-function"
    default_baseline = LeaveOneOut

    def surrogate(
        self,
        f: Function,
        q: DiscreteDistribution,
        num_samples: int,
        generator: torch.Generator | None,
    ) -> Tensor:
        """The mean of f, whose backward adds the centred values times the score."""
        z = q.sample((num_samples,), generator=generator)
        values = f(z)
        return score_surrogate(values, values.detach(), q.log_prob(z), self.baseline, q).mean(0)


def score_surrogate(
    values: Tensor, signal: Tensor, log_prob: Tensor, baseline: Any, q: DiscreteDistribution
) -> Tensor:
    r"""The values, whose backward adds the signal, less its baseline, times the score.

    All `(num_samples, *batch)`; the signal, values or what is left of them, carries no gradient. A
    baseline that learns does so in the same backward pass.

    Derivatives of any order have the right mean where the signal is the values: they are those of
    $f e^{\log q - \bot \log q}$, $\bot$ marking what is taken as a constant, less a baseline whose
    own have a mean of 0.

    Reference: DiCE: The Infinitely Differentiable Monte Carlo Estimator (Foerster et al., 2018),
    https://arxiv.org/abs/1802.05098; A Baseline for Any Order Gradient Estimation in Stochastic
    Computation Graphs (Mao et al., 2019).
    """
    centred = baseline.centre(signal, q)
    if not isinstance(centred, Tensor) or centred.shape != signal.shape:
        raise ValueError(
            f"{type(baseline).__name__}.centre must return a tensor of its values' shape, "
            f"{tuple(signal.shape)}; got {checks.shown(centred)}."
        )
    surrogate = values + scored(centred.detach(), values, log_prob)
    return _alongside(surrogate, centred.square()) if centred.requires_grad else surrogate


def scored(weight: Tensor, values: Tensor, log_prob: Tensor) -> Tensor:
    """0, with the gradient of the weight times the score, and derivatives of any order.

    Args:
        weight: a constant: values less their baseline.
        values: those of f, with their own gradient.
        log_prob: of the samples.
    """
    # 0, with the gradient of f: what the weight has lost
    moving = weight + (values - values.detach()) if values.requires_grad else weight
    return moving * torch.expm1(log_prob - log_prob.detach())


def _alongside(value: Tensor, loss: Tensor) -> Tensor:
    """The value; its backward also minimises the loss, whichever way the value is driven."""
    joined: Tensor = _Alongside.apply(value, loss)  # type: ignore[no-untyped-call]
    return joined


class _Alongside(torch.autograd.Function):
    """Passes the upstream gradient to the first argument and its absolute value to the second.

    The outer loss's own sign must not decide whether the baseline learns or unlearns, hence the
    absolute value; its size keeps the averaging over batch and samples.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor, loss: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:
        return upstream, upstream.abs()
