"""What an estimator's step costs: surrogate and backward over those of `GumbelSoftmax`.

Batch 100, codes of 20 variables with 10 categories or of 200 bits, and the linear decoder of Jang's
VAE with its Bernoulli likelihood, 200 -> 784. Each estimator takes as few samples as it can.

python -m benchmarks.cost
"""

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import hotgrad as hg
from benchmarks.timing import interleaved, ratio, write_results
from hotgrad.estimators import ESTIMATORS, missing_methods

BATCH, PIXELS, CODE, CATEGORIES, TEMPERATURE = 100, 784, 200, 10, 0.5
ROUNDS, SECONDS = 15, 0.05
BASE = "GumbelSoftmax"
DISTRIBUTIONS: dict[str, Callable[[Tensor], Any]] = {
    f"{CODE // CATEGORIES} x {CATEGORIES} categories": lambda logits: hg.OneHotCategorical(
        logits=logits.unflatten(-1, (-1, CATEGORIES)), validate_args=False
    ).to_event(1),
    f"{CODE} bits": lambda logits: hg.Bernoulli(logits=logits, validate_args=False).to_event(1),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    lines = [
        f"Surrogate and backward, batch {BATCH}, f the log-likelihood of {PIXELS} pixels from a "
        f"linear decoder, as many samples as the estimator takes at least. How many times as long "
        f"as `{BASE}` it takes: median and range of {rounds} turns; then the same for each "
        "evaluation of f. `REBAR` and `RELAX` learn meanwhile.",
    ]
    for text, make_q in DISTRIBUTIONS.items():
        lines += ["", *table(text, make_q, rounds)]
    write_results("cost", "python -m benchmarks.cost", lines)


def table(text: str, make_q: Callable[[Tensor], Any], rounds: int) -> list[str]:
    """Estimators from the cheapest to the most costly."""
    q = make_q(torch.zeros(BATCH, CODE))
    working = {
        cls.__name__: estimator_for(cls, q)
        for name, cls in ESTIMATORS.items()
        if name != "exact" and not missing_methods(cls, q)
    }
    steps = {name: make_step(estimator, make_q) for name, estimator in working.items()}
    times = interleaved(steps, rounds=rounds, seconds=SECONDS)
    rows = []
    for name in sorted(times, key=lambda name: ratio(times, name, BASE)[0]):
        middle, low, high = ratio(times, name, BASE)
        samples = working[name].least_samples
        evaluations = working[name].evaluations(q, samples)
        rows.append(
            f"| `{name}` | {samples} | {evaluations} | {statistics.median(times[name]) * 1e3:.2f} "
            f"| **{middle:.2f}** ({low:.2f} to {high:.2f}) | {middle / evaluations:.2f} |"
        )
    return [
        f"| {text} | samples | evaluations of f | ms | times `{BASE}` | and for each evaluation |",
        "|---|---|---|---|---|---|",
        *rows,
    ]


def estimator_for(cls: Any, q: Any) -> Any:
    """As it is by default, at the temperature where it has one."""
    (estimator, *_) = cls.defaults_for(q, budget=2**16)
    return hg.estimators.at_temperature(estimator, TEMPERATURE)


def make_step(estimator: Any, make_q: Callable[[Tensor], Any]) -> Callable[[], None]:
    """One call of the estimator and its backward, with a decoder that gets gradients too."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(BATCH, CODE, generator=generator).requires_grad_()
    x = torch.rand(BATCH, PIXELS, generator=generator).round()
    decoder = nn.Linear(CODE, PIXELS)
    leaves = [logits, *decoder.parameters()]
    leaves += estimator.parameters() if isinstance(estimator, nn.Module) else []

    def f(z: Tensor) -> Tensor:
        outputs = decoder(z.flatten(2))
        target = x.expand_as(outputs)
        return F.binary_cross_entropy_with_logits(outputs, target, reduction="none").sum(-1)

    def step() -> None:
        for leaf in leaves:
            leaf.grad = None
        hg.expectation(
            f, make_q(logits), estimator, num_samples=estimator.least_samples, generator=generator
        ).mean().backward()

    return step


if __name__ == "__main__":
    main()
