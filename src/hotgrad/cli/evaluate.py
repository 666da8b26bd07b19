"""`hotgrad evaluate RUN`: the one-sample and the importance-weighted bound on held-out data."""

import json
from typing import Annotated, Any

import torch
import typer
from rich.table import Table

from hotgrad import vae
from hotgrad.cli.progress import counting_bar
from hotgrad.cli.runs import (
    ColumnOption,
    DataDirOption,
    DataOption,
    OpenRun,
    RunArgument,
    SeedOption,
    SplitOption,
    open_run,
    split_of,
)
from hotgrad.cli.terminal import console, say
from hotgrad.files import written_whole


def evaluate(
    run: RunArgument,
    num_samples: Annotated[
        int, typer.Option(help="Hard samples of the importance-weighted bound.")
    ] = 1000,
    split: SplitOption = "test",
    data: DataOption = None,
    column: ColumnOption = None,
    data_dir: DataDirOption = None,
    seed: SeedOption = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Evaluate a run with hard samples, whatever it was trained with.

    ELBO is the bound with one sample for each item; the importance-weighted bound is tighter. Both
    in nats, higher is better. The result is kept as evaluation.json in the run's folder, with how
    the data differ from those that the run was trained on (`differs`).
    """
    opened = open_run(run, data=data, column=column, data_dir=data_dir)
    generator = torch.Generator().manual_seed(seed)
    items = vae.make_targets(split_of(opened.dataset, split), opened.config.targets, generator)
    with counting_bar("evaluating", shown=not as_json) as progress:
        result = vae.evaluate(
            opened.model, items, num_samples=num_samples, generator=generator, progress=progress
        )
    record = {
        "data": opened.config.data,
        "column": opened.config.column,
        "differs": opened.change,
        "targets": opened.config.targets,
        "split": split,
        "items": len(items),
        "seed": seed,
        **result._asdict(),
    }
    _show(opened, record, result, as_json=as_json)
    # after it is shown, so that a full disk loses nothing
    with written_whole(opened.folder.path / "evaluation.json") as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n")


def _show(
    opened: OpenRun, record: dict[str, Any], result: vae.Evaluation, *, as_json: bool
) -> None:
    if as_json:
        typer.echo(json.dumps(record))
        return
    items = f"{record['items']:,} {record['split']} items"
    say(f"{opened.dataset.name}: {items}, {opened.config.targets} targets")
    table = Table()
    table.add_column("nats an item")
    table.add_column("mean", justify="right")
    table.add_row("reconstruction", f"{result.reconstruction:.3f}")
    table.add_row("KL", f"{result.kl:.3f}")
    table.add_row("ELBO (1 sample)", f"{result.elbo:.3f}", style="bold")
    table.add_row(f"bound ({result.bound_samples:,} samples)", f"{result.bound:.3f}")
    console.print(table)
