"""Pictures: each is written whole, at the right size, and shows the values it was given."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from hotgrad import canvas
from hotgrad.cli import learning_curves
from hotgrad.cli.item_pictures import save_reconstructions, save_samples
from hotgrad.cli.learning_curves import save_curves


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved, to look into."""
    figures: list[Figure] = []

    def keep(figure: Figure, path: object) -> None:
        figures.append(figure)

    monkeypatch.setattr(learning_curves, "save", keep)
    return figures


def history(steps: int, **changes: float | str | None) -> list[dict[str, float | str | None]]:
    rows: list[dict[str, float | str | None]] = []
    for step in range(1, steps + 1):
        kl = 20 * (1 - math.exp(-step / 20))
        reconstruction = -80 - 400 * math.exp(-step / 3)
        row = {"step": step, "epoch": 1 + step // 10, "temperature": 1 / step, "kl": kl}
        row |= {"reconstruction": reconstruction, "elbo": reconstruction - kl}
        rows.append({**row, "split": "train", **changes})
        if step % 5 == 0:
            rows.append({**row, "split": "valid", "elbo": row["elbo"] - 3, **changes})
    return rows


# Samples.


PICTURES = [(1, 8, 8), (23, 28, 28), (6, 4, 40), (3, 40, 4), (5, 1, 6, 6), (5, 3, 6, 7)]
ROWS = [(12, 13), (1, 1), (4, 2, 3, 4), (2, 2000)]


@pytest.mark.parametrize("shape", [*PICTURES, *ROWS])
def test_samples_of_every_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(shape, generator=generator).requires_grad_()
    save_samples(tmp_path / "samples.png", images, title="Samples")
    height, width, _ = pixels(tmp_path / "samples.png").shape
    assert 300 < height < 2500
    assert 900 < width < 2500
    assert os.listdir(tmp_path) == ["samples.png"]


def test_samples_show_the_values_unblurred(tmp_path: Path) -> None:
    image = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    save_samples(tmp_path / "a.png", image.expand(9, 2, 2), title="")
    body = pixels(tmp_path / "a.png")[canvas.HEADER :]
    colours, counts = np.unique(body.reshape(-1, 3), axis=0, return_counts=True)
    dark, light, paper = [13, 19, 34], [255, 253, 248], [255, 255, 255]
    assert colours.tolist() == [dark, light, paper]
    assert counts[0] == counts[1]


def test_values_outside_the_unit_interval_span_the_scale(tmp_path: Path) -> None:
    save_samples(tmp_path / "a.png", torch.tensor([[[0.0, 1.0]]]), title="t")
    save_samples(tmp_path / "b.png", torch.tensor([[[-7.0, 3.0]]]), title="t")
    assert np.array_equal(pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png"))


def test_channels_first_and_last_look_the_same(tmp_path: Path) -> None:
    images = torch.rand(4, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    save_samples(tmp_path / "a.png", images, title="t")
    save_samples(tmp_path / "b.png", images.permute(0, 2, 3, 1), title="t")
    assert np.array_equal(pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png"))


@pytest.mark.parametrize("shape", [(2, 4, 4), (2, 3, 4, 4), (2, 5)])
def test_samples_that_are_nan_are_still_drawn(tmp_path: Path, shape: tuple[int, ...]) -> None:
    save_samples(tmp_path / "a.png", torch.full(shape, torch.nan), title="diverged")
    assert (tmp_path / "a.png").is_file()


@pytest.mark.parametrize("shape", [(0, 8, 8), (4,), (4, 0)])
def test_no_samples(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"images has shape .*, expected \(n, \*shape\) with at l"):
        save_samples(tmp_path / "a.png", torch.zeros(shape), title="t")


# Reconstructions.


@pytest.mark.parametrize(
    ("shape", "denoising"),
    [
        ((1, 8, 8), True),
        ((30, 28, 28), False),
        ((5, 3, 6, 7), True),
        ((16, 13), True),
        ((4, 1), False),
    ],
)
def test_reconstructions_of_every_shape(
    tmp_path: Path, shape: tuple[int, ...], denoising: bool
) -> None:
    items = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    corrupted = items + 1 if denoising else None
    path = tmp_path / "a.png"
    save_reconstructions(path, items, items / 2, title="Reconstructions", corrupted=corrupted)
    height, width, _ = pixels(path).shape
    assert 300 < height < 2500
    assert 900 < width < 2500


def test_a_corrupted_line_makes_the_picture_taller(tmp_path: Path) -> None:
    items = torch.rand(6, 8, 8, generator=torch.Generator().manual_seed(0))
    save_reconstructions(tmp_path / "a.png", items, items, title="t")
    save_reconstructions(tmp_path / "b.png", items, items, title="t", corrupted=items)
    assert len(pixels(tmp_path / "b.png")) > len(pixels(tmp_path / "a.png"))


def test_reconstructions_of_another_shape(tmp_path: Path) -> None:
    message = r"of one shape, got original \(4, 8, 8\), reconstruction \(4, 64\). Unflatten"
    with pytest.raises(ValueError, match=message):
        save_reconstructions(tmp_path / "a.png", torch.ones(4, 8, 8), torch.ones(4, 64), title="t")


# Curves.


def test_curves_are_written(tmp_path: Path) -> None:
    save_curves(tmp_path / "curves.png", history(60), title="Curves")
    assert pixels(tmp_path / "curves.png").shape[1] > 1500
    assert os.listdir(tmp_path) == ["curves.png"]


def test_curves_name_what_they_show(drawn: list[Figure]) -> None:
    save_curves("unused", history(60), title="Costs $5, not $6")
    shown = texts(drawn[0])
    last = history(60)[-2]["elbo"]
    assert isinstance(last, float)
    for expected in ("Costs $5, not $6", "ELBO", "Reconstruction", "KL", "Temperature τ", "nats"):
        assert expected in shown
    assert f"train \N{MINUS SIGN}{-last:.2f}" in shown
    assert f"valid \N{MINUS SIGN}{3 - last:.2f}" in shown
    assert "training step (7 epochs)" in shown
    assert "steep start cut off" in shown


def test_curves_keep_a_gentle_start(drawn: list[Figure]) -> None:
    rows: list[learning_curves.MetricsRow]
    rows = [{"step": step, "split": "train", "elbo": step - 100.0} for step in range(60)]
    save_curves("unused", rows, title="t")
    assert "steep start cut off" not in texts(drawn[0])
    assert "training step" in texts(drawn[0])
    low, high = drawn[0].axes[0].get_ylim()
    assert low <= -100
    assert high >= -41


def test_curves_without_a_temperature_leave_its_panel_out(drawn: list[Figure]) -> None:
    save_curves("unused", history(20, temperature=None), title="t")
    save_curves("unused", history(20), title="t")
    assert [len(figure.axes) for figure in drawn] == [3, 4]


@pytest.mark.parametrize("missing", [None, "", math.nan, math.inf, "nan"])
def test_curves_skip_missing_values(drawn: list[Figure], missing: float | str | None) -> None:
    rows = history(20)
    rows[3]["elbo"] = missing
    del rows[4]["kl"]
    save_curves("unused", rows, title="t")
    elbo, reconstruction, kl = drawn[0].axes[:3]
    assert np.size(elbo.lines[0].get_xdata()) == 19
    assert np.size(reconstruction.lines[0].get_xdata()) == 20
    assert np.size(kl.lines[0].get_xdata()) == 19


def test_curves_read_text_as_a_csv_file_gives_it(drawn: list[Figure]) -> None:
    rows = [{key: str(value) for key, value in row.items()} for row in history(20)]
    save_curves("unused", rows, title="t")
    save_curves("unused", history(20), title="t")
    assert texts(drawn[0]) == texts(drawn[1])


@pytest.mark.parametrize("step", [0, 1, 5000])
def test_curves_of_a_single_row(drawn: list[Figure], step: int) -> None:
    save_curves("unused", [{"step": step, "split": "valid", "elbo": -90.0}], title="t")
    assert drawn[0].axes[0].lines[0].get_marker() == "o"
    assert "valid \N{MINUS SIGN}90.00" in texts(drawn[0])
    assert texts(drawn[0]).count("nothing recorded") == 2


def test_curves_of_nothing_say_so(tmp_path: Path, drawn: list[Figure]) -> None:
    save_curves("unused", [], title="t")
    assert texts(drawn[0]).count("nothing recorded") == 3


def test_curves_of_words() -> None:
    rows: list[learning_curves.MetricsRow] = [{"step": 1, "split": "train", "elbo": "many"}]
    with pytest.raises(ValueError, match=r"metrics: elbo is 'many', expected a number or nothing"):
        save_curves("unused", rows, title="t")


# What all pictures share.


def test_a_long_title_is_shrunk_to_fit() -> None:
    for title in ("short", "a very long title " * 12):
        figure = canvas.sheet(1200, 400, title)
        extent = figure.texts[0].get_window_extent()
        assert extent.x0 >= canvas.MARGIN - 1
        # before matplotlib 3.11 each letter's place is rounded to a pixel
        assert extent.x1 <= 1200 - canvas.MARGIN + 8


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"absent is no folder. Expected one that exists"):
        save_samples(tmp_path / "absent" / "a.png", torch.ones(1, 2, 2), title="t")


def test_a_failed_write_leaves_the_old_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    save_samples(path, torch.ones(1, 2, 2), title="t")
    before = path.read_bytes()

    def fail(self: Figure, draft: Path, **_: object) -> None:
        draft.write_bytes(b"half a pict")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="No space left"):
        save_samples(path, torch.zeros(1, 2, 2), title="t")
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_picture_is_as_readable_as_any_other_file(tmp_path: Path) -> None:
    save_samples(tmp_path / "a.png", torch.ones(1, 2, 2), title="t")
    (tmp_path / "b").write_bytes(b"")
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "b").stat().st_mode
