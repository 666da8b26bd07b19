"""What an audit promises whatever it measures: bounded memory, seeds, nothing else changed."""

import copy
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from audit.toys import bits, cubic, figures, quick_audits, row_of
from torch import Generator, Tensor, nn

import hotgrad as hg
from hotgrad.audit import measurement, objective, reference
from hotgrad.audit.objective import MAX_ELEMENTS, MAX_ROWS, Objective
from hotgrad.audit.problems import noisy_or
from hotgrad.audit.reference import long_run, sum_over_states

SOME = (hg.GumbelSoftmax(0.5), hg.DisARM(), hg.ScoreFunction())


def seeded(seed: int = 3) -> Generator:
    return Generator().manual_seed(seed)


def quietly(done: int, total: int, note: str = "", /) -> None:
    """Nobody wants to know how far it is."""


class Counting:
    """An f that remembers how much it was asked at once."""

    def __init__(self) -> None:
        self.elements = self.rows = 0

    def __call__(self, z: Tensor) -> Tensor:
        values = cubic(z)
        self.elements = max(self.elements, z.numel())
        self.rows = max(self.rows, values.numel())
        return values


class TestReplicates:
    def test_memory_does_not_grow_with_them(self) -> None:
        counts = []
        for count in (20_000, 60_000):
            f = Counting()
            hg.audit(f, bits(4), [hg.ScoreFunction()], replicates=count, generator=seeded())
            counts.append((f.elements, f.rows))
        assert counts[0] == counts[1]
        assert counts[0][0] <= MAX_ELEMENTS
        assert counts[0][1] <= MAX_ROWS

    def test_states_are_summed_over_in_blocks(self) -> None:
        f = Counting()
        found = hg.audit(f, bits(14), [hg.ScoreFunction()], replicates=20, generator=seeded())
        assert found.reference["states"] == 2**14
        assert f.rows <= MAX_ROWS

    def test_a_large_event_takes_fewer_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(objective, "MAX_ELEMENTS", 2**9)
        monkeypatch.setattr(reference, "MAX_ELEMENTS", 2**9)
        f = Counting()
        hg.audit(f, bits(12), [hg.StraightThrough()], replicates=100, generator=seeded())
        assert 2**8 < f.elements <= 2**9

    def test_calls_that_do_not_fit_are_left_out_unless_they_are_asked_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(measurement, "MAX_ELEMENTS", 25)
        every = hg.audit(cubic, bits(5), replicates=20, evaluations=5, generator=seeded())
        assert "takes 6 evaluations of f a call" in every.refused["IndeCateR"]
        asked = hg.audit(
            cubic, bits(5), [hg.IndeCateR()], replicates=20, evaluations=5, generator=seeded()
        )
        assert not asked.refused

    def test_f_sees_its_own_batch_shape(self) -> None:
        weight = torch.ones(2, 3, 1, dtype=torch.float64)
        seen = set()

        def f(z: Tensor) -> Tensor:
            seen.add(z.shape[1:])
            return (z * weight).sum(-1).square()

        found = hg.audit(f, bits(4, 2, 3), replicates=20, generator=seeded())
        assert seen == {(2, 3, 4)}
        assert set(found.refused) == {"RelaxedTopK"}

    def test_a_network_that_takes_no_more_batch_dimensions_goes_one_by_one(self) -> None:
        module = nn.Sequential(nn.Flatten(1), nn.Linear(4, 1)).to(torch.float64)
        learned = hg.ScoreFunction(hg.Learned(module))
        found = hg.audit(cubic, bits(4, 5), [learned], replicates=40, generator=seeded())
        assert math.isfinite(row_of(found, "ScoreFunction(Learned)")["error_at_budget"])

    def test_count_is_rounded_up_to_whole_groups(self) -> None:
        found = hg.audit(cubic, bits(), SOME, replicates=101, generator=seeded())
        assert found.replicates == 120
        assert {row["replicates"] for row in found.rows} == {120}


class TestSeeds:
    def test_same_seed_same_figures_and_torchs_own_generator_is_left_alone(self) -> None:
        before = torch.random.get_rng_state()
        first, second = (
            hg.audit(cubic, bits(), replicates=40, generator=seeded()) for _ in range(2)
        )
        assert figures(first) == figures(second)
        assert first.verdict == second.verdict
        assert torch.equal(torch.random.get_rng_state(), before)

    def test_other_seed_other_figures(self) -> None:
        first, second = (
            hg.audit(cubic, bits(), SOME, replicates=40, generator=seeded(seed)) for seed in (1, 2)
        )
        assert figures(first) != figures(second)

    def test_without_a_generator_it_is_torchs_own(self) -> None:
        found = []
        for _ in range(2):
            with torch.random.fork_rng():
                torch.manual_seed(5)
                found.append(figures(hg.audit(cubic, bits(), SOME, replicates=40)))
        assert found[0] == found[1]

    def test_what_else_is_measured_changes_nothing(self) -> None:
        every = hg.audit(cubic, bits(), SOME, replicates=40, generator=seeded())
        one = hg.audit(cubic, bits(), SOME[1:2], replicates=40, generator=seeded())
        rows = {row["estimator"]: row for row in figures(every)}
        assert figures(one) == [rows["DisARM"]]


class TestNothingElseChanges:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.linspace(-1, 1, 3, dtype=torch.float64))

        def forward(self, z: Tensor) -> Tensor:
            return (z @ self.weight - 0.3).square()

    def test_parameters_of_f_get_no_gradient(self) -> None:
        f = self.Network()
        state = copy.deepcopy(f.state_dict())
        hg.audit(f, bits(), replicates=40, generator=seeded())
        assert f.weight.grad is None
        assert torch.equal(f.weight, state["weight"])

    def test_logits_get_no_gradient(self) -> None:
        logits = torch.zeros(3, requires_grad=True)
        f = self.Network().float()
        hg.audit(f, hg.Bernoulli(logits=logits).to_event(1), SOME, generator=seeded())
        assert logits.grad is None

    def test_the_estimators_given_stay_as_they_are(self) -> None:
        rebar = hg.REBAR()
        state = copy.deepcopy(rebar.state_dict())
        found = hg.audit(cubic, bits(), [rebar], replicates=40, generator=seeded())
        best = found.best()
        assert best is not rebar
        assert all(torch.equal(rebar.state_dict()[name], value) for name, value in state.items())
        assert not torch.equal(best.scale, rebar.scale)

    def test_it_runs_where_gradients_are_switched_off(self) -> None:
        with torch.no_grad():
            off = hg.audit(cubic, bits(), SOME, replicates=40, generator=seeded())
        with torch.inference_mode():
            inferring = hg.audit(cubic, bits(), SOME, replicates=40, generator=seeded())
        on = hg.audit(cubic, bits(), SOME, replicates=40, generator=seeded())
        assert figures(off) == figures(on) == figures(inferring)


class TestLearning:
    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _long(cls) -> Iterator[None]:
        with quick_audits(learning_steps=150):
            yield

    def test_best_goes_on_learning_with_gradients_cleared(self) -> None:
        with quick_audits():
            found = hg.audit(cubic, bits(), [hg.REBAR()], replicates=40, generator=seeded())
        best, q = found.best(), bits()
        assert best.training
        assert all(parameter.grad is None for parameter in best.parameters())
        logits = q.logits.detach().clone().requires_grad_()
        q = q.with_params({"logits": logits})
        hg.expectation(cubic, q, best, generator=seeded()).backward()
        assert logits.grad is not None
        assert best.scale.grad is not None
        assert "learnt for" in found.rows[0]["note"]

    def test_learning_lowers_the_variance(self) -> None:
        """Against the same estimator with its parameters frozen."""
        frozen = hg.REBAR(temperature=3.0, scale=0.0).requires_grad_(False)
        frozen.requires_grad_(False)
        estimators = {"learns": hg.REBAR(temperature=3.0, scale=0.0), "frozen": frozen}
        found = hg.audit(cubic, bits(), estimators, generator=seeded())
        assert row_of(found, "learns")["variance"] < 0.8 * row_of(found, "frozen")["variance"]

    def test_a_moving_average_has_seen_f_before_it_is_measured(self) -> None:
        def shifted(z: Tensor) -> Tensor:
            return cubic(z) + 100

        estimators = [hg.ScoreFunction(hg.MovingAverage()), hg.ScoreFunction(hg.NoBaseline())]
        found = hg.audit(shifted, bits(), estimators, generator=seeded())
        learnt, plain = (
            row_of(found, f"ScoreFunction({name})") for name in ("MovingAverage", "NoBaseline")
        )
        assert learnt["variance"] < 0.1 * plain["variance"]
        assert "learnt for" in learnt["note"]


class TestLongRun:
    """Where the states are too many for the budget."""

    def test_it_agrees_with_the_sum_to_its_own_error(self) -> None:
        problem = noisy_or(causes=8)
        summed, run = (
            hg.audit(
                problem.f, problem.q, SOME[:1], replicates=200, budget=budget, generator=seeded()
            )
            for budget in (2**8, 2**8 - 1)
        )
        assert (summed.reference["method"], run.reference["method"]) == ("enumeration", "run")
        assert summed.reference["relative_error"] == 0
        error = run.reference["error"]
        assert 0 < run.reference["relative_error"] < 0.01
        assert abs(run.reference["norm"] - summed.reference["norm"]) < 5 * error
        first, second = summed.rows[0], run.rows[0]
        assert second["bias"] == pytest.approx(first["bias"], abs=0.03)
        assert "standard error" in str(run)

    def test_its_error_is_the_one_that_is_stated(self, generator: Generator) -> None:
        problem = noisy_or(causes=5)
        exact = sum_over_states(Objective(problem.f, problem.q), 2**5, quietly)
        assert exact is not None
        squares, stated = 0.0, 0.0
        for _ in range(20):
            run = long_run(Objective(problem.f, problem.q, generator), 100, 1, quietly)
            assert run is not None
            squares += float((run.gradient - exact.gradient).square().sum())
            stated += run.square_error
        # of 20 runs and 5 coordinates, none of which has all of the variance
        assert 0.3 < squares / stated < 3

    def test_an_estimator_under_audit_is_not_the_measure(self) -> None:
        """One that claims to be unbiased, and to have no variance."""

        class Liar(hg.StraightThrough):
            unbiased = True

            def surrogate(self, f: Any, q: Any, num_samples: int, generator: Any) -> Tensor:
                return 0 * q.logits.sum(-1) + 0 * f(q.sample((num_samples,))).mean(0)

        problem = noisy_or(causes=8)
        found = hg.audit(
            problem.f, problem.q, [Liar()], replicates=100, budget=10, generator=seeded()
        )
        (row,) = found.rows
        assert row["bias"] == pytest.approx(1, abs=0.02)
        assert "exactly zero" in row["note"]
        assert found.reference["estimator"] != "Liar"

    def test_without_an_unbiased_estimator_there_is_no_audit(self) -> None:
        class Unscored(hg.KSubset):
            log_prob = torch.distributions.Distribution.log_prob

        q = Unscored(torch.zeros(6), 3)
        with pytest.raises(
            ValueError,
            match=r"budget of 10 states.* Unscored .*Raise the budget",
        ):
            hg.audit(lambda z: z[..., 0], q, [hg.StraightThrough()], budget=10)

    def test_zero_that_can_not_be_told_from_noise_is_called_so(self) -> None:
        q = hg.Bernoulli(logits=torch.zeros(8)).to_event(1)

        def parity(z: Tensor) -> Tensor:
            return (1 - 2 * z).prod(-1)

        found = hg.audit(parity, q, [hg.ScoreFunction()], budget=10, generator=seeded())
        assert "can't be told from zero" in found.reference["text"]
        assert found.rows[0]["bias"] is None

    def test_what_only_can_not_be_told_from_zero_is_not_called_zero(self) -> None:
        generator = torch.Generator().manual_seed(12)
        weights = torch.randn(20, 50, generator=generator, dtype=torch.float64)
        q = hg.OneHotCategorical(logits=torch.zeros(20, 50, dtype=torch.float64)).to_event(1)
        found = hg.audit(
            lambda z: (z * weights).sum((-1, -2)).tanh(),
            q,
            [hg.StraightThrough(), hg.ScoreFunction()],
            replicates=50,
            generator=generator,
        )
        known = "the exact gradient can't be told from zero"
        doubt = re.search(rf"\({known}, norm (\S+), standard error (\S+): more", found.verdict)
        assert doubt is not None
        # of all coordinates together, 0.11 by a run that is a hundred times as long
        assert float(doubt[2]) / 2 < float(doubt[1]) < 0.3
        assert float(doubt[2]) == pytest.approx(found.reference["error"], rel=0.05)
        said = " ".join(str(found).split())
        assert f"absolute, and there is no cosine, since {known}." in said
        assert "zero to" not in said
        assert "is zero" not in said


def test_progress_rises_to_its_end() -> None:
    seen: list[tuple[int, int]] = []
    hg.audit(
        cubic,
        bits(),
        [*SOME, hg.REBAR()],
        replicates=40,
        generator=seeded(),
        progress=lambda done, total: seen.append((done, total)),
    )
    done = [step for step, _ in seen]
    assert done == sorted(done)
    assert len({total for _, total in seen}) == 1
    assert seen[0][0] == 0
    assert seen[-1][0] == seen[-1][1]


def test_distributions_of_torch_are_taken_as_they_are() -> None:
    theirs = torch.distributions.Independent(
        torch.distributions.Bernoulli(logits=bits().logits, validate_args=False), 1
    )
    first, second = (
        hg.audit(cubic, q, SOME, replicates=40, generator=seeded()) for q in (bits(), theirs)
    )
    assert figures(first) == figures(second)


def test_a_joint_of_one_distribution_is_that_distribution() -> None:
    q = bits()
    alone = hg.audit(cubic, q, SOME, replicates=40, generator=seeded())
    named = hg.audit(
        lambda z: cubic(z["bits"]), hg.Joint(bits=q), SOME, replicates=40, generator=seeded()
    )
    assert figures(named) == figures(alone)
    assert named.reference["norm"] == alone.reference["norm"]
    assert named.verdict == alone.verdict


def test_unknowns_of_a_joint_have_their_names_and_shapes() -> None:
    q = hg.Joint(
        bits=bits(3, 2), kind=hg.OneHotCategorical(logits=torch.zeros(2, 4, dtype=torch.float64))
    )
    seen = set()

    def f(z: dict[str, Tensor]) -> Tensor:
        seen.add((z["bits"].shape[1:], z["kind"].shape[1:]))
        return cubic(z["bits"]) * (1 + z["kind"][..., 0])

    found = hg.audit(f, q, SOME, replicates=20, generator=seeded())
    assert seen == {((2, 3), (2, 4))}
    assert found.reference["states"] == 2**3 * 4
    assert found.refused.keys() == {"DisARM"}
    assert "OneHotCategorical ('kind')" in found.refused["DisARM"]


def test_an_estimator_of_a_users_own_needs_no_more_than_a_surrogate() -> None:
    class Own:
        def surrogate(self, f: Any, q: Any, num_samples: int, generator: Any) -> Tensor:
            return hg.ScoreFunction().surrogate(f, q, max(num_samples, 2), generator)

    found = hg.audit(cubic, bits(), [Own()], replicates=40, generator=seeded())
    (row,) = found.rows
    assert row["estimator"] == "Own"
    assert not row["unbiased"]
    assert row["evaluations"] == 1


def test_a_distribution_of_a_users_own_needs_no_mode() -> None:
    class Own(hg.OneHotCategorical):
        mode = None  # type: ignore[assignment]

    q = Own(logits=torch.tensor([0.5, -torch.inf, 0.0]))
    found = hg.audit(
        lambda z: 1 / (1 - z[..., 1]) + z[..., 0],  # undefined at the masked category
        q,
        [hg.ScoreFunction()],
        replicates=40,
        generator=seeded(),
    )
    assert found.reference["states"] == 3
    assert found.reference["norm"] == pytest.approx(2**0.5 * 0.5 / (2 + 2 * math.cosh(0.5)) * 2)
