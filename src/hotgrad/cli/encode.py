"""`hotgrad encode RUN`: the discrete codes of a data set."""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from hotgrad import vae
from hotgrad.cli.progress import console
from hotgrad.cli.runs import RunArgument, SplitOption, open_run, split_of
from hotgrad.files import written_whole

ENCODE_BATCH = 1000


def encode(
    run: RunArgument,
    data: Annotated[
        str | None,
        typer.Option(
            help="Other data of the same shape: a name or a .npy or .npz file.", metavar="NAME"
        ),
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option(help="Folder with mnist or binarized-mnist in it.", metavar="DIR")
    ] = None,
    split: SplitOption = "test",
    out: Annotated[
        Path | None, typer.Option(help="[default: RUN/codes-SPLIT.npz]", metavar="FILE.npz")
    ] = None,
) -> None:
    """Write each item's likeliest code and its marginals to an .npz file.

    `codes` holds category numbers (items, variables), bits (items, bits), or the k-hot vectors of
    subsets (items, variables, categories); `probs` the marginals.
    """
    vae.RunFolder.open(run)
    target = out or run / f"codes-{split}.npz"
    if target.suffix != ".npz":
        raise ValueError(f"--out ends in .npz, got {target}.")
    if not target.parent.is_dir():
        raise ValueError(f"There is no folder {target.parent}.")
    opened = open_run(run, data=data, data_dir=data_dir)
    one_hot = opened.config.latent == "categorical"
    codes, probs = [], []
    with torch.no_grad():
        for items in split_of(opened.dataset, split).split(ENCODE_BATCH):
            targets = vae.make_targets(items, _steady(opened.config.targets), None)
            q = opened.model.encode(targets)
            codes.append(q.mode.argmax(-1) if one_hot else q.mode.to(torch.uint8))
            probs.append(q.mean)
    all_codes, all_probs = torch.cat(codes), torch.cat(probs)
    with written_whole(target) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, codes=all_codes.numpy(), probs=all_probs.numpy())
    shape = " x ".join(map(str, all_codes.shape))
    console.print(
        f"codes ({shape}) and probs in {target}", soft_wrap=True, markup=False, highlight=False
    )


def _steady(targets: str) -> str:
    """Codes shouldn't depend on a draw: dynamically binarised data is encoded from its greys."""
    return "grey" if targets == "dynamic" else targets
