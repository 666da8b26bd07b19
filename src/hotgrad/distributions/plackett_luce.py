"""k of n drawn one after another without replacement, and the order forgotten."""

import math
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from hotgrad import ops
from hotgrad.distributions import copies
from hotgrad.distributions.capabilities import Scores
from hotgrad.distributions.noise_driven import NoiseDriven
from hotgrad.distributions.samples import Coupled
from hotgrad.distributions.subset import SubsetDistribution
from hotgrad.ops import checks

SUMMED_SUBSETS = 2**11
"""The most subsets that an entropy is summed over without a second thought."""


class PlackettLuceSubset(SubsetDistribution, NoiseDriven):
    r"""The set of the first k draws without replacement, each from the softmax of what is left.

    Equally: the k largest of logits + Gumbel noise. With $w_i = \exp(\mathrm{logits}_i)$ and W the
    joint weight of the items outside S,

    $$P(S) = \int_0^1 \prod_{i \in S} (1 - u^{w_i / W}) \, du,$$

    which is computed by quadrature, and so are the marginals: to about 1e-11 in float64, to
    rounding in float32. Not the distribution whose probabilities are proportional to the product of
    the items' weights, which is `KSubset`.

    Args:
        logits: `(*batch, n)`; -inf masks an item, which is then never chosen.
        k: how many of the n items, the same for all rows.
        validate_args: check values (waits for the GPU); torch's default, which the first
            `torch.compile` in a process turns off.

    Raises:
        ValueError: logits that are integers, NaN or +inf; k that isn't an integer in [0, n], or is
            more than the unmasked items of a row.

    Example:
        >>> logits = torch.tensor([1.0, 0.0, -1.0, -torch.inf])
        >>> hg.PlackettLuceSubset(logits, k=2).mean, hg.KSubset(logits, k=2).mean
        (tensor([0.9466, 0.7553, 0.2981, 0.0000]), tensor([0.9100, 0.7553, 0.3348, 0.0000]))

    Reference: The Analysis of Permutations (Plackett, 1975), https://doi.org/10.2307/2346567;
    Estimating Gradients for Discrete Random Variables by Sampling without Replacement (Kool,
    van Hoof, Welling, 2020), appendix B, https://arxiv.org/abs/2002.06043
    """

    @property
    def log_prob_is_differentiable(self) -> bool:
        return False

    def with_params(self, params: Mapping[str, Tensor]) -> Self:
        return copies.like(self, PlackettLuceSubset(params["logits"], self.k, validate_args=False))

    def sample(self, sample_shape: Any = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Exact k-hot vectors of shape `sample_shape + batch_shape + (n,)`."""
        with torch.no_grad():
            return self.argmax(self.perturb(sample_shape, generator=generator))

    def sample_order(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Tensor:
        """The items' indices in the order in which they are drawn, `(*sample_shape, *batch, k)`."""
        with torch.no_grad():
            return self._perturbed(sample_shape, generator).topk(self.k).indices

    def log_prob(self, value: Tensor) -> Tensor:
        """log P(S); the value is a k-hot vector, through which no gradient flows."""
        self._check_value(value)
        log_prob = ops.log_prob_of_set(self._wide, value, self.k)
        return log_prob.to(torch.promote_types(value.dtype, self.logits.dtype))

    def log_prob_of_order(self, order: Tensor) -> Tensor:
        r"""The log-probability of drawing the items in this order.

        $\sum_j \mathrm{logits}_{i_j} - \log \sum_{i \text{ left}} \exp(\mathrm{logits}_i)$.

        Args:
            order: distinct indices `(..., k)`, the first draw first.
        """
        self._check_order(order)
        return ops.log_prob_of_order(self._wide, order).to(self.logits.dtype)

    @property
    def mean(self) -> Tensor:
        """The marginals P(item i is chosen), differentiable.

        Costs a Poisson-binomial distribution at each of 64 quadrature nodes (128 in float64).
        """
        columns = self._wide.reshape(-1, self.event_shape[0]).t().contiguous()
        marginals = ops.race_marginals(columns, self.k)
        return marginals.t().reshape(self.logits.shape).to(self.logits.dtype)

    @property
    def entropy_is_exact(self) -> bool:
        """Whether the subsets are few: it is a sum over them."""
        return math.comb(self.event_shape[0], self.k) <= SUMMED_SUBSETS

    def entropy(self) -> Tensor:
        """In nats, summed over all subsets; for supports within the budget."""
        log_probs = self.log_prob(ops.widened(self.enumerate_support(expand=False)))
        seen = log_probs > -torch.inf
        finite = torch.where(seen, log_probs, 0.0)
        return -torch.where(seen, finite.exp() * finite, 0.0).sum(0).to(self.logits.dtype)

    def draw_noise(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Gumbel noise `(*sample_shape, *batch_shape, k + 1, n)`.

        Row 0 ranks the items; the others belong to the k columns of the relaxed sample.
        """
        return self._draw_gumbel(sample_shape, generator, self.k + 1)

    def harden(self, noise: Tensor) -> Tensor:
        """The k-hot vector that the noise leads to."""
        return self.argmax({"logits": ops.centred(self.logits).detach() + noise[..., 0, :]})

    def relax(self, noise: Tensor, temperature: float | Tensor) -> Tensor:
        """The row-wise maximum of k relaxed one-hot columns, the j-th with the j-th draw's winner.

        Entries in [0, 1]; at a low temperature they are near the hard vector's.
        """
        return ops.columns_maximum(self.relaxed_columns(noise, temperature))

    def relaxed_columns(self, noise: Tensor, temperature: float | Tensor) -> Tensor:
        """The k relaxed one-hot vectors of this noise, `(..., k, n)`."""
        return ops.relaxed_columns(self.logits, noise, temperature)

    def conditional_noise(self, outcome: Tensor, noise: Tensor) -> Tensor:
        """Fresh noise turned into noise that leads to `outcome`, differentiable in the logits.

        Only row 0 changes: the columns' noise is conditioned where it is relaxed.
        """
        ranking = ops.gumbel_given_set(self.logits, outcome, noise[..., 0, :], self.k)
        return self._with_columns(ranking, noise)

    def conditional_noise_of_order(self, order: Tensor, noise: Tensor) -> Tensor:
        """The same for noise that ranks `order`, indices `(..., k)`, first and in this order."""
        self._check_order(order)
        ranking = ops.gumbel_given_order(self.logits, order, noise[..., 0, :])
        return self._with_columns(ranking, noise)

    def redraw(self, noise: Tensor, fresh: Tensor) -> Tensor:
        """Other noise that leads to the same set as `noise`, made of fresh noise.

        The relaxed sample depends on the ranking through the set alone, so that row stays.
        """
        ranking = noise[..., :1, :].expand((*fresh.shape[:-2], 1, -1))
        return torch.cat([ranking, fresh[..., 1:, :]], -2)

    def couple(
        self,
        sample_shape: Any,
        temperature: float | Tensor,
        *,
        generator: torch.Generator | None = None,
    ) -> Coupled:
        """k-hot vectors, with two relaxed samples that lead to them, by `relax_top_k`.

        Given the order, whose log-probability is `log_prob`: given the set alone the noise costs a
        quadrature for each sample. The relaxation is smooth in the scores, which the row-wise
        maximum of columns, whose winners jump, is not.
        """
        scores = self._perturbed(sample_shape, generator)
        order = scores.detach().topk(self.k).indices
        fresh = self._draw_gumbel(sample_shape, generator)
        given = ops.centred(self.logits) + ops.gumbel_given_order(self._wide, order, fresh)
        relaxed, relaxed_given = (self.relax_top_k(s, temperature) for s in (scores, given))
        hard = torch.zeros_like(self.logits.expand(scores.shape)).scatter(-1, order, 1.0)
        return Coupled(hard, self.log_prob_of_order(order), relaxed, relaxed_given)

    def perturb(
        self, sample_shape: Any = (), *, generator: torch.Generator | None = None
    ) -> Scores:
        """Logits, less a constant, plus Gumbel noise: their k largest follow this distribution."""
        return {"logits": self._perturbed(sample_shape, generator)}

    def perturb_with_slope(
        self,
        sample_shape: Any = (),
        scale: float = 1.0,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Scores, Scores]:
        """Logits plus `scale` times Gumbel noise, and the slope of that noise's -log density."""
        noise = self._draw_gumbel(sample_shape, generator)
        scores, slope = ops.perturbed_by_gumbel(self.logits, noise, scale)
        return {"logits": scores}, {"logits": slope}

    def relaxed_top_k_sample(
        self,
        temperature: float | Tensor,
        sample_shape: Any = (),
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The k largest perturbed logits, relaxed by k successive softmaxes."""
        return self.relax_top_k(self._perturbed(sample_shape, generator), temperature)

    def relax_top_k(self, scores: Tensor, temperature: float | Tensor) -> Tensor:
        """The k largest scores `(..., n)`, relaxed by k successive softmaxes."""
        return ops.relaxed_top_k(scores, self.k, temperature).to(self.logits.dtype)

    def _perturbed(self, sample_shape: Any, generator: torch.Generator | None) -> Tensor:
        """Scores `(*sample_shape, *batch_shape, n)`, differentiable in the logits."""
        return ops.centred(self.logits) + self._draw_gumbel(sample_shape, generator)

    def _with_columns(self, ranking: Tensor, noise: Tensor) -> Tensor:
        """The noise with another row 0."""
        columns = noise[..., 1:, :].expand((*ranking.shape[:-1], self.k, -1))
        return torch.cat([ranking.unsqueeze(-2), columns], -2)

    def _check_order(self, order: Tensor) -> None:
        checks.check_value(order, "the log-probability of an order")
        n = self.event_shape[0]
        if order.shape[-1:] != (self.k,) or order.dtype != torch.int64:
            raise ValueError(
                f"order must hold k = {self.k} indices (int64) in its last dimension, got "
                f"{order.dtype} of shape {tuple(order.shape)}."
            )
        if not self._validate_args or not checks.values_readable(order):
            return
        ranked = order.sort(-1).values
        if bool(((order < 0) | (order >= n)).any()) or bool((ranked.diff() == 0).any()):
            raise ValueError(f"order must hold distinct indices from 0 to {n - 1} in each row.")
