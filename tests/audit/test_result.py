"""What an audit hands over: rows, a table, a file, a frame, and an estimator to train with."""

import json
import math
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from audit.toys import bits, cubic, row_of
from torch import Generator

import hotgrad as hg
from hotgrad.audit.table import as_text, percent, significant


def linear(z: torch.Tensor) -> torch.Tensor:
    return z.sum(-1)


ESTIMATORS = (
    hg.GumbelSoftmax(),
    hg.StraightThrough(),
    hg.DisARM(),
    hg.REBAR(),
    hg.IndeCateR(),
    hg.RelaxedTopK(),
)


@pytest.fixture(scope="module")
def found() -> hg.Audit:
    return hg.audit(
        cubic,
        bits(5),
        ESTIMATORS,
        temperatures=(0.3, 1.0, 3.0),
        evaluations=4,
        generator=Generator().manual_seed(0),
    )


class TestRows:
    def test_one_for_each_estimator_and_temperature(self, found: hg.Audit) -> None:
        pairs = [(row["estimator"], row["temperature"]) for row in found.rows]
        soft = {("GumbelSoftmax", t) for t in (0.3, 1.0, 3.0)}
        others = {(name, None) for name in ("StraightThrough", "DisARM", "REBAR", "IndeCateR")}
        assert set(pairs) == soft | others
        assert len(pairs) == len(set(pairs))
        assert set(found.refused) == {"RelaxedTopK"}

    def test_the_least_error_comes_first_and_the_unpayable_last(self, found: hg.Audit) -> None:
        errors = [row["error_at_budget"] for row in found.rows]
        assert errors[-1] is None
        assert errors[:-1] == sorted(errors[:-1])
        assert found.rows[-1]["estimator"] == "IndeCateR"

    def test_samples_are_as_many_as_each_takes(self, found: hg.Audit) -> None:
        assert row_of(found, "DisARM")["num_samples"] == 2
        assert row_of(found, "StraightThrough")["num_samples"] == 1

    def test_facts_are_the_estimators_own(self, found: hg.Audit) -> None:
        facts = ("unbiased", "relaxes_f", "differentiates_f")
        assert [row_of(found, "REBAR")[fact] for fact in facts] == [True, True, True]
        assert [row_of(found, "DisARM")[fact] for fact in facts] == [True, False, False]

    def test_intervals_hold_the_estimate_and_times_are_positive(self, found: hg.Audit) -> None:
        for row in found.rows:
            assert row["bias_low"] <= row["bias"] <= row["bias_high"]
            assert row["milliseconds"] > 0

    def test_same_estimators_are_told_apart(self) -> None:
        estimators = [hg.IMLE(), hg.IMLE(step=3.0), hg.IMLE(step=3.0), hg.GumbelSoftmax(0.5)]
        estimators += [hg.GumbelSoftmax(1.0)]
        found = hg.audit(cubic, bits(), estimators, replicates=20, generator=Generator())
        names = sorted((row["estimator"], row["temperature"]) for row in found.rows)
        assert names == [
            ("GumbelSoftmax", 0.5),
            ("GumbelSoftmax", 1.0),
            ("IMLE", None),
            ("IMLE(step=3.0)", None),
            ("IMLE(step=3.0) #2", None),
        ]

    def test_other_settings_are_another_name_at_every_temperature(self) -> None:
        estimators = [hg.GumbelRao(0.1, num_inner=2), hg.GumbelRao(0.5)]
        found = hg.audit(cubic, bits(), estimators, replicates=20, generator=Generator())
        names = {(row["estimator"], row["temperature"]) for row in found.rows}
        assert names == {("GumbelRao(num_inner=2)", 0.1), ("GumbelRao", 0.5)}

    def test_each_temperature_is_measured_once(self) -> None:
        found = hg.audit(
            cubic,
            bits(),
            [hg.GumbelSoftmax(0.5), hg.GumbelSoftmax(1.0)],
            temperatures=torch.tensor([2.0, 4.0, 2.0]),
            replicates=20,
            generator=Generator(),
        )
        assert sorted(row["temperature"] for row in found.rows) == [2.0, 4.0]

    def test_every_estimator_is_measured_or_refused_by_default(self) -> None:
        q = hg.OneHotCategorical(logits=torch.tensor([0.2, -0.4, 0.1]))
        found = hg.audit(
            lambda z: (z @ torch.tensor([1.0, 2.0, 4.0]) - 1).square(),
            q,
            replicates=20,
            generator=Generator(),
        )
        named = {row["estimator"].partition("(")[0] for row in found.rows} | set(found.refused)
        assert named == {cls.__name__ for cls in hg.estimators.ESTIMATORS.values()}
        temperatures = {row["temperature"] for row in found.rows}
        assert temperatures == {None, 0.1, 0.3, 1.0, 3.0}


class TestVerdict:
    def test_it_names_the_first_row_and_best_is_that_estimator(self, found: hg.Audit) -> None:
        first = found.rows[0]
        best = found.best()
        assert found.verdict.startswith("For 4 evaluations of f a step, ")
        assert first["estimator"] in found.verdict
        assert type(best).__name__ == first["estimator"]
        assert found.verdict.count(". ") == 0

    def test_the_next_one_is_of_another_name(self) -> None:
        found = hg.audit(
            lambda z: z.sum(-1).square(),
            bits(5),
            [hg.GumbelSoftmax(), hg.ScoreFunction(hg.NoBaseline())],
            temperatures=(0.5, 0.6, 1.0),
            generator=Generator(),
        )
        assert [row["estimator"] for row in found.rows[:2]] == ["GumbelSoftmax"] * 2
        ratio = re.search(r"([\d.]+) times less than ScoreFunction\(NoBaseline\)", found.verdict)
        assert ratio is not None
        expected = found.rows[-1]["error_at_budget"] / found.rows[0]["error_at_budget"]
        assert float(ratio[1]) == pytest.approx(expected, rel=5e-3)
        assert "larger than the noise" in found.verdict

    def test_few_states_are_summed_over(self) -> None:
        found = hg.audit(
            cubic, bits(3), [hg.Exact(), hg.DisARM()], replicates=20, generator=Generator()
        )
        assert found.verdict.startswith(
            "For 12 evaluations of f a step, Exact is exact, z having 8 states; next is DisARM"
        )
        assert found.best() == hg.Exact()
        row = row_of(found, "Exact")
        assert (row["bias"], row["variance"], row["cosine"]) == (0, 0, 1)
        assert row["evaluations"] == row["num_samples"] == 8

    def test_a_single_estimator_has_no_rival(self) -> None:
        found = hg.audit(cubic, bits(3), [hg.DisARM()], replicates=20, generator=Generator())
        assert "nothing else was measured" in found.verdict

    def test_what_comes_to_the_same_errs_no_more(self) -> None:
        """The slope of f is the same at 0 and 1, but isn't the difference: bias without noise."""

        def f(z: torch.Tensor) -> torch.Tensor:
            return (z + 0.1 * (2 * math.pi * z).sin()).sum(-1)

        pair = {"one": hg.StraightThrough(), "other": hg.StraightThrough()}
        found = hg.audit(f, bits(), pair, replicates=20, generator=Generator())
        assert found.verdict.endswith(" % of the gradient; other errs no more.")
        found = hg.audit(linear, bits(), pair, replicates=20, generator=Generator())
        assert found.verdict.endswith("one has no error but rounding; other errs no more.")
        pair = {"all": hg.Exact(), "straight": hg.StraightThrough()}
        found = hg.audit(linear, bits(1), pair, replicates=20, generator=Generator())
        assert "; next" not in found.verdict
        assert found.verdict.endswith(" errs no more.")

    def test_none_can_be_paid(self) -> None:
        found = hg.audit(
            cubic, bits(3), [hg.REBAR()], evaluations=2, replicates=20, generator=Generator()
        )
        assert found.verdict.startswith("No verdict")
        assert found.rows[0]["error_at_budget"] is None
        assert "–" in str(found)


class TestText:
    def test_it_fits_a_terminal_and_says_all(self, found: hg.Audit) -> None:
        text = str(found)
        assert max(map(len, text.splitlines())) <= 100
        words = " ".join(text.split())
        assert " ".join(found.verdict.split()) in words
        assert "RelaxedTopK: needs relaxed_top_k_sample, which Bernoulli doesn't have" in words
        assert "summed over all 32 states" in words
        assert "REBAR: learnt for 20 calls first" in words
        assert repr(found) == text

    def test_one_line_for_each_estimator_at_its_best_temperature(self, found: hg.Audit) -> None:
        lines = [line for line in str(found).splitlines() if line.startswith("GumbelSoftmax")]
        (line,) = (line for line in lines if "evaluations" not in line)
        first = next(row for row in found.rows if row["estimator"] == "GumbelSoftmax")
        assert line.split()[1] == f"{first['temperature']:g}"
        assert line.split()[-1] == percent(first["error_at_budget"])

    def test_it_fits_a_narrow_terminal(
        self, found: hg.Audit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        assert max(map(len, str(found).splitlines())) <= 80

    def test_long_names_are_cut(self) -> None:
        found = hg.audit(
            cubic, bits(), {"x" * 80: hg.DisARM()}, replicates=20, generator=Generator()
        )
        assert max(map(len, str(found).splitlines())) <= 100

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (0.0, "0"),
            (0.00012, "1e-04"),
            (0.0123, "0.0123"),
            (1.0, "1.00"),
            (12.34, "12.3"),
            (99.96, "100"),
            (123.4, "123"),
            (999.6, "1,000"),
            (12345.6, "12,346"),
            (2.5e9, "2.5e+09"),
            (math.inf, "∞"),
        ],
    )
    def test_numbers_have_three_digits(self, value: float, text: str) -> None:
        assert significant(value) == text


class TestFiles:
    def test_json_holds_everything(self, found: hg.Audit, tmp_path: Path) -> None:
        path = tmp_path / "audit.json"
        found.save(path)
        record = json.loads(path.read_text("utf-8"))
        assert record["rows"] == found.rows
        # a table, as a picture, can be made of what was read back
        assert as_text(record) == as_text(found.record())
        assert record["refused"] == found.refused
        assert record["reference"] == found.reference
        assert record["verdict"] == found.verdict
        assert (record["num_samples"], record["replicates"], record["evaluations"]) == (1, 1000, 4)
        assert [path.name] == [file.name for file in tmp_path.iterdir()]

    def test_a_folder_that_is_missing_is_named(self, found: hg.Audit, tmp_path: Path) -> None:
        for write in (found.save, found.plot):
            with pytest.raises(ValueError, match="absent is no folder"):
                write(tmp_path / "absent" / "audit")

    @pytest.mark.parametrize(
        ("method", "name", "instead"),
        [("save", "found.csv", "found.json"), ("plot", "found.gif", "found.png")],
    )
    def test_a_name_that_announces_another_kind_of_file_is_refused(
        self, found: hg.Audit, tmp_path: Path, method: str, name: str, instead: str
    ) -> None:
        with pytest.raises(ValueError, match=rf"a {instead[5:]} file, .* Use {instead}\."):
            getattr(found, method)(tmp_path / name)
        assert not list(tmp_path.iterdir())
        getattr(found, method)(tmp_path / instead.upper())

    def test_figures_that_are_missing_are_null(self, tmp_path: Path) -> None:
        found = hg.audit(lambda z: z.sum(-1).sqrt(), bits(), [hg.StraightThrough()])
        found.save(tmp_path / "audit.json")
        (row,) = json.loads((tmp_path / "audit.json").read_text("utf-8"))["rows"]
        assert row["bias"] is None

    def test_frame_has_a_line_for_each_row(self, found: hg.Audit) -> None:
        frame = found.to_pandas()
        assert isinstance(frame, pd.DataFrame)
        assert len(frame) == len(found.rows)
        assert list(frame["estimator"]) == [row["estimator"] for row in found.rows]

    def test_without_pandas_the_extra_is_named(
        self, found: hg.Audit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(ModuleNotFoundError, match=r'needs pandas: pip install "hotgrad\[audit'):
            found.to_pandas()

    def test_plot_writes_a_picture(self, found: hg.Audit, tmp_path: Path) -> None:
        found.plot(tmp_path / "audit.png")
        assert (tmp_path / "audit.png").read_bytes().startswith(b"\x89PNG")
