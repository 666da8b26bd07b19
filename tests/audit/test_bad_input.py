"""What is wrong with f, with an estimator or with a number is said, and stops nothing else."""

import math
from typing import Any

import pytest
import torch
from audit.toys import bits, cubic, row_of
from torch import Generator, Tensor, nn

import hotgrad as hg

THREE = (hg.GumbelSoftmax(0.5), hg.StraightThrough(), hg.DisARM())


def seeded() -> Generator:
    return Generator().manual_seed(1)


def audit(f: Any, q: Any = None, estimators: Any = THREE, **options: Any) -> hg.Audit:
    return hg.audit(
        f, bits() if q is None else q, estimators, replicates=100, generator=seeded(), **options
    )


class Hard:
    """An f of bits that relaxed ones break in some way."""

    def __init__(self, otherwise: str) -> None:
        self.otherwise = otherwise

    def __call__(self, z: Tensor) -> Tensor:
        if not ((z == 0) | (z == 1)).all():
            if self.otherwise == "raises":
                raise IndexError("no such row\nin the table")
            return cubic(z) * math.nan
        return cubic(z)


TABLE = torch.tensor([0.3, -0.5, 1.2, 0.8, 0.1, -1.0, 2.0, 0.4], dtype=torch.float64)


def looked_up(z: Tensor) -> Tensor:
    """The bits are a row number, which has no gradient."""
    rows = (z.detach() > 0.5).long() @ torch.tensor([4, 2, 1])
    return TABLE[rows]


def converted(z: Tensor) -> Tensor:
    """Leaves torch, which refuses where a gradient should follow."""
    return torch.tensor(z.numpy().sum(-1) ** 2)


class TestEstimatorsThatDontWork:
    @pytest.mark.parametrize(
        ("f", "relaxed", "straight"),
        [
            (
                Hard("raises"),
                "f can't take relaxed values: IndexError: no such row",
                None,
            ),
            (Hard("nan"), "f isn't finite at relaxed values: 1 of 1 are inf or NaN", None),
            (looked_up, "f isn't differentiable, or detaches z", "f isn't differentiable"),
            (
                converted,
                "f can't take relaxed values: RuntimeError: Can't call numpy",
                "f can't be differentiated: RuntimeError: Can't call numpy",
            ),
        ],
        ids=["raises", "not finite", "looked up", "converted"],
    )
    def test_each_is_listed_with_the_reason(
        self, f: Any, relaxed: str, straight: str | None
    ) -> None:
        found = audit(f)
        assert relaxed in found.refused["GumbelSoftmax"]
        assert straight is None or straight in found.refused["StraightThrough"]
        assert ("StraightThrough" in found.refused) == (straight is not None)
        assert row_of(found, "DisARM")["bias"] < 0.5
        assert found.best() in THREE[1 if straight is None else 2 :]
        assert "GumbelSoftmax" in str(found).partition("Not measured:")[2]

    def test_a_distribution_without_the_methods_is_a_reason(self) -> None:
        q = hg.KSubset(torch.tensor([0.3, -0.2, 0.5, 0.1]), 2)
        found = audit(lambda z: z[..., 0] * z[..., 1], q, estimators=None)
        assert "hard_and_gapped_sample" in found.refused["GappedStraightThrough"]
        assert found.refused["DisARM"] == "needs antithetic, which KSubset doesn't have"
        assert {row["estimator"] for row in found.rows} >= {"StraightThrough", "Exact"}

    def test_one_temperature_may_fail_where_others_work(self) -> None:
        def picky(z: Tensor) -> Tensor:
            if ((z > 0.01) & (z < 0.99)).all(-1).any():
                raise ValueError("z is soft")
            return cubic(z)

        found = audit(
            picky, hg.Bernoulli(logits=torch.zeros(2)).to_event(1), temperatures=(1e-4, 100.0)
        )
        assert list(found.refused) == ["GumbelSoftmax at temperature 100"]
        assert "z is soft" in found.refused["GumbelSoftmax at temperature 100"]
        assert row_of(found, "GumbelSoftmax")["temperature"] == 1e-4

    def test_exact_beyond_its_budget_is_refused(self) -> None:
        found = audit(cubic, estimators=[hg.Exact(budget=4), hg.DisARM()])
        assert found.refused == {"Exact": "more states than its budget of 4"}

    def test_all_may_be_refused(self) -> None:
        found = audit(looked_up, estimators=[hg.StraightThrough(), hg.ReinMax()])
        assert not found.rows
        assert found.verdict == "No verdict: no estimator could be measured."
        # no table without rows, and a reason that several share is said once
        assert "bias" not in str(found)
        assert str(found).count("differentiates f, but") == 1
        assert "  StraightThrough, ReinMax: differentiates f" in str(found)
        with pytest.raises(ValueError, match="No estimator is best"):
            found.best()
        assert "No verdict" in str(found)

    def test_one_that_takes_the_mean_over_the_batch(self) -> None:
        """Right without a batch, where replicates must not be taken for one."""

        class Mean:
            def surrogate(self, f: Any, q: Any, num_samples: int, generator: Any) -> Tensor:
                return hg.expectation(f, q, hg.DisARM(), num_samples=2, generator=generator).mean()

        found = audit(cubic, estimators=[Mean()])
        assert found.rows[0]["bias_low"] == 0
        assert found.rows[0]["variance"] > 0.1
        found = audit(cubic, bits(3, 5), [Mean()])
        assert found.refused == {
            "Mean": "its surrogate must be a tensor of one value for each batch element, shape "
            "(5,); got ()"
        }

    def test_an_f_whose_gradient_never_reaches_z_is_noted(self) -> None:
        class Masked(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.scale = nn.Parameter(torch.ones(()))

            def forward(self, z: Tensor) -> Tensor:
                return self.scale * looked_up(z)

        row = row_of(audit(Masked()), "StraightThrough")
        assert "exactly zero" in row["note"]
        assert row["bias"] == pytest.approx(1)
        assert row["cosine"] == 0


class TestGradientsThatAreNotFinite:
    @pytest.fixture(scope="class")
    @classmethod
    def found(cls) -> hg.Audit:
        """The slope of a square root is infinite at 0, where all bits are 0."""
        return audit(lambda z: z.sum(-1).sqrt())

    def test_they_are_counted(self, found: hg.Audit) -> None:
        row = row_of(found, "StraightThrough")
        assert 0 < row["non_finite"] < 50
        assert row["note"] == f"{row['non_finite']} of 100 gradients not finite"
        assert f"StraightThrough: {row['note']}" in str(found)

    def test_their_estimator_has_no_figures_and_is_not_best(self, found: hg.Audit) -> None:
        row = row_of(found, "StraightThrough")
        names = ("bias", "variance", "rmse", "cosine", "error_at_budget", "absolute_bias")
        assert all(row[name] is None for name in names)
        assert found.rows[-1] is row
        assert "StraightThrough" not in found.verdict


class TestZeroGradient:
    @pytest.mark.parametrize(
        "f",
        [
            lambda z: 0 * z.sum(-1) + 3.7,
            lambda z: (1 - 2 * z).prod(-1),
        ],
        ids=["constant", "parity"],
    )
    def test_figures_are_absolute(self, f: Any) -> None:
        found = audit(f, hg.Bernoulli(logits=torch.zeros(4)).to_event(1))
        assert found.reference["norm"] == 0
        assert "it is zero" in found.reference["text"]
        for row in found.rows:
            assert row["bias"] is row["cosine"] is row["error_at_budget"] is None
            assert math.isfinite(row["absolute_error_at_budget"])
        assert "since the exact gradient is zero" in " ".join(str(found).split())

    def test_a_single_state_has_none_but_rounding(self) -> None:
        q = hg.KSubset(torch.linspace(-1, 1, 6), 6)
        found = audit(lambda z: (z @ torch.arange(6.0) - 5).abs(), q, [hg.StraightThrough()])
        assert found.reference["norm"] == 0
        assert found.reference["text"] == "summed over all 1 state; it is zero to within rounding"

    def test_the_verdict_is_absolute_too(self) -> None:
        q = hg.Bernoulli(logits=torch.zeros(4)).to_event(1)
        found = audit(lambda z: (1 - 2 * z).prod(-1), q, [hg.DisARM(), hg.ScoreFunction()])
        assert "(the exact gradient is zero)" in found.verdict

    def test_a_small_gradient_is_not_zero(self) -> None:
        """Of a bit that is nearly certain: its gradient is small, and right."""
        q = hg.Bernoulli(logits=torch.tensor(-15.0))
        found = audit(lambda z: 3 * z + 1, q, [hg.StraightThrough()])
        assert found.reference["norm"] == pytest.approx(3 * 3.059e-7, rel=1e-3)
        assert found.rows[0]["cosine"] == pytest.approx(1)


class TestFunction:
    """What is wrong with f at hard samples is the user's to know at once."""

    def test_its_own_error_is_raised(self) -> None:
        def broken(z: Tensor) -> Tensor:
            raise KeyError("weights")

        with pytest.raises(KeyError, match="weights"):
            audit(broken)

    @pytest.mark.parametrize(
        ("f", "message"),
        [
            (lambda z: z, r"one value per sample, shape \(1,\) .*; got \(1, 3\)"),
            (lambda z: z.sum(-1).long(), "floating point"),
            (lambda z: float(z.sum()), "f must return a tensor .* got float"),
            (lambda z: z.sum(-1) * math.nan, "f returned non-finite values"),
            (lambda z: z.sum(-1) + torch.rand(len(z)), "fixed function of each sample"),
            (lambda z: z.sum(-1) / len(z) + 1, "fixed function of each sample"),
        ],
        ids=["shape", "integers", "a number", "not finite", "random", "looks at other samples"],
    )
    def test_what_it_returns_is_checked(self, f: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            audit(f)

    def test_a_state_where_it_is_not_finite_is_found(self) -> None:
        q = hg.Bernoulli(logits=torch.full((12,), -3.0)).to_event(1)
        with pytest.raises(ValueError, match=r"isn't finite at hard values: 1 of 4096"):
            audit(lambda z: 1 / (12 - z.sum(-1)), q)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 0}, "num_samples must be an integer of at least 1"),
        ({"replicates": 19}, "replicates must be an integer of at least 20"),
        ({"evaluations": 1.5}, "evaluations must be an integer"),
        ({"budget": 0}, "budget must be an integer"),
        ({"temperatures": (0.5, 0.0)}, "temperature must be positive"),
        ({"temperatures": 0.5}, "temperatures must be a sequence such as"),
        ({"temperatures": object()}, "temperatures must be a sequence such as"),
        ({"temperatures": [torch.ones(2)]}, "a temperature must be one number, got a tensor"),
        ({"progress": 3}, r"progress must be a function of \(done, total\), got 3"),
        ({"estimators": []}, "estimators is empty"),
        ({"estimators": {}}, "estimators is empty"),
        ({"estimators": "disarm"}, "must be a sequence of estimator objects, or a dict"),
        ({"estimators": hg.DisARM()}, "must be a sequence of estimator objects, or a dict"),
        ({"estimators": [hg.DisARM]}, "must hold estimator objects"),
        ({"estimators": [hg.VIMCO()]}, "must hold estimator objects"),
        ({"q": torch.zeros(3)}, "q must be a distribution"),
        ({"q": torch.distributions.Normal(0.0, 1.0)}, "Normal.*continuous"),
    ],
)
def test_arguments_are_checked(options: dict[str, Any], message: str) -> None:
    q = options.get("q", bits())
    estimators = options.get("estimators", THREE)
    rest = {k: v for k, v in options.items() if k not in ("q", "estimators")}
    with pytest.raises(ValueError, match=message):
        hg.audit(cubic, q, estimators, **rest)


def test_f_must_be_a_function() -> None:
    with pytest.raises(ValueError, match="f must be a function of z, got None"):
        audit(None)


def test_a_distribution_without_params_is_named() -> None:
    class Bare(hg.DiscreteDistribution):
        def sample(self, sample_shape: Any = (), *, generator: Any = None) -> torch.Tensor:
            raise AssertionError

    bare = Bare()
    for q in (bare, hg.Joint(own=bare)):
        with pytest.raises(ValueError, match="q's params, which Bare doesn't tell"):
            hg.audit(cubic, q, THREE)
