"""A fit as one safetensors file: what was learned, how it came about, and a description of q.

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
from hotgrad.files import file_to_write
from hotgrad.inference.problem import OwnParameters, Problem
from hotgrad.inference.training import OUTCOMES, Ending, Trace
from hotgrad.ops import checks

FORMAT, OLDEST = 3, 2
"""Of the file: what is written, and the oldest that is read."""
LONGEST = 200
"""Letters of what is told about a damaged file, which may say anything."""
BOUNDS, STEP_SIZES, ELBO = "trace.bounds", "trace.step_sizes", "elbo"


@dataclass(frozen=True)
class Stored:
    """A file's content.

    Args:
        state: every tensor that was learned, by its name in the problem.
        trace: of the fit.
        elbo: at the end.
        label: objective, estimator and samples.
        ending: how it ended.
        distribution: q's description, by `describe`; None of a q that can't be rebuilt.
        maker: the kind of q in such a case.
        rows: how many the data had; None without data.
    """

    state: dict[str, Tensor]
    trace: Trace
    elbo: float
    label: str
    ending: Ending
    distribution: dict[str, Any] | None
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
    label: str,
    ending: Ending,
) -> None:
    """Writes the file, whole or not at all.

    Raises:
        ValueError: the folder doesn't exist, or the name announces another kind of file.
        ModuleNotFoundError: safetensors isn't installed.
    """
    with needing("infer", "saving and loading a fit"):
        from hotgrad.tensor_files import write_tensors
    path = file_to_write(path, ".safetensors")
    model, variational, rows = problem.model, problem.variational, problem.rows
    q = variational.posterior
    described = {
        "format": FORMAT,
        "library": __version__,
        "label": label,
        **ending._asdict(),
        "relaxed": trace.relaxed,
        "distribution": q.describe() if isinstance(variational, OwnParameters) else None,
        "maker": type(q).__name__,
        "rows": None if rows is None else rows.count,
    }
    tensors = {
        **(model.tensors if isinstance(model, NotGiven) else {}),
        **problem.state(),
        BOUNDS: torch.tensor(trace.bounds, dtype=torch.float64),
        STEP_SIZES: torch.tensor(trace.step_sizes, dtype=torch.float64),
        ELBO: torch.tensor(elbo, dtype=torch.float64),
    }
    write_tensors(path, tensors, json.dumps(described))


def read(path: Path) -> Stored:
    """What `save` wrote.

    Raises:
        ValueError: no file, a damaged one, another one, or one of a later library.
        ModuleNotFoundError: safetensors isn't installed.
    """
    with needing("infer", "saving and loading a fit"):
        from hotgrad.tensor_files import read_tensors
    tensors, text = read_tensors(path)
    try:
        described = json.loads(text)
    # what is nested too deeply, or a number of too many digits, besides what is no JSON
    except (ValueError, RecursionError):
        described = None
    if not isinstance(described, dict) or not isinstance(described.get("format"), int):
        raise ValueError(f"{path} holds tensors, but no fit. Expected a file that Fit.save wrote.")
    if not OLDEST <= described["format"] <= FORMAT:
        age = "a later" if described["format"] > FORMAT else "an earlier"
        what_to_do = "Update hotgrad" if age == "a later" else "Fit again"
        raise ValueError(
            f"{path} is of {age} format, by hotgrad {checks.shown(described.get('library'))}; this "
            f"is hotgrad {__version__}, which reads formats {OLDEST} to {FORMAT}. {what_to_do}."
        )
    with reading(path):
        if described["format"] == 2:
            described, tensors = _of_format_2(described, tensors)
        return _stored(described, tensors)


def _of_format_2(
    described: dict[str, Any], tensors: dict[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """As format 3, in which every parameter has a name, and other words describe q."""
    q = described["law"]
    # the logits of a Joint had the unknowns' names, a module's tensors have its own
    by_unknown = q is not None or described["maker"] == "Joint"
    renamed = {n: f"{n}.logits" for n in tensors if by_unknown and n.startswith("q.")}
    renamed["q."] = "q.logits"
    newer = {name: value for name, value in described.items() if name != "law"}
    return newer | {"distribution": _described_anew(q)}, {
        renamed.get(name, name): tensor for name, tensor in tensors.items()
    }


_NEW_WORDS = {"law": "kind", "checked": "validate_args", "dims": "ndims", "parts": "factors"}


def _described_anew(q: Any) -> Any:
    if not isinstance(q, dict):
        return q
    anew = {_NEW_WORDS.get(word, word): value for word, value in q.items()}
    if "inside" in anew:
        anew["inside"] = _described_anew(anew["inside"])
    if isinstance(anew.get("factors"), dict):
        anew["factors"] = {name: _described_anew(own) for name, own in anew["factors"].items()}
    return anew


@contextmanager
def reading(
    path: Path, said: str = "is damaged, it makes no sense", what_to_do: str = "Save the fit again"
) -> Iterator[None]:
    """Around the use of what a file says: it may say anything, and any part may fail on it."""
    try:
        yield
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{path} {said} ({why[:LONGEST]}). {what_to_do}.") from error


def _stored(described: dict[str, Any], tensors: dict[str, Tensor]) -> Stored:
    for name, kinds in _KINDS.items():
        _check_kind(described[name], name, *kinds)
    checks.check_choice("outcome", described["outcome"], OUTCOMES)
    bounds, step_sizes, elbo = (tensors.pop(name) for name in (BOUNDS, STEP_SIZES, ELBO))
    if bounds.ndim != 1 or bounds.shape != step_sizes.shape or elbo.ndim:
        raise ValueError(
            f"bounds of shape {tuple(bounds.shape)}, step sizes of shape "
            f"{tuple(step_sizes.shape)}, ELBO of shape {tuple(elbo.shape)}"
        )
    return Stored(
        state=tensors,
        trace=Trace(bounds.tolist(), step_sizes.tolist(), described["relaxed"]),
        elbo=elbo.item(),
        ending=Ending(described["outcome"], described["reason"]),
        **{name: described[name] for name in ("label", "distribution", "maker", "rows")},
    )


_KINDS: dict[str, tuple[type, ...]] = {
    "label": (str,),
    "outcome": (str,),
    "reason": (str,),
    "relaxed": (bool,),
    "distribution": (dict, type(None)),
    "maker": (str,),
    "rows": (int, type(None)),
}


def _check_kind(value: Any, name: str, *kinds: type) -> None:
    """True and False are no numbers."""
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(f"{name} is {checks.shown(value)}, no {expected}")
