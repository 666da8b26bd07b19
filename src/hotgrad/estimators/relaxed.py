"""Relaxed samples: f is evaluated, and differentiated, between the vertices."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hotgrad.distributions.capabilities import CanRelax, CanRelaxTopK
from hotgrad.estimators.pathwise import Tempered


@dataclass(frozen=True, eq=False)
class GumbelSoftmax(Tempered[CanRelax]):
    r"""Relaxed samples in place of hard ones, differentiated through.

    $\frac{1}{S} \sum_s \nabla_\phi f(y_s)$, $y_s$ = softmax((logits + noise) / temperature).

    For bits the binary Concrete, $\sigma((\mathrm{logits} + \mathrm{logistic}) / \tau)$; for
    `PlackettLuceSubset` the largest, entry by entry, of k relaxed one-hot vectors, one for each
    item drawn; for other exponential families, `KSubset` among them, the mean at perturbed
    parameters divided by the temperature, a stochastic softmax trick. An unbiased gradient of
    another objective, the one whose z is relaxed: biased for the discrete one, and the value is
    biased too. A low temperature lessens the bias and raises the variance. S evaluations of f,
    which must be differentiable between the vertices.

    Args:
        temperature: positive; a number, or a tensor that broadcasts against the logits.
            `LearnedTemperature` makes it a parameter.

    Raises:
        ValueError: a temperature that isn't positive.

    Example:
        >>> q = hg.OneHotCategorical(logits=torch.zeros(2, 3, requires_grad=True)).to_event(1)
        >>> hg.GumbelSoftmax(temperature=0.5).sample(q, (7,)).shape
        torch.Size([7, 2, 3])

    Reference: Categorical Reparameterization with Gumbel-Softmax (Jang, Gu, Poole, 2016),
    Section 2, https://arxiv.org/abs/1611.01144; The Concrete Distribution (Maddison, Mnih, Teh,
    2016), Section 3, https://arxiv.org/abs/1611.00712; Gradient Estimation with Stochastic Softmax
    Tricks (Paulus et al., 2020), https://arxiv.org/abs/2006.08063
    """

    unbiased = False
    relaxes_f = True
    requires = (CanRelax,)
    name = "gumbel-softmax"

    def draw(
        self, base: CanRelax, sample_shape: tuple[int, ...], generator: torch.Generator | None
    ) -> Tensor:
        return base.relaxed_sample(self.temperature, sample_shape, generator=generator)


@dataclass(frozen=True, eq=False)
class RelaxedTopK(Tempered[CanRelaxTopK]):
    r"""Relaxed k-hot vectors in place of hard ones, by one softmax after another.

    $\frac{1}{S} \sum_s \nabla_\phi f(v_s)$, $v_s$ the sum of k successive softmaxes.

    $$a^j = \mathrm{softmax}(\alpha^j / \tau), \quad \alpha^{j+1} = \alpha^j + \log(1 - a^j),
    \quad v = \sum_{j=1}^k a^j,$$

    from $\alpha^1$ = logits + Gumbel noise, for subsets that are the k largest of such scores:
    `PlackettLuceSubset`. The entries of v lie in [0, 1] and sum to k; `hotgrad.ops.relaxed_top_k`
    says what keeps them there. An unbiased gradient of another objective, the one whose z is
    relaxed: biased for the discrete one, and the value is biased too. A low temperature lessens the
    bias and raises the variance. S evaluations of f, which must be differentiable between the
    vertices; time and memory grow with k.

    Args:
        temperature: positive; a number, or a tensor that broadcasts against the logits.
            `LearnedTemperature` makes it a parameter.

    Raises:
        ValueError: a temperature that isn't positive.

    Example:
        >>> q = hg.PlackettLuceSubset(torch.zeros(5), 2)
        >>> v = hg.RelaxedTopK(temperature=0.5).sample(q, (7,))
        >>> v.shape, bool((v.sum(-1) - 2).abs().max() < 1e-5)
        (torch.Size([7, 5]), True)

    Reference: Reparameterizable Subset Sampling via Continuous Relaxations (Xie, Ermon, 2019),
    Algorithm 2, https://arxiv.org/abs/1901.10517
    """

    unbiased = False
    relaxes_f = True
    requires = (CanRelaxTopK,)
    name = "relaxed-top-k"

    def draw(
        self, base: CanRelaxTopK, sample_shape: tuple[int, ...], generator: torch.Generator | None
    ) -> Tensor:
        return base.relaxed_top_k_sample(self.temperature, sample_shape, generator=generator)
