"""Names of columns: every column has one, no two have the same, and a near miss is understood."""

import csv
import difflib
import io
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path


def quoted(names: Sequence[str], limit: int = 8) -> str:
    """Names for an error message, the first few of many."""
    shown = ", ".join(map(brief, names[:limit]))
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit:,} more"


def brief(value: object) -> str:
    """A name or a value for an error message, a long one without its middle."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:40]}…{text[-15:]}"


def split_names(text: str, known: Sequence[str]) -> list[str]:
    """Names with commas between them; one that holds a comma stands alone, or in double quotes.

    Raises:
        ValueError: a quote isn't closed.

    Example:
        >>> split_names('id,"weight, in kg"', ["id", "weight, in kg"])
        ['id', 'weight, in kg']
    """
    if text in known:
        return [text]
    try:
        names = next(csv.reader([text], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise ValueError(
            f"--drop can't be read: {error}. Put a name that holds a comma or a quote in double "
            "quotes, and double the quotes in it."
        ) from error
    return [name if name in known else name.strip() for name in names if name.strip()]


def drop_option(names: Sequence[str]) -> str:
    """The option that drops the first few of these columns, as one types it in a shell."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(names[:8])
    return f"--drop {shlex.quote(line.getvalue())}"


def check_column(name: str, known: Sequence[str]) -> None:
    """One of a table's columns, of which there may be thousands: the error names the first few."""
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        hint = f" Did you mean {brief(close[0])}?" if close else ""
        raise ValueError(
            f"The table has no column {brief(name)}.{hint} It has {len(known):,}: {quoted(known)}."
        )


def check_names(path: Path, names: Sequence[str]) -> None:
    """Every column has a name of its own, and there are several."""
    nameless = [str(number) for number, name in enumerate(names, 1) if not name]
    if nameless:
        raise ValueError(
            f"{path}: column {', '.join(nameless[:8])} has no name. Name every column; if it holds "
            "row numbers, leave it out when the file is written (pandas: to_csv(index=False))."
        )
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(
            f"{path} names more than one column {quoted(repeated)}. Rename or remove the others."
        )
    if len(names) < 2:
        raise ValueError(f"{path} has one column only, {brief(names[0])}; expected several.")


MOST_VALUES = 2**29
"""That a table may hold: 4 GiB as float64."""


def check_size(path: Path, values: int) -> None:
    """As many values as fit into memory; what holds more is refused before they are read."""
    if values > MOST_VALUES:
        raise ValueError(
            f"{path} holds {values:,} values of 8 bytes; expected at most {MOST_VALUES:,}. Take "
            "some of the rows or columns, or fit SubsetSelector in Python to an array on disk "
            "(numpy.memmap)."
        )
