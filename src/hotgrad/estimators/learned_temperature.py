"""Temperatures that learn: the parameter is their logarithm, so they stay positive."""

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from hotgrad.distributions import DiscreteDistribution
from hotgrad.estimators.base import label_of
from hotgrad.estimators.pathwise import Pathwise, Tempered, check_temperature_fits
from hotgrad.ops import checks


class WithTemperature(nn.Module):
    """What estimators share that have a temperature among their parameters.

    Args:
        temperature: at the start; a number, or a tensor that broadcasts against the logits.

    Raises:
        ValueError: a temperature that isn't positive.
    """

    def __init__(self, temperature: float | Tensor) -> None:
        super().__init__()
        temperature = checks.check_temperature(temperature)
        self.log_temperature = nn.Parameter(torch.as_tensor(temperature).detach().log())

    @property
    def temperature(self) -> Tensor:
        """Positive whatever it learns."""
        return self.log_temperature.exp()

    def extra_repr(self) -> str:
        """The temperature as it is now."""
        return f"temperature={in_words(self.temperature)}"


class LearnedTemperature(WithTemperature, Pathwise[Any]):
    r"""Another estimator, whose temperature is learned along with the model's own parameters.

    $\nabla_\tau$ is that of the loss itself, through the relaxed samples: the temperature learns to
    make the loss small, not the gradient's bias or variance. With an estimator of hard samples its
    gradient is as biased as that to the logits. A module: a model that holds one finds it among its
    parameters, and saves it. As many evaluations of f as the estimator itself takes.

    Args:
        estimator: `GumbelSoftmax(temperature=1.0)` or another one with a temperature, which is
            where it starts: a number, or a tensor that broadcasts against the logits.

    Raises:
        ValueError: an estimator without a temperature, or one whose samples have no gradient to it.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> estimator = hg.LearnedTemperature(hg.GumbelSoftmax(temperature=0.5))
        >>> estimator
        LearnedTemperature(GumbelSoftmax(temperature=0.5))
        >>> optimizer = torch.optim.Adam([logits, *estimator.parameters()], lr=0.01)
        >>> q = hg.OneHotCategorical(logits=logits)
        >>> hg.expectation(lambda z: z.square().sum(-1), q, estimator).backward()
        >>> estimator.log_temperature.grad is not None
        True

    Reference: Categorical Reparameterization with Gumbel-Softmax (Jang, Gu, Poole, 2016),
    Section 2.1, https://arxiv.org/abs/1611.01144
    """

    unbiased = False

    def __init__(self, estimator: Tempered[Any]) -> None:
        if not isinstance(estimator, Tempered) or not estimator.learns_temperature:
            raise ValueError(
                "estimator must be one whose samples have a gradient to its temperature, such as "
                f"GumbelSoftmax(temperature=0.5); got {checks.shown(estimator)}."
            )
        super().__init__(estimator.temperature)
        self.estimator = estimator

    @property
    def relaxes_f(self) -> bool:  # type: ignore[override]  # the estimator's
        """Whether the estimator does."""
        return self.estimator.relaxes_f

    @property
    def requires(self) -> tuple[type, ...]:  # type: ignore[override]  # the estimator's
        """What the estimator does."""
        return self.estimator.requires

    @property
    def in_python(self) -> str:
        """Beginning where the estimator does."""
        return f"hg.LearnedTemperature({self.estimator.in_python})"

    @property
    def label(self) -> str:
        return f"{type(self).__name__}({label_of(self.estimator)})"

    def extra_repr(self) -> str:
        """The estimator, at the temperature as it is now."""
        others = [
            f"{field.name}={getattr(self.estimator, field.name)!r}"
            for field in dataclasses.fields(self.estimator)
            if field.name != "temperature"
        ]
        return f"{label_of(self.estimator)}({', '.join([super().extra_repr(), *others])})"

    def check_fits(self, q: DiscreteDistribution) -> None:
        check_temperature_fits(self.log_temperature, q)

    def draw(
        self, base: Any, sample_shape: tuple[int, ...], generator: torch.Generator | None
    ) -> Tensor:
        now = dataclasses.replace(self.estimator, temperature=self.temperature)
        return now.draw(base, sample_shape, generator)


def in_words(value: Tensor) -> str:
    """A parameter's value, or its shape where it has several or none yet."""
    if value.numel() == 1 and value.device.type != "meta" and checks.values_readable(value):
        return f"{value.item():.4g}"
    return f"tensor of shape {tuple(value.shape)}"
