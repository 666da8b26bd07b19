"""`hotgrad encode RUN`: the discrete codes of a data set."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor

from hotgrad import vae
from hotgrad.cli.runs import (
    ColumnOption,
    DataDirOption,
    DataOption,
    OverwriteOption,
    RunArgument,
    open_run,
    split_of,
)
from hotgrad.cli.terminal import say
from hotgrad.files import check_new_file, written_whole
from hotgrad.ops.checks import check_choice
from hotgrad.vae.numpy_files import SPLITS

ENCODE_BATCH = 1000


def encode(
    run: RunArgument,
    data: DataOption = None,
    column: ColumnOption = None,
    data_dir: DataDirOption = None,
    split: Annotated[str, typer.Option(help="train, valid, test or all.", metavar="NAME")] = "test",
    out: Annotated[
        Path | None, typer.Option(help="[default: RUN/codes-SPLIT.npz]", metavar="FILE.npz")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write each item's most probable code and its marginals to an .npz file.

    It holds, one entry an item:

    - `codes`: category numbers (items, variables), bits (items, bits), or the k-hot vectors of
      subsets (items, variables, categories)
    - `probs`: their marginals
    - `rows`: which row of the data's file, or of the array in it, the item is, counted from 0;
      splits are shuffled
    - `splits`: train, valid or test
    - `labels`: where the data have them: digits, mnist with its label files, or an .npz with an
      array `labels` (`train_labels`, .. beside three splits)

    `--split all` has the file's own order.
    """
    check_choice("--split", split, (*SPLITS, "all"))
    vae.RunFolder.open(run)
    target = out or run / f"codes-{split}.npz"
    if target.suffix != ".npz":
        raise ValueError(f"--out ends in .npz, got {target}.")
    check_new_file(target, overwrite=overwrite)
    opened = open_run(run, data=data, column=column, data_dir=data_dir)
    items, known = _items(opened.dataset, split)
    one_hot = opened.config.latent == "categorical"
    codes, probs = [], []
    with torch.no_grad():
        for batch in items.split(ENCODE_BATCH):
            targets = vae.make_targets(batch, _steady(opened.config.targets), None)
            q = opened.model.encode(targets)
            codes.append(q.mode.argmax(-1) if one_hot else q.mode.to(torch.uint8))
            probs.append(q.mean)
    all_codes = torch.cat(codes)
    arrays = {"codes": all_codes.numpy(), "probs": torch.cat(probs).numpy(), **known}
    with written_whole(target) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # of NumPy's flag
    shape = " x ".join(map(str, all_codes.shape))
    say(f"codes ({shape}), {', '.join(list(arrays)[1:])} in {target}")


def _items(dataset: vae.Dataset, split: str) -> tuple[Tensor, dict[str, NDArray[Any]]]:
    """The items, and what is known of each: its row, its split, its label."""
    names = SPLITS if split == "all" else (split,)
    parts = [split_of(dataset, name) for name in names]
    rows = np.concatenate([dataset.row_numbers[name] for name in names])
    numbers = np.repeat(np.arange(len(names)), [len(part) for part in parts])
    known = {"rows": rows, "splits": np.array(names)[numbers]}
    if dataset.labels:
        known["labels"] = np.concatenate([dataset.labels[name] for name in names])
    items = torch.cat(parts)
    if split == "all":
        # splits from one array share its rows; those from several are put one after another
        of_one_array = len(np.unique(rows)) == len(rows)
        order = np.argsort(rows) if of_one_array else np.lexsort((rows, numbers))
        items = items[torch.from_numpy(order)]
        known = {name: values[order] for name, values in known.items()}
    return items, known


def _steady(targets: str) -> str:
    """Codes shouldn't depend on a draw: dynamically binarised data is encoded from its greys."""
    return "grey" if targets == "dynamic" else targets
