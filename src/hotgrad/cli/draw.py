"""`hotgrad draw`: samples of a choice on the terminal, hard or relaxed."""

import json
import math
from typing import Annotated, Any

import torch
import typer
from rich.table import Table
from rich.text import Text
from torch import Tensor

from hotgrad import distributions
from hotgrad.cli.options import seed_option
from hotgrad.cli.terminal import console
from hotgrad.estimators import GumbelSoftmax
from hotgrad.ops.checks import check_count, check_subset_size

BAR = 12
MAX_BARS = 4
"""Bars side by side that fit a terminal; more values are drawn as one block each."""
BLOCKS = "·▁▂▃▄▅▆▇█"


def draw(
    probs: Annotated[
        str | None, typer.Option(help="Probabilities that sum to 1.", metavar="P,P,..")
    ] = None,
    logits: Annotated[
        str | None,
        typer.Option(help="Log-probabilities up to a constant, instead.", metavar="A,A,.."),
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", help="How many samples.")] = 5,
    temperature: Annotated[
        float | None,
        typer.Option(
            help="Relax at this temperature; hard one-hot vectors without it.", metavar="T"
        ),
    ] = None,
    bits: Annotated[
        bool, typer.Option("--bits", help="Independent bits instead of one category.")
    ] = False,
    m: Annotated[
        int | None,
        typer.Option("--m", help="m-hot vectors: m categories without replacement.", metavar="M"),
    ] = None,
    seed: Annotated[int | None, seed_option(None, "For the same samples again.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Draw one-hot vectors (or bits, or m-hot vectors) and look at them.

    Try `hotgrad draw --probs 0.5,0.3,0.2 -n 5`, then add `--temperature 0.5`, or `--m 2`.
    """
    check_count(count, "--count")
    if (probs is None) == (logits is None):
        raise ValueError("Give either --probs or --logits, such as --probs 0.5,0.3,0.2.")
    if bits and m is not None:
        raise ValueError("Give either --bits or --m: bits have no fixed number of ones.")
    name, text = ("probs", probs) if probs is not None else ("logits", logits)
    kind = distributions.Bernoulli if bits else distributions.OneHotCategorical
    q: Any = kind(**{name: _numbers(name, str(text))}, validate_args=True)
    if m is not None:
        check_subset_size(m, q.event_shape[0], "--m")
        q = distributions.PlackettLuceSubset(q.logits, m, validate_args=True)
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    if temperature is not None and not 0 < temperature < math.inf:
        raise ValueError(
            f"--temperature must be positive and finite, got {temperature:g}. Leave it out for "
            "hard samples."
        )
    if temperature is None:
        samples = q.sample((count,), generator=generator)
    else:
        samples = GumbelSoftmax(temperature).sample(q, (count,), generator=generator)
    if as_json:
        record = {
            "distribution": type(q).__name__,
            "mean": q.mean.tolist(),
            "temperature": temperature,
            "samples": samples.tolist(),
        }
        typer.echo(json.dumps(record))
    else:
        console.print(_table(q.mean, samples, temperature, 1 if m is None else m))


def _numbers(name: str, text: str) -> Tensor:
    try:
        return torch.tensor([float(part) for part in text.split(",")], dtype=torch.float64)
    except ValueError:
        raise ValueError(
            f"--{name} takes numbers with commas between, such as 0.5,0.3,0.2; got {text!r}."
        ) from None


def _table(mean: Tensor, samples: Tensor, temperature: float | None, chosen: int) -> Table:
    kind = "hard" if temperature is None else f"relaxed at temperature {temperature:g}"
    table = Table(title=f"{len(samples)} samples, {kind}")
    table.add_column("", justify="right")
    if len(mean) > MAX_BARS:
        table.add_column(f"{len(mean)} values", overflow="fold")
        table.add_column("largest", justify="right" if chosen == 1 else "left")
        named = [("p", mean), *((str(i), sample) for i, sample in enumerate(samples, 1))]
        for name, values in [*named, ("mean", samples.mean(0))]:
            blocks = "".join(BLOCKS[round(value * 8)] for value in values.tolist())
            largest = ", ".join(str(i) for i in sorted(values.topk(chosen).indices.tolist()))
            table.add_row(name, blocks, largest, end_section=name == "p")
        return table
    for probability in mean.tolist():
        table.add_column(f"p = {probability:.4g}", min_width=BAR)
    for number, sample in enumerate(samples.tolist(), 1):
        table.add_row(str(number), *(_bar(value, temperature is None) for value in sample))
    table.add_section()
    table.add_row("mean", *(f"{value:.3f}" for value in samples.mean(0).tolist()))
    return table


def _bar(value: float, hard: bool) -> Text:
    full = round(value * BAR / 2)
    empty = ("░" * (BAR // 2 - full), "dim")
    return Text.assemble("█" * full, empty, f" {value:.0f}" if hard else f" {value:.3f}")
