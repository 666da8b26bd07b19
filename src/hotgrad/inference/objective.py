"""What a fit maximises: the evidence lower bound, or the bound of several weighted samples."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from hotgrad.distributions import Joint, PlackettLuceSubset
from hotgrad.estimators import VIMCO, ScoreFunction
from hotgrad.estimators.base import label_of
from hotgrad.expectation import expectation
from hotgrad.importance import importance_bound
from hotgrad.inference.problem import Problem, device_of
from hotgrad.inference.watch import Mean
from hotgrad.ops import checks

OBJECTIVES = ("elbo", "importance")
LOOKS = 16
"""Estimates of the bound before the first step."""
SUMMED_SUBSETS = 2**11
"""A Plackett-Luce law's entropy is a sum over its subsets; beyond so many it is estimated."""


class Objective:
    r"""An estimate of the bound, summed over the batch and scaled to all data, with its gradient.

    "elbo" is $E_q[\log p(x, z)] + H(q)$; "importance" is
    $E[\log \frac{1}{S} \sum_s p(x, z_s) / q(z_s)]$.

    Args:
        problem: model, unknowns and data.
        name: of the objective.
        estimator: of the gradient.
        num_samples: of z in each step.

    Raises:
        ValueError: an unknown objective, or one that the estimator or the data don't fit.
    """

    def __init__(self, problem: Problem, name: str, estimator: Any, num_samples: int) -> None:
        checks.check_choice("objective", name, OBJECTIVES)
        num_samples = checks.check_count(num_samples, "num_samples")
        if name == "elbo" and isinstance(estimator, VIMCO):
            raise ValueError(
                'VIMCO is for the bound of several samples: use objective="importance", or another '
                'estimator for objective="elbo".'
            )
        self.name, self.estimator, self.num_samples = name, estimator, num_samples
        self._problem = problem

    def __call__(self, rows: Tensor | slice, generator: torch.Generator | None) -> Tensor:
        """The bound, a number with a gradient to everything that is learned."""
        law, batches = self._problem.at(rows)
        scale = batches[0].scale if batches and batches[0].own else 1.0
        if self.name == "importance":
            if batches and not batches[0].own and batches[0].scale != 1:
                raise ValueError(
                    'objective="importance" is a logarithm of a mean over samples, to which '
                    "unknowns that all rows share need all rows at once: leave out batch_size, or "
                    'use objective="elbo".'
                )
            bounds = self._importance(law, batches, generator)
        else:
            bounds = self._elbo(law, batches, generator)
        return bounds.sum() * scale

    def at_start(self) -> Mean:
        """The bound as it is now, without learning anything, also of a baseline or a critic."""
        estimator = self.estimator if isinstance(self.estimator, nn.Module) else None
        learns = estimator is not None and estimator.training
        generator = torch.Generator(device_of(self._problem.at_first()[0])).manual_seed(0)
        rows = self._problem.batches(generator)
        try:
            if estimator is not None:
                estimator.eval()
            with torch.no_grad():
                bounds = [self(next(rows), generator).item() for _ in range(LOOKS)]
        finally:
            if estimator is not None:
                estimator.train(learns)
        if not all(map(math.isfinite, bounds)):
            raise checks.NotFiniteError(
                f"The bound is {min(bounds, key=math.isfinite)} before the first step: log_joint "
                "has values that aren't finite. A q that validates its arguments has them named."
            )
        return Mean.of(bounds)

    @property
    def relaxed(self) -> bool:
        """Whether its values are those of relaxed samples; the unbiased ones report hard ones."""
        relaxes = getattr(self.estimator, "relaxes_f", False)
        return relaxes and not getattr(self.estimator, "unbiased", False)

    def _elbo(self, law: Any, batches: Any, generator: torch.Generator | None) -> Tensor:
        def log_joint(z: Any) -> Tensor:
            return self._problem.model(z, law, batches, allow_impossible=False)

        @torch.no_grad()
        def log_q(z: Any) -> Tensor:
            # the estimator's own, which it learns by, is another
            scores: Tensor = law.log_prob(z)
            return scores

        def ask(f: Any, estimator: Any, num_samples: int) -> Tensor:
            return expectation(f, law, estimator, num_samples=num_samples, generator=generator)

        if not getattr(self.estimator, "differentiates_f", False):
            # log q is a control variate here: its own part of the gradient has the entropy's as
            # its mean, and cancels noise of log p, all of it where q is the posterior
            return ask(lambda z: log_joint(z) - log_q(z), self.estimator, self.num_samples)
        if has_entropy(law):
            return ask(log_joint, self.estimator, self.num_samples) + law.entropy()
        # a log-probability need not mean anything between the vertices
        entropy = ask(lambda z: -log_q(z), ScoreFunction(), max(2, self.num_samples))
        return ask(log_joint, self.estimator, self.num_samples) + entropy

    def _importance(self, law: Any, batches: Any, generator: torch.Generator | None) -> Tensor:
        scored = _unchecked(law) if getattr(self.estimator, "relaxes_f", False) else law

        def log_weight(z: Any) -> Tensor:
            log_joint = self._problem.model(z, law, batches, allow_impossible=True)
            return log_joint - scored.log_prob(z)

        return importance_bound(
            log_weight, law, self.estimator, self.num_samples, generator=generator
        )

    @property
    def label(self) -> str:
        """The objective and its estimator, for titles."""
        samples = f"{self.num_samples} sample{'s' if self.num_samples > 1 else ''}"
        return f"{self.name}, {label_of(self.estimator)}, {samples}"


def has_entropy(law: Any) -> bool:
    """Whether the law's entropy is had without sampling."""
    if isinstance(law, Joint):
        return all(has_entropy(part) for part in law.laws.values())
    inner = getattr(law, "law", law)
    if isinstance(inner, PlackettLuceSubset):
        return math.comb(inner.event_shape[0], inner.k) <= SUMMED_SUBSETS
    return type(inner).entropy is not Distribution.entropy


def _unchecked(law: Any) -> Any:
    """A copy that scores whatever it is given: relaxed samples aren't in the support."""
    copy = law.with_logits(law.logits)
    for part in copy.laws.values() if isinstance(copy, Joint) else [copy]:
        part._validate_args = False
        getattr(part, "law", part)._validate_args = False
    return copy
