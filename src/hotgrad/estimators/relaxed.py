"""Relaxed samples: f is evaluated, and differentiated, between the vertices."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hotgrad.distributions import as_law
from hotgrad.estimators.base import Pathwise
from hotgrad.ops import checks


@dataclass(frozen=True)
class GumbelSoftmax(Pathwise):
    r"""$\frac{1}{S} \sum_s \nabla_\phi f(y_s)$, $y_s$ = softmax((logits + noise) / temperature).

    For bits the binary Concrete, $\sigma((\mathrm{logits} + \mathrm{logistic}) / \tau)$. An
    unbiased gradient of another objective, the one whose z is relaxed: biased for the discrete one,
    and the value is biased too. A low temperature lessens the bias and raises the variance. S
    evaluations of f, which must be differentiable between the vertices.

    Args:
        temperature: positive; a number, or a tensor that broadcasts against the logits (learnable
            if it requires a gradient).

    Raises:
        ValueError: a temperature that isn't positive.

    Example:
        >>> q = hg.OneHotCategorical(logits=torch.zeros(2, 3, requires_grad=True)).to_event(1)
        >>> hg.GumbelSoftmax(temperature=0.5).sample(q, (7,)).shape
        torch.Size([7, 2, 3])

    Reference: Categorical Reparameterization with Gumbel-Softmax (Jang, Gu, Poole, 2016),
    Section 2, https://arxiv.org/abs/1611.01144; The Concrete Distribution (Maddison, Mnih, Teh,
    2016), Section 3, https://arxiv.org/abs/1611.00712
    """

    temperature: float | Tensor = 1.0

    unbiased = False
    relaxes_f = True
    requires = ("draw_noise", "relax")

    def __post_init__(self) -> None:
        checks.check_temperature(self.temperature)

    def sample(
        self,
        q: Any,
        sample_shape: tuple[int, ...] = (),
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Relaxed samples of shape `sample_shape + batch_shape + event_shape`."""
        q = as_law(q)
        noise = q.draw_noise(sample_shape, generator=generator)
        relaxed: Tensor = q.relax(noise, self.temperature)
        return relaxed
