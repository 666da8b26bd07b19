"""One of very many categories: its number and its row of an embedding, with no one-hot vector."""

from typing import Any

import torch
from torch import Tensor

from hotgrad.distributions import OneHotCategorical
from hotgrad.estimators import StraightThrough, StraightThroughGumbelSoftmax
from hotgrad.estimators.pathwise import Pathwise
from hotgrad.ops import checks, parameters
from hotgrad.ops.kernels import indices

TILE = 1 << 22
"""Probabilities that the backward pass holds at once."""


def sample_index(
    logits: Tensor,
    num_samples: int | None = None,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Exact draws of categories, as their numbers.

    $$P(i) = \mathrm{softmax}(\mathrm{logits})_i.$$

    Nothing of the logits' size is written: for a vocabulary of 100,000 this is faster than
    `argmax`. The draws have no gradient; `sample_embedding` gives what is chosen one.

    Args:
        logits: unnormalised log-probabilities, `(*batch, K)`; -inf masks a category.
        num_samples: draws for each row; one, without a dimension for it, if None.
        generator: the source of randomness, as in `gumbel_softmax`.

    Returns:
        Integers from 0 to K - 1: `(*batch)`, or `(num_samples, *batch)`.

    Raises:
        ValueError: integer logits or none along the last dimension, a number of samples that is no
            integer of at least 0; on the CPU also NaN logits or a row that is all -inf.

    Example:
        >>> logits = torch.tensor([[0.0, -torch.inf], [-torch.inf, 0.0]])
        >>> hg.sample_index(logits)
        tensor([0, 1])
        >>> hg.sample_index(logits, num_samples=3).shape
        torch.Size([3, 2])
    """
    parameters.check_parameter(logits, "logits", event_dims=1)
    checks.check_generator(generator)
    if num_samples is None:
        return indices.sample_indices(logits, 1, generator)[0]
    count = checks.check_count(num_samples, "num_samples", minimum=0)
    return indices.sample_indices(logits, count, generator)


def sample_embedding(
    logits: Tensor,
    weight: Tensor,
    estimator: Pathwise[Any] | None = None,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""The row of an embedding that a sampled category chooses, with a gradient to the logits.

    $$z^\top W, \quad z \sim \mathrm{OneHotCategorical}(\mathrm{logits}),$$

    where z carries the estimator's gradient. With `StraightThrough` and
    `StraightThroughGumbelSoftmax` no z is made: the value is a row of W, and the backward pass
    computes the softmax again, some rows at a time. So it holds the logits' gradient and nothing
    else of their size. Both gradients to the logits are biased; that to the weight is exact.

    Args:
        logits: unnormalised log-probabilities, `(*batch, K)`; -inf masks a category.
        weight: the embedding, `(K, D)`, of the logits' dtype.
        estimator: how the choice gets its gradient: `StraightThrough()` if None. Any other pathwise
            estimator works as well, but makes the vector z.
        generator: the source of randomness, as in `gumbel_softmax`.

    Returns:
        `(*batch, D)`.

    Raises:
        ValueError: logits or a weight of wrong shape or dtype; on the CPU also NaN logits or a row
            that is all -inf.
        NotImplementedError: an estimator that isn't a kind of sample.

    Example:
        >>> logits = torch.zeros(4, 50_000, requires_grad=True)
        >>> embedding = torch.nn.Embedding(50_000, 16)
        >>> rows = hg.sample_embedding(logits, embedding.weight)
        >>> rows.square().sum().backward()
        >>> rows.shape, logits.grad.shape
        (torch.Size([4, 16]), torch.Size([4, 50000]))

    Reference: Estimating or Propagating Gradients Through Stochastic Neurons for Conditional
    Computation (Bengio, Léonard, Courville, 2013), https://arxiv.org/abs/1308.3432
    """
    parameters.check_parameter(logits, "logits", event_dims=1)
    checks.check_values(weight, "weight")
    checks.check_generator(generator)
    if weight.ndim != 2 or len(weight) != logits.shape[-1] or weight.dtype != logits.dtype:
        raise ValueError(
            f"weight must be (K, D) for logits of K = {logits.shape[-1]} categories, and of their "
            f"dtype {logits.dtype}; got shape {tuple(weight.shape)} of {weight.dtype}."
        )
    estimator = StraightThrough() if estimator is None else estimator
    if not isinstance(estimator, Pathwise):
        raise NotImplementedError(
            f"sample_embedding needs an estimator that is a kind of sample, such as "
            f"StraightThrough() or StraightThroughGumbelSoftmax(0.5); got {estimator!r}."
        )
    temperature = _temperature_of(estimator)
    if temperature is None or not checks.values_readable(logits, weight):
        q = OneHotCategorical(logits=logits)
        sample: Tensor = estimator.sample(q, generator=generator)
        return sample @ weight
    rows: Tensor = _Embedding.apply(  # type: ignore[no-untyped-call]
        logits, weight, temperature, generator
    )
    return rows


def _temperature_of(estimator: Pathwise[Any]) -> float | None:
    """The temperature of the softmax that is differentiated: 0 for the mean, None for another."""
    if type(estimator) is StraightThrough:
        return 0.0
    if type(estimator) is StraightThroughGumbelSoftmax and not isinstance(
        estimator.temperature, Tensor
    ):
        return estimator.temperature
    return None


class _Embedding(torch.autograd.Function):
    """A row for each choice; backward by the softmax, in tiles."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        weight: Tensor,
        temperature: float,
        generator: torch.Generator | None,
    ) -> Tensor:
        rows = logits.detach().reshape(-1, logits.shape[-1])
        if temperature:
            ctx.race = indices.Race(rows, generator)
            index = ctx.race.winners
        else:
            index = indices.sample_indices(rows, 1, generator)[0]
        ctx.temperature = temperature
        ctx.save_for_backward(logits, weight, index)
        return weight[index].view(*logits.shape[:-1], weight.shape[-1])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
        logits, weight, index = ctx.saved_tensors
        given = upstream.reshape(-1, weight.shape[-1])
        to_logits = to_weight = None
        if ctx.needs_input_grad[1]:
            to_weight = torch.zeros_like(weight).index_add_(0, index, given)
        if ctx.needs_input_grad[0]:
            rows = logits.reshape(-1, logits.shape[-1])
            gradient = torch.empty_like(rows)
            step = max(1, TILE // rows.shape[-1])
            for first in range(0, len(rows), step):
                part = slice(first, min(first + step, len(rows)))
                soft = _soft(ctx, rows, part)
                # what each category would bring, less the mean of that
                torch.mm(given[part], weight.T, out=gradient[part])
                mean = (gradient[part] * soft).sum(-1, keepdim=True)
                gradient[part].sub_(mean).mul_(soft).div_(ctx.temperature or 1.0)
            to_logits = gradient.view_as(logits)
        return to_logits, to_weight, None, None


def _soft(ctx: Any, rows: Tensor, part: slice) -> Tensor:
    if not ctx.temperature:
        return rows[part].softmax(-1)
    soft: Tensor = ctx.race.relaxed(ctx.temperature, part.start, part.stop)
    return soft
