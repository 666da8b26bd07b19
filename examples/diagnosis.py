"""Diagnosis: which of 20 causes explain what a patient has, and what the patient hasn't?

In a noisy-OR network each present cause brings a finding about with a chance of its own, and a leak
has it without any. Twenty causes are few enough to add up all 2^20 states, so every answer
stands here beside the exact one: that of the ELBO, which settles on one explanation; that of the
bound of 16 samples, which keeps the rivals; and the latter's samples, weighted.

The numbers are invented to be plausible. They are no medical knowledge.

python examples/diagnosis.py --out FOLDER

It wants `pip install ".[infer]"`.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from rich.console import Console
from rich.table import Table
from torch import Tensor

import hotgrad as hg
from hotgrad import canvas
from hotgrad.inference import Fit, fit

# cause: how common it is, and the chance of each finding that it brings about
CAUSES: dict[str, tuple[float, dict[str, float]]] = {
    "common cold": (0.10, {"runny nose": 0.9, "sore throat": 0.6, "cough": 0.5, "fever": 0.1}),
    "influenza": (0.04, {"fever": 0.9, "cough": 0.8, "fatigue": 0.8, "headache": 0.6, "ache": 0.8}),
    "covid": (
        0.04,
        {"fever": 0.6, "cough": 0.7, "fatigue": 0.7, "lost smell": 0.5, "headache": 0.4},
    ),
    "pneumonia": (0.01, {"fever": 0.8, "cough": 0.9, "breathless": 0.7, "sputum": 0.7}),
    "bronchitis": (0.04, {"cough": 0.95, "sputum": 0.8, "wheeze": 0.3, "fatigue": 0.3}),
    "asthma": (0.06, {"wheeze": 0.8, "breathless": 0.7, "cough": 0.5}),
    "hay fever": (0.10, {"runny nose": 0.8, "itchy eyes": 0.9}),
    "sinusitis": (0.03, {"runny nose": 0.6, "headache": 0.6, "lost smell": 0.4}),
    "strep throat": (0.02, {"sore throat": 0.95, "fever": 0.6, "swollen glands": 0.7}),
    "mononucleosis": (0.005, {"fatigue": 0.9, "sore throat": 0.7, "swollen glands": 0.8}),
    "migraine": (0.08, {"headache": 0.95, "nausea": 0.6, "light hurts": 0.7}),
    "meningitis": (0.0005, {"headache": 0.9, "fever": 0.9, "stiff neck": 0.8, "nausea": 0.5}),
    "stomach flu": (0.05, {"diarrhoea": 0.9, "nausea": 0.8, "fever": 0.3}),
    "food poisoning": (0.02, {"diarrhoea": 0.6, "nausea": 0.9}),
    "reflux": (0.10, {"heartburn": 0.9, "cough": 0.2, "nausea": 0.2}),
    "appendicitis": (0.003, {"stomach pain": 0.95, "nausea": 0.6, "fever": 0.4}),
    "anaemia": (0.05, {"fatigue": 0.8, "breathless": 0.3, "dizziness": 0.4}),
    "slow thyroid": (0.03, {"fatigue": 0.7, "feeling cold": 0.7}),
    "depression": (0.06, {"fatigue": 0.7, "poor sleep": 0.7}),
    "heart failure": (0.01, {"breathless": 0.9, "swollen ankles": 0.7, "fatigue": 0.7}),
}
PRESENT = ("fever", "cough", "fatigue", "headache", "breathless", "sore throat")
ABSENT = ("lost smell", "swollen glands", "wheeze", "stiff neck", "diarrhoea", "sputum")
LEAK = 0.01
WEIGHTED_SAMPLES, SMOOTHED = 20_000, 50
EXACT = "#cbc8c0"
MARKS: dict[str, dict[str, Any]] = {
    "ELBO": {"color": canvas.TRAIN, "marker": "o", "s": 26},
    "bound of 16": {"color": canvas.VALID, "marker": "o", "s": 26},
    "bound of 16, weighted": {"color": canvas.INK, "marker": "|", "s": 60},
}


def problem(causes: int = len(CAUSES)) -> tuple[Callable[[Tensor], Tensor], Any]:
    """The log joint of the first causes z and the findings, and q: independent, at even odds."""
    priors, brings = zip(*list(CAUSES.values())[:causes], strict=True)
    prior = torch.tensor(priors)

    def rates(findings: tuple[str, ...]) -> Tensor:
        """-log(1 - chance) by finding and cause; e^-(their sum) is the chance that it's missing."""
        return -torch.log1p(
            -torch.tensor([[b.get(name, 0.0) for b in brings] for name in findings])
        )

    of_present, of_absent, leak = rates(PRESENT), rates(ABSENT), -math.log1p(-LEAK)

    def log_joint(z: Tensor) -> Tensor:
        present = torch.log(-torch.expm1(-leak - z @ of_present.T)).sum(-1)
        absent = (-leak - z @ of_absent.T).sum(-1)
        return present + absent + (z * prior.logit() + torch.log1p(-prior)).sum(-1)

    return log_joint, hg.Bernoulli(logits=torch.zeros(causes)).to_event(1)


def main(
    out: Path, *, causes: int = len(CAUSES), steps: int = 5000, seed: int = 0
) -> dict[str, Tensor]:
    """Fits both bounds, prints how far each is from the truth, and draws `diagnosis.png`.

    Args:
        out: the picture's folder.
        causes: how many of them the network has.
        steps: of each fit, at most.
        seed: of all that is drawn.

    Returns:
        The marginals `(causes,)` by every way.
    """
    log_joint, q = problem(causes)
    generator = torch.Generator().manual_seed(seed)
    fits = {
        "ELBO": fit(log_joint, q, steps=steps, generator=generator),
        "bound of 16": fit(
            log_joint,
            q,
            estimator=hg.VIMCO(),
            objective="importance",
            num_samples=16,
            steps=steps,
            generator=generator,
        ),
    }
    found = {
        name: one.diagnose(budget=2**causes, generator=generator) for name, one in fits.items()
    }
    marginals = {"exact": found["ELBO"].exact.marginals}
    marginals |= {name: one.marginals for name, one in fits.items()}
    # samples of q count as samples of the posterior by their weights p(x, z) / q(z)
    z = fits["bound of 16"].sample(WEIGHTED_SAMPLES, generator=generator)
    log_weights = log_joint(z) - fits["bound of 16"].posterior.log_prob(z)
    marginals["bound of 16, weighted"] = log_weights.softmax(0) @ z

    table = Table(title=f"present: {', '.join(PRESENT)}\nabsent: {', '.join(ABSENT)}")
    for name in ("cause", *marginals):
        table.add_column(name, justify="left" if name == "cause" else "right")
    order = marginals["exact"].argsort(descending=True).tolist()
    for i in order:
        table.add_row(list(CAUSES)[i], *(f"{of[i]:.3f}" for of in marginals.values()))
    table.add_section()
    errors = [(of - marginals["exact"]).abs().max() for of in marginals.values()]
    table.add_row("farthest from exact", *(f"{error:.3f}" for error in errors))
    console = Console(highlight=False)
    console.print(table)
    for name, one in fits.items():
        console.print(f"\n{name}: {one.reason}.\n\n{found[name]}", soft_wrap=True)
    draw(out / "diagnosis.png", marginals, order, fits, found["ELBO"].exact.log_evidence.item())
    return marginals


def draw(
    path: Path,
    marginals: dict[str, Tensor],
    order: list[int],
    fits: dict[str, Fit],
    log_evidence: float,
) -> None:
    """Left each cause's probability by every way, right both bounds under the log evidence."""
    title = (
        f"{len(order)} causes: the ELBO settles on one, the bound of 16 samples keeps its rivals"
    )
    figure = canvas.sheet(2000, 1240, title)
    for line, text in enumerate((f"Present: {', '.join(PRESENT)}", f"Absent: {', '.join(ABSENT)}")):
        top = 124 + 38 * line
        canvas.write(
            figure, canvas.MARGIN, top, text, size=canvas.LABEL_SIZE, color=canvas.MUTED, va="top"
        )
    bars = canvas.place(figure, canvas.MARGIN + 190, 290, 800, 820)
    rows = range(len(order))
    values = {name: of[order].numpy() for name, of in marginals.items()}
    bars.barh(
        rows, values["exact"], height=0.72, color=EXACT, label=f"exact, {2 ** len(order):,} states"
    )
    for name, mark in MARKS.items():
        bars.scatter(values[name], rows, label=name, zorder=3, linewidths=1.2, **mark)
    bars.set_yticks(rows, [list(CAUSES)[i] for i in order])
    bars.set(xlim=(-0.01, 1.01), ylim=(len(order) - 0.4, -0.6))
    finish(bars, "Probability that a cause is present", "")
    curves = canvas.place(figure, 1250, 290, 680, 820)
    for name, one in fits.items():
        width = min(SMOOTHED, len(one.trace.bounds))
        smooth = torch.tensor(one.trace.bounds).unfold(0, width, 1).mean(-1).numpy()
        steps = one.trace.steps[-len(smooth) :]
        curves.plot(steps, smooth, color=MARKS[name]["color"], label=name, linewidth=1.4)
    curves.axhline(log_evidence, color=canvas.INK, linewidth=1, linestyle="--", label="log p(x)")
    curves.set_ylim(log_evidence - 3, log_evidence + 0.3)
    finish(curves, f"Bounds in nats, means of {SMOOTHED} steps", "step")
    canvas.save(figure, path)


def finish(axes: Axes, heading: str, label: str) -> None:
    """The look of both panels."""
    size = canvas.LABEL_SIZE + 0.5
    axes.set_title(heading, loc="left", size=size, color=canvas.INK, weight="bold", pad=8)
    axes.set_xlabel(label)
    axes.legend(loc="lower right", frameon=False, fontsize=canvas.TICK_SIZE)
    canvas.quieten(axes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture")
    main(parser.parse_args().out)
