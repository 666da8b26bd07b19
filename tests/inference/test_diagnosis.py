"""What a diagnosis says: of fits that are right, off, blind to a mode, or impossible."""

import dataclasses
import json
import math
import sys
import warnings
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

import hotgrad as hg
from hotgrad.inference import Diagnosis, arviz, diagnose, marginals
from hotgrad.inference.arviz import as_inference_data, import_arviz
from hotgrad.inference.diagnosing import diagnose_blocks, effective_samples, pareto_k
from hotgrad.inference.marginals import WeightedMean, Worst

F64 = torch.float64
COUPLING = torch.tensor([[0.0, 0.9, -0.4], [0.0, 0.0, 0.7], [0.0, 0.0, 0.0]], dtype=F64)
FIELD = torch.tensor([0.3, -0.2, 0.1], dtype=F64)


def coupled(z: Tensor) -> Tensor:
    """Three bits that depend on each other."""
    spins = 2 * z - 1
    return ((spins @ COUPLING) * spins).sum(-1) + spins @ FIELD


def bits(*logits: float) -> Any:
    return hg.Bernoulli(logits=torch.tensor(logits, dtype=F64)).to_event(1)


def linear(logits: Tensor) -> Any:
    return lambda z: (z * logits).sum(-1) - 3.0


def found_with(k: float, effective: float, impossible: float = 0.0, gap: float = 0.5) -> Diagnosis:
    """A diagnosis of a thousand samples with these figures."""
    figure = lambda value: torch.tensor(value, dtype=F64)  # noqa: E731
    return Diagnosis(
        num_samples=1000,
        elbos=figure(-1.5 - gap if impossible == 0 else -math.inf),
        elbo_errors=figure(0.1),
        bounds=figure(-1.5),
        pareto_k=figure(k),
        effective_samples=figure(effective),
        impossible=figure(impossible),
        weighted_marginals=figure([0.5]),
        worst=Worst("z", (0,), 0.52, 0.5, 0.05),
        exact=None,
        not_exact="z has more states than that.",
    )


# The weights


@pytest.mark.parametrize("k", [0.2, 0.4, 0.6, 0.9])
def test_pareto_k_of_pareto_weights(k: float) -> None:
    """Quantiles of a Pareto distribution; another shape, the mutant, is told apart."""
    below = (torch.arange(20_000, dtype=F64) + 0.5) / 20_000
    log_weights = torch.stack([-k * torch.log1p(-below), -(k + 0.2) * torch.log1p(-below)], 1)
    order = torch.randperm(20_000, generator=torch.Generator().manual_seed(0))
    right, mutant = pareto_k(log_weights[order] - 700, torch.zeros(2, dtype=F64)).tolist()
    assert right == pytest.approx(k, abs=0.05)
    assert mutant != pytest.approx(k, abs=0.05)


NO_TAIL = {
    "equal": torch.zeros(1000),
    "equal but for impossible ones": torch.zeros(1000).index_fill(0, torch.arange(500), -math.inf),
    "few above a tie": torch.zeros(1000).index_fill(0, torch.arange(3), 14.0),
    "all impossible": torch.full((1000,), -math.inf),
    "equal but for rounding": torch.linspace(0, 1e-6, 1000) - 900,
}


@pytest.mark.parametrize("name", NO_TAIL)
def test_ties_have_no_tail(name: str) -> None:
    log_weights = NO_TAIL[name].to(F64).unsqueeze(-1)
    assert pareto_k(log_weights, torch.tensor([1e-5], dtype=F64)).isnan().all()


def test_rows_are_fitted_one_by_one() -> None:
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([[0.1, 3.0], [1.0, 0.0]], dtype=F64)
    log_weights = torch.randn(1000, 2, 2, generator=generator, dtype=F64) * spread
    k = pareto_k(log_weights, torch.zeros(2, 2, dtype=F64))
    assert float(k[0, 1]) > 0.7 > 0.5 > float(k[0, 0])
    assert k[1, 1].isnan()
    alone = pareto_k(log_weights[:, 1, :1], torch.zeros(1, dtype=F64))
    torch.testing.assert_close(k[1, 0], alone[0])


def test_effective_samples() -> None:
    log_weights = torch.tensor([[0.0, 0.0, -math.inf], [0.0, -2e4, -math.inf]], dtype=F64) - 5e4
    torch.testing.assert_close(
        effective_samples(log_weights), torch.tensor([2.0, 1.0, 0.0], dtype=F64)
    )


def test_thresholds_of_the_paper() -> None:
    few, some, many, very_many = (
        dataclasses.replace(found_with(0.3, 600.0), num_samples=number)
        for number in (100, 1000, 10_000, 100_000)
    )
    assert few.reliable_k == pytest.approx(0.5)
    assert some.reliable_k == pytest.approx(2 / 3)
    assert very_many.reliable_k == 0.7
    assert few.tail_length == 20
    assert many.tail_length == 300


def test_weighted_mean_in_pieces() -> None:
    log_weights = torch.tensor([-9e5, -1e3, 0.0, 1e3, 1e3 + 1, -math.inf], dtype=F64)
    values = torch.arange(6.0, dtype=F64)
    total = WeightedMean(torch.Size(), torch.Size(), torch.device("cpu"))
    for weight, value in zip(log_weights.split(1), values.split(1), strict=True):
        total.add(weight, value)
    torch.testing.assert_close(total.mean, (log_weights.softmax(0) * values).sum())
    torch.testing.assert_close(total.log_total, log_weights.logsumexp(0))


# What they are read as


@pytest.mark.parametrize(
    ("k", "effective", "impossible", "reading", "words"),
    [
        (0.3, 600.0, 0.0, "good", "trust the fit's marginals to about"),
        (-1.0, 600.0, 0.0, "good", "trust the fit's marginals to about"),
        (math.nan, 1000.0, 0.0, "good", "their weights are all alike"),
        (0.3, 600.0, 0.1, "usable", "trust the fit's marginals to about"),
        (0.6, 300.0, 0.0, "usable", "trust the fit's marginals to about"),
        (math.nan, 200.0, 0.8, "usable", "trust the fit's marginals to about"),
        (0.67, 300.0, 0.0, "unreliable", "Don't trust the fit: the weights have a heavy tail"),
        (-1.0, 6.0, 0.0, "unreliable", "Don't trust the fit: few samples carry the weight"),
        (math.nan, 6.0, 0.0, "unreliable", "Don't trust the fit: few samples carry the weight"),
        (1.2, 300.0, 0.0, "hopeless", "as if they had no mean"),
        (math.nan, 0.0, 1.0, "unreliable", "rules out all 1,000 samples"),
    ],
)
def test_readings(k: float, effective: float, impossible: float, reading: str, words: str) -> None:
    found = found_with(k, effective, impossible)
    (row,) = found.rows
    assert row["reading"] == reading
    assert words in found.verdict


@pytest.mark.parametrize(
    ("k", "effective", "gap"),
    [(0.7, 980.0, 0.04), (0.99, 980.0, 0.01), (1.3, 980.0, 0.04), (0.8, 300.0, 0.04)],
)
def test_a_heavy_tail_with_little_of_the_weight_is_no_alarm(
    k: float, effective: float, gap: float
) -> None:
    """Verdict, reading and figures say the same, whatever k-hat is of the little that is left."""
    found = found_with(k, effective, gap=gap)
    assert found.rows[0]["reading"] == "usable"
    text = " ".join(str(found).split())
    assert "trust the fit's marginals to about 0.05" in text
    assert f"k-hat {k:.2f}, 1,000 samples are worth {effective:.0f}" in text
    assert f"the ELBO is {gap:.4f} nats below their bound" in text
    assert f"Pareto k-hat {k:.2f}, heavy, but with little of the weight" in text
    for alarm in ("Don't trust", "few samples", "no mean", "without a mean"):
        assert alarm not in text
    # where the rest of the weight isn't alike, it is one
    assert found_with(k, 300.0, gap=0.5).verdict.startswith("Don't trust")


def test_weights_of_few_values_have_a_tail_that_means_nothing() -> None:
    """Of bits that are a little off; k-hat tells of a step between two sizes of weights."""
    generator = torch.Generator().manual_seed(121)
    wide: Any = {"dtype": torch.float64, "generator": generator}
    logits = torch.randn(12, **wide) * 2
    off = torch.randn(12, **wide) / 4
    off *= torch.rand(12, **wide) < 0.3
    q, posterior = (hg.Bernoulli(logits=x).to_event(1) for x in (logits, logits + off))
    found = diagnose(q, posterior.log_prob, budget=1, generator=generator)
    assert float(found.effective_samples) == pytest.approx(988, abs=1)
    assert float(found.pareto_k) > 4
    assert found.rows[0]["reading"] == "usable"
    assert found.verdict.startswith("As far as its samples see, trust the fit's marginals to about")
    # and that is so
    said = float(found.verdict.split("about ")[1].split(":")[0])
    assert (q.mean - posterior.mean).abs().max() < said < 0.05


def test_few_samples_carry_the_weight_only_where_few_do() -> None:
    for k, effective in [(0.7, 980.0), (0.9, 300.0), (1.3, 300.0), (math.nan, 200.0)]:
        assert "few samples" not in str(found_with(k, effective))
    assert "few samples carry the weight" in found_with(0.9, 40.0).verdict


def test_right_fit_is_trusted(generator: Generator) -> None:
    logits = torch.tensor([0.4, -1.0, 2.0])
    q = hg.Bernoulli(logits=logits).to_event(1)
    by_weights = diagnose(q, linear(logits), budget=1, generator=generator)
    assert by_weights.pareto_k.isnan()
    assert float(by_weights.effective_samples) == pytest.approx(1000)
    assert by_weights.verdict.startswith("As far as its samples see, the fit is right")
    by_sum = diagnose(q, linear(logits), generator=generator)
    assert by_sum.exact is not None
    assert float(by_sum.exact.kl) < 1e-5
    assert by_sum.verdict.startswith("Trust the marginals to ")


def test_weights_move_marginals_to_the_exact_ones(generator: Generator) -> None:
    """Six standard errors at most off, while q's own, the mutant, are further."""
    found = diagnose(bits(0.0, 0.0, 0.0), coupled, num_samples=20_000, generator=generator)
    assert found.exact is not None
    limit = 6 * 0.5 / math.sqrt(float(found.effective_samples))
    off = (found.weighted_marginals - found.exact.marginals).abs().max()
    assert float(off) < limit < found.exact.worst.difference
    assert found.worst.place == found.exact.worst.place
    # the standard error of weights, which are bounded here
    assert found.bound == pytest.approx(float(found.exact.log_evidence), abs=limit * 2)
    assert abs(float(found.elbos - found.exact.elbo)) < 6 * float(found.elbo_errors)
    assert found.elbo == float(found.exact.elbo)


def test_fit_that_is_off_is_not_trusted(generator: Generator) -> None:
    off = bits(-1.0, 1.0, 0.0)
    by_sum = diagnose(off, coupled, generator=generator)
    assert by_sum.exact is not None
    assert by_sum.verdict.startswith("Don't trust the marginals: the fit has 0.269 for z[0]")
    by_weights = diagnose(off, coupled, num_samples=10_000, budget=7, generator=generator)
    assert by_weights.exact is None
    assert by_weights.verdict.startswith("Don't trust")
    far = diagnose(bits(*[6.0] * 3), lambda z: -20 * z.sum(-1), budget=1, generator=generator)
    assert far.verdict.startswith("Don't trust the fit: few samples carry the weight")


def test_mode_that_is_never_visited_is_seen_by_the_sum_alone(generator: Generator) -> None:
    both_or_none = lambda z: 40 * (z[..., 0] - z[..., 1]).square() * -1.0  # noqa: E731
    one_mode = bits(20.0, 20.0)
    blind = diagnose(one_mode, both_or_none, budget=1, generator=generator)
    assert blind.verdict.startswith("As far as its samples see, the fit is right")
    assert "a mode that the fit never visits" in " ".join(str(blind).split())
    seeing = diagnose(one_mode, both_or_none, generator=generator)
    assert seeing.exact is not None
    assert float(seeing.exact.kl) == pytest.approx(math.log(2), abs=1e-6)
    assert seeing.verdict.startswith("Don't trust the marginals: the fit has 1 for z[0]")


def test_right_marginals_of_unknowns_that_depend_on_each_other(generator: Generator) -> None:
    both_or_none = lambda z: -3 * (z[..., 0] - z[..., 1]).square()  # noqa: E731
    found = diagnose(bits(0.0, 0.0), both_or_none, generator=generator)
    assert "what several unknowns do together may be off by" in found.verdict


def test_impossible_samples(generator: Generator) -> None:
    def log_joint(z: Tensor) -> Tensor:
        return torch.where(z[..., 0] > 0, -torch.inf, z[..., 1])

    found = diagnose(bits(0.0, 1.0), log_joint, budget=1, generator=generator)
    assert 0.3 < float(found.impossible) < 0.7
    assert found.rows[0]["reading"] == "usable"
    assert found.rows[0]["elbo"] is None
    assert "impossible samples" in str(found)
    none = diagnose(bits(40.0, 1.0), log_joint, budget=1, generator=generator)
    assert "rules out all 1,000 samples" in str(none)
    assert none.bound == -math.inf


# Batches, pieces, records


def test_rows_of_a_batch(generator: Generator) -> None:
    logits = torch.tensor([[0.5, -0.5], [0.5, 7.0], [0.5, -0.5]], dtype=F64)
    q = hg.Bernoulli(logits=logits).to_event(1)
    log_joint = linear(torch.tensor([0.5, -0.5], dtype=F64))
    found = diagnose(q, log_joint, budget=1, generator=generator)
    assert [row["reading"] == "good" for row in found.rows] == [True, False, True]
    assert [row["row"] for row in found.rows] == [[0], [1], [2]]
    assert found.verdict.startswith("Don't trust 1 of 3 rows; row 1 is worst: ")
    assert found.elbo == pytest.approx(float(found.elbos.sum()))
    by_sum = diagnose(q, log_joint, generator=generator)
    assert by_sum.exact is not None
    assert by_sum.exact.worst.index == (1, 1)
    assert "in row 1" in str(by_sum)


def test_pieces_are_the_whole(generator: Generator) -> None:
    slopes = torch.linspace(-1, 1, 24, dtype=F64).reshape(6, 4)
    log_joint = linear(torch.tensor([0.5, -0.5, 0.1, 2.0], dtype=F64))
    named = lambda rows: hg.Joint(a=hg.OneHotCategorical(logits=slopes[rows]))  # noqa: E731
    by_name = lambda z: log_joint(z["a"])  # noqa: E731
    whole = diagnose(named(slice(None)), by_name, generator=generator)
    blocks = [(named(slice(i, i + 2)), by_name) for i in (0, 2, 4)]
    pieces = diagnose_blocks(iter(blocks), generator=generator)
    assert whole.exact is not None
    assert pieces.exact is not None
    for what in ("log_evidence", "kl", "entropy"):
        torch.testing.assert_close(getattr(pieces.exact, what), getattr(whole.exact, what))
    torch.testing.assert_close(pieces.exact.marginals, whole.exact.marginals)
    assert pieces.exact.worst == whole.exact.worst
    assert pieces.elbos.shape == whole.elbos.shape == (6,)
    assert pieces.weighted_marginals["a"].shape == (6, 4)
    assert [row["row"] for row in pieces.rows] == [[i] for i in range(6)]
    # the worst of the samples' view keeps its row, too
    worst = pieces.worst
    assert float(pieces.weighted_marginals["a"][worst.index]) == worst.reference


def test_same_seed_same_figures() -> None:
    draw = lambda: diagnose(  # noqa: E731
        bits(0.1, 0.2, 0.3), coupled, generator=torch.Generator().manual_seed(3)
    )
    assert draw().to_dict() == draw().to_dict()


def test_pieces_of_samples_are_small(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marginals, "MAX_ELEMENTS", 300)
    sizes: list[int] = []

    def log_joint(z: Tensor) -> Tensor:
        sizes.append(z.numel())
        return z.sum(-1)

    found = diagnose(
        hg.Bernoulli(logits=torch.zeros(100)).to_event(1),
        log_joint,
        num_samples=50,
        generator=generator,
    )
    assert max(sizes) == 300
    assert sum(sizes) == 50 * 100
    assert found.exact is None


@pytest.mark.parametrize("budget", [1, 100])
def test_record_is_json(budget: int, generator: Generator) -> None:
    q = hg.Bernoulli(logits=torch.zeros(2, 3)).to_event(1)
    found = diagnose(
        q,
        lambda z: torch.where(z[..., 0] > 0, -torch.inf, z[..., 1]),
        budget=budget,
        generator=generator,
    )
    record = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert record["verdict"] == found.verdict
    assert len(record["rows"]) == 2
    assert record["rows"][0]["elbo"] is None
    assert (record["exact"] is None) == (budget == 1)
    assert bool(record["not_exact"]) == (budget == 1)


def test_text_fits_a_terminal(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = str(diagnose(bits(0.0, 1.0, -1.0), coupled, generator=generator))
    assert text.startswith("Don't trust the marginals")
    assert max(map(len, text.splitlines())) <= 60
    for name in ("log evidence", "ELBO", "KL(q || p)", "worst marginal", "Pareto k-hat"):
        assert f"\n{name} " in text


def test_scalar_unknown_and_low_precision(generator: Generator) -> None:
    q = hg.Bernoulli(logits=torch.tensor(0.5, dtype=torch.bfloat16))
    found = diagnose(q, lambda z: 0.5 * z, generator=generator)
    assert found.worst.place == "z"
    assert found.exact is not None
    assert found.exact.marginals.dtype == torch.bfloat16


# Bad input, and ArviZ


@pytest.mark.parametrize("num_samples", [0, 24, 100.0, True])
def test_too_few_samples(num_samples: Any) -> None:
    with pytest.raises(ValueError, match="num_samples must be an integer of at least 25, got"):
        diagnose(bits(0.0), lambda z: z.sum(-1), num_samples=num_samples)


def test_first_bad_sample_is_named(generator: Generator) -> None:
    log_joint = lambda z: torch.where(z.sum(-1) > 1, torch.nan, 0.0)  # noqa: E731
    with pytest.raises(ValueError, match=r"neither finite nor -inf: \d+ of 1000, the first nan at"):
        diagnose(bits(0.0, 0.0), log_joint, generator=generator)


def test_arviz_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(ModuleNotFoundError, match=r'needs arviz: pip install "hotgrad\[infer\]"'):
        diagnose(bits(0.0, 1.0), lambda z: z.sum(-1).square())


def test_two_processes_may_import_arviz_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [FileNotFoundError("daily_warning.tmp"), "arviz"]

    def once() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(arviz, "_import", once)
    assert import_arviz() == "arviz"


def test_samples_in_arviz(generator: Generator) -> None:
    q = hg.Joint(
        kept=hg.Bernoulli(logits=torch.zeros(3)).to_event(1),
        kind=hg.OneHotCategorical(logits=torch.zeros(4, dtype=torch.float32)),
    )
    z = q.sample((50,), generator=generator)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = as_inference_data(z)
        summary = import_arviz().summary(data, var_names=["kept"], kind="stats")
    assert data.posterior["kind"].shape == (1, 50, 4)
    assert summary["mean"].tolist() == pytest.approx(z["kept"].mean(0).tolist(), abs=1e-3)
    assert as_inference_data(z["kept"]).posterior["z"].shape == (1, 50, 3)
