"""The picture of an audit: every estimator has a line, marks stand where its figures are."""

import itertools
import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from hotgrad.audit.picture import draw, picture_of
from hotgrad.audit.table import significant
from hotgrad.canvas import INK, TRAIN, VALID

BUDGET = 12
FIGURES = ("bias", "bias_low", "bias_high", "variance", "rmse", "error_at_budget")


def row(name: str, bias: float, noise: float, **changes: Any) -> dict[str, Any]:
    """A row as an audit has it: a name with "un" in it is unbiased."""
    evaluations = changes.get("evaluations", 1)
    calls = BUDGET // evaluations
    figures: dict[str, Any] = {
        "bias": bias,
        "bias_low": max(bias - noise / 50, 0.0),
        "bias_high": bias + noise / 50,
        "variance": noise**2,
        "rmse": math.hypot(bias, noise),
        "error_at_budget": math.hypot(bias, noise / math.sqrt(calls)) if calls else None,
    }
    rest = {"temperature": None, "unbiased": "un" in name, "evaluations": 1, "non_finite": 0}
    absolute = {f"absolute_{key}": value for key, value in figures.items()}
    return {"estimator": name, **figures, **absolute, **rest, **changes}


def audit(rows: list[dict[str, Any]], **changes: Any) -> Any:
    """The record of an audit; the rows come the least error first, as they do there."""
    rows.sort(key=lambda r: (r["error_at_budget"] is None, r["error_at_budget"] or 0.0))
    given = {
        "rows": rows,
        "refused": {},
        "reference": {"norm": 1.0, "zero": None, "text": "summed over all 64 states, norm 1"},
        "verdict": "For 12 evaluations of f a step, one has the least error, 5 % of the gradient.",
        "evaluations": BUDGET,
    }
    return {**given, **changes}


def without_scale(rows: list[dict[str, Any]]) -> Any:
    """An audit whose exact gradient is zero."""
    bare = [{**r, **dict.fromkeys(FIGURES)} for r in rows]
    text = "summed over all 64 states; it is zero"
    return audit(bare, reference={"norm": 0.0, "zero": "is zero", "text": text})


def few() -> list[dict[str, Any]]:
    return [
        row("ReinMax", 0.04, 0.5),
        row("StraightThrough", 0.22, 0.4),
        row("GumbelSoftmax", 0.1, 0.6),
        row("unbiased A", 0.0, 1.1, evaluations=2),
        row("unbiased B", 0.0, 2.4, evaluations=3),
    ]


def many() -> list[dict[str, Any]]:
    rows = [row(f"unbiased {i}", 0.0, 0.5 * 1.2**i, evaluations=1 + i**3) for i in range(8)]
    rows += [row(f"a biased one, {i}", 0.1 * 1.1**i, 0.8 + 0.1 * (i % 3)) for i in range(5)]
    for i, heat in itertools.product(range(5), (0.1, 0.3, 1.0, 3.0)):
        rows.append(row(f"Tempered{i}", 0.1 * heat + 0.01 * i, 1 / heat, temperature=heat))
    return rows


CASES: dict[str, Any] = {
    "few": audit(few()),
    "many": audit(many(), refused={f"Refused{i}": "needs relax" for i in range(12)}),
    "coincident": audit(
        [row(f"{'un' * (i % 2)}biased {i}", 0.3 * (1 - i % 2), 1.0) for i in range(18)]
    ),
    "close": audit([row(f"close {i}", 0.3 + 0.002 * i, 1.0 + 0.01 * i) for i in range(18)]),
    "exact": audit([*few(), row("unbiased sum", 0.0, 0.0, evaluations=4096)]),
    "exact alone": audit([row("unbiased sum", 0.0, 0.0, evaluations=4096)]),
    "without noise": audit([row("constant", 0.2, 0.0), row("biased one", 0.3, 0.1)]),
    "single": audit([row("ReinMax", 0.04, 0.5)]),
    "unbiased alone": audit([r for r in many() if r["unbiased"]]),
    "biased alone": audit([r for r in few() if not r["unbiased"]]),
    "zero gradient": without_scale(few()),
    "of many scales": audit(
        [row(f"un{i}", 0.0, 10.0**i) for i in range(-3, 5)] + [row("b", 9.0, 1e3)]
    ),
    "not finite": audit(
        [*few(), {**row("Broken", 0, 0), **dict.fromkeys(FIGURES), "non_finite": 7}]
    ),
    "nothing": audit(
        [], verdict="No verdict: no estimator has finite gradients.", refused={"A": "b"}
    ),
    "long": audit(few(), verdict="A verdict that goes on and on, " * 12),
}


@cache
def drawn(case: str) -> tuple[Figure, list[Text]]:
    """The picture of a case and its texts, for the tests that only look."""
    figure = picture_of(CASES[case], "A title")
    return figure, texts(figure)


def texts(figure: Figure) -> list[Text]:
    FigureCanvasAgg(figure).draw()
    found = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    return [text for text in found if text.get_text() and text.get_visible()]


def said(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in texts(figure)).replace("\N{NO-BREAK SPACE}", " ")


def apart(a: Any, b: Any) -> bool:
    return bool(a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0)


@pytest.mark.parametrize("case", CASES)
def test_no_text_overlaps_another_or_leaves_the_picture(case: str) -> None:
    figure, found = drawn(case)
    boxes = [(text.get_text(), text.get_window_extent()) for text in found]
    assert len(boxes) >= 3
    for text, box in boxes:
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, text
    for (text, box), (other, its) in itertools.combinations(boxes, 2):
        assert apart(box, its), (text, other)


@pytest.mark.parametrize("case", CASES)
def test_every_estimator_has_a_line_with_its_name(case: str) -> None:
    figure, found = drawn(case)
    finite = {r["estimator"] for r in CASES[case]["rows"] if not r["non_finite"]}
    names = [t for t in found if t.get_text().split("  ")[0] in finite]
    assert sorted(t.get_text().split("  ")[0] for t in names) == sorted(finite)
    if not finite:
        return
    axes = figure.axes[0]
    for height, name in enumerate(sorted(names, key=lambda t: -t.get_window_extent().y0)):
        box = name.get_window_extent()
        across, up = axes.transData.transform((axes.get_xlim()[0], height))
        assert box.y0 < up < box.y1, name
        assert box.x1 < across, name


def marks(figure: Figure, marker: str) -> list[tuple[float, float]]:
    """Where marks of a kind stand: the figure, and the line from the top."""
    lines = [line for line in figure.axes[0].lines if line.get_marker() == marker]
    return [tuple(line.get_xydata()[0]) for line in lines]


def test_marks_stand_where_their_figures_are() -> None:
    record = audit(few())
    figure = picture_of(record, "t")
    errors, noises, biases = (dict(map(reversed, marks(figure, m))) for m in "o|D")
    for height, r in enumerate(record["rows"]):
        noise = math.sqrt(r["variance"] / (BUDGET // r["evaluations"]))
        assert errors[height] == pytest.approx(100 * r["error_at_budget"]), r
        assert noises[height] == pytest.approx(100 * noise), r
        # none where the interval holds 0
        assert biases.get(height) == (pytest.approx(100 * r["bias"]) if r["bias_low"] else None), r
    ends = [tuple(line.get_xdata()) for line in figure.axes[0].lines if line.get_color() == INK]
    for r in record["rows"]:
        if r["bias_low"]:
            assert (pytest.approx(100 * r["bias_low"]), pytest.approx(100 * r["bias_high"])) in ends


def test_the_colour_says_whether_a_class_is_unbiased() -> None:
    record = audit(few())
    axes = picture_of(record, "t").axes[0]
    errors = [line for line in axes.lines if line.get_marker() == "o"]
    for line, r in zip(errors, record["rows"], strict=True):
        assert line.get_color() == (TRAIN if r["unbiased"] else VALID)


def test_an_unseen_bias_is_not_drawn_whatever_the_class_says() -> None:
    unseen = row("biased, unseen", 0.001, 1.0)
    figure = picture_of(audit([unseen, row("biased", 0.5, 1.0)]), "t")
    assert [height for _, height in marks(figure, "D")] == [1]
    assert "No bias is drawn where its 95 % interval holds 0." in said(figure).replace("\n", " ")


def test_the_best_alone_is_bold() -> None:
    figure = picture_of(audit(few()), "t")
    bold = [t.get_text() for t in texts(figure) if t.get_weight() == "bold"]
    assert "ReinMax" in bold
    assert not {"StraightThrough", "unbiased A"} & set(bold)


def test_what_no_budget_pays_for_is_hollow_and_not_best() -> None:
    """Its figures are those of one call."""
    figure = picture_of(audit([row("unbiased", 0.0, 0.5, evaluations=50)]), "t")
    (line,) = (line for line in figure.axes[0].lines if line.get_marker() == "o")
    assert line.get_markerfacecolor() == "white"
    assert marks(figure, "o") == marks(figure, "|") == [(pytest.approx(50), 0)]
    assert "unbiased" not in [t.get_text() for t in texts(figure) if t.get_weight() == "bold"][2:]
    assert "Grey names: one call takes more" in said(figure).replace("\n", " ")


def test_what_has_no_error_says_so() -> None:
    figure = picture_of(audit([row("unbiased sum", 0.0, 0.0, evaluations=4096)]), "t")
    assert "no error but rounding" in said(figure)
    assert not marks(figure, "o")


def test_temperatures_have_a_table_where_there_are_several() -> None:
    assert "temperature" not in said(picture_of(audit(few()), "t"))
    figure, found = drawn("many")
    assert "Error at temperature τ" in said(figure)
    heights = {t.get_text(): t.get_window_extent().y0 for t in found}
    rights = {
        t: max(f.get_window_extent().x1 for f in found if f.get_text() == f"{t:g}")
        for t in (0.1, 0.3, 1.0, 3.0)
    }
    for i in range(5):
        name = next(text for text in heights if text.startswith(f"Tempered{i}"))
        rows = [r for r in CASES["many"]["rows"] if r["estimator"] == f"Tempered{i}"]
        for r in rows:
            cell = next(
                t
                for t in found
                if abs(t.get_window_extent().x1 - rights[r["temperature"]]) < 3
                and abs(t.get_window_extent().y0 - heights[name]) < 8
            )
            assert cell.get_text() == significant(100 * r["error_at_budget"])
            assert (cell.get_weight() == "bold") is (r is rows[0])


def test_as_many_temperatures_are_in_the_table_as_have_room() -> None:
    rows = [row("Tempered", 0.1, 1.0, temperature=float(t)) for t in range(1, 16)]
    figure = picture_of(audit(rows), "t")
    assert "3 higher temperatures had no room in the table." in said(figure).replace("\n", " ")
    assert figure.bbox.width < 3500


def test_many_estimators_are_cut_to_the_best() -> None:
    figure = picture_of(audit([row(f"biased {i}", 0.01 * (i + 1), 1.0) for i in range(70)]), "t")
    assert len(marks(figure, "o")) == 60
    assert "10 more estimators had a larger error." in said(figure).replace("\n", " ")


def test_a_zero_gradient_has_an_absolute_axis_and_says_so() -> None:
    figure = picture_of(CASES["zero gradient"], "t")
    words = said(figure).replace("\n", " ")
    assert "Figures are absolute, since the exact gradient is zero." in words
    assert figure.axes[0].get_xlabel() == "absolute"
    r = CASES["zero gradient"]["rows"][0]
    assert marks(figure, "o")[0] == (pytest.approx(r["absolute_error_at_budget"]), 0)


def test_what_is_not_finite_is_left_out_and_told() -> None:
    words = said(drawn("not finite")[0]).replace("\n", " ")
    assert "Left out, since not all their gradients are finite: Broken." in words


def test_what_does_not_work_is_told() -> None:
    words = said(drawn("many")[0]).replace("\n", " ")
    assert "Don't work here: Refused0, " in words
    assert "Refused7 and 4 more." in words


def test_it_is_written(tmp_path: Path) -> None:
    draw(CASES["few"], tmp_path / "a.png", title="Few")
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"
        assert image.size[0] > 1500


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="absent is no folder"):
        draw(CASES["few"], tmp_path / "absent" / "a.png")
