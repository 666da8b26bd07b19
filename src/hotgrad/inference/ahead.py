"""What a look at a few samples tells of a log joint before the first step.

Unknowns that it doesn't look at, whose posterior nothing but q's entropy decides, and a gradient
that an estimator needs and that isn't there.
"""

import warnings
from typing import Any

import torch
from torch import Tensor

from hotgrad.distributions import Joint, as_law
from hotgrad.estimators.base import label_of
from hotgrad.inference.problem import Problem

SAMPLES = 16
MAX_ELEMENTS = 2**20
"""The most entries of z that are looked at, unless one sample takes more."""


def look_ahead(problem: Problem, estimator: Any) -> None:
    """Warns of unknowns that the log joint ignores; refuses one without the gradient it must have.

    An unknown is ignored if the values stay the same, bit for bit, when it is drawn anew while the
    others stay. A law is one unknown; a `Joint` has several.

    Raises:
        ValueError: the estimator differentiates the log joint, which has no gradient to z.
    """
    law, batches = problem.at_first()
    flat = as_law(law)
    entries = flat.batch_shape.numel() * flat.event_shape.numel()
    count = max(1, min(SAMPLES, MAX_ELEMENTS // max(1, entries)))
    generator = torch.Generator(problem.device).manual_seed(0)

    def values(z: dict[str, Tensor]) -> Tensor:
        given = z if isinstance(law, Joint) else z[""]
        return problem.model(given, law, batches, allow_impossible=True)

    def draw() -> dict[str, Tensor]:
        z = law.sample((count,), generator=generator)
        return z if isinstance(law, Joint) else {"": z}

    with torch.no_grad():
        z, other = draw(), draw()
        before = values(z)
        ignored = [
            name
            for name in z
            if bool(before.isfinite().any())
            and bool((z[name] != other[name]).any())
            and bool((values({**z, name: other[name]}) == before).all())
        ]
    if ignored:
        names = " and ".join(repr(name) if name else "z" for name in ignored)
        warnings.warn(
            f"log_joint ignores {names}: its values are the same whatever that is. The posterior "
            "of such an unknown is its law of largest entropy, and says nothing.",
            stacklevel=3,
        )
    if getattr(estimator, "differentiates_f", False):
        _check_gradient(values, {name: z[name] for name in z if name not in ignored}, z, estimator)


def _check_gradient(
    values: Any, relevant: dict[str, Tensor], z: dict[str, Tensor], estimator: Any
) -> None:
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in relevant.items()}
    total = values({**z, **leaves}).sum()
    slopes: list[Tensor | None] = [None] * len(leaves)
    if total.requires_grad and leaves:
        slopes = list(torch.autograd.grad(total, list(leaves.values()), allow_unused=True))
    for name, slope in zip(leaves, slopes, strict=True):
        if slope is None or not bool(slope.any()):
            raise ValueError(
                f"{label_of(estimator)} differentiates log_joint, which has no gradient to "
                f"{repr(name) if name else 'z'}: it isn't differentiable there, or detaches it. "
                "Use an estimator that only evaluates log_joint, such as ScoreFunction() or, for "
                "bits, DisARM()."
            )
