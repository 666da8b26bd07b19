"""What a fit maximises: the evidence lower bound, or the bound of several weighted samples.

And what a look at it tells before the first step: the bound as it is, unknowns that the model
ignores, a gradient that an estimator needs and that isn't there.
"""

import functools
import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from hotgrad.estimators import VIMCO, ScoreFunction
from hotgrad.estimators.base import label_of
from hotgrad.expectation import expectation
from hotgrad.importance import importance_bound
from hotgrad.inference.log_joint import Piece
from hotgrad.inference.marginals import as_unknowns, by_name, fixed_generator, rows_at_once
from hotgrad.inference.problem import Problem
from hotgrad.ops import checks

OBJECTIVES = ("elbo", "importance")
LOOKS = 16
"""Estimates of the bound, and samples of the log joint, before the first step."""

Named = dict[str, Tensor]


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
        piece = self._problem.at(rows)
        if self.name == "importance":
            if not piece.own and piece.scale != 1:
                raise ValueError(
                    'objective="importance" is a logarithm of a mean over samples, to which '
                    "unknowns that all rows share need all rows at once: leave out batch_size, or "
                    'use objective="elbo".'
                )
            bounds = self._importance(piece, generator)
        else:
            bounds = self._elbo(piece, generator)
        return bounds.sum() * (piece.scale if piece.own else 1.0)

    def at_start(self) -> list[float]:
        """Estimates of the bound as it is, without learning, also of a baseline or a critic."""
        estimator = self.estimator if isinstance(self.estimator, nn.Module) else None
        learns = estimator is not None and estimator.training
        generator = fixed_generator(as_unknowns(self._problem.at_first().q))
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
        return bounds

    @property
    def relaxed(self) -> bool:
        """Whether its values are those of relaxed samples; the unbiased ones report hard ones."""
        relaxes = getattr(self.estimator, "relaxes_f", False)
        return relaxes and not getattr(self.estimator, "unbiased", False)

    def _elbo(self, piece: Piece, generator: torch.Generator | None) -> Tensor:
        q, log_joint = piece.q, functools.partial(piece.log_joint, allow_impossible=False)

        @torch.no_grad()
        def log_q(z: Any) -> Tensor:
            # the estimator's own, which it learns by, is another
            scores: Tensor = q.log_prob(z)
            return scores

        def ask(f: Any, estimator: Any, num_samples: int) -> Tensor:
            return expectation(f, q, estimator, num_samples=num_samples, generator=generator)

        if not getattr(self.estimator, "differentiates_f", False):
            # log q is a control variate here: its own part of the gradient has the entropy's as
            # its mean, and cancels noise of log p, all of it where q is the posterior
            return ask(lambda z: log_joint(z) - log_q(z), self.estimator, self.num_samples)
        if q.entropy_is_exact:
            return ask(log_joint, self.estimator, self.num_samples) + q.entropy()
        # a log-probability need not mean anything between the vertices
        entropy = ask(lambda z: -log_q(z), ScoreFunction(), max(2, self.num_samples))
        return ask(log_joint, self.estimator, self.num_samples) + entropy

    def _importance(self, piece: Piece, generator: torch.Generator | None) -> Tensor:
        q = piece.q
        scored = q.unchecked() if getattr(self.estimator, "relaxes_f", False) else q

        def log_weight(z: Any) -> Tensor:
            return piece.log_joint(z) - scored.log_prob(z)

        return importance_bound(
            log_weight, q, self.estimator, self.num_samples, generator=generator
        )

    @property
    def label(self) -> str:
        """The objective and its estimator, for titles."""
        samples = f"{self.num_samples} sample{'s' if self.num_samples > 1 else ''}"
        return f"{self.name}, {label_of(self.estimator)}, {samples}"


def check_log_joint(piece: Piece, estimator: Any) -> None:
    """Warns of unknowns that the log joint ignores; refuses one without the gradient it must have.

    Unknowns are ignored if the values stay the same, bit for bit, when they are drawn anew while
    the others stay: those of one name as a whole, or those parts of them, bits or categories, to
    which the log joint has a slope of 0 wherever it was looked at. Where it has no gradient, only
    whole names are seen.

    Raises:
        ValueError: no unknowns, or the estimator differentiates the log joint, which has no
            gradient to z.
    """
    q, vector = piece.q, as_unknowns(piece.q)
    if not vector.batch_shape.numel() * vector.event_shape.numel():
        raise ValueError(
            "q has no unknowns: its batch shape is "
            f"{tuple(vector.batch_shape)}, its event shape {tuple(vector.event_shape)}."
        )
    count, generator = min(LOOKS, rows_at_once(vector)), fixed_generator(vector)

    def values(z: Named) -> Tensor:
        return piece.log_joint(z.get("", z))

    with torch.no_grad():
        z, other = (by_name(q.sample((count,), generator=generator)) for _ in range(2))
        before = values(z)

    def ignores(changes: Named) -> bool:
        differ = any(bool((changes[name] != z[name]).any()) for name in changes)
        with torch.no_grad():
            return differ and bool((values({**z, **changes}) == before).all())

    inner_shapes = {name: base.event_shape for name, base in zip(z, vector.bases, strict=True)}
    said, relevant = [], list(z)
    if bool(before.isfinite().any()):
        ignored = [name for name in z if ignores({name: other[name]})]
        said = [repr(name) if name else "z" for name in ignored]
        relevant = [name for name in z if name not in ignored]
    slopes = _slopes(values, z, relevant, needed=getattr(estimator, "differentiates_f", False))
    for name, slope in slopes.items():
        if slope is None or not bool(slope.any()):
            _check_gradient_is_needless(name, estimator)
            continue
        dead = _dead_parts(slope, inner_shapes[name])
        if ignores({name: torch.where(dead.expand(z[name].shape), other[name], z[name])}):
            said.append(_places(name, dead))
    if said:
        warnings.warn(
            f"log_joint ignores {checks.listed(said)}: at {count} samples its values stay the "
            "same, bit for bit, where that is drawn anew. The posterior of an unknown that is "
            "ignored is its distribution of largest entropy, and says nothing.",
            stacklevel=3,
        )


def _slopes(
    values: Callable[[Named], Tensor], z: Named, names: Iterable[str], *, needed: bool
) -> dict[str, Tensor | None]:
    """Of the log joint's sum to z; where it isn't needed, none if it can't be had."""
    leaves = {name: z[name].clone().requires_grad_() for name in names}
    try:
        # not the leaves themselves, which no one may write to
        total = values({**z, **{name: leaf.clone() for name, leaf in leaves.items()}}).sum()
        if not total.requires_grad or not leaves:
            return dict.fromkeys(leaves)
        found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    except Exception:
        if needed:
            raise
        return {}
    return dict(zip(leaves, found, strict=True))


def _check_gradient_is_needless(name: str, estimator: Any) -> None:
    if getattr(estimator, "differentiates_f", False):
        raise ValueError(
            f"{label_of(estimator)} differentiates log_joint, which has no gradient to "
            f"{repr(name) if name else 'z'}: it isn't differentiable there, or detaches it. "
            "Use an estimator that only evaluates log_joint, such as ScoreFunction() or, for "
            "bits, DisARM()."
        )


def _dead_parts(slope: Tensor, inner_shape: torch.Size) -> Tensor:
    """Where all of a part has a slope of 0 at all samples, `(*batch, *event)` or with ones."""
    dead = (slope == 0).all(0)
    for dim in range(-len(inner_shape), 0):
        dead = dead.all(dim, keepdim=True)
    return dead


def _places(name: str, dead: Tensor) -> str:
    """How many parts, and the first."""
    of = repr(name) if name else "z"
    first = dead.nonzero()[0].tolist()
    return f"{int(dead.sum()):,} of {dead.numel():,} unknowns in {of}, the first at {first}"
