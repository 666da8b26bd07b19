"""Every estimator where there is little to choose: an empty batch, no parts, one state.

An empty batch is what a filter or a last shard leaves over. It must not poison what learns.
"""

from typing import Any

import pytest
import torch
from estimators.cases import (
    DISTRIBUTIONS,
    ESTIMATORS,
    EVERY,
    JOINED,
    UNBIASED,
    WORKING,
    Case,
    Probe,
    thinned,
)
from torch import Generator, Tensor, nn

import hotgrad as hg

SMALL: dict[str, Case] = {
    "no bits": Case(
        lambda a: hg.Bernoulli(logits=a).to_event(1), (0,), DISTRIBUTIONS["Bernoulli"].refused
    ),
    "no categorical parts": Case(
        lambda a: hg.OneHotCategorical(logits=a).to_event(1),
        (0, 3),
        DISTRIBUTIONS["OneHotCategorical"].refused,
    ),
    "one category": Case(
        lambda a: hg.OneHotCategorical(logits=a), (1,), DISTRIBUTIONS["OneHotCategorical"].refused
    ),
}
for _name, _distribution in (
    ("KSubset", hg.KSubset),
    ("PlackettLuceSubset", hg.PlackettLuceSubset),
):
    SMALL |= {
        f"{_name}, {k} of 3": Case(
            lambda a, distribution=_distribution, k=k: distribution(a, k),
            (3,),
            DISTRIBUTIONS[_name].refused,
        )
        for k in (0, 3)
    }


def backward(
    estimator: hg.Estimator, q: Any, logits: Tensor, generator: Generator
) -> tuple[Tensor, list[Tensor]]:
    """The value, and all gradients: of the logits, of f's parameter and of the estimator's."""
    f = Probe(q, logits.dtype)
    value = hg.expectation(f, q, estimator, num_samples=4, generator=generator)
    own = list(estimator.parameters()) if isinstance(estimator, nn.Module) else []
    leaves = [logits, f.scale, *own]
    gradients = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
    return value, [g for g in gradients if g is not None]


@pytest.mark.parametrize(("estimator", "distribution"), thinned(WORKING + JOINED))
def test_an_empty_batch(estimator: str, distribution: str, generator: Generator) -> None:
    logits = EVERY[distribution].logits((0,))
    q = EVERY[distribution].make(logits)
    chosen = ESTIMATORS[estimator](q)
    value, gradients = backward(chosen, q, logits, generator)
    assert value.shape == (0,)
    assert gradients[0].shape == logits.shape
    assert all(torch.equal(gradient, torch.zeros_like(gradient)) for gradient in gradients)
    # nor has a baseline's memory become NaN
    state = chosen.state_dict() if isinstance(chosen, nn.Module) else {}
    assert all(kept.isfinite().all() for kept in state.values())


ALL = [
    (e, distribution)
    for distribution in SMALL
    for e in ESTIMATORS
    if e not in SMALL[distribution].refused
]


@pytest.mark.parametrize(("estimator", "distribution"), ALL)
def test_one_state_gives_finite_gradients_and_is_certain(
    estimator: str, distribution: str, generator: Generator
) -> None:
    logits = SMALL[distribution].logits((5,))
    q = SMALL[distribution].make(logits)
    value, gradients = backward(ESTIMATORS[estimator](q), q, logits, generator)
    assert all(result.isfinite().all() for result in (value, *gradients))
    if estimator not in UNBIASED:
        return
    certain = Probe(q, logits.dtype).values(q.mode)
    torch.testing.assert_close(value, certain, rtol=0, atol=1e-12)
    torch.testing.assert_close(gradients[0], torch.zeros_like(logits), rtol=0, atol=1e-12)


def test_joint_distribution_of_an_empty_batch() -> None:
    q = hg.OneHotCategorical(logits=torch.zeros(0, 2, 3)).to_event(1)
    assert q.log_prob(q.sample((4,))).shape == (4, 0)
    assert q.entropy().shape == (0,)
    assert hg.KSubset(torch.zeros(0, 4), 2).mean.shape == (0, 4)
