"""What a selection leaves: tables on the terminal, and a new folder with names, scores, picture."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from hotgrad.cli.selection_plots import save_selection, shortened
from hotgrad.cli.terminal import console, say

if TYPE_CHECKING:  # scikit-learn takes a second to import, for every command
    from hotgrad.selection.scores import Metric, Score

MAX_PRINTED = 40
_LONGEST_NAME = 60
"""In a title."""


@dataclass(frozen=True)
class Column:
    """A column that could be chosen."""

    column: str
    chosen: bool
    probability: float


@dataclass(frozen=True)
class Report:
    """All that a selection found out.

    Args:
        settings: what was asked for and of how many rows, by name.
        metric: what the score is.
        columns: every column, the most probable first.
        scores: the choice's own first, then the rivals'.
    """

    settings: dict[str, Any]
    metric: "Metric"
    columns: Sequence[Column]
    scores: Sequence["Score"]

    @property
    def record(self) -> dict[str, Any]:
        """Everything, as JSON holds it."""
        return {
            **self.settings,
            "metric": self.metric.name,
            "model": self.metric.model,
            "columns": [asdict(column) for column in self.columns],
            "scores": [asdict(score) for score in self.scores],
        }

    def write(self, folder: Path) -> None:
        """columns.csv, scores.csv, selection.json and selection.png in a folder that exists."""
        with (folder / "columns.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["column", "chosen", "probability"])
            rows.writerows([c.column, int(c.chosen), c.probability] for c in self.columns)
        with (folder / "scores.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["choice", "score", "standard_error"])
            rows.writerows([s.choice, s.score, s.standard_error] for s in self.scores)
        text = json.dumps(self.record, indent=2, allow_nan=False)
        (folder / "selection.json").write_text(text + "\n", encoding="utf-8")
        save_selection(
            folder / "selection.png",
            [(column.column, column.probability, column.chosen) for column in self.columns],
            [(s.choice, s.score, s.standard_error) for s in self.scores],
            metric=f"{self.metric.name} ({self.metric.direction})",
            best=self.metric.best,
            title=self.title,
        )

    @property
    def formulas(self) -> list[str]:
        """Names that a spreadsheet would compute; they are written as they are, to be joined by."""
        return [c.column for c in self.columns if c.column.startswith(("=", "+", "-", "@"))]

    @property
    def title(self) -> str:
        """Which columns of what, in one line."""
        target = self.settings["target"]
        aim = "to rebuild all of them"
        if target is not None:
            aim = f"to predict {shortened(target, _LONGEST_NAME)}"
        k, table = self.settings["k"], shortened(Path(self.settings["table"]).name, _LONGEST_NAME)
        return f"{table}: {k} of {len(self.columns)} columns {aim}"

    def show(self) -> None:
        """The chosen columns and the scores on the terminal."""
        chosen = [column for column in self.columns if column.chosen]
        say(self.title)
        if self.settings["task_inferred_from"] is not None:
            say(f"task: {self.settings['task']} ({self.settings['task_inferred_from']})")
        table = Table()
        table.add_column("chosen column", overflow="fold")
        table.add_column("probability", justify="right")
        for column in chosen[:MAX_PRINTED]:
            table.add_row(column.column, f"{column.probability:.3f}")
        console.print(table)
        if len(chosen) > MAX_PRINTED:
            console.print(f"and {len(chosen) - MAX_PRINTED:,} more, in columns.csv")
        imputed = self.settings["imputed_values"]
        if imputed:
            console.print(
                f"{imputed:,} missing values filled with medians of the training part",
            )
        held, rows = self.settings["held_out"], self.settings["rows"]
        console.print(f"Scored by {self.metric.model}")
        compared = self.settings["compared_rows"]
        if compared < rows - held:
            say(f"trained on {compared:,} of {rows - held:,} rows, as for the other choices,")
        console.print(f"on {held:,} held-out rows of {rows:,}:")
        scores = Table()
        scores.add_column("columns chosen by")
        scores.add_column(f"{self.metric.name}\n({self.metric.direction})", justify="right")
        for score in self.scores:
            error = "" if score.standard_error is None else f" ± {score.standard_error:.3f}"
            style = "bold" if score.choice == "hotgrad" else ""
            scores.add_row(score.choice, f"{score.score:.3f}{error}", style=style)
        console.print(scores)
