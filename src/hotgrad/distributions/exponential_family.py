"""Distributions whose log-probability is linear in the parameters, but for a normaliser.

Most structured choices are of this kind, and what can be done with one follows from three methods.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions.kl import register_kl

from hotgrad import ops
from hotgrad.distributions.arguments import times_log
from hotgrad.distributions.capabilities import Scores
from hotgrad.distributions.discrete import DiscreteDistribution
from hotgrad.ops import checks


class ExponentialFamily(DiscreteDistribution):
    r"""A choice whose probability is the exponential of a sum of scores: of its parts, of pairs.

    $$p(z) = \exp\Big(\sum_n \langle \theta_n, s_n(z) \rangle - \log Z(\theta)\Big),$$

    $\theta_n$ the `params` and $s_n$ the `statistics`: which of the scores count for z. The first
    parameter has the shape of z, and z itself as its statistic; the others, of pairs say, have
    statistics that the subclass writes.

    A subclass gives `params`, `log_normalizer`, `sample` and `argmax`. From those follow

    - `log_prob`, `mean` (the gradient of log Z), `mode`, `entropy`, and the KL divergence between
      two of the family;
    - perturb-and-MAP, the most probable state under noisy parameters: `IMLE` and `PerturbedMAP`;
    - relaxed samples, the mean at perturbed parameters divided by a temperature: `GumbelSoftmax`
      and its straight-through form, a *stochastic softmax trick*. Their hard sample is the most
      probable state under the same perturbed parameters, which follows the distribution only
      nearly, unless the subclass's noise is made for it.

    Each may be overridden where a formula is more stable. Masks are parameters of -inf.

    Reference: Gradient Estimation with Stochastic Softmax Tricks (Paulus, Choi, Tarlow, Krause,
    Maddison, 2020), https://arxiv.org/abs/2006.08063; Perturb-and-MAP Random Fields (Papandreou,
    Yuille, 2011), https://doi.org/10.1109/ICCV.2011.6126242
    """

    @abstractmethod
    def log_normalizer(self) -> Tensor:
        """log Z `(*batch,)`, differentiable in the parameters."""

    @abstractmethod
    def argmax(self, scores: Mapping[str, Tensor]) -> Tensor:
        """The most probable state under any scores in place of the parameters.

        Args:
            scores: by the parameters' names, each with any dimensions before those that the
                parameter has behind its batch.
        """

    def statistics(self, value: Tensor) -> Scores:
        """What each parameter is multiplied by in the score of a state; of the first, the state."""
        (name,) = self.params
        return {name: value}

    def log_prob(self, value: Tensor) -> Tensor:
        """The state's score less log Z; linear in the statistics."""
        checks.check_value(value)
        if value.shape[value.ndim - len(self.event_shape) :] != self.event_shape:
            raise ValueError(
                f"{type(self).__name__} expects values that end in {tuple(self.event_shape)}, got "
                f"{tuple(value.shape)}."
            )
        terms = self._products(self.statistics(value))
        log_prob = torch.stack(terms).sum(0) - self.log_normalizer()
        return log_prob.to(torch.promote_types(value.dtype, self.dtype))

    def moments(self) -> Scores:
        """The statistics' means, which are the slopes of log Z; differentiable."""

        def log_z(params: Scores) -> Tensor:
            return self.with_params(params).log_normalizer().sum()

        moments: Scores = torch.func.grad(log_z)(dict(self.params))
        return moments

    @property
    def mean(self) -> Tensor:
        """The marginals of z, differentiable."""
        return next(iter(self.moments().values()))

    @property
    def mode(self) -> Tensor:
        """The most probable state."""
        return self.argmax(self.params)

    @property
    def variance(self) -> Tensor:
        """Of each entry, p (1 - p) with p its mean."""
        mean = self.mean
        return mean * (1 - mean)

    def entropy(self) -> Tensor:
        """In nats: log Z less the parameters times the statistics' means."""
        entropy = self.log_normalizer() - torch.stack(self._products(self.moments())).sum(0)
        return entropy.to(self.dtype)

    def perturb(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Scores:
        """The parameters plus Gumbel noise, `(*sample_shape, *parameter's shape)`."""
        noise = self._gumbel(sample_shape, generator)
        return {name: param + noise[name] for name, param in self.params.items()}

    def perturb_with_slope(
        self,
        sample_shape: Any = (),
        scale: float = 1.0,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Scores, Scores]:
        """The parameters plus `scale` times Gumbel noise, and the slope of its -log density."""
        scores, slopes = {}, {}
        for name, noise in self._gumbel(sample_shape, generator).items():
            slope = 1 - (-noise).exp()
            scores[name], slopes[name] = ops.perturbed(self.params[name], noise, slope, scale)
        return scores, slopes

    def tempered_mean(self, temperature: float | Tensor) -> Tensor:
        """The mean with the parameters divided by the temperature."""
        return self._mean_of(self.params, temperature)

    def relaxed_sample(
        self,
        temperature: float | Tensor,
        sample_shape: Any = (),
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The mean at perturbed parameters divided by the temperature."""
        return self._mean_of(self.perturb(sample_shape, generator=generator), temperature)

    def hard_and_relaxed_sample(
        self,
        temperature: float | Tensor,
        sample_shape: Any = (),
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The most probable state under perturbed parameters, and their relaxed sample."""
        scores = self.perturb(sample_shape, generator=generator)
        return self.argmax(scores), self._mean_of(scores, temperature)

    def _gumbel(self, sample_shape: Any, generator: torch.Generator | None) -> Scores:
        """Gumbel noise for each parameter, `(*sample_shape, *its shape)`."""
        shape = checks.as_shape(sample_shape, "sample_shape")
        return {
            name: ops.draw_gumbel(
                shape + param.shape, dtype=param.dtype, device=param.device, generator=generator
            )
            for name, param in self.params.items()
        }

    def _mean_of(self, scores: Mapping[str, Tensor], temperature: float | Tensor) -> Tensor:
        """The mean of the distribution whose parameters are scores divided by a temperature."""
        shapes = {name: param.shape[len(self.batch_shape) :] for name, param in self.params.items()}
        tempered = {
            name: ops.tempered(score, self._for_parameter(temperature, shapes[name]))
            for name, score in scores.items()
        }
        return self.with_params(tempered).mean.to(self.dtype)

    def _for_parameter(self, temperature: float | Tensor, shape: torch.Size) -> float | Tensor:
        """A temperature, given for z, in the shape that a parameter has behind its batch."""
        behind = len(self.event_shape)
        if (
            not isinstance(temperature, Tensor)
            or temperature.ndim == 0
            or shape == self.event_shape
        ):
            return temperature
        if any(size > 1 for size in temperature.shape[-behind:]):
            raise ValueError(
                f"temperature must be the same for all of one z, as {type(self).__name__} has "
                f"parameters of several shapes: a number, or shape (*batch{', 1' * behind}); got "
                f"{tuple(temperature.shape)}."
            )
        return temperature.reshape(temperature.shape[:-behind] + (1,) * len(shape))

    def _products(self, statistics: Mapping[str, Tensor]) -> list[Tensor]:
        """The parameters times statistics, each summed over all but sample and batch."""
        found = []
        for name, param in self.params.items():
            terms = times_log(statistics[name], ops.widened(param))
            own = param.ndim - len(self.batch_shape)
            found.append(ops.over_event(terms, terms.ndim - own))
        return found


@register_kl(ExponentialFamily, ExponentialFamily)  # type: ignore[untyped-decorator]
def _kl_exponential_family(p: ExponentialFamily, q: ExponentialFamily) -> Tensor:
    r"""$\langle \theta_p - \theta_q, \mathbb{E}_p[s] \rangle - \log Z_p + \log Z_q$."""
    if type(p) is not type(q) or p.event_shape != q.event_shape or p.constants != q.constants:
        raise NotImplementedError(
            f"No KL divergence is known from {type(p).__name__} of event {tuple(p.event_shape)} to "
            f"{type(q).__name__} of event {tuple(q.event_shape)}: two of one kind have one."
        )
    if not checks.broadcasts(p.batch_shape, q.batch_shape):
        raise ValueError(
            f"The KL divergence needs batch shapes that broadcast, got {tuple(p.batch_shape)} and "
            f"{tuple(q.batch_shape)}."
        )
    moments = p.moments()
    own = torch.stack(p._products(moments)).sum(0) - p.log_normalizer()
    divergence = own - torch.stack(q._products(moments)).sum(0) + q.log_normalizer()
    return divergence.to(torch.promote_types(p.dtype, q.dtype))
