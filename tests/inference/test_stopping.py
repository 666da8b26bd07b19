"""When `fit` stops: the share, the noise and the floor below which a rise of the bound is none."""

import pytest
import torch
from inference.models import bits, seeded
from torch import Tensor
from torch.distributions import Normal

import hotgrad as hg
from hotgrad.inference import fit, watch
from hotgrad.inference.watch import Mean, Watch


def windows_taken(tolerance: float | None, rise: float = 1.0, most: int = 200) -> int:
    """Until a bound without noise has converged, which rises by less and less, but for ever."""
    judge = Watch(5000, tolerance, Mean(-rise, 0.0)).judge
    for number in range(1, most + 1):
        steps = range(100 * (number - 1) + 1, 100 * number + 1)
        if judge([-rise / (1 + step / 50) for step in steps]) == "converged":
            return number
    return most


def test_a_bound_without_noise_stops_rising_at_a_thousandth_of_a_nat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert windows_taken(1e-4) < 40
    # a larger rise is one for longer
    assert windows_taken(1e-4) < windows_taken(1e-4, rise=10.0) < 200
    # the mutant: without a floor it never stops
    monkeypatch.setattr(watch, "LEAST_RISE", 0.0)
    assert windows_taken(1e-4) == 200


def test_the_tolerance_is_the_share_of_the_latest_rise_that_counts() -> None:
    taken = [windows_taken(tolerance, rise=1e3) for tolerance in (0.3, 0.03, 0.01, None)]
    assert taken == sorted(set(taken))
    assert taken[-1] == 200


def test_fit_hands_its_tolerance_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LEAST_WINDOW", 5)
    scores = torch.tensor([40.0, -80.0, 120.0])

    def steps(**options: float | None) -> int:
        result = fit(lambda z: z @ scores, bits(3), estimator=hg.Exact(), steps=150, **options)
        assert result.converged == (len(result.trace.bounds) < 150)
        return len(result.trace.bounds)

    assert steps(tolerance=0.3) < steps(tolerance=0.1) < steps() == steps(tolerance=None) == 150


READINGS, LEVELS = torch.tensor([2.1, 1.8, 0.4, 2.5]), torch.tensor([1.0, 2.0, 3.0])


def machine(z: dict[str, Tensor]) -> Tensor:
    """README's: which state is a machine in, and which of its four sensors are broken?"""
    works = Normal((z["state"] @ LEVELS).unsqueeze(-1), 0.3).log_prob(READINGS)
    broken = Normal(0.0, 3.0).log_prob(READINGS) - 2
    return (z["broken"] * broken + (1 - z["broken"]) * works).sum(-1)


def test_an_exact_gradient_converges_and_says_why() -> None:
    q = hg.Joint(state=hg.OneHotCategorical(logits=torch.zeros(3)), broken=bits(4))
    result = fit(machine, q, estimator=hg.Exact(), steps=2500, generator=seeded())
    assert result.outcome == "converged"
    assert len(result.trace.bounds) < 1500
    assert "no longer rises by 0.0001 of its latest rise, more than its noise and 0.001 nats" in (
        result.reason
    )
    # the bound still rises a little, for ever: all that it would is this
    assert result.elbo == pytest.approx(-4.775, abs=5e-3)
