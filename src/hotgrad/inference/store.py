"""A fit as one safetensors file: what was learned, how it came about, and the law's kind in words.

Nothing in it is run when it is read. What it doesn't hold is code and data: the model, and a q that
is a module.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hotgrad import __version__
from hotgrad.extras import needing
from hotgrad.files import check_folder, written_whole
from hotgrad.inference.laws_in_words import describe
from hotgrad.inference.problem import Problem
from hotgrad.inference.unknowns import OwnLogits
from hotgrad.inference.watch import Trace

FORMAT = 1
"""Of the file; a file of a greater number is of a later library."""
KEY = "hotgrad.fit"
BOUNDS, STEP_SIZES, ELBO = "trace.bounds", "trace.step_sizes", "elbo"


@dataclass(frozen=True)
class Stored:
    """A file's content.

    Args:
        state: every tensor that was learned, by its name in the problem.
        trace: of the fit.
        elbo: at the end.
        label: objective, estimator and samples.
        converged: whether it did.
        reason: why it stopped.
        law: q's kind, as `describe` says it; None of a q that can't be rebuilt.
        maker: the kind of q in such a case.
        rows: how many the data had; None without data.
    """

    state: dict[str, Tensor]
    trace: Trace
    elbo: float
    label: str
    converged: bool
    reason: str
    law: dict[str, Any] | None
    maker: str
    rows: int | None


class NotGiven:
    """Stands for the log joint of a fit that was loaded without it.

    Args:
        path: the fit's file.
        tensors: what was learned beside q, for when the fit is saved again.
    """

    def __init__(self, path: Path, tensors: dict[str, Tensor]) -> None:
        self._path = path
        self.tensors = tensors

    def __call__(self, *_: Any) -> Tensor:
        raise ValueError(
            f"{self._path} was loaded without its log_joint, which `bound` and `diagnose` need. "
            "Give it: load(path, log_joint=..., data=...), data if there were any."
        )


def save(
    path: str | os.PathLike[str],
    problem: Problem,
    trace: Trace,
    elbo: float,
    *,
    label: str,
    converged: bool,
    reason: str,
) -> None:
    """Writes the file, whole or not at all.

    Raises:
        ValueError: the folder doesn't exist.
        ModuleNotFoundError: safetensors isn't installed.
    """
    with needing("infer", "saving and loading a fit"):
        from safetensors.torch import save_file
    path = Path(path)
    check_folder(path)
    model, unknowns, rows = problem.model.function, problem.unknowns, problem.rows
    described = {
        "format": FORMAT,
        "library": __version__,
        "label": label,
        "converged": converged,
        "reason": reason,
        "relaxed": trace.relaxed,
        "law": describe(unknowns.posterior) if isinstance(unknowns, OwnLogits) else None,
        "maker": type(unknowns.posterior).__name__,
        "rows": None if rows is None else rows.count,
    }
    tensors = {
        **(model.tensors if isinstance(model, NotGiven) else {}),
        **problem.state(),
        BOUNDS: torch.tensor(trace.bounds, dtype=torch.float64),
        STEP_SIZES: torch.tensor(trace.step_sizes, dtype=torch.float64),
        ELBO: torch.tensor(elbo, dtype=torch.float64),
    }
    # copies, since tensors that share memory are refused
    whole = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in tensors.items()}
    with written_whole(path) as draft:
        save_file(whole, draft, metadata={KEY: json.dumps(described)})


def read(path: Path) -> Stored:
    """What `save` wrote.

    Raises:
        ValueError: no file, a damaged one, another one, or one of a later library.
        ModuleNotFoundError: safetensors isn't installed.
    """
    if not path.is_file():
        raise ValueError(f"There is no file {path}. Expected one that Fit.save wrote.")
    with needing("infer", "saving and loading a fit"):
        from safetensors import SafetensorError, safe_open
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
            # copies, since the file may be replaced while they are used
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{path} is damaged, cut short, or no safetensors file: {error}. Expected one that "
            "Fit.save wrote."
        ) from error
    if text is None:
        raise ValueError(f"{path} holds tensors, but no fit. Expected a file that Fit.save wrote.")
    with reading(path):
        described = json.loads(text)
        newer = described["format"] > FORMAT
    if newer:
        raise ValueError(
            f"{path} is of format {described['format']}, by hotgrad {described.get('library')}; "
            f"this is hotgrad {__version__}, which reads formats up to {FORMAT}. Update hotgrad."
        )
    with reading(path):
        return _stored(described, tensors)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Around the use of what a file says: it may say anything."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged, it makes no sense ({type(error).__name__}: {error}). Save the fit "
            "again."
        ) from error


def _stored(described: dict[str, Any], tensors: dict[str, Tensor]) -> Stored:
    bounds, step_sizes, elbo = (tensors.pop(name) for name in (BOUNDS, STEP_SIZES, ELBO))
    if bounds.ndim != 1 or bounds.shape != step_sizes.shape:
        raise ValueError(
            f"bounds of shape {tuple(bounds.shape)}, step sizes of shape {tuple(step_sizes.shape)}"
        )
    return Stored(
        state=tensors,
        trace=Trace(bounds.tolist(), step_sizes.tolist(), described["relaxed"]),
        elbo=elbo.item(),
        **{name: described[name] for name in _OF_DESCRIPTION},
    )


_OF_DESCRIPTION = ("label", "converged", "reason", "law", "maker", "rows")
