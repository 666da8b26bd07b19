"""Clusters: which of three normal distributions does each of 150 iris flowers come from?

The classes are unknown, and so are the distributions' means, covariances and weights. `fit` infers
the first and learns the second at once (variational EM): the model is a module, whose parameters
climb the same bound as q. Three classes are few, so that each flower's probabilities of them, its
responsibilities, stand beside those of Bayes' rule at the learned parameters, and what the
parameters are worth beside the likelihood that the EM algorithm reaches.

python examples/clusters.py --out FOLDER

It wants `pip install ".[all]"`: scikit-learn has the data.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from rich import box
from rich.console import Console
from rich.table import Table
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

import hotgrad as hg
from hotgrad import canvas
from hotgrad.inference import fit

CLASSES = 3
COLOURS, SHAPES = ("#3b8f5a", canvas.TRAIN, canvas.VALID), ("o", "^", "s")
"""Of the classes that are found, and of the species, which the model never sees."""
ACROSS, UP = 2, 3
"""Petal length and petal width, which the picture shows."""
ESTIMATORS = {
    "Exact": hg.Exact(),
    "ScoreFunction": hg.ScoreFunction(),
    "StraightThrough": hg.StraightThrough(),
    "GumbelSoftmax": hg.GumbelSoftmax(0.5),
}
MARKS: dict[str, dict[str, Any]] = {
    "Exact": {"color": canvas.INK, "marker": "+"},
    "ScoreFunction": {"color": "#8a6fb8", "marker": "^"},
    "StraightThrough": {"color": canvas.TRAIN, "marker": "o"},
    "GumbelSoftmax": {"color": canvas.VALID, "marker": "s"},
}
SMOOTHED = 25


class Mixture(nn.Module):
    """The model: log p(x, z) of the flowers' measurements x and one-hot classes z.

    Args:
        flowers: `(N, D)`.
        guess: a first class for each, `(N,)`; where means, covariances and weights start.
    """

    def __init__(self, flowers: Tensor, guess: Tensor) -> None:
        super().__init__()
        self.register_buffer("flowers", flowers)
        groups = [flowers[guess == k] for k in range(CLASSES)]
        scales = torch.stack([torch.linalg.cholesky(group.T.cov()) for group in groups])
        self.weights = nn.Parameter(torch.tensor([float(len(group)) for group in groups]).log())
        self.means = nn.Parameter(torch.stack([group.mean(0) for group in groups]))
        self.below = nn.Parameter(scales.tril(-1))
        self.diagonal = nn.Parameter(scales.diagonal(dim1=-2, dim2=-1).log())

    def normals(self) -> MultivariateNormal:
        """The three distributions."""
        scales = self.below.tril(-1) + self.diagonal.exp().diag_embed()
        return MultivariateNormal(self.means, scale_tril=scales)

    def of_each_class(self) -> Tensor:
        """log p(x, class) of each flower, `(N, CLASSES)`."""
        return self.weights.log_softmax(-1) + self.normals().log_prob(self.flowers.unsqueeze(-2))

    def forward(self, z: Tensor) -> Tensor:
        """`(S, N, CLASSES) -> (S, N)`: the flowers know nothing of each other."""
        return (z * self.of_each_class()).sum(-1)


class Way(NamedTuple):
    """What one way found."""

    responsibilities: Tensor
    """`(flowers, CLASSES)`, by q."""
    exact: Tensor
    """By Bayes' rule, at the parameters that this way learned."""
    log_likelihood: float
    """Of all flowers under those."""
    bounds: list[float]
    """The estimates of the bound, one a step."""
    relaxed: bool
    """Whether they are of relaxed samples, and so of no bound."""
    mixture: Mixture

    @property
    def off(self) -> float:
        """The responsibility that is farthest from Bayes' rule."""
        return float((self.responsibilities - self.exact).abs().max())


def problem() -> tuple[Mixture, hg.OneHotCategorical]:
    """The model and q, which start at the groups of k-means, as scikit-learn's mixture does.

    Of equal odds for each flower all classes would become one: that is a saddle of the bound.
    """
    flowers = load_iris().data
    guess = KMeans(CLASSES, n_init=10, random_state=0).fit_predict(flowers)
    lengths = [flowers[guess == k, ACROSS].mean() for k in range(CLASSES)]
    guess = torch.tensor(adjusted(guess, lengths))
    classes = nn.functional.one_hot(guess, CLASSES).float()
    return Mixture(torch.tensor(flowers).float(), guess), hg.OneHotCategorical(logits=2 * classes)


def adjusted(classes: np.ndarray, lengths: Any) -> np.ndarray:
    """Classes numbered by length of petal, since their order is arbitrary."""
    return np.argsort(np.argsort(lengths))[classes]


def main(out: Path, *, steps: int = 5000, seed: int = 0) -> dict[str, Way]:
    """Fits the mixture by four gradients, prints how near they come, and draws `clusters.png`.

    Args:
        out: the picture's folder.
        steps: of each fit, at most.
        seed: of all that is drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    ways = {}
    for name, estimator in ESTIMATORS.items():
        mixture, q = problem()
        found = fit(mixture, q, estimator=estimator, steps=steps, generator=generator)
        with torch.no_grad():
            scores = mixture.of_each_class()
        worth = scores.logsumexp(-1).sum().item()
        trace = found.trace
        ways[name] = Way(
            found.marginals, scores.softmax(-1), worth, trace.bounds, trace.relaxed, mixture
        )

    flowers, species = load_iris(return_X_y=True)
    rival = GaussianMixture(CLASSES, tol=1e-6, max_iter=1000, random_state=seed).fit(flowers)
    best = rival.score(flowers) * len(flowers)
    headings = ("", "log-likelihood", "off Bayes' rule", "species found", "steps")
    lines = Table(*headings, box=box.SIMPLE_HEAD)
    for name, way in ways.items():
        again = (way.responsibilities.argmax(-1).numpy() == species).mean()
        figures = (f"{way.log_likelihood:.2f}", f"{way.off:.3f}", f"{again:.1%}")
        lines.add_row(name, *figures, f"{len(way.bounds):,}")
    again = adjusted(rival.predict(flowers), rival.means_[:, ACROSS]) == species
    lines.add_row("scikit-learn's EM", f"{best:.2f}", "", f"{again.mean():.1%}", "")
    Console(highlight=False).print(lines)
    draw(out / "clusters.png", ways, best)
    return ways


def draw(path: Path, ways: dict[str, Way], best: float) -> None:
    """The flowers and the learned classes, the responsibilities, and the way up the bound."""
    figure = canvas.sheet(2360, 1030, "Three kinds of iris, found without their names")
    found, iris = ways["StraightThrough"], load_iris()
    petals = panel(figure, 140, "Colours by class (StraightThrough)")
    palette = torch.tensor([to_rgb(colour) for colour in COLOURS])
    colours = (found.responsibilities @ palette).clamp(0, 1).numpy()
    for species, shape in enumerate(SHAPES):
        of = iris.target == species
        style = {"s": 16, "marker": shape, "linewidths": 0, "label": iris.target_names[species]}
        petals.scatter(iris.data[of, ACROSS], iris.data[of, UP], c=colours[of], **style)
    with torch.no_grad():
        normals = found.mixture.normals()
    for k, colour in enumerate(COLOURS):
        spread, axes = torch.linalg.eigh(normals.covariance_matrix[k][ACROSS:, ACROSS:])
        long, turn = 4 * spread.sqrt(), torch.rad2deg(torch.atan2(axes[1, 0], axes[0, 0]))
        centre, form = normals.mean[k, ACROSS:].tolist(), {"fill": False, "color": colour}
        petals.add_patch(Ellipse(centre, *long.tolist(), angle=float(turn), **form))
    petals.set(xlabel="petal length, cm", ylabel="petal width, cm")

    beside = panel(figure, 900, "Responsibilities beside Bayes' rule")
    beside.plot([0, 1], [0, 1], color=canvas.GRID, linewidth=0.8)
    climb = panel(figure, 1660, f"The bound, means of {SMOOTHED} steps")
    for name, way in ways.items():
        label = f"{name}: off by {way.off:.3f}"
        style = {"s": 18, "linewidths": 1, "clip_on": False, "label": label, **MARKS[name]}
        beside.scatter(way.exact.flatten(), way.responsibilities.flatten(), **style)
        smooth = torch.tensor(way.bounds).unfold(0, SMOOTHED, SMOOTHED).mean(-1)
        steps = SMOOTHED * (torch.arange(len(smooth)) + 0.5)
        label = f"{name}, relaxed: no bound" if way.relaxed else name
        climb.plot(steps, smooth, color=MARKS[name]["color"], linewidth=1.2, label=label)
    beside.set(xlim=(0, 1), ylim=(0, 1), xlabel="exact", ylabel="by q")
    climb.axhline(best, color=canvas.INK, linewidth=1, linestyle="--", label="EM's log-likelihood")
    climb.set(xlabel="step", ylabel="nats", ylim=(best - 30, best + 5))
    for axes, where in ((petals, "upper left"), (beside, "upper left"), (climb, "lower right")):
        axes.legend(frameon=False, fontsize=canvas.TICK_SIZE, loc=where)
    canvas.save(figure, path)


def panel(figure: Figure, left: int, heading: str) -> Axes:
    """Axes under a heading."""
    axes = canvas.place(figure, left, 200, 620, 660)
    size = canvas.LABEL_SIZE + 0.5
    axes.set_title(heading, loc="left", size=size, color=canvas.INK, weight="bold", pad=8)
    canvas.quieten(axes)
    return axes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture")
    main(parser.parse_args().out)
