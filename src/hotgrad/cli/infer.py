"""`hotgrad infer PROBLEM`: the discrete unknowns of a model, and how far to trust the answer."""

import functools
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated

import torch
import typer

from hotgrad.cli.extras import needing
from hotgrad.cli.inference_problem import NAMES, Posed, chosen_estimator, pose
from hotgrad.cli.inference_report import Report
from hotgrad.cli.options import option
from hotgrad.cli.own_function import is_ours, told
from hotgrad.cli.progress import fitting_bar, say_contents
from hotgrad.files import new_folder
from hotgrad.inference import fit as run_fit
from hotgrad.ops import checks

CHOICE, RUN = "How it is fitted", "Run"


def infer(
    problem: Annotated[
        str,
        typer.Argument(
            help=f"{', '.join(NAMES)}, or your own as file.py:function or module:function.",
            metavar="PROBLEM",
        ),
    ],
    estimator: Annotated[
        str, option(CHOICE, "Of the gradient, such as disarm or indecater.", metavar="NAME")
    ] = "score-function",
    temperature: Annotated[
        float | None,
        option(CHOICE, "Of relaxed samples, where the estimator has one. [default: 0.5]"),
    ] = None,
    num_samples: Annotated[int, option(CHOICE, "Samples of the unknowns in a step.")] = 16,
    steps: Annotated[int, option(CHOICE, "At most.")] = 5000,
    step_size: Annotated[
        float | None,
        option(CHOICE, "Adam's. [default: 0.1 for q's logits, 0.005 for all else]"),
    ] = None,
    objective: Annotated[
        str,
        option(
            CHOICE,
            "elbo, or importance: the bound of all samples of a step, best with vimco.",
            metavar="NAME",
        ),
    ] = "elbo",
    batch_size: Annotated[
        int | None, option(CHOICE, "Rows of the data in a step. [default: all]")
    ] = None,
    budget: Annotated[
        int, option(RUN, "Most states of the unknowns to sum over for the exact posterior.")
    ] = 2**16,
    seed: Annotated[
        int, typer.Option(help="Of all random numbers.", min=0, max=2**63 - 1, rich_help_panel=RUN)
    ] = 0,
    out: Annotated[
        Path | None,
        option(RUN, "A new folder for the results. [default: runs/infer-PROBLEM]", metavar="DIR"),
    ] = None,
    as_json: Annotated[
        bool, option(RUN, "Print the result as JSON, and nothing else.", "--json")
    ] = False,
) -> None:
    """Infer the discrete unknowns of a model: fit q to the posterior, and check it.

    Prints the marginals and how far to trust them; where the states are few, by the exact
    posterior. A new folder holds fit.safetensors (for hotgrad.inference.load), fit.png,
    marginals.csv and fit.json.

    - `hotgrad infer noisy-or`: which of 12 causes explain what was found?

    - `hotgrad infer mine.py:problem`: the function problem in mine.py returns (log_joint, q), or
    (log_joint, q, data), as `hotgrad.inference.fit` takes them
    """
    for name, count in (("--num-samples", num_samples), ("--steps", steps), ("--budget", budget)):
        checks.check_count(count, name)
    if step_size is not None:
        checks.check_positive(step_size, "--step-size")
    with needing("infer"):
        from hotgrad.inference.arviz import import_arviz
        from hotgrad.inference.picture import draw

        import_arviz()
        import safetensors  # noqa: F401
    # what a user's function prints is not JSON
    aside = functools.partial(redirect_stdout, sys.stderr) if as_json else nullcontext
    with aside():
        posed = pose(problem)
        chosen = chosen_estimator(estimator, temperature, posed.q, seed)
    adam = None if step_size is None else functools.partial(torch.optim.Adam, lr=step_size)
    folder = out or Path("runs") / f"infer-{posed.name}"
    generator = torch.Generator().manual_seed(seed)
    with aside(), new_folder(folder) as draft, _naming(posed), _warnings() as caught:
        with fitting_bar("fitting", shown=not as_json) as progress:
            fitted = run_fit(
                posed.log_joint,
                posed.q,
                estimator=chosen,
                num_samples=num_samples,
                steps=steps,
                objective=objective,
                optimizer=adam,
                data=posed.data,
                batch_size=batch_size,
                generator=generator,
                progress=progress,
            )
        report = Report(posed, fitted, fitted.diagnose(budget=budget, generator=generator), seed)
        fitted.save(draft / "fit.safetensors")
        report.write(draft)
        draw(fitted, draft / "fit.png", title=f"{posed.name}: {posed.text}")
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        # the reason is shown with the rest
        if message != fitted.reason:
            print("hotgrad: " + " ".join(message.split()), file=sys.stderr)
    if as_json:
        typer.echo(json.dumps(report.record, allow_nan=False))
        return
    report.show()
    say_contents(folder)


@contextmanager
def _warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Collects warnings to users, which are a line each on the terminal, without their place."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield caught


@contextmanager
def _naming(posed: Posed) -> Iterator[None]:
    """Around calls of the user's functions, whose errors are told with their place."""
    try:
        yield
    except Exception as error:
        if is_ours(error) or not posed.own:
            raise
        raise ValueError(f"{posed.name} failed: {told(error)}.") from error
