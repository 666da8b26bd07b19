"""Bias and noise of every estimator where the right gradient is known: a small VAE on digits.

4 variables of 8 categories have 4096 codes, so the encoder's gradient can be summed. Each estimator
takes as many samples as a given number of evaluations of the decoder pays for.

python -m benchmarks.variance
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import hotgrad as hg
from benchmarks.timing import write_results
from hotgrad import vae
from hotgrad.seeding import seeded_weights

ITEMS = 10
EVALUATIONS = (12, 60)
REPLICATES = 1000
CONFIG = vae.Config(
    num_latents=4,
    num_categories=8,
    hidden=(128,),
    schedule="constant",
    temperature=0.5,
    learning_rate=3e-3,
    epochs=40,
    accelerator="cpu",
)
ESTIMATORS: dict[str, Callable[[Any], hg.Estimator]] = {
    "`GumbelSoftmax(0.5)`": lambda q: hg.GumbelSoftmax(temperature=0.5),
    "`GumbelSoftmax(1)`": lambda q: hg.GumbelSoftmax(temperature=1.0),
    "`StraightThrough()`": lambda q: hg.StraightThrough(),
    "`StraightThroughGumbelSoftmax(0.5)`": lambda q: hg.StraightThroughGumbelSoftmax(0.5),
    "`StraightThroughGumbelSoftmax(1)`": lambda q: hg.StraightThroughGumbelSoftmax(1.0),
    "`GumbelRao(0.5)`": lambda q: hg.GumbelRao(temperature=0.5),
    "`GappedStraightThrough(0.5)`": lambda q: hg.GappedStraightThrough(temperature=0.5),
    "`ReinMax()`": lambda q: hg.ReinMax(),
    "`IMLE()`": lambda q: hg.IMLE(),
    "`PerturbedMAP()`": lambda q: hg.PerturbedMAP(),
    "`ScoreFunction(NoBaseline())`": lambda q: hg.ScoreFunction(hg.NoBaseline()),
    "`ScoreFunction(MovingAverage())`": lambda q: hg.ScoreFunction(hg.MovingAverage()),
    "`ScoreFunction(LeaveOneOut())`": lambda q: hg.ScoreFunction(),
    "`MuProp(LeaveOneOut())`": lambda q: hg.MuProp(hg.LeaveOneOut()),
    "`REBAR()`": lambda q: hg.REBAR(),
    "`RELAX(Critic(..))`": lambda q: hg.RELAX(critic_for(q)),
    "`UnorderedSet()`": lambda q: hg.UnorderedSet(),
    "`IndeCateR()`": lambda q: hg.IndeCateR(),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--replicates", type=int, default=REPLICATES)
    replicates = parser.parse_args().replicates
    lines = [
        f"The encoder of a VAE with {CONFIG.num_latents} variables of {CONFIG.num_categories} "
        f"categories, for {ITEMS} of scikit-learn's digits: the gradient of E[-log p(x given z)] "
        "to its logits, beside the sum over all codes. Figures are shares of the exact gradient's "
        "norm (the variance of its square), of a call with as many samples as the evaluations of "
        f"the decoder pay for; {replicates} calls. A bias whose 95 % interval holds 0 is given as "
        "less than the interval's end. `REBAR`, `RELAX` and the moving average have learnt before "
        "on the same items. `IndeCateR` takes 29 evaluations a sample, `ARM` and `DisARM` are for "
        "bits.",
    ]
    for state, model in models():
        q, f = problem(model)
        for evaluations in EVALUATIONS:
            audits = list(measure(f, q, evaluations, replicates))
            found = sorted((row for audit in audits for row in audit.rows), key=error_of)
            left_out = {name: why for audit in audits for name, why in audit.refused.items()}
            lines += [
                "",
                f"{state}, {evaluations} evaluations of the decoder for each item:",
                "",
                "| estimator | samples | bias | variance | root mean square error | cosine |",
                "|---|---|---|---|---|---|",
                *(line_of(row) for row in found),
                *(f"| {name} | | doesn't work: {why} | | | |" for name, why in left_out.items()),
            ]
    write_results("variance", "python -m benchmarks.variance", lines)


def models() -> Iterator[tuple[str, vae.VAE]]:
    dataset = vae.load_dataset(CONFIG.data)
    yield "Untrained", vae.build_model(CONFIG, dataset.shape)
    with tempfile.TemporaryDirectory() as folder:
        trained = vae.train(CONFIG, Path(folder) / "run", dataset=dataset)
    yield f"Trained for {CONFIG.epochs} epochs", trained


def problem(model: vae.VAE) -> tuple[Any, Callable[[Tensor], Tensor]]:
    """The distribution of the codes of a few items, and what they cost."""
    x = vae.load_dataset(CONFIG.data).test[:ITEMS]
    model.eval().requires_grad_(False)
    return model.encode(x), lambda z: -model.log_likelihood(x, z)


def measure(
    f: Callable[[Tensor], Tensor], q: Any, evaluations: int, replicates: int
) -> Iterator[hg.Audit]:
    """One audit for each number of samples that some estimator can afford."""
    groups: dict[int, dict[str, hg.Estimator]] = {}
    for name, make in ESTIMATORS.items():
        estimator = make(q)
        samples = affordable(estimator, q, evaluations)
        if samples:
            groups.setdefault(samples, {})[name] = estimator
    for samples, estimators in groups.items():
        generator = torch.Generator().manual_seed(samples)
        yield hg.audit(
            f, q, estimators, num_samples=samples, replicates=replicates, generator=generator
        )


def affordable(estimator: hg.Estimator, q: Any, evaluations: int) -> int:
    """The most samples whose evaluations are at most these; 0 where none are."""
    takes = [
        samples
        for samples in range(estimator.least_samples, evaluations + 1)
        if estimator.evaluations(q, samples) <= evaluations
    ]
    return max(takes, default=0)


def critic_for(q: Any) -> hg.Critic:
    with seeded_weights(0):
        return hg.Critic(q.event_shape)


def error_of(row: dict[str, Any]) -> float:
    return float("inf") if row["rmse"] is None else row["rmse"]


def line_of(row: dict[str, Any]) -> str:
    if row["non_finite"]:
        return f"| {row['estimator']} | {row['num_samples']} | not finite | | | |"
    biased = row["bias_low"] > 0
    bias = f"{row['bias']:.3f}" if biased else f"< {row['bias_high']:.3f}"
    return (
        f"| {row['estimator']} | {row['num_samples']} | {bias} | {row['variance']:.3g} "
        f"| **{row['rmse']:.3f}** | {row['cosine']:.3f} |"
    )


if __name__ == "__main__":
    main()
