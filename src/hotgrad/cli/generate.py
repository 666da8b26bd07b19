"""`hotgrad generate RUN`: new items from codes of the prior."""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from hotgrad import vae
from hotgrad.cli.item_pictures import save_samples
from hotgrad.cli.runs import OverwriteOption, RunArgument, SeedOption
from hotgrad.cli.terminal import say
from hotgrad.files import check_new_file, written_whole
from hotgrad.ops.checks import check_count


def generate(
    run: RunArgument,
    count: Annotated[int, typer.Option("--count", "-n", help="How many.")] = 64,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A .png to look at or a .npy of values. [default: RUN/generated.png]",
            metavar="FILE",
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    seed: SeedOption = 0,
) -> None:
    """Draw codes from the prior and decode them."""
    check_count(count, "--count")
    folder = vae.RunFolder.open(run)
    _, shape = folder.read_config()
    model = vae.load(run)
    target = out or run / "generated.png"
    if target.suffix not in (".png", ".npy"):
        raise ValueError(f"--out ends in .png or .npy, got {target}.")
    check_new_file(target, overwrite=overwrite)
    with torch.no_grad():
        items = model.generate(count, generator=torch.Generator().manual_seed(seed))
    items = items.unflatten(-1, shape)
    if target.suffix == ".png":
        save_samples(target, items, title=f"{count} items drawn from the prior")
    else:
        with written_whole(target) as temporary, temporary.open("wb") as file:
            np.save(file, items.numpy(), allow_pickle=False)
    say(f"{count:,} items in {target}")
