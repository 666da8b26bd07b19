"""Exactly k of n, each subset as likely as the product of its items' weights."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hotgrad import ops
from hotgrad.distributions import base
from hotgrad.distributions.subset import SubsetLaw
from hotgrad.ops import checks


class KSubset(SubsetLaw):
    r"""k of n with $p(S) \propto \prod_{i \in S} \exp(\mathrm{logits}_i)$: conditional Bernoulli.

    Independent bits of these log-odds, given that exactly k of them are 1. With e_k the elementary
    symmetric polynomial of the weights,

    $$\log p(S) = \sum_{i \in S} \mathrm{logits}_i - \log e_k(\exp(\mathrm{logits})).$$

    Everything is exact: the normaliser, the marginals with their gradient, samples, entropy. A tree
    of products takes O(n k) multiplications in O(log n) steps, and O(n log k) memory. A constant
    added to all logits of a row changes nothing. Not the law of Gumbel-top-k, which is
    `PlackettLuceSubset`.

    Args:
        logits: `(*batch, n)`; -inf masks an item, which is then never chosen.
        k: how many of the n items, the same for all rows.
        validate_args: check values (waits for the GPU); torch's default, which the first
            `torch.compile` in a process turns off.

    Raises:
        ValueError: logits that are integers, NaN or +inf; k that isn't an integer in [0, n], or is
            more than the unmasked items of a row.

    Example:
        >>> q = hg.KSubset(torch.tensor([1.0, 0.0, -1.0, -torch.inf]), k=2)
        >>> q.mean
        tensor([0.9100, 0.7553, 0.3348, 0.0000])
        >>> q.sample((5,)).sum(-1)
        tensor([2., 2., 2., 2., 2.])

    Reference: Weighted finite population sampling to maximize entropy (Chen, Dempster, Liu, 1994),
    https://doi.org/10.1093/biomet/81.3.457; SIMPLE: A Gradient Estimator for k-Subset Sampling
    (Ahmed, Zeng, Niepert, Van den Broeck, 2023), https://arxiv.org/abs/2210.01941
    """

    def __init__(self, logits: Tensor, k: int, validate_args: bool | None = None) -> None:
        super().__init__(logits, k, validate_args)
        # both depend on the logits alone; a step of training asks for them several times
        self._prepared: ops.k_of_n.Prepared | None = None
        self._computed: tuple[Tensor, Tensor] | None = None
        self._version = -1

    def sample(self, sample_shape: Any = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Exact k-hot vectors of shape `sample_shape + batch_shape + (n,)`."""
        shape = torch.Size(sample_shape)
        with torch.no_grad():
            levels, n = self._prepare().levels, self.event_shape[0]
            uniforms = ops.draw_uniform(
                (shape.numel(), n, self.batch_shape.numel()),
                device=self.logits.device,
                generator=generator,
            )
            drawn = ops.k_of_n.k_hot_from_uniforms(levels, n, self.k, uniforms)
        drawn = drawn.to(self.logits.dtype).transpose(-1, -2).contiguous()
        return drawn.reshape(shape + self.batch_shape + self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(value); linear in the value, so f may use it at a straight-through sample."""
        self._check_value(value)
        tilted, log_prob_of_k = self.log_odds_and_log_prob_of_k()
        chosen = base.times_log(value, F.logsigmoid(tilted))
        left_out = base.times_log(1 - value, F.logsigmoid(-tilted))
        return ((chosen + left_out).sum(-1) - log_prob_of_k).to(self.logits.dtype)

    def log_normaliser(self) -> Tensor:
        r"""$\log e_k(\exp(\mathrm{logits}))$, all subsets' weights; its slope is the mean.

        Grows with the logits; `log_prob` doesn't subtract it, and keeps more digits.
        """
        tilted, log_prob_of_k = self.log_odds_and_log_prob_of_k()
        shift = self._prepare().shift.view(self.batch_shape)
        # logsigmoid, since torch's softplus is off by 2e-9 at 20
        total = log_prob_of_k - F.logsigmoid(-tilted).sum(-1) - self.k * shift
        return total.to(self.logits.dtype)

    @property
    def mean(self) -> Tensor:
        """The marginals P(item i is chosen), exact and differentiable."""
        # a copy: what is kept is not for the caller to change in place
        return self.marginals().to(self.logits.dtype, copy=True)

    def marginals(self) -> Tensor:
        """The mean in at least float32."""
        _, marginals = self._count()
        return marginals.view(self.logits.shape)

    def entropy(self) -> Tensor:
        """In nats."""
        tilted, log_prob_of_k = self.log_odds_and_log_prob_of_k()
        mean = self.marginals()
        chosen = base.times_log(mean, F.logsigmoid(tilted))
        left_out = base.times_log(1 - mean, F.logsigmoid(-tilted))
        return (log_prob_of_k - (chosen + left_out).sum(-1)).to(self.logits.dtype)

    def perturb(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Logits plus logistic noise, whose k largest come the closer to this law the larger n.

        They are bits of these log-odds, each 1 above a threshold that settles as n grows. Gumbel
        noise leads to another law. Differentiable in the logits;
        `(*sample_shape, *batch_shape, n)`.
        """
        return self.perturb_with_slope(sample_shape, generator=generator).scores

    def perturb_with_slope(
        self,
        sample_shape: Any = (),
        scale: float = 1.0,
        *,
        generator: torch.Generator | None = None,
    ) -> ops.Perturbed:
        """Logits plus `scale` times logistic noise, and the slope of that noise's -log density."""
        noise = ops.draw_logistic(
            self._extended_shape(torch.Size(sample_shape)),
            dtype=self.logits.dtype,
            device=self.logits.device,
            generator=generator,
        )
        return ops.perturbed_by_logistic(self.logits, noise, scale)

    def log_odds_and_log_prob_of_k(self) -> tuple[Tensor, Tensor]:
        """Log-odds of independent bits, `(*batch, n)`, and the log-probability that k are 1.

        Given that k are, the bits have this law. At least float32.
        """
        log_prob, _ = self._count()
        return self._tilted, log_prob.view(self.batch_shape)

    def _count(self) -> tuple[Tensor, Tensor]:
        """log P(N = k) and the marginals, by rows; computed once for value and gradient."""
        self._forget_other_logits()
        with_gradient = torch.is_grad_enabled() and self.logits.requires_grad
        if self._computed is None or (with_gradient and not self._computed[0].requires_grad):
            rows = self._tilted.reshape(-1, self.event_shape[0])
            self._computed = ops.k_of_n.log_prob_and_marginals(rows, self.k, self._prepare().levels)
        return self._computed

    def _prepare(self) -> ops.k_of_n.Prepared:
        self._forget_other_logits()
        if self._prepared is None:
            rows = self._wide.detach().reshape(-1, self.event_shape[0])
            self._prepared = ops.k_of_n.prepare(rows, self.k)
        return self._prepared

    def _forget_other_logits(self) -> None:
        """Drop what is kept if the logits were changed in place since, by an optimiser say."""
        if not checks.values_readable(self.logits) or self.logits.is_inference():
            return
        if self.logits._version != self._version:
            self._prepared = self._computed = None
            self._version = self.logits._version

    @property
    def _tilted(self) -> Tensor:
        """The logits plus a constant for each row that makes the bits' sum near k."""
        return self._wide + self._prepare().shift.view((*self.batch_shape, 1))
