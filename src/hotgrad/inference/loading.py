"""A fit from its file: q is rebuilt, and what the file can't hold is taken from the caller.

Tensors go into the caller's modules once all of them are known to fit, so that a refused file
leaves them as they were.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hotgrad.distributions import from_description
from hotgrad.files import as_path
from hotgrad.inference.log_joint import Data, LogJointFunction
from hotgrad.inference.problem import Made, OwnParameters, Problem, checked_parameters
from hotgrad.inference.result import Fit
from hotgrad.inference.storage import NotGiven, Stored, read, reading
from hotgrad.ops import checks


def load(
    path: str | os.PathLike[str],
    *,
    log_joint: LogJointFunction | None = None,
    q: Any = None,
    data: Data | None = None,
    batch_size: int | None = None,
    parameters: Iterable[Tensor] = (),
) -> Fit:
    """A fit that `Fit.save` wrote, on the CPU unless q is given elsewhere.

    The file holds what was learned, not the code: a distribution is rebuilt from it if its class is
    known, all else is given here again and filled with what was learned. Nothing is unpickled.

    Args:
        path: the file.
        log_joint: as `fit` had it. Without it the fit has its posterior, marginals, samples, trace
            and picture, but no `bound` and no `diagnose`.
        q: a module or function that makes the distribution, as `fit` had it, whose tensors are
            overwritten; or a distribution whose class the program hasn't imported under its name.
        data: as `fit` had them, with `log_joint` or with a q that is made from them. Such a q may
            be given other rows; the fit's `elbo` stays that of the old ones.
        batch_size: rows that are looked at together.
        parameters: the tensors that `fit` had; they are overwritten.

    Raises:
        ValueError: no fit in the file, a damaged one, one of a later library; something that is
            missing here, or doesn't fit what was saved.
        ModuleNotFoundError: safetensors isn't installed.

    Example:
        >>> import tempfile
        >>> from hotgrad.inference import fit, load
        >>> log_joint = lambda z: 2.0 * z[..., 0] * z[..., 1] - z.sum(-1)
        >>> q = hg.Bernoulli(logits=torch.tensor([0.1, 0.1])).to_event(1)
        >>> result = fit(log_joint, q, estimator=hg.Exact(), steps=50)
        >>> path = tempfile.mkdtemp() + "/fit.safetensors"
        >>> result.save(path)
        >>> again = load(path, log_joint=log_joint)
        >>> again.elbo == result.elbo, torch.equal(again.marginals, result.marginals)
        (True, True)
    """
    path = as_path(path)
    stored = read(path)
    given = checked_parameters(parameters)
    if stored.rows is not None and data is None and log_joint is not None:
        raise ValueError(
            f"The fit in {path} had data of {stored.rows:,} rows, which log_joint is called with. "
            "Give them as data=..., or leave out log_joint."
        )
    # what was learned of a model that isn't given is kept aside
    absent: tuple[str, ...] = ()
    if log_joint is None:
        absent = ("model.",) if given else ("model.", "parameters.")
    aside = {name: t for name, t in stored.state.items() if name.startswith(absent)}
    model = NotGiven(path, aside) if log_joint is None else log_joint
    problem = Problem(model, _q(path, stored, q), data, batch_size, given)
    _check_rows(path, stored, problem)
    if isinstance(problem.variational, OwnParameters):
        _check_kind(path, stored, problem.variational.posterior)
    elif data is None and stored.rows is not None:
        problem.variational = _WithoutData(problem.variational.posterior)
    state = problem.state()
    _check_state(path, {n: t for n, t in stored.state.items() if n not in aside}, state)
    with torch.no_grad():
        for name, tensor in state.items():
            tensor.copy_(stored.state[name])
    return Fit(problem, stored.label, stored.trace, stored.ending, stored.elbo)


def _q(path: Path, stored: Stored, q: Any) -> Any:
    if q is not None:
        return q
    cannot, instead = (
        "has a q that can't be rebuilt",
        "Give it as q=..., made as it was for the fit",
    )
    if stored.distribution is None:
        raise ValueError(f"{path} {cannot} from the file, a {stored.maker}. {instead}.")
    params = {name[2:]: t for name, t in stored.state.items() if name.startswith("q.")}
    with reading(path, cannot, instead):
        return from_description(stored.distribution, params)


def _check_rows(path: Path, stored: Stored, problem: Problem) -> None:
    """That a q with parameters for each row gets its own rows, and a fit without data none."""
    count = None if problem.rows is None else problem.rows.count
    of_its_own = isinstance(problem.variational, OwnParameters)
    if count is None or count == stored.rows or not (of_its_own or stored.rows is None):
        return
    had = "no data" if stored.rows is None else f"data of {stored.rows:,} rows"
    raise ValueError(
        f"The fit in {path} had {had}; these have {count:,}. Its posterior belongs to what it was "
        "fitted to: give the same."
    )


def _check_kind(path: Path, stored: Stored, q: Any) -> None:
    had: Any = stored.distribution
    has, other = q.describe(), "Leave out q to have it rebuilt, or give"
    if had is None:
        # one that is made, or one of a user's own in the format of before
        had, has, other = stored.maker, type(q).__name__, "Give"
    if had != has:
        raise ValueError(
            f"The fit in {path} has q of the kind {checks.shown(had)}; q is {checks.shown(has)}. "
            f"{other} the same."
        )


def _check_state(path: Path, expected: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    """That everything that was learned finds its place, and every place is filled."""
    in_file, here = (
        {
            name: f"{str(t.dtype).removeprefix('torch.')} of shape {tuple(t.shape)}"
            for name, t in state.items()
        }
        for state in (expected, found)
    )
    if in_file == here:
        return
    name = min(set(in_file.items()) ^ set(here.items()))[0]
    whose = {"model": "log_joint", "parameters": "parameters"}.get(name.partition(".")[0], "q")
    raise ValueError(
        f"{whose} doesn't fit {path}: {name} is {in_file.get(name, 'not there')} in the file and "
        f"{here.get(name, 'not there')} in what was given. Give {whose} as the fit had it."
    )


class _WithoutData(Made):
    """A q that is made from data, which weren't given."""

    def at(self, x: Data | None, rows: Tensor | slice | None) -> Any:
        raise ValueError(
            "This fit's q is made from the data, and it was loaded without them. Give them: "
            "load(path, q=..., data=...)."
        )
