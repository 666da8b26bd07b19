"""The importance-weighted bound: a logarithm of a mean of K weights, and its gradient.

Its K samples are one sample of q's K-fold product, so an estimator of any expectation estimates
this one as well: the copies are parts of one event, and the bound is the f of that event.
"""

import functools

import torch
from torch import Tensor
from torch import distributions as td

from hotgrad.distributions import DiscreteDistribution, as_distribution
from hotgrad.distributions.discrete import check_params
from hotgrad.estimators import VIMCO, Estimator, validation
from hotgrad.estimators.base import Function, check_num_samples, fitting_num_samples
from hotgrad.estimators.numbers import numbers_of
from hotgrad.estimators.vimco import log_mean
from hotgrad.ops import checks


def importance_bound(
    log_weight: Function,
    q: td.Distribution,
    estimator: Estimator | VIMCO,
    num_samples: int,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""The importance-weighted bound of several samples, with an estimator's gradient.

    $$L_K = \mathbb{E}_{z_1 \ldots z_K \sim q}\Big[\log \frac{1}{K} \sum_{k=1}^K w(z_k)\Big],
    \quad w(z) = \frac{p(x, z)}{q(z)}.$$

    $L_1$ is the ELBO; $L_K$ rises with K towards log p(x). Parameters in the weight, q's own among
    them, receive ordinary gradients beside the estimator's.

    `VIMCO` is made for it, and takes K evaluations of the weight. Every other estimator is given
    the joint distribution of K copies of q, event `(K, *event)`, and the bound as its f, with as
    few samples of all K as it can take (one; two for `LeaveOneOut`, `ARM`, `DisARM` and
    `UnorderedSet`): K times the evaluations that it announces for those. It is as biased, or
    unbiased, as it is for any f; the signal that it gives is one for all copies, so its variance
    grows with K. A network inside it, a learned baseline or a critic, sees marginals `(*batch, K,
    *event)`.

    Args:
        log_weight: log p(x, z) - log q(z), `(n, *batch, *event) -> (n, *batch)` for any n. -inf is
            a z that the model rules out. With an estimator that relaxes f, z lies between the
            vertices: score it with distributions that don't validate their arguments.
        q: as `expectation` takes it; other estimators than VIMCO need its `params` too.
        estimator: for example `VIMCO()` or `GumbelSoftmax(temperature=0.5)`.
        num_samples: K; two at least for VIMCO.
        generator: the source of randomness; torch's global one by default. Not for use under
            `torch.utils.checkpoint` or `torch.compile` (see `gumbel_softmax`).

    Returns:
        `(*batch,)`.

    Raises:
        ValueError: as `expectation` does; log weights that are NaN or inf, or -inf for all K
            samples, which would make the bound -inf.
        NotImplementedError: q lacks a method.

    Example:
        >>> q = hg.OneHotCategorical(logits=torch.zeros(3))
        >>> joint = torch.tensor([0.1, 0.2, 0.3]).log()                 # log p(x, z)
        >>> log_weight = lambda z: z @ joint - q.log_prob(z)
        >>> [round(hg.importance_bound(log_weight, q, hg.Exact(), k).item(), 4) for k in (1, 2, 4)]
        [-0.6067, -0.5571, -0.5329]
        >>> round(joint.logsumexp(-1).item(), 4)                        # log p(x)
        -0.5108

    Reference: Importance Weighted Autoencoders (Burda, Grosse, Salakhutdinov, 2015), Section 3,
    https://arxiv.org/abs/1509.00519
    """
    validation.check_not_in_jit_trace()
    validation.check_is_estimator(estimator, "surrogate", "bound_surrogate")
    num_samples = checks.check_count(num_samples, "num_samples")
    checks.check_generator(generator)
    distribution = as_distribution(q)
    validation.check_pairing(estimator, distribution)
    # VIMCO's kind: one of a user's own will do
    all_at_once = hasattr(estimator, "bound_surrogate")
    if all_at_once:
        check_num_samples(estimator, num_samples)
    fewest = num_samples if all_at_once else fitting_num_samples(estimator, 1)
    copies = 1 if all_at_once else num_samples
    numbers = numbers_of(distribution, estimator, fewest, generator, copies)
    weigh = validation.checked(
        log_weight,
        distribution,
        estimator,
        numbers=numbers,
        name="log_weight",
        check_values=functools.partial(validation.check_logarithms, name="log_weight"),
    )
    if hasattr(estimator, "bound_surrogate"):
        value = estimator.bound_surrogate(weigh, distribution, fewest, generator)
        return _possible(value.unsqueeze(0), distribution).squeeze(0)

    def bound(z: Tensor) -> Tensor:
        copies_first = z.movedim(1 + len(distribution.batch_shape), 0)
        log_weights = weigh(copies_first.flatten(0, 1)).unflatten(0, copies_first.shape[:2])
        return _possible(log_mean(log_weights), distribution)

    return estimator.surrogate(bound, _copies(distribution, num_samples), fewest, generator)


def _copies(q: DiscreteDistribution, count: int) -> DiscreteDistribution:
    """The joint distribution of independent copies of q: event `(count, *event)`."""
    if not q.has_params:
        without = next(base for base in q.bases if not base.has_params)
        raise NotImplementedError(
            f"importance_bound makes copies of q of its params, which {type(without).__name__} "
            "doesn't tell. Use VIMCO(), which asks for sample and log_prob alone."
        )
    for base in q.bases:
        check_params(base)
    lead = len(q.batch_shape)
    copies = q.with_params(
        {
            name: param.unsqueeze(lead).expand(*q.batch_shape, count, *param.shape[lead:])
            for name, param in q.params.items()
        }
    )
    made, wanted = (*copies.batch_shape, *copies.event_shape), (*q.batch_shape, count)
    if made != wanted + tuple(q.event_shape) or len(copies.batch_shape) != lead + 1:
        raise NotImplementedError(
            f"importance_bound makes copies of q by with_params. {type(q).__name__}'s makes one of "
            f"batch {tuple(copies.batch_shape)} and event {tuple(copies.event_shape)} of "
            f"parameters for batch {wanted} and event {tuple(q.event_shape)}. Use VIMCO(), which "
            "asks for sample and log_prob alone."
        )
    return copies.to_event(1)


def _possible(bounds: Tensor, q: DiscreteDistribution) -> Tensor:
    """The bounds `(n, *batch)`; an error if one is -inf and may be looked at."""
    if q._validate_args and checks.values_readable(bounds):
        impossible = bounds.detach() == -torch.inf
        if bool(impossible.any()):
            first = tuple(impossible.nonzero()[0].tolist()[1:])
            raise checks.NotFiniteError(
                "log_weight is -inf for all samples of a bound, which is then -inf: "
                f"{int(impossible.sum())} of {impossible.numel()} bounds"
                + (f", the first of batch element {first}. " if first else ". ")
                + "Use more samples, or a q that keeps to what the model allows."
            )
    return bounds
