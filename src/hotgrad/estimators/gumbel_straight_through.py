"""Hard forward; backward through a softmax of the logits moved to where they led to the sample.

The three differ in the move: the noise itself, the mean over all noise with that outcome, or the
least move that does.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hotgrad import ops
from hotgrad.estimators.base import Tempered
from hotgrad.ops import checks


@dataclass(frozen=True, eq=False)
class StraightThroughGumbelSoftmax(Tempered):
    r"""$\frac{1}{S} \sum_s \nabla_\phi \langle \nabla f(z_s), y_s \rangle$.

    z and the relaxed y come from the same noise; for `PlackettLuceSubset` y is the relaxed k-hot
    vector of `GumbelSoftmax`. Biased, also for linear f; S evaluations of f, at hard samples only.
    A low temperature lessens the bias and raises the variance.

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
    requires = ("draw_noise", "harden", "relax")

    def sample(
        self,
        q: Any,
        sample_shape: tuple[int, ...] = (),
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Hard samples with the gradient of the relaxed sample that has the same noise."""
        q = self._law_of(q, sample_shape, generator)
        noise = q.draw_noise(sample_shape, generator=generator)
        return ops.straight_through(q.harden(noise), q.relax(noise, self.temperature))


@dataclass(frozen=True, eq=False)
class GumbelRao(Tempered):
    r"""$\frac{1}{S} \sum_s \nabla_\phi \langle \nabla f(z_s), \frac{1}{K} \sum_i y_{si} \rangle$.

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
    requires = ("draw_noise", "harden", "relax", "redraw")

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.check_count(self.num_inner, "num_inner")

    def sample(
        self,
        q: Any,
        sample_shape: tuple[int, ...] = (),
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Hard samples with the mean gradient of relaxed samples that lead to them."""
        q = self._law_of(q, sample_shape, generator)
        with torch.no_grad():
            noise = q.draw_noise(sample_shape, generator=generator)
            fresh = q.draw_noise((self.num_inner, *sample_shape), generator=generator)
            inner = q.redraw(noise, fresh)
        soft = q.relax(inner, self.temperature).mean(0)
        return ops.straight_through(q.harden(noise), soft)


@dataclass(frozen=True, eq=False)
class GappedStraightThrough(Tempered):
    r"""$\frac{1}{S} \sum_s \nabla_\phi \langle \nabla f(z_s), y_s \rangle$, y without any noise.

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
    requires = ("sample", "gap_noise", "relax")

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.check_positive(self.gap, "gap")

    def sample(
        self,
        q: Any,
        sample_shape: tuple[int, ...] = (),
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Hard samples with the gradient of a softmax that agrees with them."""
        q = self._law_of(q, sample_shape, generator)
        hard = q.sample(sample_shape, generator=generator)
        return ops.straight_through(hard, q.relax(q.gap_noise(hard, self.gap), self.temperature))
