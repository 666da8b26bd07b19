"""`hotgrad audit PROBLEM`: which gradient estimator to trust on it, and what each one costs."""

import csv
import json
import sys
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from hotgrad.audit import Audit
from hotgrad.audit import audit as measure
from hotgrad.audit.candidates import TEMPERATURES, default_estimators
from hotgrad.audit.problems import Problem, noisy_or, polynomial, subset
from hotgrad.audit.statistics import GROUPS
from hotgrad.audit.table import as_text
from hotgrad.cli.extras import needing
from hotgrad.cli.options import check_effects, option, overwrite_option, seed_option
from hotgrad.cli.own_function import failing, is_own
from hotgrad.cli.own_problem import own_problem
from hotgrad.cli.progress import counting_bar
from hotgrad.cli.terminal import console, say, say_contents
from hotgrad.cli.training_advice import advice
from hotgrad.estimators import ESTIMATORS
from hotgrad.files import new_folder
from hotgrad.ops.checks import check_choice, check_count, check_temperature
from hotgrad.progress import Report

PROBLEM, CHOICE, RUN = "Problem", "What is measured", "Run"
PROBLEMS: dict[str, Callable[[], Problem]] = {"subset": subset, "noisy-or": noisy_or}
NAMES = ("polynomial", "subset", "noisy-or", "vae")


def audit(
    context: typer.Context,
    problem: Annotated[
        str | None,
        typer.Argument(
            help=f"{', '.join(NAMES)}, or your own as file.py:function or module:function.",
            metavar="PROBLEM",
            show_default=False,
        ),
    ] = None,
    run: Annotated[
        Path | None,
        option(
            PROBLEM,
            "Folder of a trained autoencoder, in place of PROBLEM: its encoder's gradient.",
            metavar="RUN",
        ),
    ] = None,
    data_dir: Annotated[
        str | None, option(PROBLEM, "Where the run's data is now, if it moved.", metavar="DIR")
    ] = None,
    items: Annotated[int, option(PROBLEM, "How many test items are encoded (vae, --run).")] = 10,
    power: Annotated[float, option(PROBLEM, "Exponent p of |z - 0.45|^p (polynomial).")] = 3.0,
    estimators: Annotated[
        str | None,
        option(
            CHOICE,
            "Only these, such as reinmax,disarm. [default: all that work here]",
            metavar="A,B,..",
        ),
    ] = None,
    temperatures: Annotated[
        str, option(CHOICE, "Where estimators with a temperature are measured.", metavar="T,T,..")
    ] = ",".join(map("{:g}".format, TEMPERATURES)),
    num_samples: Annotated[
        int, option(CHOICE, "Samples of z in a call; more where an estimator needs more.")
    ] = 1,
    evaluations: Annotated[
        int | None,
        option(
            CHOICE,
            "How often a training step may ask f: by the error of such a step estimators are "
            "ranked. [default: 12 times NUM_SAMPLES]",
            metavar="N",
        ),
    ] = None,
    replicates: Annotated[
        int, option(CHOICE, "Gradients drawn of each estimator, 20 at least.")
    ] = 1000,
    budget: Annotated[
        int,
        option(
            CHOICE, "Most states of z to sum over for the exact gradient; beyond, an unbiased run."
        ),
    ] = 2**16,
    seed: Annotated[int, seed_option(RUN, "Of all random numbers.")] = 0,
    overwrite: Annotated[
        bool, overwrite_option(RUN, "the files of an earlier audit in that folder")
    ] = False,
    out: Annotated[
        Path | None,
        option(RUN, "A new folder for the results. [default: runs/audit-PROBLEM]", metavar="DIR"),
    ] = None,
    as_json: Annotated[
        bool, option(RUN, "Print the result as JSON, and nothing else.", "--json")
    ] = False,
) -> None:
    """Measure how biased, how noisy and how costly each gradient is, against the exact one.

    Every estimator draws its gradient many times on the same f and q, and is ranked by the error of
    a training step in which each may ask f equally often. Prints a table and a verdict; a new
    folder holds audit.png, audit.json and audit.csv.

    - `hotgrad audit polynomial`: 128 independent bits, as ReinMax's paper has it

    - `hotgrad audit subset`: exactly 5 of 10 items

    - `hotgrad audit noisy-or`: which causes explain what was found?

    - `hotgrad audit vae`: the encoder of a small autoencoder, 4 variables of 8 categories

    - `hotgrad audit --run runs/digits-categorical`: of an autoencoder that you trained

    - `hotgrad audit mine.py:problem`: the function problem in mine.py returns (f, q), as
    `hg.expectation` takes them
    """
    is_encoder = run is not None or problem == "vae"
    check_effects(
        context,
        {
            "power": (problem == "polynomial", "the problem polynomial"),
            "items": (is_encoder, "the problem vae, or --run"),
            "data_dir": (run is not None, "--run"),
        },
    )
    degrees = _temperatures(temperatures)
    names = None if estimators is None else _names(estimators)
    for name, count in (("--items", items), ("--num-samples", num_samples), ("--budget", budget)):
        check_count(count, name)
    check_count(replicates, "--replicates", minimum=GROUPS)
    if evaluations is not None:
        check_count(evaluations, "--evaluations")
    with needing("audit"):
        from hotgrad.audit.picture import draw
    # what a user's function prints is not JSON
    aside = partial(redirect_stdout, sys.stderr) if as_json else nullcontext
    with aside():
        posed = _pose(problem, run, items, power, seed, data_dir)
    folder = out or Path("runs") / f"audit-{posed.name}"
    chosen: list[Any] | None = None
    if names is not None:
        chosen = [
            estimator
            for name in names
            for estimator in default_estimators(name, posed.q, budget, seed)
        ]
    with aside(), new_folder(folder, overwrite=overwrite) as draft:
        with counting_bar("auditing", shown=not as_json) as progress:
            found = _measure(
                posed,
                chosen,
                progress,
                own=":" in (problem or ""),
                num_samples=num_samples,
                replicates=replicates,
                temperatures=degrees,
                evaluations=evaluations,
                budget=budget,
                generator=torch.Generator().manual_seed(seed),
            )
        record = {"problem": posed.name, "text": posed.text, "seed": seed, **found.record()}
        text = json.dumps(record, indent=2, allow_nan=False)
        (draft / "audit.json").write_text(text + "\n", encoding="utf-8")
        with (draft / "audit.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(found.rows[0]))
            table.writeheader()
            table.writerows(found.rows)
        draw(found.record(), draft / "audit.png", title=f"{posed.name}: {posed.text}")
    if as_json:
        typer.echo(json.dumps(record, allow_nan=False))
        return
    say(f"{posed.name}: {posed.text}\n\n{as_text(found.record(), console.width)}\n")
    say_contents(folder)
    for line in advice(found, trains_vae=is_encoder):
        say(line)


def _temperatures(text: str) -> list[float]:
    try:
        temperatures = [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            f"--temperatures takes numbers with commas between, such as 0.1,0.5,1; got {text!r}."
        ) from None
    for temperature in temperatures:
        check_temperature(temperature, "a temperature")
    return sorted(set(temperatures))


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        check_choice("estimator", name, ESTIMATORS)
    return list(dict.fromkeys(names))


def _pose(
    name: str | None, run: Path | None, items: int, power: float, seed: int, data_dir: str | None
) -> Problem:
    if (name is None) == (run is None):
        raise ValueError(
            f"Name a problem ({', '.join(NAMES)}, or file.py:function), or a trained model with "
            "--run RUN: one of the two."
        )
    if run is not None or name == "vae":
        with needing("train"):
            # these take a second to import, and no other problem needs them
            from hotgrad.cli.encoder_problems import digits_problem, run_problem
        return (
            digits_problem(items, seed) if run is None else run_problem(run, items, seed, data_dir)
        )
    if is_own(str(name)):
        return own_problem(str(name))
    check_choice("problem", str(name), NAMES)
    return polynomial(power=power) if name == "polynomial" else PROBLEMS[str(name)]()


def _measure(
    problem: Problem,
    estimators: list[Any] | None,
    progress: Report,
    *,
    own: bool,
    **settings: Any,
) -> Audit:
    with failing(f"{problem.name}'s f") if own else nullcontext():
        found = measure(problem.f, problem.q, estimators, progress=progress, **settings)
    if not found.rows:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in found.refused.items())
        raise ValueError(f"None of the estimators works with {problem.name}. {reasons}.")
    return found
