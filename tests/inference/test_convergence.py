"""When `fit` stops: the share, the noise and the size below which a rise of the bound is none."""

import pytest
import torch
from inference.models import bits, boltzmann, seeded

import hotgrad as hg
from hotgrad.inference import fit, training
from hotgrad.inference.training import Convergence, Mean


def windows_taken(tolerance: float | None, rise: float = 1.0, most: int = 200) -> int:
    """Until a bound without noise has converged, which rises by less and less, but for ever."""
    judge = Convergence(5000, tolerance, Mean(-rise, 0.0)).judge
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
    # the mutant: without a least rise it never stops
    monkeypatch.setattr(training, "LEAST_RISE", 0.0)
    assert windows_taken(1e-4) == 200


def test_the_tolerance_is_the_share_of_the_latest_rise_that_counts() -> None:
    taken = [windows_taken(tolerance, rise=1e3) for tolerance in (0.3, 0.03, 0.01, None)]
    assert taken == sorted(set(taken))
    assert taken[-1] == 200


def test_fit_hands_its_tolerance_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LEAST_WINDOW", 5)
    scores = torch.tensor([40.0, -80.0, 120.0])

    def steps(**options: float | None) -> int:
        result = fit(lambda z: z @ scores, bits(3), estimator=hg.Exact(), steps=150, **options)
        assert result.converged == (len(result.trace.bounds) < 150)
        return len(result.trace.bounds)

    assert steps(tolerance=0.3) < steps(tolerance=0.1) < steps() == steps(tolerance=None) == 150


def test_an_exact_gradient_converges_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LEAST_WINDOW", 20)
    model = boltzmann(3, 0)
    result = fit(model, bits(3), estimator=hg.Exact(), steps=1000, generator=seeded())
    assert result.outcome == "converged"
    assert len(result.trace.bounds) < 1000
    assert "no longer rises by 0.0001 of its latest rise, more than its noise and 0.001 nats" in (
        result.reason
    )
    # the bound still rises a little, for ever: all that it would is this
    assert result.elbo == pytest.approx(model.best_factorised(), abs=1e-2)
