"""A stochastic layer below a stochastic layer, with each estimator above and below.

y | z ~ r(. | z) below z ~ q. The unbiased are held to the double sum, by a z-test of both layers'
parameters; the others to finite values in shape.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from estimators.cases import ESTIMATORS, UNBIASED, a_case_for
from estimators.toys import OwnMean
from stats import unbiased
from torch import Generator, Tensor

import hotgrad as hg

ABOVE = torch.tensor([0.4, -0.6], dtype=torch.float64)
WEIGHT = torch.tensor([[0.9, -1.2], [-0.5, 0.7]], dtype=torch.float64)
BELOW = torch.tensor([-0.3, 0.2], dtype=torch.float64)
PARTNER = hg.ScoreFunction(hg.LeaveOneOut())


def cost(z: Tensor, y: Tensor) -> Tensor:
    """Of two bits above and two below; smooth between them."""
    pulled = y[..., 0] * y[..., 1] - 1.5 * y[..., 0] * z[..., 0] + y[..., 1] * z[..., 1]
    return (pulled + 0.5) ** 2 + z[..., 0]


def layers(above: Any, below: Any) -> Callable[[int, Generator], Tensor]:
    """`(n, generator)` to n gradients of all parameters, side by side."""

    def replicate(n: int, generator: Generator) -> Tensor:
        leaves = [
            start.expand(n, *start.shape).clone().requires_grad_()
            for start in (ABOVE, WEIGHT, BELOW)
        ]
        logits, weight, bias = leaves

        def f(z: Tensor) -> Tensor:
            lower = torch.einsum("snk,nkj->snj", z, weight) + bias
            r = hg.Bernoulli(logits=lower).to_event(1)
            return hg.expectation(
                lambda y: cost(z, y), r, below(r), num_samples=2, generator=generator
            )

        q = hg.Bernoulli(logits=logits).to_event(1)
        value = hg.expectation(f, q, above(q), num_samples=2, generator=generator)
        gradients = torch.autograd.grad(value.sum(), leaves)
        return torch.cat([gradient.flatten(1) for gradient in gradients], -1)

    return replicate


def partner(q: Any) -> hg.Estimator:
    return PARTNER


def exact(generator: Generator) -> Tensor:
    return layers(lambda q: hg.Exact(), lambda q: hg.Exact())(1, generator)[0]


# IndeCateR and UnorderedSet are nested in suites of their own
NESTED = [name for name in UNBIASED if name not in ("IndeCateR", "UnorderedSet")]


@pytest.mark.parametrize("place", ["above", "below"])
@pytest.mark.parametrize("estimator", NESTED)
def test_the_unbiased_are_so_in_either_place(
    estimator: str, place: str, generator: Generator
) -> None:
    chosen = ESTIMATORS[estimator]
    both = layers(*(chosen, partner)[:: 1 if place == "above" else -1])
    right = exact(generator)
    verdict = unbiased(both, right, generator=generator, delta=0.1 * float(right.max()))
    assert verdict, verdict.figures


@pytest.mark.parametrize("place", ["above", "below"])
@pytest.mark.parametrize(
    "mutant",
    [hg.ScoreFunction(OwnMean()), hg.GumbelSoftmax(0.5)],
    ids=["own mean", "relaxed"],
)
def test_a_biased_layer_is_seen_in_either_place(
    mutant: hg.Estimator, place: str, generator: Generator
) -> None:
    pair = (lambda q: mutant, partner)
    both = layers(*pair[:: 1 if place == "above" else -1])
    right = exact(generator)
    assert not unbiased(both, right, generator=generator, delta=0.1 * float(right.max()))


@pytest.mark.parametrize("place", ["above", "below"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_estimator_gives_finite_gradients_in_either_place(
    estimator: str, place: str, generator: Generator
) -> None:
    # its own distribution in its place, and two bits in the other
    case = a_case_for(estimator)
    own, other = case.logits((5,)), ABOVE.expand(5, 2).clone().requires_grad_()
    table = torch.linspace(-1, 1, 2 * case.event[0], dtype=torch.float64).view(2, -1)
    table.requires_grad_()
    # below stand two distributions for each element, one for each sample above
    chosen = ESTIMATORS[estimator](
        case.make(own.expand(2, *own.shape) if place == "below" else own)
    )

    def bits(logits: Tensor) -> Any:
        return hg.Bernoulli(logits=logits).to_event(1)

    def nested(z: Tensor) -> Tensor:
        """The expectation below, of z above."""
        r = case.make(own + z @ table) if place == "below" else bits(other + z @ table.t())
        return hg.expectation(
            lambda y: (1 + y.sum(-1) * z[..., 0] - y[..., 0]) ** 2,
            r,
            below,
            num_samples=2,
            generator=generator,
        )

    above, below = (PARTNER, chosen) if place == "below" else (chosen, PARTNER)
    q = bits(other) if place == "below" else case.make(own)
    value = hg.expectation(nested, q, above, num_samples=2, generator=generator)
    assert value.shape == (5,)
    assert value.isfinite().all()
    for gradient in torch.autograd.grad(value.sum(), (own, other, table)):
        assert gradient.isfinite().all()
        assert gradient.count_nonzero() > 0
