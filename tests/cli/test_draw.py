"""`hotgrad draw`: what is drawn, how it is shown, and what is refused."""

import gc
import json
from typing import Any

import pytest

from hotgrad_command.app import command_called, run


def drawn(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(["draw", *arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    record: dict[str, Any] = json.loads(captured.out)
    return record


def test_hard_samples_are_one_hot(capsys: pytest.CaptureFixture[str]) -> None:
    record = drawn(capsys, "--probs", "0.5,0.3,0.2", "-n", "50")
    assert record["distribution"] == "OneHotCategorical"
    assert record["temperature"] is None
    assert record["mean"] == pytest.approx([0.5, 0.3, 0.2])
    assert len(record["samples"]) == 50
    assert all(sorted(sample) == [0, 0, 1] for sample in record["samples"])


def test_relaxed_samples_lie_on_the_simplex(capsys: pytest.CaptureFixture[str]) -> None:
    record = drawn(capsys, "--probs", "0.5,0.3,0.2", "-n", "50", "--temperature", "0.5")
    assert record["temperature"] == 0.5
    for sample in record["samples"]:
        assert sum(sample) == pytest.approx(1)
        assert 0 < max(sample) < 1


def test_bits(capsys: pytest.CaptureFixture[str]) -> None:
    record = drawn(capsys, "--probs", "1,0,0.5", "--bits", "-n", "50")
    assert record["distribution"] == "Bernoulli"
    first, second, third = zip(*record["samples"], strict=True)
    assert set(first) == {1}
    assert set(second) == {0}
    assert set(third) == {0, 1}
    relaxed = drawn(capsys, "--logits", "0,1", "--bits", "--temperature", "1")["samples"]
    assert all(0 < value < 1 for sample in relaxed for value in sample)


def test_m_hot_vectors_have_m_ones_and_plackett_luces_marginals(
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = drawn(capsys, "--probs", "0.5,0.3,0.2", "--m", "2", "-n", "50")
    assert record["distribution"] == "PlackettLuceSubset"
    assert all(sorted(sample) == [0, 1, 1] for sample in record["samples"])
    # left out is who comes last: of the others, one first and one second
    last = [0.3 * 0.2 / 0.7 + 0.2 * 0.3 / 0.8, 0.5 * 0.2 / 0.5 + 0.2 * 0.5 / 0.8]
    assert record["mean"][:2] == pytest.approx([1 - missing for missing in last])
    relaxed = drawn(capsys, "--probs", "0.5,0.3,0.2", "--m", "2", "--temperature", "1")["samples"]
    assert all(0 < value < 1 for sample in relaxed for value in sample)


def test_the_table_names_the_m_largest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["draw", "--probs", "1,0,0,0,0,0", "--m", "1"]) == 0
    assert run(["draw", "--logits=9,-inf,0,-inf,-inf,9", "--m", "3", "-n", "1"]) == 0
    assert "0, 2, 5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--m", "4"], "--m must be an integer from 0 to n = 3"),
        (["--m=-1"], "--m must be an integer from 0 to n = 3"),
        (["--m", "2", "--bits"], "either --bits or --m"),
        (["--m", "3"], "fewer are unmasked: the row has 2 logits above -inf"),
    ],
)
def test_m_that_cannot_be_chosen_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert run(["draw", "--probs", "0.5,0.5,0", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert expected in captured.err


@pytest.mark.parametrize("arguments", [["--logits=-inf,0"], ["--logits", "-inf,0"]])
def test_a_masked_category_is_never_drawn(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    record = drawn(capsys, *arguments, "-n", "20")
    assert record["mean"] == [0, 1]
    assert record["samples"] == [[0, 1]] * 20
    relaxed = drawn(capsys, *arguments, "--temperature", "2")
    assert relaxed["samples"] == [[0, 1]] * 5


def test_the_seed_repeats_the_samples(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--probs", "0.5,0.3,0.2", "--temperature", "0.7"]
    first, again, other = (drawn(capsys, *arguments, "--seed", seed) for seed in "112")
    assert first == again
    assert first != other
    unseeded = [drawn(capsys, *arguments) for _ in range(2)]
    assert unseeded[0] != unseeded[1]


def test_the_frequencies_follow_the_probabilities(capsys: pytest.CaptureFixture[str]) -> None:
    samples = drawn(capsys, "--probs", "0.9,0.1", "-n", "10000", "--seed", "1")["samples"]
    share = sum(sample[0] for sample in samples) / len(samples)
    # 6 standard deviations
    assert abs(share - 0.9) < 6 * (0.9 * 0.1 / 10_000) ** 0.5


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["draw", "--probs", "0.5,0.3,0.2", "-n", "4", "--seed", "0"]) == 0
    out = capsys.readouterr().out
    assert "4 samples, hard" in out
    assert "p = 0.3" in out
    assert out.count("██████ 1") == 4
    assert run(["draw", "--probs", "0.5,0.3,0.2", "--temperature", "0.25"]) == 0
    assert "relaxed at temperature 0.25" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("bits", [[], ["--bits"]])
def test_many_values_fit_the_terminal(capsys: pytest.CaptureFixture[str], bits: list[str]) -> None:
    """Columns that don't fit would be cut off, and their samples with them."""
    probs = ",".join(["0.01"] * 100)
    assert run(["draw", "--probs", probs, "-n", "3", "--seed", "0", *bits]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "100 values" in out
    assert out.count("·") + sum(out.count(block) for block in "▁▂▃▄▅▆▇█") == 5 * 100


BAD: list[tuple[list[str], str]] = [
    (["--probs", "0.5,0.3"], "must sum to 1"),
    (["--probs", "1.5,-0.5"], "must lie in [0, 1]"),
    (["--probs", "nan,1"], "must lie in [0, 1]"),
    (["--probs", "1.5", "--bits"], "must lie in [0, 1]"),
    (["--probs", "half,half"], "--probs takes numbers with commas between"),
    (["--probs", ""], "--probs takes numbers"),
    (["--probs", "0.5,,0.5"], "--probs takes numbers"),
    (["--logits", "nan,0"], "logits must be finite"),
    (["--logits", "inf,0"], "logits must be finite"),
    (["--logits=-inf,-inf"], "no category is possible"),
    (["--logits", "nan", "--bits"], "must not be NaN"),
    ([], "Give either --probs or --logits"),
    (["--probs", "0.5,0.5", "--logits", "0,0"], "Give either --probs or --logits"),
    (["--probs", "0.5,0.5", "--temperature", "0"], "temperature must be positive"),
    (["--probs", "0.5,0.5", "--temperature", "-1"], "temperature must be positive"),
    (["--probs", "0.5,0.5", "--temperature", "nan"], "temperature must be positive"),
    (["--probs", "0.5,0.5", "--temperature", "inf"], "temperature must be positive"),
    (["--probs", "0.5,0.5", "--temperature", "warm"], "--temperature"),
    (["--probs", "0.5,0.5", "-n", "0"], "--count must be an integer of at least 1, got 0"),
    (["--probs", "0.5,0.5", "-n", "-3"], "--count must be"),
    (["--probs", "0.5,0.5", "-n", "few"], "--count"),
    (["--probs", "0.5,0.5", "--seed", "-1"], "--seed"),
    (["--probs", "0.5,0.5", "--seed", str(2**63)], "--seed"),
    (["0.5,0.5"], "Got unexpected extra argument"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda value: " ".join(value)[:40])
def test_bad_input_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(["draw", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.startswith("hotgrad: ")
    assert captured.err.count("\n") == 1


def test_garbage_is_collected_again_once_a_command_is_imported() -> None:
    command_called.cache_clear()
    command_called("draw")
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
