"""The picture of a selection: it holds every name and score, and no two texts overlap."""

from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from hotgrad.canvas import drawable
from hotgrad.cli import selection_plots
from hotgrad.cli.selection_plots import save_selection

SCORES = [("hotgrad", 0.96, 0.012), ("mutual information", 0.91, 0.013), ("L1", 1.0, 0.0)]
LONG = "a very long name of a column, with $dollars$ and the unit at its end (mm)"


def columns(count: int, chosen: int) -> list[tuple[str, float, bool]]:
    return [(f"column {i}", 1 - i / count, i < chosen) for i in range(count)]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved, to look into."""
    figures: list[Figure] = []
    monkeypatch.setattr(selection_plots, "save", lambda figure, path: figures.append(figure))
    return figures


def texts(figure: Figure) -> list[Text]:
    FigureCanvasAgg(figure).draw()
    found = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    return [text for text in found if text.get_text() and text.get_visible()]


CASES = {
    "few": (columns(2, 1), SCORES[:2]),
    "many": (columns(500, 100), SCORES),
    "long": ([(LONG + str(i), 0.5, i < 3) for i in range(6)], SCORES),
    "wide": ([("W" * 40, 0.5, True), ("i", 0.1, False)], SCORES),
    "negative": (columns(9, 9), [("hotgrad", -12.5, 3.0), ("L1", 0.5, 0.1)]),
    "single row": (columns(9, 4), [("hotgrad", 0.3, None), ("random columns", 0.1, None)]),
}


@pytest.mark.parametrize("case", CASES)
def test_no_text_overlaps_another_or_leaves_the_picture(case: str, drawn: list[Figure]) -> None:
    shown, scores = CASES[case]
    save_selection("a.png", shown, scores, metric="accuracy", best=1.0, title=LONG * 3)
    (figure,) = drawn
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
    assert len(boxes) > 8
    for i, (text, box) in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, text
        for other, its in boxes[i + 1 :]:
            apart = box.x1 <= its.x0 or its.x1 <= box.x0 or box.y1 <= its.y0 or its.y1 <= box.y0
            assert apart, (text, other)


def test_it_tells_every_score_and_the_most_probable_columns(drawn: list[Figure]) -> None:
    save_selection("a.png", columns(500, 3), SCORES, metric="accuracy", best=1.0, title="t")
    said = {text.get_text() for text in texts(drawn[0])}
    assert {"hotgrad", "0.960 ± 0.012", "0.910 ± 0.013", "accuracy"} <= said
    assert {f"column {i}" for i in range(8)} <= said
    assert "column 8" not in said
    assert "Chosen columns and runners-up (492 more not shown)" in said


def test_long_names_keep_both_ends(drawn: list[Figure]) -> None:
    save_selection("a.png", *CASES["long"], metric="accuracy", best=1.0, title="t")
    names = [label.get_text() for label in drawn[0].axes[0].get_yticklabels()]
    assert len(set(names)) == 6
    for i, name in enumerate(names):
        assert name.startswith("a very")
        assert name.endswith(f"(mm){i}")


def test_very_long_names_are_measured_a_few_times(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not once for each character that is too many."""
    measured: list[int] = []
    extent = Text.get_window_extent

    def measure(text: Text, *arguments: object, **keywords: object) -> object:
        measured.append(len(text.get_text()))
        return extent(text, *arguments, **keywords)

    monkeypatch.setattr(Text, "get_window_extent", measure)
    names = [f"{i} {'long ' * 1000} (mm){i}" for i in range(3)]
    shown = [(name, 0.5, True) for name in names]
    save_selection("a.png", shown, SCORES, metric="accuracy", best=1.0, title="t")
    assert len(measured) < 80
    assert max(measured) < 500
    labels = [label.get_text() for label in drawn[0].axes[0].get_yticklabels()]
    for i, label in enumerate(labels):
        assert label.startswith(f"{i} long")
        assert label.endswith(f"(mm){i}")


def test_characters_that_the_font_lacks_are_boxes_without_a_warning(tmp_path: Path) -> None:
    """Tests make errors of warnings."""
    odd = "speed \N{ROCKET} 速度 \x1b[31m"
    scores = [(odd, 0.5, 0.1), *SCORES]
    path = tmp_path / "a.png"
    save_selection(path, [(odd, 0.5, True)], scores, metric="R²", best=1.0, title=odd)
    assert path.exists()
    assert drawable(odd) == "speed □ □□ □[31m"
    assert drawable("Größe τ ± 0.1 – √2\n") == "Größe τ ± 0.1 – √2\n"


@pytest.mark.parametrize(("best", "values"), [(1.0, [1.0, 1.0]), (0.0, [0.0, 0.4])])
def test_no_score_is_better_than_the_best(
    best: float, values: list[float], drawn: list[Figure]
) -> None:
    scores = [("hotgrad", values[0], 0.0), ("all columns", values[1], 0.0)]
    save_selection("a.png", columns(3, 1), scores, metric="score", best=best, title="t")
    ticks = drawn[0].axes[1].get_xticks()
    assert len(ticks) >= 2
    assert max(ticks) <= 1 if best == 1.0 else min(ticks) >= 0


def test_it_is_written(tmp_path: Path) -> None:
    save_selection(tmp_path / "a.png", *CASES["few"], metric="R²", best=1.0, title="t")
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"
        assert image.size[0] > 1500
