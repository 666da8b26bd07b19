"""Exactly k of n, each subset as likely as the product of its items' weights."""

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from hotgrad import ops
from hotgrad.distributions import arguments, copies
from hotgrad.distributions.capabilities import Scores
from hotgrad.distributions.exponential_family import ExponentialFamily
from hotgrad.distributions.subset import SubsetDistribution
from hotgrad.ops import checks


@dataclass
class _Kept:
    """What depends on the logits alone."""

    logits: Tensor
    values: Tensor
    """A copy of the logits, to tell whether they changed."""
    prepared: ops.k_of_n.Prepared
    counted: tuple[Tensor, Tensor, Tensor] | None = None


def _tensors_to_keep() -> contextlib.AbstractContextManager[None]:
    """Where ordinary tensors are made: those of inference mode are of no use to training later."""
    # the compiler, which keeps nothing, has no word for the question
    inside = not torch.compiler.is_compiling() and torch.is_inference_mode_enabled()
    return torch.inference_mode(False) if inside else contextlib.nullcontext()


class KSubset(SubsetDistribution, ExponentialFamily):
    r"""k of n with $p(S) \propto \prod_{i \in S} \exp(\mathrm{logits}_i)$: conditional Bernoulli.

    Independent bits of these log-odds, given that exactly k of them are 1. With e_k the elementary
    symmetric polynomial of the weights,

    $$\log p(S) = \sum_{i \in S} \mathrm{logits}_i - \log e_k(\exp(\mathrm{logits})).$$

    Everything is exact: the normaliser, the marginals with their gradient, samples, entropy. A tree
    of products takes O(n k) multiplications in O(log n) steps, and O(n log k) memory. A constant
    added to all logits of a row changes nothing. Not the distribution of Gumbel-top-k, which is
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
        self._kept: _Kept | None = None

    def with_params(self, params: Mapping[str, Tensor]) -> Self:
        return copies.like(self, KSubset(params["logits"], self.k, validate_args=False))

    def sample(self, sample_shape: Any = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Exact k-hot vectors of shape `sample_shape + batch_shape + (n,)`."""
        shape = checks.as_shape(sample_shape, "sample_shape")
        with torch.no_grad():
            levels, n = self._prepare().levels, self.event_shape[0]
            uniforms = ops.draw_uniform(
                # not Size.numel, which binds an exported graph to the number
                (math.prod(shape), n, math.prod(self.batch_shape)),
                device=self.logits.device,
                generator=generator,
            )
            drawn = ops.k_of_n.k_hot_from_uniforms(levels, n, self.k, uniforms)
        drawn = drawn.to(self.logits.dtype).transpose(-1, -2).contiguous()
        return drawn.reshape(shape + self.batch_shape + self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(value); linear in the value, so f may use it at a straight-through sample."""
        self._check_value(value)
        tilted, log_prob_of_k, *_ = self._count()
        chosen = arguments.times_log(value, F.logsigmoid(tilted))
        left_out = arguments.times_log(1 - value, F.logsigmoid(-tilted))
        log_prob = (chosen + left_out).sum(-1) - log_prob_of_k
        return log_prob.to(torch.promote_types(value.dtype, self.logits.dtype))

    def log_normalizer(self) -> Tensor:
        r"""The logarithm of all subsets' weights; its slope is the mean.

        $\log e_k(\exp(\mathrm{logits}))$.

        Grows with the logits; `log_prob` doesn't subtract it, and keeps more digits.
        """
        tilted, log_prob_of_k, *_ = self._count()
        shift = self._prepare().shift.view(self.batch_shape)
        # logsigmoid, since torch's softplus is off by 2e-9 at 20
        total = log_prob_of_k - F.logsigmoid(-tilted).sum(-1) - self.k * shift
        return total.to(self.logits.dtype)

    @property
    def mean(self) -> Tensor:
        """The marginals P(item i is chosen), exact and differentiable."""
        # a copy: what is kept is not for the caller to change in place
        return self.marginals()[0].to(self.logits.dtype, copy=True)

    def marginals(self) -> tuple[Tensor, Tensor]:
        """Each item's probabilities of being chosen and of being left out, in at least float32.

        One minus the other would leave no digit of a small one.
        """
        _, _, chosen, left_out = self._count()
        return chosen, left_out

    def entropy(self) -> Tensor:
        """In nats."""
        tilted, log_prob_of_k, mean, rest = self._count()
        chosen = arguments.times_log(mean, F.logsigmoid(tilted))
        left_out = arguments.times_log(rest, F.logsigmoid(-tilted))
        return (log_prob_of_k - (chosen + left_out).sum(-1)).to(self.logits.dtype)

    def perturb(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Scores:
        """Logits, less a constant, plus logistic noise.

        Their k largest come the closer to this distribution the larger n: they are bits of these
        log-odds, each 1 above a threshold that settles as n grows. Gumbel noise leads to another
        distribution.
        """
        return {"logits": ops.centred(self.logits) + self._logistic(sample_shape, generator)}

    def perturb_with_slope(
        self,
        sample_shape: Any = (),
        scale: float = 1.0,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Scores, Scores]:
        """The same with `scale` times the noise, and the slope of its -log density."""
        noise = self._logistic(sample_shape, generator)
        scores, slope = ops.perturbed_by_logistic(ops.centred(self.logits), noise, scale)
        return {"logits": scores}, {"logits": slope}

    def _logistic(self, sample_shape: Any, generator: torch.Generator | None) -> Tensor:
        """Logistic noise for each logit."""
        return ops.draw_logistic(
            self._extended_shape(sample_shape),
            dtype=self.logits.dtype,
            device=self.logits.device,
            generator=generator,
        )

    def log_odds_and_log_prob_of_k(self) -> tuple[Tensor, Tensor]:
        """Log-odds of independent bits, `(*batch, n)`, and the log-probability that k are 1.

        Given that k are, the bits have this distribution. At least float32.
        """
        tilted, log_prob_of_k, *_ = self._count()
        return tilted, log_prob_of_k

    def _count(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The bits' log-odds, log P(N = k), and what `marginals` returns; counted once.

        The log-odds are the logits plus a constant for each row that makes the bits' sum near k.
        """
        kept = self._up_to_date()
        shift, shape = kept.prepared.shift.view((*self.batch_shape, 1)), self.logits.shape
        with_gradient = torch.is_grad_enabled() and self.logits.requires_grad
        if kept.counted is None or (with_gradient and not kept.counted[0].requires_grad):
            with _tensors_to_keep():
                rows = (self._wide + shift).reshape(-1, self.event_shape[0])
                kept.counted = ops.k_of_n.log_prob_and_marginals(rows, self.k, kept.prepared.levels)
        log_prob, chosen, left_out = kept.counted
        return (
            self._wide + shift,
            log_prob.view(self.batch_shape),
            chosen.view(shape),
            left_out.view(shape),
        )

    def _prepare(self) -> ops.k_of_n.Prepared:
        return self._up_to_date().prepared

    def _up_to_date(self) -> "_Kept":
        """What the logits lead to, kept for as long as their values are the same.

        A step of training asks for it several times. The values themselves are compared, since no
        counter sees a change through `.data`.
        """
        kept, logits = self._kept, self.logits
        readable = checks.values_readable(logits)
        of_these = readable and kept is not None and kept.logits is logits
        if kept is not None and of_these and torch.equal(kept.values, logits.detach()):
            return kept
        with _tensors_to_keep():
            rows = self._wide.detach().reshape(-1, self.event_shape[0])
            fresh = _Kept(logits, logits.detach().clone(), ops.k_of_n.prepare(rows, self.k))
        if readable:
            self._kept = fresh
        return fresh
