"""What an inference leaves: marginals and a diagnosis on the terminal, and files in a folder.

Where the exact posterior is known, its marginals stand beside the fitted ones.
"""

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from hotgrad.cli.inference_problem import Posed
from hotgrad.cli.terminal import console, say
from hotgrad.files import written_whole
from hotgrad.inference import Diagnosis, Fit
from hotgrad.inference.marginals import Unknown

MOST_PRINTED, OF_MANY = 24, 8


@dataclass(frozen=True)
class Report:
    """All that was found out.

    Args:
        posed: the problem.
        fit: its fit.
        diagnosis: how far to trust it.
        seed: of all random numbers.
    """

    posed: Posed
    fit: Fit
    diagnosis: Diagnosis
    seed: int

    @cached_property
    def unknowns(self) -> list[Unknown]:
        """With their marginals."""
        return self.fit.unknowns

    @cached_property
    def record(self) -> dict[str, Any]:
        """Everything but the trace, as JSON holds it."""
        return {
            "problem": self.posed.name,
            "text": self.posed.text,
            "seed": self.seed,
            "objective": self.fit.label,
            "steps": len(self.fit.trace.bounds),
            "outcome": self.fit.outcome,
            "converged": self.fit.converged,
            "reason": self.fit.reason,
            "elbo": self.fit.elbo if math.isfinite(self.fit.elbo) else None,
            "diagnosis": self.diagnosis.to_dict(),
            "marginals": {unknown.name: unknown.values.tolist() for unknown in self.unknowns},
            "exact_marginals": {name: values.tolist() for name, values in self._exact.items()},
        }

    @cached_property
    def _exact(self) -> dict[str, Tensor]:
        """By name; nothing where they aren't known."""
        if self.diagnosis.exact is None:
            return {}
        found = self.diagnosis.exact.marginals
        named = {self.unknowns[0].name: found} if isinstance(found, Tensor) else found
        return {name: values.to("cpu", torch.float64) for name, values in named.items()}

    def write(self, folder: Path) -> None:
        """fit.json and marginals.csv in a folder that exists."""
        text = json.dumps(self.record, indent=2, allow_nan=False)
        with written_whole(folder / "fit.json") as draft:
            draft.write_text(text + "\n", encoding="utf-8")
        with (
            written_whole(folder / "marginals.csv") as draft,
            draft.open("w", newline="", encoding="utf-8") as file,
        ):
            rows = csv.writer(file)
            rows.writerow(["unknown", "index", "category", "probability", "exact"])
            for unknown in self.unknowns:
                rows.writerows(_lines(unknown, self._exact.get(unknown.name)))

    def show(self) -> None:
        """The reason, the marginals and the diagnosis on the terminal."""
        console.print(f"{self.posed.name}: {self.posed.text}")
        console.print(f"{self.fit.reason[:1].upper()}{self.fit.reason[1:].rstrip('.')}.\n")
        for unknown in self.unknowns:
            if unknown.values.numel():
                console.print(_table(unknown, self._exact.get(unknown.name)))
        # it has lines of its own
        say(f"\n{self.diagnosis}\n")


def _lines(unknown: Unknown, exact: Tensor | None) -> Iterator[list[Any]]:
    """A line for each value; the category, where there is one, apart from the index."""
    places = torch.ones_like(unknown.values).nonzero().tolist()
    values = unknown.values.flatten().tolist()
    known = [""] * len(values) if exact is None else exact.flatten().tolist()
    for place, value, beside in zip(places, values, known, strict=True):
        index, category = (place[:-1], place[-1]) if unknown.is_choice else (place, "")
        yield [unknown.name, " ".join(map(str, index)), category, value, beside]


def _table(unknown: Unknown, exact: Tensor | None) -> Table:
    """One unknown's marginals; of many, the likeliest and the least certain.

    Of a choice it shows the likeliest category and its probability.
    """
    choice = unknown.is_choice
    # bits are choices of one category here, the probability of 1
    values = unknown.values if choice else unknown.values[..., None]
    shape, top = values.shape[:-1], values.argmax(-1, keepdim=True)
    columns = [values] if exact is None else [values, exact.reshape(values.shape)]
    shown = [column.gather(-1, top).flatten() for column in columns]
    table = Table()
    table.add_column(unknown.name, overflow="fold")
    if choice:
        table.add_column("likeliest", justify="right")
    for heading in ("probability" if choice else "P(1)", "exact")[: len(shown)]:
        table.add_column(heading, justify="right")

    def add(numbers: Tensor) -> None:
        for number in numbers:
            place = ", ".join(str(int(i)) for i in torch.unravel_index(number, shape))
            category = [str(int(top.flatten()[number]))] if choice else []
            figures = [f"{float(column[number]):.3f}" for column in shown]
            table.add_row(f"[{place}]" if place else "", *category, *figures)

    number = len(shown[0])
    if number <= MOST_PRINTED:
        add(torch.arange(number))
        return table
    doubt = shown[0] if choice else (shown[0] - 0.5).abs()
    for what, order in (
        (f"the {OF_MANY} likeliest of {number:,}", shown[0].argsort(descending=True, stable=True)),
        (f"the {OF_MANY} least certain", doubt.argsort(stable=True)),
    ):
        table.add_row(what)
        add(order[:OF_MANY])
        table.add_section()
    return table
