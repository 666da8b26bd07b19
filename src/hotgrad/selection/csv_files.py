"""CSV files with any separator, in one pass: pyarrow finds the types of rows that were counted.

pyarrow alone takes an unclosed quote for the end of a field, and knows no blanks after a separator:
lines with either go through Python's csv first. pyarrow gets UTF-8 with one separator.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TextIO

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from hotgrad.selection import column_names
from hotgrad.selection.column_names import check_names, check_size, quoted

_SEPARATORS = ("\t", ";", ",", "|")
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_DECLARED = re.compile(r"sep=(.)\s*")
"""A first line that Excel writes and reads."""
_NEEDS_QUOTES = re.compile('["\r\n]')
_DECIMAL_COMMA = r"^[+-]?\d*,?\d+([eE][+-]?\d+)?$"
_GAPS = [*arrow_csv.ConvertOptions().null_values, "None", "<NA>", "?"]
"""Question marks stand in the tables of the UCI repository."""
_BETWEEN = "\x1f"
"""ASCII's own separator, which hardly any text holds."""
_PIECE, _LONGEST_ROW = 2**24, 2**30
"""Characters that pyarrow is given at a time: each piece costs something for each column."""


def read_csv(path: Path) -> pd.DataFrame:
    """The columns of a CSV file that isn't empty; raises as `read_table` says."""
    with path.open("rb") as file:
        encoding = "utf-16" if file.read(2) in _UTF_16_MARKS else "utf-8-sig"
    try:
        separator, table = _parse(path, encoding, {})
        dates = {column.name: pa.string() for column in table.schema if _is_date(column.type)}
        if dates:  # they are text as well, just as it stands in the file
            separator, table = _parse(path, encoding, dates)
    except UnicodeError as error:
        raise ValueError(
            f"{path} is no table: it is neither Parquet nor text in UTF-8 ({error}). "
            "If it is a CSV file in another encoding, save it as UTF-8."
        ) from error
    for place, name in enumerate(table.column_names):
        if pa.types.is_string(table[name].type):
            column = _tidied(table[name], decimal_comma=separator != ",")
            table = table.set_column(place, name, column)
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _parse(path: Path, encoding: str, types: Mapping[str, pa.DataType]) -> tuple[str, pa.Table]:
    """The separator and the columns, whose types are found unless they are named."""
    with path.open(encoding=encoding, newline="") as text:
        lines = list(islice((line for line in text if line.strip()), 50))
        declared = _DECLARED.fullmatch(lines[0]) if lines else None
        separator = declared[1] if declared else _likely_separator(path, lines)
        text.seek(0)
        rows = _Rows(path, text, separator)
        if declared:
            rows.first()
        header = rows.first()
        names = [name.strip() for name in header]
        check_names(path, names)
        _check_header(path, names)
        table = arrow_csv.read_csv(
            _Stream(rows.rewritten(names)),
            read_options=arrow_csv.ReadOptions(block_size=_LONGEST_ROW),
            parse_options=arrow_csv.ParseOptions(delimiter=_BETWEEN, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=types,
                null_values=_GAPS,
                strings_can_be_null=True,
                true_values=["true", "True", "TRUE"],
                false_values=["false", "False", "FALSE"],
            ),
        )
    return separator, table


def _likely_separator(path: Path, lines: Sequence[str]) -> str:
    """The one that stands most often between the names; of two as frequent, what the rows say."""
    if not lines:
        raise ValueError(f"{path} holds blank lines alone; expected a CSV or Parquet file.")
    if any("\0" in line for line in lines):
        raise ValueError(f"{path} is no table: it is neither Parquet nor text.")
    header = re.sub('"[^"]*"', "", "".join(lines)).lstrip().split("\n")[0]
    counts = {separator: header.count(separator) for separator in _SEPARATORS}
    most = max(counts.values())
    likely = [separator for separator in _SEPARATORS if counts[separator] == most > 0]
    if not likely and " " in header.strip():
        # last, since spaces also stand inside the names that others separate
        return " "
    if not likely:
        raise ValueError(
            f"{path} has one column only, {lines[0].strip()[:60]!r}; expected several with commas, "
            "semicolons, tabs, bars or spaces between them."
        )
    if len(likely) > 1:
        with suppress(csv.Error):
            return csv.Sniffer().sniff("".join(lines), delimiters="".join(likely)).delimiter
    return likely[0]


class _Rows:
    """The rows of a text, of which those that only Python's csv understands are rewritten."""

    def __init__(self, path: Path, text: TextIO, separator: str) -> None:
        self._path, self._text, self._separator = path, text, separator
        self._plain_lines = 0
        self._looked_at: list[str] = []
        self._reader = csv.reader(
            iter(self._next_line, ""), delimiter=separator, skipinitialspace=True, strict=True
        )

    def _next_line(self) -> str:
        return self._looked_at.pop() if self._looked_at else self._text.readline()

    def _line_number(self) -> int:
        return self._plain_lines + self._reader.line_num + 1

    def first(self) -> list[str]:
        """The next row that isn't blank, where there is one."""
        while not (row := self._split(self._text.readline())):
            pass
        return row

    def _split(self, line: str) -> list[str]:
        """The fields of the row that begins with this line; none if it is blank."""
        start = self._line_number()
        self._looked_at.append(line)
        try:
            return next(self._reader)
        except csv.Error as error:
            # what follows a lost quote is read as one field, to the end or to the longest allowed
            raise ValueError(
                f"{self._path}: a quote in the row that starts in line {start} isn't closed, or "
                f"closed too early ({error}). If the file was cut off there, copy it again."
            ) from error

    def rewritten(self, names: Sequence[str]) -> Iterator[bytes]:
        """The names and the rows, once each row has as many fields as there are names."""
        separator, between = self._separator, len(names) - 1
        blank_after = separator + " "
        piece, size, count = [_joined(names)], 0, 0
        for line in self._text:
            if (
                line.count(separator) == between
                and '"' not in line
                and blank_after not in line
                and _BETWEEN not in line
                and line[0] != " "
            ):
                self._plain_lines += 1
                piece.append(line.replace(separator, _BETWEEN))
            else:
                start, row = self._line_number(), self._split(line)
                if not row:
                    continue
                if len(row) != len(names):
                    is_last = len(row) < len(names) and not any(map(str.strip, self._text))
                    raise ValueError(_wrong_length(self._path, names, start, row, is_last=is_last))
                piece.append(_joined(row))
            size, count = size + len(piece[-1]), count + 1
            if size >= _PIECE:
                yield "".join(piece).encode()
                piece, size = [], 0
            if count * len(names) > column_names.MOST_VALUES:
                count += sum(1 for _ in self._text)
        check_size(self._path, count * len(names))
        yield "".join(piece).encode()


def _joined(row: Sequence[str]) -> str:
    """A line of pyarrow's; faster than csv.writer, since hardly a row needs quotes."""
    line = _BETWEEN.join(row)
    if _NEEDS_QUOTES.search(line) or line.count(_BETWEEN) >= len(row):
        line = _BETWEEN.join('"' + field.replace('"', '""') + '"' for field in row)
    return line + "\n"


def _wrong_length(
    path: Path, names: Sequence[str], line: int, row: Sequence[str], *, is_last: bool
) -> str:
    if is_last:
        return (
            f"{path} is cut off in the middle: its last row, line {line}, has {len(row)} of "
            f"{len(names)} fields. Copy it again, or remove that line."
        )
    comment = ""
    if names[0].startswith("#"):
        comment = " The first line begins with #: if it is a comment, remove it."
    return (
        f"{path}: line {line} has {len(row)} fields, the first line {len(names)}. Mend that "
        f"line.{comment}"
    )


class _Stream(io.RawIOBase):
    """A file whose bytes are made while it is read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece = self._rest or next(self._pieces, b"")
        self._rest = piece[size:]
        return piece[:size]


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


def _is_date(found: pa.DataType) -> bool:
    return bool(pa.types.is_temporal(found))


def _tidied(text: pa.ChunkedArray, *, decimal_comma: bool) -> pa.ChunkedArray:
    """Text without blanks around it, where one value more or less would be another class.

    Numbers where all are numbers without the blanks, or are written with a decimal comma.
    """
    text = pc.utf8_trim_whitespace(text)
    text = pc.if_else(pc.is_in(text, value_set=pa.array(_GAPS)), None, text)
    if decimal_comma and pc.all(pc.match_substring_regex(text, _DECIMAL_COMMA)).as_py():
        text = pc.replace_substring(text, ",", ".")
    for number in (pa.int64(), pa.float64()):
        with suppress(pa.ArrowInvalid):
            return text.cast(number)
    return text
