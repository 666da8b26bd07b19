"""CSV files with any separator, read twice: the fields of every row are counted, then parsed.

The first pass names the line where a file was cut off, which a parser alone would fill up with
missing values.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pandas as pd

from hotgrad.selection.names import check_names, check_size, quoted

_SEPARATORS = (",", ";", "\t", "|")
_SNIFFED_ROWS = 50
_DECIMAL_COMMA = r"\s*[+-]?\d*,?\d+(?:[eE][+-]?\d+)?\s*"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_DECLARED = re.compile(r"sep=(.)\s*")
"""A first line that Excel writes and reads."""
_GAP = "?"
"""In the tables of the UCI repository; empty fields, NA and the like are gaps anyway."""


def read_csv(path: Path) -> pd.DataFrame:
    """The columns of a CSV file that isn't empty; raises as `read_table` says."""
    with path.open("rb") as file:
        encoding = "utf-16" if file.read(2) in _UTF_16_MARKS else "utf-8-sig"
    try:
        with path.open(encoding=encoding, newline="") as text:
            declared = _DECLARED.fullmatch(text.readline())
            skipped = 1 if declared else 0
            start = text.tell() if declared else 0
            text.seek(start)
            separator = declared[1] if declared else _sniff(path, text)
            text.seek(start)
            names = _check_rows(path, text, separator, skipped)
        check_names(path, names)
        _check_header(path, names)
        frame = pd.read_csv(
            path,
            sep=separator,
            names=names,
            header=0,
            skiprows=skipped,
            na_values=[_GAP],
            index_col=False,
            encoding=encoding,
            compression=None,
            skipinitialspace=True,
            low_memory=False,
        )
    except UnicodeError as error:
        raise ValueError(
            f"{path} is no table: it is neither Parquet nor text in UTF-8 ({error}). "
            "If it is a CSV file in another encoding, save it as UTF-8."
        ) from error
    for name in frame.select_dtypes(exclude=["number", "bool"]).columns:
        if pd.api.types.is_string_dtype(frame[name]):
            # leading blanks are skipped, so trailing ones make no class of their own
            frame[name] = frame[name].str.strip()
            if separator != ",":
                frame[name] = _without_decimal_commas(frame[name])
    return frame


def _sniff(path: Path, text: io.TextIOBase) -> str:
    """The separator with which most of the first rows have as many fields as the header."""
    lines = list(islice((line for line in text if line.strip()), _SNIFFED_ROWS))
    if not lines:
        raise ValueError(f"{path} holds blank lines alone; expected a CSV or Parquet file.")
    if any("\0" in line for line in lines):
        raise ValueError(f"{path} is no table: it is neither Parquet nor text.")
    found = [(_agreement(lines, separator), separator) for separator in _SEPARATORS]
    (agreeing, _), separator = max(found)
    if agreeing == 0:
        # last, since spaces also stand inside the names and texts that others separate
        (agreeing, _), separator = _agreement(lines, " "), " "
    if agreeing == 0:
        raise ValueError(
            f"{path} has one column only, {lines[0].strip()[:60]!r}; expected several with commas, "
            "semicolons, tabs, bars or spaces between them."
        )
    return separator


def _agreement(lines: Sequence[str], separator: str) -> tuple[float, int]:
    """(share of the rows with as many fields as the first, fields): 0 where that is one field."""
    rows = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    counts: list[int] = []
    # a line in which nothing separates, or a quote is lost, may be too long a field for the parser
    with suppress(csv.Error):
        counts.extend(len(row) for row in rows)
    if not counts or counts[0] < 2:
        return 0.0, 1
    return sum(count == counts[0] for count in counts) / len(counts), counts[0]


def _check_rows(path: Path, text: io.TextIOBase, separator: str, skipped: int) -> list[str]:
    """The header, once every row is known to have as many fields, and not to be too many."""
    rows = _rows(path, text, separator, skipped)
    _, header = next(rows)
    count = 0
    for line, row in rows:
        count += 1
        if len(row) == len(header):
            continue
        comment = ""
        if header[0].startswith("#"):
            comment = " The first line begins with #: if it is a comment, remove it."
        if len(row) < len(header) and next(rows, None) is None:
            raise ValueError(
                f"{path} is cut off in the middle: its last row, line {line}, has {len(row)} of "
                f"{len(header)} fields. Copy it again, or remove that line."
            )
        raise ValueError(
            f"{path}: line {line} has {len(row)} fields, the first line {len(header)}. Mend that "
            f"line.{comment}"
        )
    check_size(path, count * len(header))
    return [name.strip() for name in header]


def _rows(
    path: Path, text: io.TextIOBase, separator: str, skipped: int
) -> Iterator[tuple[int, list[str]]]:
    """(line number where the row starts, its fields) of all rows that aren't blank."""
    reader = csv.reader(text, delimiter=separator, skipinitialspace=True, strict=True)
    while True:
        start = skipped + reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # what follows a lost quote is read as one field, to the end or to the longest allowed
            raise ValueError(
                f"{path}: a quote in the row that starts in line {start} isn't closed, or closed "
                f"too early ({error}). If the file was cut off there, copy it again."
            ) from error
        if row:
            yield start, row


def _check_header(path: Path, names: Sequence[str]) -> None:
    """A first line of numbers is data, unless it counts the columns."""
    counting = [str(number) for number in range(len(names) + 1)]
    if all(map(_is_number, names)) and list(names) not in (counting[:-1], counting[1:]):
        raise ValueError(
            f"{path}: the first line holds numbers ({quoted(names, 3)}), expected the columns' "
            "names. Add a line with names."
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _without_decimal_commas(column: "pd.Series[str]") -> pd.Series:
    """A text column as numbers, where every value is one that is written with a decimal comma."""
    values = column.dropna()
    if values.empty or not values.str.fullmatch(_DECIMAL_COMMA).all():
        return column
    return column.str.replace(",", ".", regex=False).astype(float)
