"""`hotgrad evaluate RUN`: the one-sample and the importance-weighted bound on held-out data."""

import json
from typing import Annotated

import torch
import typer
from rich.table import Table

from hotgrad import vae
from hotgrad.cli.progress import console, counting_bar
from hotgrad.cli.runs import RunArgument, SeedOption, SplitOption, open_run, split_of
from hotgrad.files import written_whole


def evaluate(
    run: RunArgument,
    num_samples: Annotated[
        int, typer.Option(help="Hard samples of the importance-weighted bound.")
    ] = 1000,
    split: SplitOption = "test",
    data_dir: Annotated[
        str | None, typer.Option(help="Where the data is now, if it moved.", metavar="DIR")
    ] = None,
    seed: SeedOption = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Evaluate a run with hard samples, whatever it was trained with.

    ELBO is the bound with one sample for each item; the importance-weighted bound is tighter. Both
    in nats, higher is better. The result is kept as evaluation.json in the run's folder.
    """
    opened = open_run(run, data_dir=data_dir)
    generator = torch.Generator().manual_seed(seed)
    items = vae.make_targets(split_of(opened.dataset, split), opened.config.targets, generator)
    with counting_bar("evaluating", shown=not as_json) as progress:
        result = vae.evaluate(
            opened.model, items, num_samples=num_samples, generator=generator, progress=progress
        )
    record = {
        "data": opened.config.data,
        "targets": opened.config.targets,
        "split": split,
        "items": len(items),
        "seed": seed,
        **result._asdict(),
    }
    with written_whole(opened.folder.path / "evaluation.json") as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n")
    if as_json:
        typer.echo(json.dumps(record))
        return
    console.print(
        f"{opened.dataset.name}: {len(items):,} {split} items, {opened.config.targets} targets",
        highlight=False,
        soft_wrap=True,
    )
    table = Table()
    table.add_column("nats an item")
    table.add_column("mean", justify="right")
    table.add_row("reconstruction", f"{result.reconstruction:.3f}")
    table.add_row("KL", f"{result.kl:.3f}")
    table.add_row("[bold]ELBO[/bold] (1 sample)", f"[bold]{result.elbo:.3f}[/bold]")
    table.add_row(f"bound ({result.bound_samples:,} samples)", f"{result.bound:.3f}")
    console.print(table)
