"""The discrete autoencoder: encoder, distribution of codes, decoder, and the bound's two terms."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import kl_divergence

from hotgrad.distributions import Independent
from hotgrad.estimators import Estimator, GumbelSoftmax
from hotgrad.expectation import expectation
from hotgrad.memory import memory_refused
from hotgrad.ops.checks import (
    check_count,
    check_flag,
    check_temperature,
    check_tensor,
    values_readable,
)
from hotgrad.vae.latent import Latent
from hotgrad.vae.likelihood import Likelihood


class Elbo(NamedTuple):
    """The two terms of the evidence lower bound, each `(*batch,)` in nats."""

    reconstruction: Tensor
    """E_q[log p(x given z)]."""
    kl: Tensor
    """KL(q(z given x) || p(z))."""

    @property
    def value(self) -> Tensor:
        """The bound: reconstruction less KL."""
        return self.reconstruction - self.kl


class VAE(nn.Module):
    r"""Variational autoencoder with a discrete code.

    $$\log p(x) \ge E_{q(z|x)}[\log p(x|z)] - KL(q(z|x) \| p(z)).$$

    Args:
        encoder: `(*batch, items) -> (*batch, latent.size)` logits.
        decoder: `(*batch, latent.size) -> (*batch, items)`, what the likelihood reads.
        latent: the kind of code, `CategoricalLatent(20, 10)`, `BernoulliLatent(200)` or
            `KSubsetLatent(20, 20, k=10)`.
        likelihood: `BernoulliLikelihood()` or `GaussianLikelihood()`.
        learned_prior: learn the prior's logits instead of leaving it uniform.

    Raises:
        ValueError: a part lacks what the model asks of it. Widths that don't fit are named when the
            model is used, since a module doesn't say what it takes.

    Example:
        >>> from hotgrad import vae
        >>> latent = vae.CategoricalLatent(4, 3)
        >>> encoder, decoder = torch.nn.Linear(8, 12), torch.nn.Linear(12, 8)
        >>> model = vae.VAE(encoder, decoder, latent, vae.BernoulliLikelihood())
        >>> terms = model(torch.rand(5, 8), hg.GumbelSoftmax(0.5))
        >>> terms.reconstruction.shape, terms.kl.shape
        (torch.Size([5]), torch.Size([5]))
    """

    prior_logits: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        latent: Latent,
        likelihood: Likelihood,
        *,
        learned_prior: bool = False,
    ) -> None:
        super().__init__()
        check_flag(learned_prior, "learned_prior")
        for name, part, needs in (
            ("encoder", encoder, ("__call__",)),
            ("decoder", decoder, ("__call__",)),
            ("latent", latent, ("event_shape", "size", "distribution", "relaxed")),
            ("likelihood", likelihood, ("log_prob", "mean")),
        ):
            made = not isinstance(part, type)
            missing = [need for need in needs if not (made and hasattr(part, need))]
            if missing:
                came = (
                    f"the class {part.__name__}" if isinstance(part, type) else type(part).__name__
                )
                raise ValueError(
                    f"{name} must have {', '.join(needs)}; got {came}, which lacks "
                    f"{', '.join(missing)}."
                )
        self.encoder = encoder
        self.decoder = decoder
        self.latent = latent
        self.likelihood = likelihood
        zeros = torch.zeros(latent.size)
        if learned_prior:
            self.prior_logits = nn.Parameter(zeros)
        else:
            self.register_buffer("prior_logits", zeros)
        self._fixed_prior = zeros, zeros._version, latent.distribution(zeros)

    def encode(self, x: Tensor) -> Independent:
        """q(z given x)."""
        return self.latent.distribution(self._logits(x))

    def _logits(self, x: Tensor) -> Tensor:
        check_tensor(x, "x")
        logits = _applied("encoder", self.encoder, x)
        if logits.shape[-1:] != (self.latent.size,):
            raise ValueError(
                f"the encoder's logits have shape {tuple(logits.shape)}, expected a last dimension "
                f"of {self.latent.size}, the size of {self.latent}. Give its last layer that width."
            )
        return logits

    def prior(self) -> Independent:
        """p(z)."""
        logits = self.prior_logits
        changes = logits.requires_grad or logits.is_inference()
        if changes or not values_readable(logits):
            return self.latent.distribution(logits)
        # a distribution keeps what it has computed; one that never changes is made once
        kept, version, prior = self._fixed_prior
        if kept is not logits or version != logits._version:
            prior = self.latent.distribution(logits)
            self._fixed_prior = logits, logits._version, prior
        return prior

    def decode(self, z: Tensor) -> Tensor:
        """The decoder's outputs for codes `(*batch, *event)`."""
        check_tensor(z, "z")
        start = z.ndim - len(self.latent.event_shape)
        if z.shape[start:] != self.latent.event_shape:
            raise ValueError(
                f"codes of {self.latent} have shape (*batch, *{self.latent.event_shape}), got "
                f"{tuple(z.shape)}."
            )
        return _applied("decoder", self.decoder, z.flatten(start))

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x given z), `(num_samples, *batch)` for z with a leading sample dimension."""
        check_tensor(x, "x")
        return self.likelihood.log_prob(x, self.decode(z))

    def forward(
        self,
        x: Tensor,
        estimator: Estimator,
        *,
        target: Tensor | None = None,
        num_samples: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Elbo:
        """The bound with the analytic KL between the discrete distributions.

        With an estimator that relaxes f the reconstruction is relaxed too; that trains well and is
        *not* a bound.

        Args:
            x: what the encoder sees, `(batch, items)`.
            estimator: of the reconstruction's gradient.
            target: what is reconstructed, if not x (denoising).
            num_samples: codes for each item; by default the least that the estimator takes.
            generator: the source of randomness.
        """
        q = self.encode(x)
        target = _target(x, target)
        reconstruction = expectation(
            lambda z: self.log_likelihood(target, z),
            q,
            estimator,
            num_samples=num_samples,
            generator=generator,
        )
        return Elbo(reconstruction, kl_divergence(q, self.prior()))

    def concrete_elbo(
        self,
        x: Tensor,
        estimator: GumbelSoftmax,
        *,
        prior_temperature: float,
        target: Tensor | None = None,
        num_samples: int = 1,
        generator: torch.Generator | None = None,
    ) -> Elbo:
        """A true bound for the relaxed model, with the KL between Concrete densities.

        Both terms are taken at the same samples, which `GumbelSoftmax` alone draws.

        Raises:
            ValueError: another estimator, or a temperature that isn't positive.
            NotImplementedError: the code has no relaxation with a density.

        Reference: The Concrete Distribution (Maddison, Mnih, Teh, 2016), Section 3 and
        appendix C, https://arxiv.org/abs/1611.00712
        """
        if not isinstance(estimator, GumbelSoftmax):
            raise ValueError(
                f"concrete_elbo scores the relaxed samples of GumbelSoftmax, got "
                f"{type(estimator).__name__}, which has no such bound. Use GumbelSoftmax(t), or "
                "model(x, estimator), whose KL is analytic."
            )
        check_temperature(prior_temperature, "prior_temperature")
        check_count(num_samples, "num_samples")
        q = self.latent.relaxed(self._logits(x), estimator.temperature)
        prior = self.latent.relaxed(self.prior_logits, prior_temperature)
        sample = q.rsample_with_twin((num_samples,), generator=generator)
        # a copy, since a decoder may change it in place
        z = sample.value.clone()
        reconstruction = self.log_likelihood(_target(x, target), z)
        # in the twin's space, since the Jacobians, large at a low temperature, cancel
        kl = q.log_prob_of_twin(sample.twin) - prior.log_prob_of_twin(sample.twin)
        return Elbo(reconstruction.mean(0), kl.mean(0))

    def generate(self, num_items: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Expected items of codes drawn from the prior, `(num_items, items)`."""
        check_count(num_items, "num_items")
        z = self.prior().sample((num_items,), generator=generator)
        return self.likelihood.mean(self.decode(z))

    def reconstruct(self, x: Tensor) -> Tensor:
        """Expected items of the most probable codes."""
        return self.likelihood.mean(self.decode(self.encode(x).mode))


def _target(x: Tensor, target: Tensor | None) -> Tensor:
    """What is reconstructed: the input, if nothing else is named."""
    if target is None:
        return x
    check_tensor(target, "target")
    return target


def _applied(name: str, module: nn.Module, x: Tensor) -> Tensor:
    """What the user's module makes of x; its own errors name no shape of ours."""
    try:
        return module(x)
    except RuntimeError as error:
        if memory_refused(error):
            raise  # the allocator's message is the better one
        raise ValueError(
            f"the {name} failed on an input of shape {tuple(x.shape)} and {x.dtype}: {error}. "
            "Expected a module that takes it: check the width of its first layer."
        ) from error
