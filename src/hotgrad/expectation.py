"""The one entry point: E_q[f(z)] with a gradient, by whichever estimator is given."""

import torch
from torch import Tensor
from torch import distributions as td

from hotgrad.distributions import as_distribution
from hotgrad.estimators import Estimator, validation
from hotgrad.estimators.base import Function, check_num_samples
from hotgrad.estimators.numbers import numbers_of
from hotgrad.ops import checks


def expectation(
    f: Function,
    q: td.Distribution,
    estimator: Estimator,
    *,
    num_samples: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""The Monte Carlo mean of f under q, whose backward is the estimator's gradient.

    $$\mathbb{E}_{z \sim q_\phi}[f(z)] = \sum_z q_\phi(z) f(z).$$

    Parameters inside f receive ordinary gradients. An expectation may stand inside another's f: the
    gradient of a stochastic layer below a stochastic layer is right too.

    Args:
        f: `(n, *batch, *event) -> (n, *batch)`. n is `num_samples` at hard samples; some estimators
            ask more than once, and about more or fewer z (`evaluations` says how many in all). It
            may change z in place.
        q: the distribution of z: `Bernoulli`, `OneHotCategorical`, `KSubset`,
            `PlackettLuceSubset`, `to_event` of them, torch's own classes of the first two names, or
            any `DiscreteDistribution` with the methods that the estimator calls. With a `Joint` of
            several f gets a dict of z.
        estimator: for example `GumbelSoftmax(temperature=0.5)` or `ScoreFunction()`.
        num_samples: samples of z for each element of the batch; by default the least that the
            estimator takes: one, or two for `ScoreFunction()`, `ARM`, `DisARM` and `UnorderedSet`.
        generator: the source of randomness; torch's global one by default. Not for use under
            `torch.utils.checkpoint` or `torch.compile` (see `gumbel_softmax`).

    Returns:
        `(*batch,)`.

    Raises:
        ValueError: f isn't a function, or returned a wrong shape or (where q validates its
            arguments) non-finite values, or values without a gradient to an estimator that
            differentiates f; q is relaxed, continuous or one of torch's that isn't listed above;
            num_samples isn't a positive integer, or not one that the estimator takes; a temperature
            that doesn't broadcast; a generator that isn't one.
        NotImplementedError: the estimator needs a method that q hasn't; the message names
            estimators that work with it.

    Example:
        >>> logits = torch.zeros(2, 3, requires_grad=True)
        >>> q = hg.OneHotCategorical(logits=logits).to_event(1)
        >>> f = lambda z: (z[..., 0, :] * z[..., 1, :]).sum(-1)         # do the two agree?
        >>> hg.expectation(f, q, hg.Exact())
        tensor(0.3333, grad_fn=<SumBackward1>)
    """
    validation.check_not_in_jit_trace()
    validation.check_is_estimator(estimator, "surrogate")
    distribution = as_distribution(q)
    validation.check_pairing(estimator, distribution)
    checks.check_generator(generator)
    count = check_num_samples(estimator, num_samples)
    numbers = numbers_of(distribution, estimator, count, generator)
    asked = validation.checked(f, distribution, estimator, numbers=numbers)
    return estimator.surrogate(asked, distribution, count, generator)
