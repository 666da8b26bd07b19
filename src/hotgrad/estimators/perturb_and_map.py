"""Perturb and MAP: f sees the best state for noisy logits; the gradient asks for best states alone.

Nothing of the distribution is summed or relaxed, so these estimators reach structures whose
marginals are out of reach but whose best state, `argmax`, is found.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hotgrad import ops
from hotgrad.distributions.capabilities import CanPerturb, CanPerturbWithSlope, Scores
from hotgrad.estimators.pathwise import Pathwise
from hotgrad.ops import checks


@dataclass(frozen=True)
class IMLE(Pathwise[CanPerturb]):
    r"""Hard samples, whose gradient compares them with the best state a step downhill.

    $\frac{1}{\lambda S} \sum_s z_s - \mathrm{MAP}(\theta + \epsilon_s - \lambda\nabla f(z_s))$.

    $z_s = \mathrm{MAP}(\theta + \epsilon_s)$, θ the logits: the best state under some noise, less
    the best one under the same noise after a step downhill. The noise is q's own: z follows q on
    `Bernoulli` (logistic), `OneHotCategorical` and `PlackettLuceSubset` (Gumbel). On `KSubset` no
    independent noise does that; with logistic noise z comes close, the closer the larger n, and the
    expectation's value is as much off. S evaluations of f, at hard samples only.

    The step is in logits. The gradient g that arrives at z depends on how a loss is averaged and
    weighed, so λ multiplies g / r here, and the difference is multiplied back by r: half the range
    of g over one part of z (over the entries of a one-hot or k-hot vector, less their middle, which
    changes nothing), or the size of g for a bit. So no logit moves by more than λ, and a loss
    counted twice gives twice the gradient. The paper multiplies g as it arrives. With f linear, of
    slope c, the gradient is in the mean

        (mean(θ) - mean(θ - λ' c)) / λ',    λ' = λ / r,

    which tends to the exact one as λ falls, while the variance rises as 1 / λ; a large λ makes it
    small, not noisy. With other f it stays biased.

    Args:
        step: λ, positive.
        noise: "distribution", the noise that belongs to q, or "sum-of-gamma", the paper's for k of
            n: any k of its elements sum to a Gumbel variable. It is smaller by the square root of
            k, so z keeps nearer to the best subset than in either distribution of subsets.

    Raises:
        ValueError: a step that isn't a positive number, an unknown noise.
        NotImplementedError: when used, sum-of-gamma noise on a q that isn't k of n.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> q = hg.OneHotCategorical(logits=logits)
        >>> cost = torch.tensor([1.0, 2.0, 5.0])
        >>> generator = torch.Generator().manual_seed(0)
        >>> hg.expectation(
        ...     lambda z: z @ cost, q, hg.IMLE(step=0.5), num_samples=1000, generator=generator
        ... ).backward()
        >>> bool(logits.grad[0] < 0 < logits.grad[2])
        True

    Reference: Implicit MLE: Backpropagating Through Discrete Exponential Family Distributions
    (Niepert, Minervini, Franceschi, 2021), Algorithm 1, https://arxiv.org/abs/2106.01798; the step
    relative to the gradient: Adaptive Perturbation-Based Gradient Estimation for Discrete Latent
    Variable Models (Minervini, Franceschi, Niepert, 2022), https://arxiv.org/abs/2209.04862
    """

    step: float = 1.0
    noise: str = "distribution"

    unbiased = False
    relaxes_f = False
    requires = (CanPerturb,)
    name = "imle"
    twice_differentiable = False

    def __post_init__(self) -> None:
        checks.plain_fields(self)
        checks.check_positive(self.step, "step")
        checks.check_choice("noise", self.noise, ("distribution", "sum-of-gamma"))

    def draw(
        self, base: CanPerturb, sample_shape: tuple[int, ...], generator: torch.Generator | None
    ) -> Tensor:
        if self.noise == "distribution":
            scores = base.perturb(sample_shape, generator=generator)
        else:
            scores = _by_sum_of_gamma(base, sample_shape, generator)
        return ops.map_with_finite_difference(
            scores, base.argmax, base.statistics, self.step, len(base.event_shape)
        )


def _by_sum_of_gamma(
    base: Any, sample_shape: tuple[int, ...], generator: torch.Generator | None
) -> Scores:
    """Logits less their maximum, plus sum-of-gamma noise."""
    if not hasattr(base, "k"):
        raise NotImplementedError(
            'IMLE(noise="sum-of-gamma") needs k of n items, KSubset or PlackettLuceSubset; got '
            f'{type(base).__name__}. Use noise="distribution".'
        )
    noise = ops.draw_sum_of_gamma(
        (*sample_shape, *base.batch_shape, *base.event_shape),
        base.k,
        dtype=base.dtype,
        device=base.device,
        generator=generator,
    )
    return {name: ops.centred(param) + noise for name, param in base.params.items()}


@dataclass(frozen=True)
class PerturbedMAP(Pathwise[CanPerturbWithSlope]):
    r"""Hard samples, whose gradient comes from the density of the noise that led to them.

    $\frac{1}{S} \sum_s \langle \nabla f(z_s), z_s - z_0 \rangle\, \nu'(\epsilon_s) / \sigma$.

    $z_s = \mathrm{MAP}(\theta + \sigma \epsilon_s)$, θ the logits, $z_0 = \mathrm{MAP}(\theta)$ and
    ν the noise's -log density: the noise's score function in place of q's. (For Gumbel noise,
    its mean given the differences of the scores, on which alone z depends.) Unbiased for linear f
    under the distribution of z, biased otherwise; a high variance. Each part of a product has its
    own inner product. S evaluations of f, at hard samples only.

    With σ = 1 z follows q on `Bernoulli` (logistic noise), `OneHotCategorical` and
    `PlackettLuceSubset` (Gumbel). On `KSubset`, with logistic noise, z comes close to q, the closer
    the larger n; value and gradient are those of the distribution that z has. Another σ gives that
    of the logits divided by σ.

    Args:
        scale: σ, positive.

    Raises:
        ValueError: a scale that isn't a positive number.

    Example:
        >>> q = hg.Bernoulli(logits=torch.zeros(5, requires_grad=True)).to_event(1)
        >>> z = hg.PerturbedMAP().sample(q, (10,))
        >>> bool(((z == 0) | (z == 1)).all()), z.requires_grad
        (True, True)

    Reference: Learning with Differentiable Perturbed Optimizers (Berthet, Blondel, Teboul, Cuturi,
    Vert, Bach, 2020), Proposition 3.1, https://arxiv.org/abs/2002.08676
    """

    scale: float = 1.0

    unbiased = False
    relaxes_f = False
    requires = (CanPerturbWithSlope,)
    name = "perturbed-map"
    twice_differentiable = False

    def __post_init__(self) -> None:
        checks.plain_fields(self)
        checks.check_positive(self.scale, "scale")

    def draw(
        self,
        base: CanPerturbWithSlope,
        sample_shape: tuple[int, ...],
        generator: torch.Generator | None,
    ) -> Tensor:
        scores, slopes = base.perturb_with_slope(sample_shape, self.scale, generator=generator)
        return ops.map_with_slope(scores, slopes, base.argmax, base.mode, len(base.event_shape))
