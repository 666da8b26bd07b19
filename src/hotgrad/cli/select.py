"""`hotgrad select TABLE`: k columns of a table, scored beside the choices of other methods."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hotgrad.cli.extras import needing
from hotgrad.cli.options import option, overwrite_option, seed_option
from hotgrad.cli.progress import counting_bar
from hotgrad.cli.selection_report import Column, Report
from hotgrad.cli.terminal import complain, say_contents
from hotgrad.distributions import KSubset, PlackettLuceSubset
from hotgrad.estimators import row_wise_estimators
from hotgrad.files import new_folder
from hotgrad.ops.checks import check_count

DATA, CHOICE, RUN = "Data", "Choice", "Run"
ESTIMATORS = row_wise_estimators(KSubset, PlackettLuceSubset)


def select(
    table: Annotated[
        str,
        typer.Argument(
            help="A CSV file with any separator, a Parquet file, or a bundled table: wine, "
            "breast-cancer, diabetes or digits.",
            metavar="TABLE",
        ),
    ],
    target: Annotated[
        str | None,
        option(DATA, "Column to predict; without it, all columns are rebuilt.", metavar="COLUMN"),
    ] = None,
    drop: Annotated[
        str,
        option(
            DATA,
            "Columns to leave out, such as identifiers; names with commas in double quotes.",
            metavar="A,B,..",
        ),
    ] = "",
    impute: Annotated[
        bool, option(DATA, "Fill missing values with the training part's medians.", "--impute")
    ] = False,
    same_unit: Annotated[
        bool,
        option(
            DATA,
            "All columns share a unit, such as pixels: keep their scales.",
            "--same-unit",
        ),
    ] = False,
    k: Annotated[int, option(CHOICE, "How many columns.", "--k", "-k")] = 10,
    task: Annotated[
        str,
        option(
            CHOICE,
            "auto, classification, regression or reconstruction. auto goes by the target: text, "
            "booleans and few different whole numbers are classes.",
            metavar="NAME",
        ),
    ] = "auto",
    estimator: Annotated[
        str,
        option(
            CHOICE,
            f"How the gradient of a random choice is estimated: {', '.join(ESTIMATORS)}.",
            metavar="NAME",
        ),
    ] = "straight-through",
    epochs: Annotated[
        int | None,
        option(CHOICE, "Passes over the rows. [default: about 3,000 steps]", metavar="N"),
    ] = None,
    seed: Annotated[int, seed_option(RUN, "Of all that is drawn.", largest=2**32 - 1)] = 0,
    out: Annotated[
        Path | None,
        option(
            RUN, "Folder for the results, a new one. [default: runs/TABLE-K-columns]", metavar="DIR"
        ),
    ] = None,
    overwrite: Annotated[
        bool, overwrite_option(RUN, "the results of a folder that exists")
    ] = False,
    as_json: Annotated[bool, option(RUN, "Print JSON and nothing else.", "--json")] = False,
) -> None:
    """Choose k columns of a table, and score them on held-out rows beside other methods' choices.

    The columns predict `--target`, or rebuild the whole table where none is named. A quarter of the
    rows is held out first. The same model is trained on each choice and scored on these rows:
    hotgrad's, those of mutual information, L1, tree importance and chance, and all columns.

    - `hotgrad select wine --target class --k 3`

    - `hotgrad select mice.csv --target class --drop MouseID,Genotype --impute`

    - `hotgrad select digits --drop digit --same-unit --k 12`: which pixels tell the others?
    """
    with needing("select"):
        # these take a second to import, and no other command needs them
        from hotgrad.selection import SubsetSelector
        from hotgrad.selection.column_names import brief, split_names
        from hotgrad.selection.holdout import hold_out
        from hotgrad.selection.learner import shown_on
        from hotgrad.selection.problems import pose
        from hotgrad.selection.scores import METRICS, MOST_ROWS, compare
        from hotgrad.selection.tables import read_table
        from hotgrad.selection.validation import check_estimator
    check_estimator(estimator)
    if epochs is not None:
        check_count(epochs, "--epochs")
    folder = out or Path("runs") / f"{Path(table).stem}-{k}-columns"
    frame = read_table(table)
    dropped = split_names(drop, list(frame.columns))
    problem = pose(frame, k=k, target=target, task=task, drop=dropped, impute=impute)
    train, test = hold_out(problem, k, seed, same_unit=same_unit)
    names = list(train.features.columns)
    selector = SubsetSelector(
        k,
        task=problem.task,
        estimator=estimator,
        same_unit=same_unit,
        epochs=epochs,
        random_state=seed,
    )
    with new_folder(folder, overwrite=overwrite) as draft:
        if problem.inferred is not None and problem.inferred.doubt:
            ask = "--task classification or --task regression"
            complain(problem.inferred.warning(str(target), ask))
        with counting_bar(f"choosing {k} of {len(names)}", shown=not as_json) as progress:
            selector.fit(train.features, train.target, progress=shown_on(progress))
        chances = selector.inclusion_probabilities_.tolist()
        columns = sorted(
            map(Column, names, selector.get_support().tolist(), chances),
            key=lambda column: (column.chosen, column.probability),
            reverse=True,
        )
        chosen = [column.column for column in columns if column.chosen]
        with counting_bar("scoring beside rivals", shown=not as_json) as progress:
            scores = compare(train, test, chosen, task=problem.task, seed=seed, progress=progress)
        report = Report(
            settings={
                "table": table,
                "target": target,
                "task": problem.task,
                "task_inferred_from": problem.inferred and problem.inferred.reason,
                "k": k,
                "drop": dropped,
                "same_unit": same_unit,
                "seed": seed,
                "estimator": estimator,
                "epochs": epochs,
                "rows": len(problem.features),
                "held_out": len(test.features),
                "compared_rows": min(len(train.features), MOST_ROWS),
                "imputed_values": problem.missing,
            },
            metric=METRICS[problem.task],
            columns=columns,
            scores=scores,
        )
        # before they are written: a full disk loses nothing
        if as_json:
            typer.echo(json.dumps(report.record, allow_nan=False))
        else:
            report.show()
        report.write(draft)
    if report.formulas:
        complain(
            f"{len(report.formulas)} names in columns.csv look like formulas to a spreadsheet, "
            f"the first {brief(report.formulas[0])}. Import them there as text."
        )
    if not as_json:
        say_contents(folder)
