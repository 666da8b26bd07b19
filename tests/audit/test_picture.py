"""The picture of an audit: it names every estimator, and nothing lies on a name."""

import itertools
import math
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from PIL import Image

from hotgrad.audit.picture import draw
from hotgrad.audit.picture.labels import Box, Line, Mark, place_labels, spread
from hotgrad.audit.picture.page import picture_of

BUDGET = 12
FIGURES = ("bias", "bias_low", "bias_high", "variance", "error_at_budget")


def row(name: str, bias: float, noise: float, **changes: Any) -> dict[str, Any]:
    """A row as an audit has it: a name with "un" in it is unbiased."""
    evaluations = changes.get("evaluations", 1)
    calls = BUDGET // evaluations
    figures: dict[str, Any] = {
        "bias": bias,
        "bias_low": max(bias - noise / 50, 0.0),
        "bias_high": bias + noise / 50,
        "variance": noise**2,
        "error_at_budget": math.hypot(bias, noise / math.sqrt(calls)) if calls else None,
    }
    rest = {"temperature": None, "unbiased": "un" in name, "evaluations": 1, "non_finite": 0}
    absolute = {f"absolute_{key}": value for key, value in figures.items()}
    return {"estimator": name, **figures, **absolute, **rest, **changes}


def audit(rows: list[dict[str, Any]], **changes: Any) -> Any:
    """What is drawn of an audit; the rows come the least error first, as they do there."""
    rows.sort(key=lambda r: (r["error_at_budget"] is None, r["error_at_budget"] or 0.0))
    given = {
        "rows": rows,
        "refused": {},
        "reference": {"norm": 1.0, "zero": None, "text": "summed over all 64 states, norm 1"},
        "verdict": "For 12 evaluations of f a step, one has the least error, 5 % of the gradient.",
        "evaluations": BUDGET,
    }
    return SimpleNamespace(**{**given, **changes})


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
    "without noise": audit([row("constant", 0.2, 0.0), row("biased", 0.3, 0.1)]),
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


def marks(figure: Figure) -> list[tuple[float, float, float]]:
    """Centre and radius in pixels of every estimator's mark."""
    lines = [line for line in figure.findobj(Line2D) if isinstance(line, Line2D)]
    places = [
        (*line.get_xydata()[0], line.get_markersize() * figure.dpi / 144)
        for line in lines
        if line.axes is None and line.get_marker() in ("o", "v")
    ]
    floor = min(axes.bbox.y0 for axes in figure.axes)
    return [(x, y, radius) for x, y, radius in places if y > floor]


@pytest.mark.parametrize("case", CASES)
def test_no_text_overlaps_another_or_leaves_the_picture(case: str) -> None:
    figure, found = drawn(case)
    boxes = [(text.get_text(), text.get_window_extent()) for text in found]
    assert len(boxes) >= 4
    for text, box in boxes:
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, text
    for (text, box), (other, its) in itertools.combinations(boxes, 2):
        assert apart(box, its), (text, other)


@pytest.mark.parametrize("case", CASES)
def test_every_estimator_has_a_mark_and_a_name_beside_marks(case: str) -> None:
    figure, found = drawn(case)
    finite = {r["estimator"] for r in CASES[case].rows if not r["non_finite"]}
    discs = marks(figure)
    assert len(discs) == len(finite)
    for name in finite:
        # the panel of temperatures may name it again
        named = [t for t in found if t.get_text().split("  ")[0] == name]
        assert named, name
        box = named[0].get_window_extent()
        for x, y, radius in discs:
            across = max(box.x0 - x, x - box.x1, 0.0)
            up = max(box.y0 - y, y - box.y1, 0.0)
            assert math.hypot(across, up) > 0.8 * radius, name


def test_marks_stand_where_their_figures_are() -> None:
    figure = picture_of(audit(few()), "t")
    band, main = figure.axes
    assert band.bbox.x1 == pytest.approx(main.bbox.x0)
    assert band.get_ylim() == main.get_ylim()
    places = [main.transData.inverted().transform(mark[:2]) for mark in marks(figure)]
    for r in few():
        if r["bias_low"] > 0:
            expected = (100 * r["bias"], 100 * math.sqrt(r["variance"]))
            assert any(tuple(place) == pytest.approx(expected) for place in places), r
    noises = [
        band.transData.inverted().transform((x, y))[1]
        for x, y, _ in marks(figure)
        if x < band.bbox.x1
    ]
    assert sorted(noises) == pytest.approx([110.0, 240.0])


def test_what_costs_more_is_larger() -> None:
    rows = [row(f"un{i}", 0.0, 4.0**i, evaluations=10**i) for i in range(5)]
    by_height = sorted(marks(picture_of(audit(rows), "t")), key=lambda mark: mark[1])
    radii = [radius for *_, radius in by_height]
    assert all(b - a == pytest.approx(5.0) for a, b in itertools.pairwise(radii))


def test_the_best_alone_is_ringed_and_bold() -> None:
    figure = picture_of(audit(few()), "t")
    bold = [t.get_text() for t in texts(figure) if t.get_weight() == "bold"]
    assert "ReinMax" in bold
    assert not {"StraightThrough", "unbiased A"} & set(bold)
    assert "Ringed: the least error of 12 evaluations of f." in said(figure)


def test_what_no_budget_pays_for_is_not_ringed() -> None:
    figure = picture_of(audit([row("unbiased sum", 0.0, 0.0, evaluations=4096)]), "t")
    assert "Ringed" not in said(figure)
    assert "unbiased sum  (no noise)" in said(figure)


def test_an_unseen_bias_stands_in_the_band_whatever_the_class_says() -> None:
    unseen = row("biased, unseen", 0.001, 1.0)
    figure = picture_of(audit([unseen, row("biased", 0.5, 1.0)]), "t")
    band, _ = figure.axes
    assert sorted(x < band.bbox.x1 for x, *_ in marks(figure)) == [False, True]
    assert "no bias seen" in said(figure)


def test_temperatures_have_a_panel_where_there_are_several() -> None:
    assert len(picture_of(audit(few()), "t").axes) == 2
    figure, found = drawn("many")
    panel = figure.axes[-1]
    words = [text.get_text() for text in found]
    assert "Error of 12 evaluations of f" in words
    tempered = [r for r in CASES["many"].rows if r["temperature"] is not None]
    dots = {
        (round(float(x), 6), round(float(y), 6))
        for line in panel.lines
        for x, y in line.get_xydata()
    }
    for r in tempered:
        assert (r["temperature"], round(100 * r["error_at_budget"], 6)) in dots
    # each by its best temperature in the other panel, each by its name beside this one
    for i in range(5):
        assert sum(word.startswith(f"Tempered{i}") for word in words) == 2


def test_a_zero_gradient_has_absolute_axes_and_says_so() -> None:
    figure = picture_of(CASES["zero gradient"], "t")
    assert "Figures are absolute, since the exact gradient is zero." in said(figure).replace(
        "\n", " "
    )
    assert "noise of one call (absolute)" in said(figure)
    assert "%" not in figure.axes[0].get_ylabel()


def test_what_is_not_finite_is_left_out_and_told() -> None:
    words = said(drawn("not finite")[0]).replace("\n", " ")
    assert "Left out, since not all their gradients are finite: Broken." in words


def test_what_cannot_serve_is_told() -> None:
    words = said(drawn("many")[0]).replace("\n", " ")
    assert "Can't serve here: Refused0, " in words
    assert "Refused7 and 4 more." in words


def test_it_is_written(tmp_path: Path) -> None:
    draw(CASES["many"], tmp_path / "a.png", title="Many")
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"
        assert image.size[0] > 2000


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="absent is no folder"):
        draw(CASES["few"], tmp_path / "absent" / "a.png")


# Where names go.

FRAME = Box(0, 0, 1000, 800)


def test_a_lonely_name_stands_to_the_right_without_a_leader() -> None:
    (place,) = place_labels([Mark(500, 400, 10, 100, 20, FRAME)])
    assert place is not None
    assert place.leader is None
    assert 510 < place.box.left < 520
    assert place.box.low < 400 < place.box.high


def test_a_name_keeps_within_its_frame() -> None:
    (place,) = place_labels([Mark(990, 5, 8, 100, 20, FRAME)])
    assert place is not None
    assert place.box.within(FRAME)


def test_names_of_crowded_marks_have_leaders_that_cross_no_other_name() -> None:
    crowd = [Mark(400 + 25 * i, 400 + 9 * (i % 3), 6, 150, 20, FRAME) for i in range(8)]
    places = place_labels(crowd)
    found = [place for place in places if place is not None]
    assert len(found) == 8
    assert sum(place.leader is not None for place in found) >= 3
    for a, b in itertools.permutations(found, 2):
        assert not a.box.overlaps(b.box)
        assert a.leader is None or not b.box.is_crossed(a.leader)


def test_a_name_without_any_room_is_given_up() -> None:
    small = Box(0, 0, 60, 60)
    assert place_labels([Mark(30, 30, 10, 100, 20, small)]) == [None]


@pytest.mark.parametrize(
    ("line", "crossed"),
    [
        (Line(0, 5, 20, 5), True),
        (Line(0, 0, 20, 20), True),
        (Line(5, -5, 5, 25), True),
        (Line(0, 10, 20, 10), False),
        (Line(12, 0, 12, 9), False),
        (Line(0, 15, 20, 15), False),
        (Line(-9, 5, -1, 5), False),
        (Line(0, 18, 18, 0), False),
    ],
)
def test_a_line_crosses_a_box(line: Line, crossed: bool) -> None:
    assert Box(0, 0, 10, 8).is_crossed(line) is (crossed and line != Line(0, 10, 20, 10))


@pytest.mark.parametrize(
    ("wished", "expected"),
    [
        ([], []),
        ([7.0], [7.0]),
        ([10, 30, 50], [10, 30, 50]),
        ([10, 10], [8, 12]),
        ([10, 11, 12, 13], [5.5, 9.5, 13.5, 17.5]),
        ([0, 0], [0, 4]),
        ([100, 100, 100], [92, 96, 100]),
        ([10, 10, 13], [7, 11, 15]),
    ],
)
def test_heights_keep_apart(wished: list[float], expected: list[float]) -> None:
    assert spread(wished, 4, 0, 100) == pytest.approx(expected)
