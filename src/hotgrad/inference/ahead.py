"""What a look at a few samples tells of a log joint before the first step.

Unknowns that it doesn't look at, whose posterior nothing but q's entropy decides, and a gradient
that an estimator needs and that isn't there.
"""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from hotgrad.distributions import Joint, as_law
from hotgrad.estimators.base import label_of
from hotgrad.inference.problem import Problem, device_of
from hotgrad.ops import checks

Named = dict[str, Tensor]

SAMPLES = 16
MAX_ELEMENTS = 2**20
"""The most entries of z that are looked at, unless one sample takes more."""


def look_ahead(problem: Problem, estimator: Any) -> None:
    """Warns of unknowns that the log joint ignores; refuses one without the gradient it must have.

    Unknowns are ignored if the values stay the same, bit for bit, when they are drawn anew while
    the others stay: a law as a whole, or those parts of it, bits or categories, to which the log
    joint has a slope of 0 wherever it was looked at. Where it has no gradient, only whole laws are
    seen.

    Raises:
        ValueError: no unknowns, or the estimator differentiates the log joint, which has no
            gradient to z.
    """
    law, batches = problem.at_first()
    flat = as_law(law)
    entries = flat.batch_shape.numel() * flat.event_shape.numel()
    if not entries:
        raise ValueError(
            "q has no unknowns: its batch shape is "
            f"{tuple(flat.batch_shape)}, its event shape {tuple(flat.event_shape)}."
        )
    count = max(1, min(SAMPLES, MAX_ELEMENTS // entries))
    generator = torch.Generator(device_of(flat)).manual_seed(0)
    laws: dict[str, Any] = law.laws if isinstance(law, Joint) else {"": law}

    def values(z: Named) -> Tensor:
        given = z if isinstance(law, Joint) else z[""]
        return problem.model(given, law, batches, allow_impossible=True)

    with torch.no_grad():
        z, other = (
            {name: one.sample((count,), generator=generator) for name, one in laws.items()}
            for _ in range(2)
        )
        before = values(z)

    def ignores(changes: Named) -> bool:
        differ = any(bool((changes[name] != z[name]).any()) for name in changes)
        with torch.no_grad():
            return differ and bool((values({**z, **changes}) == before).all())

    said, relevant = [], dict(laws)
    if bool(before.isfinite().any()):
        for name in laws:
            if ignores({name: other[name]}):
                said.append(repr(name) if name else "z")
                del relevant[name]
    slopes = _slopes(values, z, relevant, needed=getattr(estimator, "differentiates_f", False))
    for name, slope in slopes.items():
        if slope is None or not bool(slope.any()):
            _refuse(name, estimator)
            continue
        dead = _dead_parts(slope, relevant[name])
        whole = dead.expand(z[name].shape)
        if ignores({name: torch.where(whole, other[name], z[name])}):
            said.append(_places(name, dead))
    if said:
        warnings.warn(
            f"log_joint ignores {checks.listed(said)}: at {count} samples its values stay the "
            "same, bit for bit, where that is drawn anew. The posterior of an unknown that is "
            "ignored is its law of largest entropy, and says nothing.",
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


def _refuse(name: str, estimator: Any) -> None:
    if getattr(estimator, "differentiates_f", False):
        raise ValueError(
            f"{label_of(estimator)} differentiates log_joint, which has no gradient to "
            f"{repr(name) if name else 'z'}: it isn't differentiable there, or detaches it. "
            "Use an estimator that only evaluates log_joint, such as ScoreFunction() or, for "
            "bits, DisARM()."
        )


def _dead_parts(slope: Tensor, law: Any) -> Tensor:
    """Where all of a part has a slope of 0 at all samples, `(*batch, *event)` or with ones."""
    inner = getattr(law, "law", law)
    dead = (slope == 0).all(0)
    for dim in range(-len(inner.event_shape), 0):
        dead = dead.all(dim, keepdim=True)
    return dead


def _places(name: str, dead: Tensor) -> str:
    """How many parts, and the first."""
    of = repr(name) if name else "z"
    first = dead.nonzero()[0].tolist()
    return f"{int(dead.sum()):,} of {dead.numel():,} unknowns in {of}, the first at {first}"
