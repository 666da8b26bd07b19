"""An audit's figures: the one shape of them everywhere, and the table that shows them as text."""

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, TypedDict, cast

WIDTH = 100
MOST_OF_A_NAME = 30
NOTHING = "–"
_DISPENSABLE = ("ms", "cosine")
NEGLIGIBLE = 1e-5
"""Less than this share of the gradient is rounding."""


class Row(TypedDict):
    """All that is known of an estimator at one temperature; `Audit` says what the figures are."""

    estimator: str
    temperature: float | None
    num_samples: int
    unbiased: bool
    relaxes_f: bool
    differentiates_f: bool
    evaluations: int
    milliseconds: float | None
    bias: float | None
    bias_low: float | None
    bias_high: float | None
    variance: float | None
    rmse: float | None
    error_at_budget: float | None
    cosine: float | None
    absolute_bias: float | None
    absolute_bias_low: float | None
    absolute_bias_high: float | None
    absolute_variance: float | None
    absolute_rmse: float | None
    absolute_error_at_budget: float | None
    replicates: int
    non_finite: int
    note: str


class ReferenceRecord(TypedDict):
    """How the exact gradient was had."""

    method: Literal["enumeration", "run"]
    norm: float
    zero: str | None
    error: float
    relative_error: float | None
    states: int | None
    estimator: str | None
    evaluations: int
    text: str


class Record(TypedDict):
    """An audit, as JSON holds it."""

    verdict: str
    num_samples: int
    replicates: int
    evaluations: int
    reference: ReferenceRecord
    rows: list[Row]
    refused: dict[str, str]


class Figures(NamedTuple):
    """A row's figures in the unit that readers see."""

    bias: float | None
    bias_low: float | None
    bias_high: float | None
    variance: float | None
    rmse: float | None
    error_at_budget: float | None


def figures_of(row: Row, *, absolute: bool) -> Figures:
    """As shares of the exact gradient, or as they are where that is zero."""
    values, prefix = cast("Mapping[str, float | None]", row), "absolute_" if absolute else ""
    return Figures(*(values[prefix + name] for name in Figures._fields))


def name_of(row: Row, at: str = " at temperature ") -> str:
    """The estimator, with the temperature where there is one."""
    temperature = row["temperature"]
    return row["estimator"] + ("" if temperature is None else f"{at}{temperature:g}")


def best_of_each(rows: Iterable[Row]) -> list[Row]:
    """Each name's first row, which is the one with the least error."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row["estimator"], row)
    return list(first.values())


def as_text(record: Record, width: int = WIDTH) -> str:
    """The table of an audit's record, what its figures mean, what was refused, and the verdict.

    Where it is too wide, it goes without the times, then without the cosine.
    """
    return "\n".join(line.rstrip() for line in _lines(record, min(width, WIDTH)))


def _lines(record: Record, width: int) -> Iterator[str]:
    zero = record["reference"]["zero"]
    yield from _wrapped(
        f"Exact gradient: {record['reference']['text']}. {record['replicates']:,} replicates, "
        f"num_samples={record['num_samples']}.",
        width,
    )
    yield ""
    rows = [["estimator", "τ", "evals", "ms", "bias (95 %)", "noise", "cosine", "error"]]
    shown = best_of_each(record["rows"])
    rows += [_cells(row, absolute=zero is not None) for row in shown]
    lines = list(_aligned(rows))
    for dispensable in _DISPENSABLE:
        if max(map(len, lines)) > width:
            column = rows[0].index(dispensable)
            rows = [[*row[:column], *row[column + 1 :]] for row in rows]
            lines = list(_aligned(rows))
    if shown:
        yield from lines
        yield ""
        yield from _wrapped(_legend(record["evaluations"], zero, "ms" in rows[0]), width)
        yield ""
    notes = {
        name_of(row) if row["non_finite"] else row["estimator"]: row["note"]
        for row in record["rows"]
        if row["note"] and (row in shown or row["non_finite"])
    }
    for heading, remarks in (("Notes", notes), ("Not measured", record["refused"])):
        if remarks:
            yield f"{heading}:"
            for why, names in _by_remark(remarks).items():
                yield from _wrapped(f"{', '.join(names)}: {why}", width, indent="  ")
            yield ""
    yield from _wrapped(record["verdict"], width)


def _by_remark(remarks: Mapping[str, str]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for name, remark in remarks.items():
        names.setdefault(remark, []).append(name)
    return names


def shortened(name: str, most: int) -> str:
    """A name that a user may have made long."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def counted(number: int, what: str) -> str:
    """A number of things, by a noun in the singular."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    """A share in per cent, without the sign."""
    return significant(100 * share)


def significant(value: float) -> str:
    """Three digits of a positive number, more where it has more before the point."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "∞"
    if value >= 999.5:
        return f"{value:,.0f}" if value < 1e7 else f"{value:.1e}"
    if value < 1e-3:
        return f"{value:.0e}"
    digits = max(0, 2 - math.floor(math.log10(float(f"{value:.3g}"))))
    return f"{value:.{digits}f}"


def _cells(row: Row, *, absolute: bool) -> list[str]:
    figures = figures_of(row, absolute=absolute)

    def cell(value: float | None) -> str:
        return NOTHING if value is None else _figure(value, absolute=absolute)

    bias, low, high = (cell(v) for v in (figures.bias, figures.bias_low, figures.bias_high))
    if figures.bias is not None:
        bias = "0" if low == high == "0" else f"{bias} ({low} to {high})"
    return [
        shortened(row["estimator"], MOST_OF_A_NAME),
        "" if row["temperature"] is None else f"{row['temperature']:g}",
        f"{row['evaluations']:,}",
        NOTHING if row["milliseconds"] is None else significant(row["milliseconds"]),
        bias,
        cell(None if figures.variance is None else math.sqrt(figures.variance)),
        NOTHING if row["cosine"] is None else f"{row['cosine']:.3f}",
        cell(figures.error_at_budget),
    ]


def _figure(value: float, *, absolute: bool) -> str:
    if absolute:
        return significant(value)
    return "0" if value < NEGLIGIBLE else percent(value)


def _legend(evaluations: int, zero: str | None, timed: bool) -> str:
    costs = "evals, ms: its evaluations of f and its milliseconds"
    if not timed:
        costs = "evals: its evaluations of f"
    unit = (
        f"absolute, and there is no cosine, since the exact gradient {zero}"
        if zero
        else "in % of the exact gradient's norm"
    )
    return (
        f"bias, noise, error: {unit}. noise: standard deviation of one call; {costs}. "
        "error: root mean square of a step of "
        f"{counted(evaluations, 'evaluation')}, spent on calls that are averaged ({NOTHING}: one "
        "call takes more). τ: the best of the temperatures tried."
    )


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *rest = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join([first, *rest])


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=2 * indent, break_on_hyphens=False
    )
