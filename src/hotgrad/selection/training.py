"""A fit from start to end: rows held out, epochs of batches, early stopping, further pieces."""

import copy
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hotgrad.estimators.base import label_of
from hotgrad.schedules import Constant, Cosine
from hotgrad.selection import targets
from hotgrad.selection.learner import Goal, Learner, Progress
from hotgrad.selection.standardising import ColumnScaler, Rows, blocks
from hotgrad.selection.validation import check_estimator

STEPS = 3000
"""About how many steps a fit takes where the number of epochs isn't given."""
MOST_EPOCHS = 500

Table = NDArray[Any]
Pairs = Callable[[Rows], tuple[Tensor, Tensor]]
"""Rows' numbers to their standardised values and their targets."""


class Training:
    """A learner with the scales, the labels and the random streams that belong to it.

    Args:
        selector: its settings, checked.
        k: how many columns are chosen.
        task: classification, regression or reconstruction.
        columns: of the table.
        y: the first target.
        classes: all labels, where the first target may lack some.
        seed: of everything that is drawn.
    """

    def __init__(
        self,
        selector: Any,
        k: int,
        task: str,
        columns: int,
        y: Table | None,
        classes: Any,
        seed: int,
    ) -> None:
        self._settings = SimpleNamespace(**selector.get_params(deep=False))
        self._passes = 0
        self.classes: NDArray[Any] | None = None
        outputs = columns
        if y is not None and task == "classification":
            self.classes = targets.find_classes(y, classes)
            outputs = len(self.classes)
        elif y is not None:
            outputs = targets.as_quantities(y).shape[1]
        self._scaler, self._target_scaler = (
            ColumnScaler(same_unit=selector.same_unit),
            ColumnScaler(),
        )
        self._order = np.random.default_rng(seed)
        self._noise = torch.Generator().manual_seed(seed)
        hidden = selector.hidden
        if hidden is None:
            hidden = () if task == "reconstruction" else (64,)
        self.learner = Learner(
            columns,
            k,
            Goal(task == "classification", outputs),
            hidden=hidden,
            estimator=copy.deepcopy(check_estimator(selector.estimator)),
            learning_rate=selector.learning_rate,
            logits_learning_rate=selector.logits_learning_rate,
            kl_weight=selector.kl_weight,
            generator=self._noise,
        )

    def run(
        self, X: Table, y: Table | None, listener: Callable[[Progress], None] | None
    ) -> list[dict[str, Any]]:
        """A whole fit; one record an epoch."""
        settings = self._settings
        if y is not None and self.classes is None:
            targets.check_varies(targets.as_quantities(y))
        rows = self._order.permutation(len(X))
        # at least two rows are left to learn from
        held = min(int(settings.validation_fraction * len(X)), len(X) - 2)
        if settings.patience is None:
            held = 0
        held_out, rows = rows[:held], rows[held:]
        pairs = self._pairs(X, y, rows)
        self._scaler.check_changes()
        steps = self._steps(rows)
        epochs = settings.epochs or min(MOST_EPOCHS, math.ceil(STEPS / steps))
        rate = Cosine(1.0, 0.02, epochs * steps)
        records: list[dict[str, Any]] = []
        best, best_epoch, best_state = math.inf, 0, None
        for epoch in range(epochs):
            loss = self._epoch(pairs, rows, rate, epoch * steps)
            at = Progress(
                epoch + 1, epochs, loss, self._loss(pairs, held_out), self.learner.certainty()
            )
            records.append(_record(at))
            if listener is not None:
                listener(at)
            if settings.patience is None or at.validation_loss is None:
                continue
            if at.validation_loss < best:
                best, best_epoch = at.validation_loss, epoch
                best_state = copy.deepcopy(self.learner.state_dict())
            elif epoch - best_epoch >= settings.patience:
                break
        if best_state is not None:
            self.learner.load_state_dict(best_state)
        return records

    def continue_with(self, X: Table, y: Table | None) -> dict[str, Any]:
        """One pass over further rows; its record."""
        rows = self._order.permutation(len(X))
        loss = self._epoch(self._pairs(X, y, rows), rows, Constant(1.0))
        self._passes += 1
        return _record(Progress(self._passes, self._passes, loss, None, self.learner.certainty()))

    def _pairs(self, X: Table, y: Table | None, rows: Rows) -> Pairs:
        """The table and its target by rows, standardised by the moments of all rows so far."""
        self._scaler.update(X, np.sort(rows))
        if y is None:
            return lambda chosen: (_floats(self._scaler(X[chosen])),) * 2
        if self.classes is not None:
            numbers = targets.class_numbers(y, self.classes)
            return lambda chosen: (
                _floats(self._scaler(X[chosen])),
                torch.from_numpy(numbers[chosen]),
            )
        quantities = targets.as_quantities(y)
        self._target_scaler.update(quantities, rows)
        return lambda chosen: (
            _floats(self._scaler(X[chosen])),
            _floats(self._target_scaler(quantities[chosen])),
        )

    def _epoch(
        self, pairs: Pairs, rows: Rows, rate: Callable[[int], float], start: int = 0
    ) -> float:
        """One pass over the rows, whose first step has the number `start`; the mean loss."""
        order = np.array_split(self._order.permutation(rows), self._steps(rows))
        total = 0.0
        for step, batch in enumerate(order):
            values, target = pairs(batch)
            total += len(batch) * self.learner.step(
                values,
                target,
                table_rows=self._scaler.count,
                rate=rate(start + step),
                generator=self._noise,
            )
        if not math.isfinite(total):
            raise ValueError(
                f"The loss became {total}. Lower learning_rate ({self._settings.learning_rate:g}) "
                f"or logits_learning_rate ({self._settings.logits_learning_rate:g})."
            )
        return total / len(rows)

    def _steps(self, rows: Rows) -> int:
        """How many batches the rows make, none of them too small for the estimator."""
        least = getattr(self.learner.estimator, "least_samples", 1)
        if len(rows) < least:
            raise ValueError(
                f"{label_of(self.learner.estimator)} compares at least {least} rows with each "
                f"other, got {len(rows)}. Give more rows at a time, or use StraightThrough()."
            )
        return min(math.ceil(len(rows) / self._settings.batch_size), len(rows) // least)

    def _loss(self, pairs: Pairs, rows: Rows) -> float | None:
        """The most probable subset's mean loss on these rows."""
        if not len(rows):
            return None
        parts = [
            self.learner.total_loss(*pairs(block))
            for block in blocks(rows, len(self.learner.logits))
        ]
        return sum(parts) / len(rows)


def _floats(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _record(at: Progress) -> dict[str, Any]:
    return {name: value for name, value in vars(at).items() if name != "epochs"}
