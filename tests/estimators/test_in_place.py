"""f may change z in place: nothing of the estimate depends on what f leaves behind."""

from typing import Any

import pytest
import torch
import torch.distributions as td
from estimators.cases import ESTIMATORS, EVERY, JOINED, WORKING, Probe, SampledOnly, thinned
from torch import Generator, Tensor, nn

import hotgrad as hg


class Careful:
    """An f of one minus z, as a function should be written."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe

    def __call__(self, z: Any) -> Tensor:
        if isinstance(z, Tensor):
            return self.probe.values(1 - z)
        return self.probe.values({name: 1 - unknown for name, unknown in z.items()})


class Careless(Careful):
    """The same values, by changing z itself and what holds it."""

    def __call__(self, z: Any) -> Tensor:
        if isinstance(z, Tensor):
            return self.probe.values(z.neg_().add_(1))
        changed = {name: z.pop(name).neg_().add_(1) for name in list(z)}
        return self.probe.values(changed)


@pytest.mark.parametrize(("estimator", "distribution"), thinned(WORKING) + JOINED)
def test_an_f_that_changes_z_has_the_same_value_and_gradient(
    estimator: str, distribution: str, generator: Generator
) -> None:
    results = []
    for kind in (Careful, Careless):
        logits = EVERY[distribution].logits((3,))
        q = EVERY[distribution].make(logits)
        probe = Probe(q, torch.float64)
        value = hg.expectation(
            kind(probe), q, ESTIMATORS[estimator](q), generator=generator.clone_state()
        )
        results.append((value, *torch.autograd.grad(value.sum(), (logits, probe.scale))))
    torch.testing.assert_close(*results, rtol=0, atol=0)


def through_numpy(z: Tensor) -> Tensor:
    """Changes the memory behind autograd's back, as a simulator might."""
    values = z.numpy()
    values *= -1
    values += 1
    return torch.from_numpy(values.sum(-1) ** 2)


@pytest.mark.parametrize("estimator", [hg.ScoreFunction(), hg.UnorderedSet(), hg.IndeCateR()])
def test_so_has_one_that_leaves_torch(estimator: hg.Estimator, generator: Generator) -> None:
    results = []
    for f in (lambda z: (1 - z).sum(-1).square(), through_numpy):
        logits = EVERY["Bernoulli.to_event(1)"].logits()
        q = hg.Bernoulli(logits=logits).to_event(1)
        value = hg.expectation(f, q, estimator, num_samples=4, generator=generator.clone_state())
        results.append((value, *torch.autograd.grad(value.sum(), logits)))
    torch.testing.assert_close(*results, rtol=0, atol=1e-14)


@pytest.mark.parametrize("distribution", ["OneHotCategorical.to_event(1)", "Joint"])
@pytest.mark.parametrize("estimator", ["VIMCO", "ScoreFunction(LeaveOneOut)", "StraightThrough"])
def test_so_has_the_importance_weighted_bound(
    estimator: str, distribution: str, generator: Generator
) -> None:
    results = []
    for kind in (Careful, Careless):
        logits = EVERY[distribution].logits((2,))
        q = EVERY[distribution].make(logits)
        f = kind(Probe(q, torch.float64))
        value = hg.importance_bound(
            lambda z, f=f: -f(z),
            q,
            hg.VIMCO() if estimator == "VIMCO" else ESTIMATORS[estimator](q),
            3,
            generator=generator.clone_state(),
        )
        results.append((value, *torch.autograd.grad(value.sum(), logits)))
    torch.testing.assert_close(*results, rtol=0, atol=0)


class Doubling(nn.Module):
    """A baseline's module that changes the marginals that it is given."""

    def forward(self, mean: Tensor) -> Tensor:
        return mean.mul_(2).sum(-1)


class Kept(SampledOnly):
    """A distribution of a user's own that has worked out its marginals once."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__(logits)
        self.kept = logits.sigmoid()

    @property
    def mean(self) -> Tensor:
        return self.kept


def test_a_baselines_module_may_change_the_marginals(generator: Generator) -> None:
    q = td.Independent(Kept(torch.zeros(4, 3, requires_grad=True)), 1)
    estimator = hg.ScoreFunction(hg.Learned(Doubling()))
    hg.expectation(lambda z: z.sum(-1), q, estimator, generator=generator).sum().backward()
    assert torch.equal(q.mean, torch.full((4, 3), 0.5))
