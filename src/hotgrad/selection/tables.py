"""Tables of named columns: from CSV with any separator, from Parquet, bundled with scikit-learn."""

import difflib
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sklearn import datasets

from hotgrad.selection.column_names import check_names, check_size
from hotgrad.selection.csv_files import read_csv

_PARQUET_MAGIC = b"PAR1"
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip, as Excel's files are too",
}


def read_table(source: str | os.PathLike[str]) -> pd.DataFrame:
    r"""The columns of a table, under names that are all different.

    Args:
        source: a Parquet file; a CSV file in UTF-8 whose first line names the columns, with commas,
            semicolons, tabs, bars or spaces between them (decimal commas are understood where the
            comma doesn't separate); or the name of a table that scikit-learn bundles: wine,
            breast-cancer, diabetes, digits.

    Returns:
        A frame with at least one row and two columns. Numbers are numbers, everything else text.

    Raises:
        ValueError: there is no such file, it is empty, no table, cut off in the middle (the line is
            named), has one column only, or columns without a name or with the same name.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "heights.csv"
        >>> _ = path.write_text("height;weight\n1,81;82,5\n1,64;60\n")
        >>> read_table(path)["height"].tolist()
        [1.81, 1.64]
    """
    path = Path(source)
    if not path.exists():
        return _bundled(str(source))
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected a CSV or Parquet file in it.")
    with path.open("rb") as file:
        start = file.read(8)
    if not start:
        raise ValueError(f"{path} is empty; expected a CSV or Parquet file.")
    for mark, kind in _PACKED.items():
        if start.startswith(mark):
            raise ValueError(
                f"{path} is compressed ({kind}); expected a CSV or Parquet file. Unpack it, or "
                "save the sheet as CSV."
            )
    is_parquet = start.startswith(_PARQUET_MAGIC) or path.suffix in (".parquet", ".pq")
    frame = _read_parquet(path) if is_parquet else read_csv(path)
    if frame.empty:
        raise ValueError(f"{path} names columns but has no rows.")
    return frame


# Bundled tables. Class labels are text, so that nobody takes them for one more column of numbers.


def _digits() -> pd.DataFrame:
    bunch = datasets.load_digits(as_frame=True)
    return bunch.data.assign(digit=bunch.target.map("digit {}".format))


def _wine() -> pd.DataFrame:
    bunch = datasets.load_wine(as_frame=True)
    return bunch.data.assign(**{"class": bunch.target.map("class {}".format)})


def _breast_cancer() -> pd.DataFrame:
    bunch = datasets.load_breast_cancer(as_frame=True)
    return bunch.data.assign(diagnosis=bunch.target.map(dict(enumerate(bunch.target_names))))


def _diabetes() -> pd.DataFrame:
    bunch = datasets.load_diabetes(as_frame=True, scaled=False)
    return bunch.data.assign(progression=bunch.target)


BUNDLED: dict[str, tuple[str, Callable[[], pd.DataFrame]]] = {
    "wine": ("class", _wine),
    "breast-cancer": ("diagnosis", _breast_cancer),
    "diabetes": ("progression", _diabetes),
    "digits": ("digit", _digits),
}
"""Name to (what its target column is called, how it is loaded)."""


def _bundled(name: str) -> pd.DataFrame:
    if name not in BUNDLED:
        close = difflib.get_close_matches(name, BUNDLED, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"There is no file {name!r}.{hint} Expected a CSV or Parquet file, or a bundled table: "
            f"{', '.join(BUNDLED)}."
        )
    return BUNDLED[name][1]()


# Parquet.


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        with pq.ParquetFile(path) as file:
            check_names(path, file.schema_arrow.names)
            check_size(path, _announced(file))
        texts = [column.path for column in file.schema if column.physical_type == "BYTE_ARRAY"]
        # text that comes again and again stays small until it is known how much it is
        table = pq.read_table(path, read_dictionary=texts)
        check_size(path, sum(map(_text_bytes, table.columns)) // 8)
        frame: pd.DataFrame = table.cast(file.schema_arrow).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"{path} is no whole Parquet file: {str(error).splitlines()[0].rstrip('.')}. "
            "Copy or write it again."
        ) from error
    frame.columns = frame.columns.map(str)
    return frame


def _announced(file: pq.ParquetFile) -> int:
    """How many values of 8 bytes a file unpacks to: a few bytes may stand for any number."""
    total = 0
    for group in map(file.metadata.row_group, range(file.num_row_groups)):
        for number, column in enumerate(file.schema):
            chunk = group.column(number)
            # of values of a length of their own, that length
            values = chunk.num_values * max(1, column.length // 8)
            total += max(values, chunk.total_uncompressed_size // 8)
    return total


def _text_bytes(column: pa.ChunkedArray) -> int:
    """What a column of text takes once each row has its own."""
    if not pa.types.is_dictionary(column.type):
        return 0
    parts = [(pc.binary_length(chunk.dictionary), chunk.indices) for chunk in column.chunks]
    return sum(pc.sum(lengths.take(numbers)).as_py() or 0 for lengths, numbers in parts)
