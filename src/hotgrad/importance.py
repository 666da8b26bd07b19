"""The importance-weighted bound: a logarithm of a mean of K weights, and its gradient.

Its K samples are one sample of q's K-fold product, so an estimator of any expectation estimates
this one as well: the copies are parts of one event, and the bound is the f of that event.
"""

import functools
from typing import Any

import torch
from torch import Tensor
from torch import distributions as td

from hotgrad.distributions import Independent, as_law
from hotgrad.distributions.flattened import Flattened
from hotgrad.estimators import VIMCO, Estimator, entry
from hotgrad.estimators.base import Function, check_num_samples, fitting_num_samples
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

    $L_1$ is the ELBO; $L_K$ rises with K towards log p(x). Parameters in the weight, q's own logits
    among them, receive ordinary gradients beside the estimator's.

    `VIMCO` is made for it, and takes K evaluations of the weight. Every other estimator is given
    the joint law of K copies of q, event `(K, *event)`, and the bound as its f, with as few samples
    of all K as it can take (one; two for `LeaveOneOut`, `ARM`, `DisARM` and `UnorderedSet`): K
    times the evaluations that it announces for those. It is as biased, or unbiased, as it is for
    any f; the signal that it gives is one for all copies, so its variance grows with K. A network
    inside it, a learned baseline or a critic, sees marginals `(*batch, K, *event)`.

    Args:
        log_weight: log p(x, z) - log q(z), `(n, *batch, *event) -> (n, *batch)` for any n. -inf is
            a z that the model rules out. With an estimator that relaxes f, z lies between the
            vertices: score it with laws that don't validate their arguments.
        q: as `expectation` takes it; other estimators than VIMCO need its `logits` and
            `with_logits` too.
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
    entry.check_not_in_jit_trace()
    entry.check_is_estimator(estimator, "surrogate", "bound_surrogate")
    num_samples = checks.check_count(num_samples, "num_samples")
    checks.check_generator(generator)
    q = as_law(q)
    entry.check_pairing(estimator, q)
    weigh = entry.checked(
        log_weight,
        q,
        estimator,
        name="log_weight",
        check_values=functools.partial(entry.check_logarithms, name="log_weight"),
    )
    # a user's own need not be VIMCO either
    if isinstance(estimator, VIMCO) or hasattr(estimator, "bound_surrogate"):
        check_num_samples(estimator, num_samples)
        value = estimator.bound_surrogate(weigh, q, num_samples, generator)
        return _possible(value.unsqueeze(0), q).squeeze(0)

    def bound(z: Tensor) -> Tensor:
        copies_first = z.movedim(1 + len(q.batch_shape), 0)
        log_weights = weigh(copies_first.flatten(0, 1)).unflatten(0, copies_first.shape[:2])
        return _possible(log_mean(log_weights), q)

    fewest = fitting_num_samples(estimator, 1)
    return estimator.surrogate(bound, _copies(q, num_samples), fewest, generator)


def _copies(q: Any, count: int) -> Independent:
    """The joint law of independent copies of q: event `(count, *event)`."""
    for part in q.laws.values() if isinstance(q, Flattened) else [q]:
        law = getattr(part, "law", part)
        if not hasattr(law, "with_logits"):
            raise NotImplementedError(
                f"importance_bound asks q for copies, by with_logits, which {type(law).__name__} "
                "doesn't have. Use VIMCO(), which asks for sample and log_prob alone."
            )
    event = tuple(q.event_shape)
    shape = (*q.batch_shape, count, *event)
    if q.logits.shape == q.batch_shape + q.event_shape:
        copies = q.with_logits(q.logits.unsqueeze(len(q.batch_shape)).expand(shape))
        if copies.batch_shape + copies.event_shape == shape:
            return Independent(copies, 1, q._validate_args)
        made = f"{tuple(copies.batch_shape)} and {tuple(copies.event_shape)}"
        found = f"whose with_logits makes {made} of logits {shape}"
    else:
        found = f"whose logits have the shape {tuple(q.logits.shape)}"
    raise NotImplementedError(
        f"importance_bound makes copies of q by with_logits, of logits in the shape of its batch "
        f"and its event, {tuple(q.batch_shape)} and {event}. q is {type(q).__name__}, {found}. Use "
        "VIMCO(), which asks for sample and log_prob alone."
    )


def _possible(bounds: Tensor, q: Any) -> Tensor:
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
