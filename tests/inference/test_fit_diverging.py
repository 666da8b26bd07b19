"""What a fit that goes wrong on its way keeps, and what it says."""

import functools
import math
from typing import Any

import pytest
import torch
from inference.models import DATA, bits, boltzmann, linear, seeded, where_two
from torch import Tensor, nn

import hotgrad as hg
from hotgrad.inference import fit


@pytest.mark.parametrize(
    "optimizer",
    [functools.partial(torch.optim.SGD, lr=1e6), functools.partial(torch.optim.Adam, lr=1e4)],
)
def test_a_step_size_that_diverges_is_stopped(optimizer: Any) -> None:
    with pytest.warns(UserWarning, match=r"diverged: by step .* smaller step size") as warned:
        result = fit(boltzmann(6, 0), bits(6), optimizer=optimizer, generator=seeded())
    assert not result.converged
    assert len(result.trace.bounds) == 100
    # the start was the last good state
    assert torch.equal(result.marginals, torch.full((6,), 0.5))
    assert result.outcome == "diverged"
    assert "The state of step 0 is kept" in result.reason
    # how to set it in Python is said in the warning, since the command has an option for it
    assert "functools.partial(torch.optim.Adam, lr=...)" in str(warned[0].message)
    assert "functools" not in result.reason


def test_a_bound_that_falls_is_stopped_and_the_best_state_kept() -> None:
    """A step far too large for the model's parameter, while q's logits stay where they are."""
    centre = nn.Parameter(torch.tensor(0.5))

    def log_joint(z: Tensor) -> Tensor:
        return -(z.sum(-1) - centre).abs()

    with pytest.warns(UserWarning, match="the bound fell from -?[0-9.]+ at the start to -"):
        result = fit(
            log_joint,
            bits(2),
            parameters=[centre],
            optimizer=functools.partial(torch.optim.SGD, lr=50.0),
            steps=1000,
            generator=seeded(),
        )
    assert centre.item() == 0.5
    assert not result.converged


def test_a_model_that_turns_nan_is_stopped_with_its_sample_named() -> None:
    scale = nn.Parameter(torch.tensor(2.0))

    def log_joint(z: Tensor) -> Tensor:
        return linear(z) * scale.log()

    with pytest.warns(UserWarning, match=r"step \d+ failed. log_joint returned nan .* z = \["):
        result = fit(
            log_joint,
            hg.Bernoulli(logits=torch.full((3,), 2.0)).to_event(1),
            parameters=[scale],
            optimizer=functools.partial(torch.optim.SGD, lr=5.0, maximize=True),
            generator=seeded(),
        )
    assert scale.item() == 2
    assert not result.converged
    assert "failed" in result.reason


class Layers(nn.Module):
    """q(z | x) whose logits are NaN where its weights are huge."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))

    def forward(self, x: Tensor) -> hg.OneHotCategorical:
        return hg.OneHotCategorical(logits=self.layers(x))


def test_a_q_that_turns_nan_is_stopped_and_the_last_good_state_kept() -> None:
    """The distribution refuses its logits before there is any bound."""
    q = Layers()
    before = [tensor.clone() for tensor in q.parameters()]
    with pytest.warns(UserWarning, match=r"step \d+ failed\. logits must be finite"):
        result = fit(
            lambda z, x: linear(z) * x[:, 1],
            q,
            data=DATA,
            optimizer=functools.partial(torch.optim.SGD, lr=1e30),
            generator=seeded(),
        )
    assert not result.converged
    assert all(torch.equal(one, two) for one, two in zip(before, q.parameters(), strict=True))


def test_errors_that_the_good_state_leads_to_as_well_come_through() -> None:
    calls: list[int] = []

    def broken(z: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) > 30:
            raise ValueError("the file has gone")
        return linear(z)

    with pytest.raises(ValueError, match="the file has gone"):
        fit(broken, bits(3), steps=50, generator=seeded())


class Spoiling(torch.optim.SGD):
    """After so many steps everything is NaN."""

    def __init__(self, params: Any, after: int) -> None:
        super().__init__(params, lr=0.1)
        self.left = after

    def step(self, closure: Any = None) -> None:
        super().step()
        self.left -= 1
        if not self.left:
            with torch.no_grad():
                for tensor in self.param_groups[0]["params"]:
                    tensor.fill_(torch.nan)


@pytest.mark.parametrize(
    ("after", "steps", "kept"), [(20, 20, 0), (50, 200, 0), (60, 200, 50)], ids=str
)
def test_nan_isnt_taken_for_a_good_state(after: int, steps: int, kept: int) -> None:
    """Neither at the last step, nor where a window ends."""
    with pytest.warns(UserWarning, match=f"The state of step {kept} is kept"):
        result = fit(
            linear,
            bits(3),
            optimizer=functools.partial(Spoiling, after=after),
            steps=steps,
            generator=seeded(),
        )
    assert bool(result.marginals.isfinite().all())


def test_a_step_whose_weights_are_all_impossible_doesnt_lose_the_fit() -> None:
    options = {"estimator": hg.VIMCO(), "objective": "importance", "num_samples": 4, "steps": 2000}
    with pytest.warns(UserWarning, match=r"step \d+ failed\. log_weight is -inf.*more samples"):
        result = fit(where_two(-torch.inf), bits(3), generator=seeded(), **options)
    assert result.bound(1000, generator=seeded()) == pytest.approx(math.log(5), abs=0.2)


def test_nan_at_a_rare_state_doesnt_lose_the_fit() -> None:
    """The steps never meet it; looking back does."""
    q = hg.Bernoulli(logits=torch.full((10,), -1.0)).to_event(1)
    log_joint = where_two(torch.nan)
    rare = lambda z: log_joint(z[..., :2]) if len(z) > 16 else z.sum(-1)  # noqa: E731
    result = fit(rare, q, steps=20, generator=seeded())
    assert result.reason.startswith("took all")
    with pytest.warns(UserWarning, match=r"bound of the fit is unknown\. log_joint returned nan"):
        assert math.isnan(result.elbo)
    with pytest.raises(ValueError, match="nan") as raised:
        result.diagnose()
    # with the frames of the error still there, as in a notebook
    assert raised.tb is not None
    assert torch.is_grad_enabled()
    assert result.marginals.mean() > 0.3
