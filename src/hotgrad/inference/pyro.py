"""Distributions of this library at the sample sites of Pyro: in guides, and in models.

Pyro asks a distribution for a sample, for its log-probability, and for the parts from which its
ELBOs build a gradient (`score_parts`). A distribution alone is sampled and scored, and Pyro makes
the gradient; one with a pathwise estimator brings its own, in the sample.
"""

from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.distributions import Distribution

from hotgrad.distributions import DiscreteDistribution, as_distribution
from hotgrad.distributions.formulas import NoFormula
from hotgrad.estimators.base import label_of
from hotgrad.estimators.validation import check_pairing
from hotgrad.ops import checks

try:
    from pyro.distributions import TorchDistribution
    from pyro.distributions.score_parts import ScoreParts
except ModuleNotFoundError as error:
    if error.name is None or error.name.split(".")[0] == "hotgrad":
        raise
    raise ModuleNotFoundError(
        f"hotgrad.inference.pyro needs {error.name}, which comes with Pyro: pip install pyro-ppl",
        name=error.name,
    ) from error


def as_pyro(q: Distribution, estimator: Any = None) -> "PyroDistribution":
    r"""A distribution as one of Pyro's, for `pyro.sample("z", ...)` in a guide or a model.

    Without an estimator z is a hard sample, and Pyro estimates the gradient: the score function in
    `Trace_ELBO` and `TraceGraph_ELBO` (baselines are Pyro's, `infer={"baseline": ...}`), unbiased;
    a sum over all states of the site, exact, in `TraceEnum_ELBO` (`infer={"enumerate":
    "parallel"}`). In a model this is the prior of z.

    With a pathwise estimator, in a guide, z carries that estimator's gradient. What `Trace_ELBO`,
    `TraceGraph_ELBO` and `TraceMeanField_ELBO` then climb is

    $$\mathbb{E}_{z \sim r_\phi}[\log p(x, z)] + H(q_\phi),$$

    r being the distribution of the estimator's samples, and the entropy's gradient exact. Hard
    samples (`StraightThrough`, `ReinMax`, ...) have r = q: the loss estimates the ELBO, and its
    gradient is as biased as the estimator is. (`IMLE` and `PerturbedMAP` on `KSubset` have an r
    that is close.)
    Relaxed ones (`GumbelSoftmax`, `RelaxedTopK`) have an r between the vertices: the gradient is
    right for this relaxed objective, biased for the ELBO, and the loss is no bound. For a bound,
    sample the fitted guide without the estimator.

    `RenyiELBO` differentiates the weights p / q themselves, so it needs an estimator of hard
    samples, and a q whose log-probability has a gradient in z: any but `PlackettLuceSubset`. Out of
    reach is what makes a distribution of Pyro's own kinds anew (`compute_marginals`,
    `AutoDiscreteParallel`), and the `Jit` ELBOs, since torch.jit can't trace how samples are drawn.

    Args:
        q: `Bernoulli`, `OneHotCategorical`, `KSubset`, `PlackettLuceSubset`, `to_event` of them,
            or any that `expectation` takes. In a model that meets relaxed samples, one made
            with `validate_args=False`.
        estimator: None, or a pathwise one such as `StraightThrough()`.

    Returns:
        A Pyro distribution of the same batch and event shape, for plates, `expand`, `to_event`,
        `mask`, `scale` and vectorised particles.

    Raises:
        ValueError: q isn't a distribution of one discrete vector, the estimator isn't pathwise.
        NotImplementedError: the estimator needs a method that q hasn't.
        ModuleNotFoundError: at the import of this module, without Pyro.

    Example:
        >>> import pyro
        >>> from hotgrad.inference.pyro import as_pyro
        >>> prior = hg.KSubset(torch.zeros(5), k=2)
        >>> def model():
        ...     z = pyro.sample("z", as_pyro(prior))
        ...     pyro.factor("data", z @ torch.arange(5.0))
        >>> def guide():
        ...     logits = pyro.param("logits", torch.zeros(5))
        ...     pyro.sample("z", as_pyro(hg.KSubset(logits, k=2), hg.StraightThrough()))
        >>> svi = pyro.infer.SVI(
        ...     model, guide, pyro.optim.Adam({"lr": 0.1}), pyro.infer.Trace_ELBO()
        ... )
        >>> losses = [svi.step() for _ in range(20)]
        >>> bool(pyro.param("logits")[4] > pyro.param("logits")[0])
        True

    Reference: Automated Variational Inference in Probabilistic Programming (Wingate, Weber, 2013),
    https://arxiv.org/abs/1301.1299; Pyro: Deep Universal Probabilistic Programming (Bingham et
    al., 2019), https://arxiv.org/abs/1810.09538
    """
    if names := getattr(q, "factors", None):
        raise ValueError(
            f"q is a Joint of {checks.listed(names)}, and a Pyro site holds one tensor. Give each "
            "a site of its own: pyro.sample(name, as_pyro(q[name])) for each name."
        )
    q = as_distribution(q)
    if estimator is not None:
        _check_pathwise(estimator, q)
    return PyroDistribution(q, estimator)


def _check_pathwise(estimator: Any, q: DiscreteDistribution) -> None:
    if isinstance(estimator, type) or not hasattr(estimator, "sample"):
        got = repr(estimator) if isinstance(estimator, type) else label_of(estimator)
        raise ValueError(
            f"estimator must be a pathwise estimator object such as StraightThrough(), got {got}. "
            "Leave it out for the score function, whose gradient and baselines are Pyro's."
        )
    check_pairing(estimator, q)
    for base in q.bases:
        if type(base).entropy is NoFormula.entropy:
            raise NotImplementedError(
                f"as_pyro with {label_of(estimator)} needs the entropy of q, which "
                f"{q.naming(base)} doesn't have. Leave the estimator out."
            )


class PyroDistribution(TorchDistribution):
    """What `as_pyro` returns.

    Args:
        q: a distribution of this library, or a user's own with its methods.
        estimator: None, or a pathwise one.
        lead: batch dimensions to the left of q's own, in which samples are independent.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, q: Any, estimator: Any = None, lead: tuple[int, ...] = ()) -> None:
        self.q = q
        self.estimator = estimator
        self.lead = torch.Size(lead)
        # attributes, as Pyro's `has_rsample_` sets one; Pyro sums over the states of no sample
        self.has_rsample = estimator is not None
        self.has_enumerate_support = estimator is None and hasattr(q, "enumerate_support")
        super().__init__(self.lead + q.batch_shape, q.event_shape, validate_args=False)

    def __repr__(self) -> str:
        estimator = "" if self.estimator is None else f", {label_of(self.estimator)}"
        return f"as_pyro({self.q!r}{estimator})"

    @property
    def support(self) -> Any:
        """That of q."""
        return self.q.support

    @property
    def mean(self) -> Tensor:
        return self.q.mean.expand(self._extended_shape())

    @property
    def mode(self) -> Tensor:
        return self.q.mode.expand(self._extended_shape())

    def entropy(self) -> Tensor:
        """In nats, of the discrete distribution."""
        return self.q.entropy().expand(self.batch_shape)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        """More independent copies, which share what it works out of its logits."""
        batch_shape = torch.Size(batch_shape)
        grown = zip(reversed(self.batch_shape), reversed(batch_shape), strict=False)
        fits = all(size in (1, new) for size, new in grown)
        if len(batch_shape) < len(self.batch_shape) or not fits:
            raise ValueError(
                f"A batch of shape {tuple(self.batch_shape)} can't be expanded to "
                f"{tuple(batch_shape)}: sizes of 1 can grow, and dimensions be added on the left."
            )
        split = len(batch_shape) - len(self.q.batch_shape)
        own = batch_shape[split:]
        q = self.q if own == self.q.batch_shape else self.q.expand(own)
        return type(self)(q, self.estimator, batch_shape[:split])

    def to_event(self, reinterpreted_batch_ndims: int | None = None) -> Self:
        """The rightmost batch dimensions, all by default, counted as part of the event."""
        available = len(self.batch_shape)
        ndims = available if reinterpreted_batch_ndims is None else reinterpreted_batch_ndims
        if not 0 <= ndims <= available:
            raise ValueError(
                f"to_event needs a number of dimensions from 0 to {available}, those of the batch "
                f"{tuple(self.batch_shape)}; got {ndims}."
            )
        inside = ndims <= len(self.q.batch_shape)
        q = self.q if inside else self.q.expand(self.batch_shape)
        return type(self)(q.to_event(ndims), self.estimator, self.lead if inside else ())

    def mask(self, mask: bool | Tensor) -> Any:
        """The distribution with sites taken out of the log-probabilities."""
        # Pyro's own copy for True would take the gradient from `log_prob` alone
        return self if mask is True else super().mask(mask)  # type: ignore[no-untyped-call]

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """`sample_shape + batch_shape + event_shape`, without a gradient."""
        if self.estimator is None:
            drawn: Tensor = self.q.sample(torch.Size(sample_shape) + self.lead)
            return drawn
        with torch.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """The estimator's samples, which carry its gradient."""
        drawn: Tensor = self.estimator.sample(self.q, torch.Size(sample_shape) + self.lead)
        return drawn

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Every state of the event, `(states, *batch_shape, *event_shape)`, or with 1s for batch.

        Raises:
            ValueError: more than 2^20 states, or samples that have a gradient.
        """
        if self.has_rsample:
            # Pyro would add up the states' values without their probabilities
            sites = "A site with an estimator can't be summed over its states."
            raise ValueError(f'{sites} Leave out the estimator, or infer={{"enumerate": ...}}.')
        states: Tensor = self.q.enumerate_support(expand=False)
        ones = (1,) * len(self.batch_shape)
        states = states.reshape(states.shape[:1] + ones + self.event_shape)
        return states.expand(self._extended_shape(states.shape[:1])) if expand else states

    def log_prob(self, value: Tensor) -> Tensor:
        """log q(value) of the discrete distribution.

        Raises:
            ValueError: a value outside the support, where q validates; one with a gradient, where q
                gives it none.
        """
        if value.requires_grad and not self.q.log_prob_is_differentiable:
            raise ValueError(
                "PlackettLuceSubset gives no gradient to the set that it scores, so a pathwise "
                "guide would learn nothing of this term. Give the guide no estimator, or score by "
                "KSubset, which is the same distribution where all logits are equal."
            )
        try:
            scores: Tensor = self.q.log_prob(value)
        except ValueError as error:
            if value.requires_grad:
                error.add_note(
                    "The value carries a gradient: a relaxed sample lies between the vertices. "
                    "Score it with a q made with validate_args=False, or give the guide an "
                    "estimator of hard samples such as StraightThrough()."
                )
            raise
        return scores.expand(torch.broadcast_shapes(scores.shape, self.batch_shape))

    def score_parts(self, value: Tensor) -> ScoreParts:
        """What Pyro's ELBOs make of this site in a guide."""
        if not self.has_rsample or self.estimator is None:
            return super().score_parts(value)  # type: ignore[no-untyped-call]
        negative_entropy = -self.entropy()
        # where log q isn't the discrete distribution's at this sample, its mean stands in
        hard = not getattr(self.estimator, "relaxes_f", False) and self.q.log_prob_is_differentiable
        log_prob = self.log_prob(value) if hard else negative_entropy
        no_score: Any = 0  # Pyro's sign for "none", whatever its hint says
        return ScoreParts(log_prob, no_score, negative_entropy)
