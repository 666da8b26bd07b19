"""`hotgrad infer PROBLEM`: the discrete unknowns of a model, and how far to trust the answer."""

import functools
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated

import torch
import typer

from hotgrad.cli.extras import needing
from hotgrad.cli.inference_problem import NAMES, chosen_estimator, pose
from hotgrad.cli.inference_report import Report
from hotgrad.cli.options import check_effects, option, overwrite_option, seed_option
from hotgrad.cli.own_function import failing, is_own
from hotgrad.cli.progress import counting_bar
from hotgrad.cli.terminal import complain, say_contents
from hotgrad.estimators import ESTIMATORS
from hotgrad.files import new_folder
from hotgrad.inference import fit as run_fit
from hotgrad.inference.fitting import shown_on
from hotgrad.inference.training import DIVERGED
from hotgrad.ops import checks

CHOICE, RUN = "How it is fitted", "Run"
DIVERGED_STATUS = 1
"""The exit status of a fit that diverged; its last good state was kept, shown and written."""


def infer(
    context: typer.Context,
    problem: Annotated[
        str,
        typer.Argument(
            help=f"{', '.join(NAMES)}, or your own as file.py:function or module:function.",
            metavar="PROBLEM",
        ),
    ],
    estimator: Annotated[
        str, option(CHOICE, f"Of the gradient: {', '.join(ESTIMATORS)}, vimco.", metavar="NAME")
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
    seed: Annotated[int, seed_option(RUN, "Of all random numbers.")] = 0,
    out: Annotated[
        Path | None,
        option(RUN, "A new folder for the results. [default: runs/infer-PROBLEM]", metavar="DIR"),
    ] = None,
    overwrite: Annotated[
        bool, overwrite_option(RUN, "the files of an earlier run in that folder")
    ] = False,
    as_json: Annotated[
        bool, option(RUN, "Print the result as JSON, and nothing else.", "--json")
    ] = False,
) -> None:
    """Infer the discrete unknowns of a model: fit q to the posterior, and check it.

    Prints the marginals and how far to trust them; where the states are few, by the exact
    posterior. A new folder holds fit.safetensors (for hotgrad.inference.load), fit.png,
    marginals.csv and fit.json. The exit status is 0; 1 if the fit diverged, whose last good state
    is shown and written; 2 after an error.

    - `hotgrad infer noisy-or`: which of 12 causes explain what was found?

    - `hotgrad infer mine.py:problem`: the function problem in mine.py returns (log_joint, q), or
    (log_joint, q, data), as `hotgrad.inference.fit` takes them
    """
    exact = estimator == "exact" and objective == "elbo"
    check_effects(context, {"num_samples": (not exact, "an estimator that samples")})
    for name, count in (("--num-samples", num_samples), ("--steps", steps), ("--budget", budget)):
        checks.check_count(count, name)
    if step_size is not None:
        checks.check_positive(step_size, "--step-size")
    with needing("infer"):
        from hotgrad.inference.arviz import import_arviz

        import_arviz()
        import matplotlib  # noqa: F401
        import safetensors  # noqa: F401
    caught: list[warnings.WarningMessage] = []
    with _calling(None, caught, aside=as_json):
        posed = pose(problem)
        chosen = chosen_estimator(estimator, temperature, posed.q, seed)
    own = posed.name if is_own(problem) else None
    adam = None if step_size is None else functools.partial(torch.optim.Adam, lr=step_size)
    folder = out or Path("runs") / f"infer-{posed.name}"
    generator = torch.Generator().manual_seed(seed)
    with new_folder(folder, overwrite=overwrite) as draft:
        with _calling(own, caught, aside=as_json):
            with counting_bar("fitting", shown=not as_json) as progress:
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
                    progress=shown_on(progress),
                )
            diagnosis = fitted.diagnose(budget=budget, generator=generator)
            report = Report(posed, fitted, diagnosis, seed)
            record = report.record
        # before it is written, so that a full disk loses nothing
        if as_json:
            typer.echo(json.dumps(record, allow_nan=False))
        else:
            report.show()
        with _calling(own, caught, aside=as_json):
            fitted.save(draft / "fit.safetensors")
            report.write(draft)
            fitted.plot(draft / "fit.png", title=f"{posed.name}: {posed.text}")
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        # the reason is shown with the rest
        if not message.startswith(fitted.reason):
            complain(message)
    if not as_json:
        say_contents(folder)
    if fitted.outcome == DIVERGED:
        smaller = fitted.trace.step_sizes[-1] / 10
        complain(f"the fit diverged. If the model is right, try --step-size {smaller:.2g}.")
        raise typer.Exit(DIVERGED_STATUS)


@contextmanager
def _calling(
    own: str | None, caught: list[warnings.WarningMessage], *, aside: bool
) -> Iterator[None]:
    """Around what calls a user's functions.

    Args:
        own: the name of the user's problem, if it is one, whose errors are told with their place.
        caught: gets the warnings to users, which are a line each on the terminal.
        aside: whether what is printed goes to the error stream: it is not JSON.
    """
    with ExitStack() as stack:
        if aside:
            stack.enter_context(redirect_stdout(sys.stderr))
        if own is not None:
            stack.enter_context(failing(own))
        new = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always", UserWarning)
        yield
        caught += new
