"""What an audit found: rows for machines, a table and a verdict for people."""

import json
import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hotgrad.audit.table import WIDTH, as_text
from hotgrad.extras import needing
from hotgrad.files import file_to_write, written_whole

if TYPE_CHECKING:
    import pandas

Row = dict[str, Any]


@dataclass(frozen=True, repr=False)
class Audit:
    """Every estimator's bias, noise and cost on one f and q; `print` shows it as a table.

    Args:
        rows: one dict for each estimator and temperature, the least error first. `bias`, with its
            95 % interval from `bias_low` to `bias_high`, `rmse` and `error_at_budget` are shares of
            the exact gradient's norm, `variance` of its square; `cosine` is the mean one with the
            exact gradient. They are None where the exact gradient is zero, or can't be told from
            it, and the same keys with `absolute_` in front are not (there is no such cosine). All
            are of one call with `num_samples` samples and `evaluations` of f for each batch
            element, but for `error_at_budget`: of as many calls, averaged, as the audit's
            `evaluations` pay for; None where they don't pay for one. All are None where
            `non_finite` of the `replicates` gradients aren't finite. `milliseconds` are for forward
            and backward. `unbiased`, `relaxes_f` and `differentiates_f` are what the estimator says
            of itself.
        refused: why the others weren't measured, by name.
        reference: how the exact gradient was had: `text`, `norm`, `relative_error`, `zero` (what is
            known of it where the norm is 0), ...
        verdict: one sentence.
        num_samples: asked for.
        replicates: of each estimator.
        evaluations: of f for each batch element, by which estimators are ranked.
    """

    rows: list[Row]
    refused: dict[str, str]
    reference: dict[str, Any]
    verdict: str
    num_samples: int
    replicates: int
    evaluations: int
    _best: Any = field(default=None, compare=False)

    def best(self) -> Any:
        """The estimator that the verdict names, ready to train with.

        One that learns is the copy that has learnt here, in training mode: give its parameters to
        the optimiser.

        Raises:
            ValueError: the verdict names none.
        """
        if self._best is None:
            raise ValueError(f"No estimator is best. {self.verdict}")
        return self._best

    def to_pandas(self) -> "pandas.DataFrame":
        """The rows as a data frame.

        Raises:
            ModuleNotFoundError: pandas isn't installed.
        """
        with needing("audit", "to_pandas"):
            import pandas
        return pandas.DataFrame(self.rows)

    def record(self) -> dict[str, Any]:
        """Everything, as JSON holds it."""
        return {
            "verdict": self.verdict,
            "num_samples": self.num_samples,
            "replicates": self.replicates,
            "evaluations": self.evaluations,
            "reference": self.reference,
            "rows": self.rows,
            "refused": self.refused,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes JSON, whole or not at all.

        Raises:
            ValueError: the folder doesn't exist, or the name announces another kind of file.
        """
        path = file_to_write(path, ".json")
        text = json.dumps(self.record(), indent=2, allow_nan=False)
        with written_whole(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draws noise against bias, and the error over the temperature, as a PNG.

        Raises:
            ValueError: the folder doesn't exist, or the name announces another kind of file.
            ModuleNotFoundError: matplotlib isn't installed.
        """
        with needing("audit", "plot"):
            from hotgrad.audit.picture import draw
        draw(self, file_to_write(path, ".png"))

    def __str__(self) -> str:
        """The table, what was refused, and the verdict."""
        return as_text(self.record(), shutil.get_terminal_size((WIDTH, 0)).columns)

    __repr__ = __str__
