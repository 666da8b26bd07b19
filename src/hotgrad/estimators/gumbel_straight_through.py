"""Hard forward; backward through a softmax of the logits moved to where they led to the sample.

The three differ in the move: the noise itself, the mean over all noise with that outcome, or the
least move that does.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hotgrad import ops
from hotgrad.distributions.capabilities import CanGap, CanRelax, CanRelaxGivenHard
from hotgrad.estimators.pathwise import Tempered
from hotgrad.ops import checks


@dataclass(frozen=True, eq=False)
class StraightThroughGumbelSoftmax(Tempered[CanRelax]):
    r"""Hard samples, whose gradient is that of the relaxed sample of the same noise.

    $\frac{1}{S} \sum_s \nabla_\phi \langle \nabla f(z_s), y_s \rangle$.

    z and the relaxed y, that of `GumbelSoftmax`, come from the same noise. On `KSubset` z follows q
    nearly, the closer the larger n, and the expectation's value is as much off. Biased, also for
    linear f; S evaluations of f, at hard samples only. A low temperature lessens the bias and
    raises the variance.

    Args:
        temperature: positive; a number, or a tensor that broadcasts against the logits.

    Raises:
        ValueError: a temperature that isn't positive.

    Example:
        >>> q = hg.OneHotCategorical(logits=torch.zeros(3))
        >>> z = hg.StraightThroughGumbelSoftmax(temperature=0.5).sample(q, (10,))
        >>> bool((z.sum(-1) == 1).all())
        True

    Reference: Categorical Reparameterization with Gumbel-Softmax (Jang, Gu, Poole, 2016),
    Section 2.2, https://arxiv.org/abs/1611.01144
    """

    unbiased = False
    relaxes_f = False
    requires = (CanRelax,)
    name = "straight-through-gumbel-softmax"

    def draw(
        self, base: CanRelax, sample_shape: tuple[int, ...], generator: torch.Generator | None
    ) -> Tensor:
        return ops.straight_through(
            *base.hard_and_relaxed_sample(self.temperature, sample_shape, generator=generator)
        )


@dataclass(frozen=True, eq=False)
class GumbelRao(Tempered[CanRelaxGivenHard]):
    r"""Straight-through Gumbel-softmax with the noise that z leaves open averaged out.

    $\frac{1}{S} \sum_s \nabla_\phi \langle \nabla f(z_s), \frac{1}{K} \sum_i y_{si} \rangle$.

    `StraightThroughGumbelSoftmax` with the noise that z leaves open averaged out: the K relaxed
    samples $y_{si}$ have noise drawn anew given $z_s$ (Rao-Blackwell). The same bias, a lower
    variance, the more so the lower the temperature; S evaluations of f, at hard samples only, and K
    softmaxes a sample.

    The noise is a constant here: the gradient is that of softmax((logits + noise) / temperature) at
    fixed noise, as it is in the estimator whose mean is taken. Followed through the conditional
    noise too, which itself depends on the logits, it would have another mean.

    Args:
        temperature: positive; a number, or a tensor that broadcasts against the logits.
        num_inner: K, the noise draws for each sample.

    Raises:
        ValueError: a temperature that isn't positive, num_inner below 1.

    Example:
        >>> q = hg.OneHotCategorical(logits=torch.zeros(3, requires_grad=True))
        >>> z = hg.GumbelRao(temperature=0.1, num_inner=100).sample(q, (10,))
        >>> bool((z.sum(-1) == 1).all()), z.requires_grad
        (True, True)

    Reference: Rao-Blackwellizing the Straight-Through Gumbel-Softmax Gradient Estimator (Paulus,
    Maddison, Krause, 2021), Section 3, https://arxiv.org/abs/2010.04838
    """

    num_inner: int = 10

    unbiased = False
    relaxes_f = False
    requires = (CanRelaxGivenHard,)
    name = "gumbel-rao"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.check_count(self.num_inner, "num_inner")

    def draw(
        self,
        base: CanRelaxGivenHard,
        sample_shape: tuple[int, ...],
        generator: torch.Generator | None,
    ) -> Tensor:
        return ops.straight_through(
            *base.hard_and_mean_relaxed_sample(
                self.temperature, self.num_inner, sample_shape, generator=generator
            )
        )


@dataclass(frozen=True, eq=False)
class GappedStraightThrough(Tempered[CanGap]):
    r"""Hard samples, whose gradient is that of a softmax in which they lead by a gap.

    $\frac{1}{S} \sum_s \nabla_\phi \langle \nabla f(z_s), y_s \rangle$, y without any noise.

    $y = \mathrm{softmax}((\mathrm{logits} + m) / \tau)$, the fixed move m being the least that puts
    the sampled category first and the others `gap` behind. Near to `GumbelRao` at no more than
    `StraightThrough`'s cost. Biased, also for linear f; S evaluations of f, at hard samples only.

    Args:
        temperature: positive; a number, or a tensor that broadcasts against the logits.
        gap: in logits, positive; with a large one the gradient vanishes.

    Raises:
        ValueError: a temperature or a gap that isn't positive.

    Example:
        >>> q = hg.OneHotCategorical(logits=torch.zeros(3, requires_grad=True))
        >>> z = hg.GappedStraightThrough(temperature=0.5).sample(q, (10,))
        >>> bool((z.sum(-1) == 1).all()), z.requires_grad
        (True, True)

    Reference: Training Discrete Deep Generative Models via Gapped Straight-Through Estimator (Fan,
    Chi, Rudnicky, Ramadge, 2022), Section 3.2, https://arxiv.org/abs/2206.07235
    """

    gap: float = 1.0

    unbiased = False
    relaxes_f = False
    requires = (CanGap,)
    name = "gapped-straight-through"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.check_positive(self.gap, "gap")

    def draw(
        self, base: CanGap, sample_shape: tuple[int, ...], generator: torch.Generator | None
    ) -> Tensor:
        return ops.straight_through(
            *base.hard_and_gapped_sample(
                self.temperature, self.gap, sample_shape, generator=generator
            )
        )
