"""The picture of a fit: its end is readable, and every unknown is drawn as what it is."""

import dataclasses
import math
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from torch import Tensor

import hotgrad as hg
from hotgrad.canvas import save
from hotgrad.inference import fit
from hotgrad.inference.marginals import Unknown, unknowns_of
from hotgrad.inference.plot import picture_of
from hotgrad.inference.training import Trace


def uniform(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def course(steps: int = 1000, noise: float = 0.1) -> Trace:
    """A bound that rises from -100 to -10, with three smaller steps."""
    at = torch.arange(steps, dtype=torch.float64)
    bounds = -10 - 90 * torch.exp(-at / 40) + noise * (uniform(steps) - 0.5)
    sizes = [0.1 * 0.3 ** int(4 * step / steps) for step in range(steps)]
    return Trace(bounds.tolist(), sizes)


def chances(*shape: int) -> Tensor:
    return uniform(*shape).softmax(-1)


def drawable(*unknowns: Unknown, **changes: Any) -> Any:
    given = {
        "label": "elbo, ScoreFunction(LeaveOneOut), 16 samples",
        "trace": course(),
        "reason": "converged after 1,000 steps: the bound rises no more",
        "elbo": -10.0,
        "unknowns": list(unknowns) or [Unknown("z", uniform(5), False)],
    }
    return SimpleNamespace(**{**given, **changes})


def bits(*shape: int, name: str = "z") -> Unknown:
    return Unknown(name, uniform(*shape), False)


def choice(*shape: int, name: str = "z") -> Unknown:
    return Unknown(name, chances(*shape), True)


CASES: dict[str, Any] = {
    "few bits": drawable(bits(5)),
    "a single bit": drawable(bits()),
    "bits of rows": drawable(bits(4, 3)),
    "many bits": drawable(bits(100_000)),
    "a table of bits": drawable(bits(200, 5)),
    "a picture": drawable(bits(40, 30)),
    "pictures": drawable(bits(3, 40, 30)),
    "no bits": drawable(bits(0)),
    "one choice": drawable(choice(4)),
    "one of many": drawable(choice(500)),
    "choices": drawable(choice(150, 3)),
    "choices in a grid": drawable(choice(4, 5, 3)),
    "many choices": drawable(choice(3000, 4)),
    "several": drawable(*(bits(3 + i, name=f"$unknown_{i}$ {'long ' * 5 * i}") for i in range(6))),
    "relaxed": drawable(trace=dataclasses.replace(course(), relaxed=True), elbo=-14.0),
    "impossible": drawable(elbo=-math.inf),
    "unknown bound": drawable(elbo=math.nan),
    "one step": drawable(trace=course(1)),
    "few steps": drawable(trace=course(8)),
    "no steps": drawable(trace=Trace()),
    "flat": drawable(trace=Trace([-3.0] * 50, [0.1] * 50), elbo=-3.0),
    "a schedule": drawable(trace=Trace(course().bounds, [0.99**i for i in range(1000)])),
    "an outlier": drawable(trace=Trace([*course().bounds, -1e9], [*course().step_sizes, 1e-3])),
    "huge": drawable(trace=Trace([1e12 + i for i in range(100)], [0.1] * 100), elbo=1e12 + 90),
}


@cache
def drawn(case: str) -> tuple[Figure, list[Text]]:
    """The picture of a case and its texts, for the tests that only look."""
    figure = picture_of(CASES[case], "A title")
    figure.draw_without_rendering()
    found = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    # ticks that nobody sees have labels, too
    hidden = [
        tick.label1 for axes in figure.axes for tick in beyond(axes.xaxis) + beyond(axes.yaxis)
    ]
    return figure, [t for t in found if t.get_text() and t.get_visible() and t not in hidden]


def beyond(axis: Any) -> list[Any]:
    low, high = sorted(axis.get_view_interval())
    return [tick for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]


def said(case: str) -> str:
    return " ".join(text.get_text() for text in drawn(case)[1])


def panels(case: str) -> list[Axes]:
    """The bound's first, without the keys of colours."""
    figure = drawn(case)[0]
    return [axes for axes in figure.axes if axes.bbox.height > 50]


@pytest.mark.parametrize("case", CASES)
def test_every_text_is_on_the_picture(case: str) -> None:
    figure, texts = drawn(case)
    for text in texts:
        box = text.get_window_extent()
        assert box.x0 >= 0, text
        assert box.x1 <= figure.bbox.width, text
        assert box.y0 >= 0, text
        assert box.y1 <= figure.bbox.height, text


@pytest.mark.parametrize("case", CASES)
def test_headings_and_notes_dont_lie_on_each_other(case: str) -> None:
    figure, _ = drawn(case)
    boxes = [text.get_window_extent() for text in figure.texts]
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[i + 1 :]), figure.texts[i]


# The bound.


def test_the_end_is_readable() -> None:
    low, high = panels("few bits")[0].get_ylim()
    assert high - low < 10
    assert low < -10 < high
    assert "steep start cut off" in said("few bits")
    assert "steep start" not in said("flat")


def test_an_outlier_does_not_flatten_the_rest() -> None:
    low, high = panels("an outlier")[0].get_ylim()
    assert high - low < 10


def test_the_mean_stands_in_the_middle_of_its_steps() -> None:
    trace = Trace([float(i) for i in range(1, 101)], [0.1] * 100)
    axes = picture_of(drawable(trace=trace), "A title").axes[0]
    raw, mean = axes.lines[0], axes.lines[1]
    assert len(raw.get_xdata()) == 100
    assert mean.get_linewidth() > 2 * raw.get_linewidth()
    # of a line the mean is the line itself, half a step off for an even number of steps
    assert torch.tensor(mean.get_xdata()).sub(torch.tensor(mean.get_ydata())).abs().max() <= 0.5


def test_smaller_steps_are_marked() -> None:
    for size in ("0.03", "0.009", "0.0027"):
        assert size in [text.get_text() for text in drawn("few bits")[1]]
    assert "dotted" in said("few bits")
    for case in ("flat", "a schedule"):
        assert "dotted" not in said(case)


def test_the_elbo_is_a_level_in_view() -> None:
    low, high = panels("relaxed")[0].get_ylim()
    assert low < -14 < -10 < high
    assert "ELBO at the end −14" in said("relaxed")
    assert "ELBO at the end −∞" in said("impossible")
    assert "q proposes what the model rules out" in said("impossible")
    assert "ELBO at the end unknown" in said("unknown bound")


def test_a_trace_of_relaxed_samples_is_called_so() -> None:
    assert "bounds nothing" in said("relaxed")
    assert "of relaxed samples" in said("relaxed")
    assert "relaxed" not in said("few bits")


def test_the_notes_say_how_it_ended() -> None:
    text = said("several")
    assert "ScoreFunction(LeaveOneOut), 16 samples" in text
    assert "Converged after 1,000 steps: the bound rises no more." in text
    assert "2 more unknowns aren't shown." in text


# The marginals.


@pytest.mark.parametrize(
    ("case", "bars", "images"),
    [
        ("few bits", 5, 0),
        ("a single bit", 1, 0),
        ("bits of rows", 12, 0),
        ("many bits", 0, 0),
        ("a table of bits", 0, 1),
        ("a picture", 0, 1),
        ("pictures", 0, 1),
        ("no bits", 0, 0),
        ("one choice", 4, 0),
        ("one of many", 0, 0),
        ("choices", 0, 1),
        ("choices in a grid", 0, 1),
        ("many choices", 0, 0),
    ],
)
def test_marginals_are_drawn_by_their_number_and_shape(case: str, bars: int, images: int) -> None:
    axes = panels(case)[1:]
    assert sum(len(panel.patches) for panel in axes) == bars
    assert sum(len(panel.images) for panel in axes) == images


def test_bars_have_their_values_and_places() -> None:
    (axes,) = panels("bits of rows")[1:]
    assert [bar.get_width() for bar in axes.patches] == uniform(4, 3).flatten().tolist()
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[:4] == ["0, 0", "0, 1", "0, 2", "1, 0"]


def test_a_picture_has_square_pixels_and_its_values() -> None:
    (axes,) = panels("a picture")[1:]
    assert torch.equal(torch.tensor(axes.images[0].get_array()), uniform(40, 30))
    assert axes.bbox.width / 30 == pytest.approx(axes.bbox.height / 40)
    (axes,) = panels("pictures")[1:]
    assert torch.equal(torch.tensor(axes.images[0].get_array()), uniform(3, 40, 30)[0])
    assert "z[0]: probability of 1" in said("pictures")


def test_many_are_put_in_order() -> None:
    (axes,) = panels("many bits")[1:]
    heights = torch.tensor(axes.lines[0].get_ydata())
    assert len(heights) <= 2000
    assert bool((heights.diff() <= 0).all())
    assert heights[0] == uniform(100_000).max()
    assert heights[-1] == uniform(100_000).min()
    above = int((uniform(100_000) > 0.5).sum())
    assert f"100,000 unknowns in order, {above:,} above 1/2" in said("many bits")
    (axes,) = panels("many choices")[1:]
    assert torch.tensor(axes.lines[0].get_ydata())[0] == chances(3000, 4).max()


def test_at_most_four_unknowns_side_by_side() -> None:
    assert len(panels("several")) == 5


# From a fit.


def test_unknowns_know_what_they_are_of() -> None:
    q = hg.Joint(
        kept=hg.Bernoulli(logits=torch.zeros(2)).to_event(1),
        kind=hg.OneHotCategorical(logits=torch.zeros(3, 4)).to_event(1),
        few=hg.KSubset(torch.zeros(5), 2),
    )
    found = unknowns_of(q, q.mean)
    assert [(u.name, u.is_choice) for u in found] == [
        ("kept", False),
        ("kind", True),
        ("few", False),
    ]
    (alone,) = unknowns_of(q["kind"], q["kind"].mean)
    assert (alone.name, alone.is_choice) == ("z", True)
    (theirs,) = unknowns_of(
        torch.distributions.OneHotCategorical(logits=torch.zeros(3)), torch.full((3,), 1 / 3)
    )
    assert theirs.is_choice
    assert theirs.values.dtype == torch.float64


def test_a_fit_draws_itself(tmp_path: Path) -> None:
    q = hg.OneHotCategorical(logits=torch.zeros(3).bfloat16())
    result = fit(lambda z: z[..., 0] - z[..., 1], q, steps=2)
    result.plot(tmp_path / "fit.png")
    with Image.open(tmp_path / "fit.png") as image:
        assert image.format == "PNG"
        assert min(image.size) > 1000
    with pytest.raises(ValueError, match="is no folder"):
        result.plot(tmp_path / "absent" / "fit.png")


def test_a_title_and_names_are_never_mathematics(tmp_path: Path) -> None:
    save(picture_of(CASES["several"], "cost in $ and more $"), tmp_path / "fit.png")
    assert (tmp_path / "fit.png").is_file()
    assert "$unknown_0$" in said("several")


def test_without_matplotlib_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = fit(lambda z: z[..., 0], hg.KSubset(torch.zeros(3), 1), steps=1)
    for name in [name for name in sys.modules if name.startswith("hotgrad.inference.plot")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    with pytest.raises(ModuleNotFoundError, match=r'plot needs .*pip install "hotgrad\[infer\]"'):
        result.plot(tmp_path / "fit.png")
