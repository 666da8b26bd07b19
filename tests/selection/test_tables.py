"""Tables are read as they were written, and what is no table is refused in one clear sentence."""

import bz2
import gzip
import lzma
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import real_data

from hotgrad.selection import column_names
from hotgrad.selection.tables import BUNDLED, read_table


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


# CSV that is read.


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_separator(file: Path, separator: str, newline: str) -> None:
    rows = [["a", "b", "c"], ["1", "2.5", "x"], ["-3", "4e-1", "y"]]
    write(file, newline.join(separator.join(row) for row in rows) + newline)
    frame = read_table(file)
    assert list(frame) == ["a", "b", "c"]
    assert frame["a"].tolist() == [1, -3]
    assert frame["b"].tolist() == [2.5, 0.4]
    assert frame["c"].tolist() == ["x", "y"]


@pytest.mark.parametrize("separator", [";", "\t", "|", " "])
def test_decimal_commas(file: Path, separator: str) -> None:
    rows = [["a", "b", "c", "d"], ["1,5", "-2", "x,5", ",25"], ["1e3", "2,25e-1", "3,5", "7"]]
    write(file, "\n".join(separator.join(row) for row in rows))
    frame = read_table(file)
    assert frame["a"].tolist() == [1.5, 1000]
    assert frame["b"].tolist() == [-2, 0.225]
    assert frame["c"].tolist() == ["x,5", "3,5"]
    assert frame["d"].tolist() == [0.25, 7]


def test_separators_inside_names_and_texts(file: Path) -> None:
    write(file, 'first name,"weight; in kg"\nAda Maria,"61"\n"Bo, Jr",70\n')
    frame = read_table(file)
    assert list(frame) == ["first name", "weight; in kg"]
    assert frame["first name"].tolist() == ["Ada Maria", "Bo, Jr"]


def test_quotes_breaks_and_gaps(file: Path) -> None:
    write(file, 'a, b,c\n\n"say ""hi""\nthere",1,\nplain, 2,NA\n\n')
    frame = read_table(file)
    assert frame["a"].tolist() == ['say "hi"\nthere', "plain"]
    assert frame["b"].tolist() == [1, 2]
    assert frame["c"].isna().all()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(file: Path, encoding: str) -> None:
    write(file, "Größe,b\n1,ä\n".encode(encoding))
    frame = read_table(file)
    assert list(frame) == ["Größe", "b"]
    assert frame["b"].tolist() == ["ä"]


def test_dates_are_text_as_they_stand(file: Path) -> None:
    write(file, "day,at,n\n2020-01-02,12:30,1\n2020-01-03,7:05,2\n")
    frame = read_table(file)
    assert frame["day"].tolist() == ["2020-01-02", "2020-01-03"]
    assert frame["at"].tolist() == ["12:30", "7:05"]
    assert frame["n"].tolist() == [1, 2]


def test_blanks_between_separators_and_quotes(file: Path) -> None:
    write(file, 'a, b, c\n1, "x, y", "say ""hi"""\n+2 , NA , \x1f\n')
    frame = read_table(file)
    assert frame["a"].tolist() == [1, 2]
    assert frame["b"].iloc[0] == "x, y"
    assert frame["b"].isna().tolist() == [False, True]
    assert frame["c"].iloc[0] == 'say "hi"'


def test_columns_set_with_several_spaces(file: Path) -> None:
    write(file, "  a    b\n  1   2.5\n 10  -3\n")
    pd.testing.assert_frame_equal(read_table(file), pd.DataFrame({"a": [1, 10], "b": [2.5, -3]}))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_two_separators_as_frequent_in_the_first_line(file: Path, separator: str) -> None:
    other = ";" if separator == "," else ","
    rows = [[f"a{other} in kg", "b"], *[[str(i), f"x{i}"] for i in range(4)]]
    write(file, "\n".join(separator.join(row) for row in rows))
    assert list(read_table(file)) == rows[0]


def test_the_row_that_is_wrong_is_named_whatever_follows(file: Path) -> None:
    write(file, 'a,b\n1,2,3\n4,"5\n')
    with pytest.raises(ValueError, match="line 2 has 3 fields"):
        read_table(file)


def test_names_that_count_the_columns(file: Path) -> None:
    write(file, "0,1,2\n5,6,7\n")
    assert list(read_table(file)) == ["0", "1", "2"]
    write(file, "1,2,3\n5,6,7\n")
    assert list(read_table(file)) == ["1", "2", "3"]


def test_a_wide_table(file: Path) -> None:
    """Longer lines than the longest field that the parser takes."""
    names = [f"column {i:05}" for i in range(20_000)]
    write(file, ";".join(names) + "\n" + ";".join(["1"] * 20_000))
    assert read_table(file).shape == (1, 20_000)


def test_a_suffix_says_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "table.zip", "a,b\n1,2\n")
    assert read_table(path)["b"].tolist() == [2]


def test_values_survive_pandas_writing_and_ours_reading(file: Path) -> None:
    frame = pd.DataFrame(np.random.RandomState(0).randn(20, 3), columns=["a", "b", "c"])
    frame.to_csv(file, index=False, sep=";", decimal=",")
    pd.testing.assert_frame_equal(read_table(file), frame)


def test_mice() -> None:
    frame = read_table(real_data("tables") / "tables" / "mice-protein.csv")
    assert frame.shape == (1080, 82)
    assert int(frame.iloc[:, 1:78].isna().to_numpy().sum()) == 1396
    assert frame["class"].nunique() == 8
    assert frame["DYRK1A_N"].iloc[0] == 0.503643884


@pytest.mark.parametrize("declared", ["sep=;\n", "sep=;\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_first_line_that_names_the_separator(file: Path, declared: str, encoding: str) -> None:
    write(file, f"{declared}a, in kg;b\n1,5;x\n2,5;y\n".encode(encoding))
    frame = read_table(file)
    assert frame["a, in kg"].tolist() == [1.5, 2.5]
    assert frame["b"].tolist() == ["x", "y"]


def test_question_marks_are_gaps(file: Path) -> None:
    write(file, "a,b\n1,x\n?,y\n3,?\n")
    frame = read_table(file)
    assert frame["a"].tolist()[::2] == [1, 3]
    assert frame.isna().to_numpy().tolist() == [[False, False], [True, False], [False, True]]


@pytest.mark.parametrize("separator", [",", ";"])
def test_blanks_around_a_value_make_no_other_value(file: Path, separator: str) -> None:
    rows = [["a", "y"], ["1", "yes"], ["2", "yes "], ["3", " no  "], ["4 ", ""]]
    write(file, "\n".join(separator.join(row) for row in rows))
    frame = read_table(file)
    assert frame["y"].tolist()[:3] == ["yes", "yes", "no"]
    assert frame["a"].tolist() == [1, 2, 3, 4]


# Parquet.


def test_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, None], "c": ["x", "y"]}, index=["r", "s"])
    for name in ("t.parquet", "t.pq", "t.dat"):
        frame.to_parquet(tmp_path / name)
        read = read_table(tmp_path / name)
        assert list(read) == ["a", "b", "c"]
        assert read["a"].tolist() == [1, 2]
        assert np.isnan(read["b"].iloc[1])


def test_parquet_with_numbers_for_names(tmp_path: Path) -> None:
    pd.DataFrame(np.eye(3)).to_parquet(tmp_path / "t.parquet")
    assert list(read_table(tmp_path / "t.parquet")) == ["0", "1", "2"]


def test_damaged_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": range(500), "b": range(500)}).to_parquet(path)
    whole = path.read_bytes()
    for length in (2, 4, 50, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="is no whole Parquet file"):
            read_table(path)


def test_parquet_with_a_name_twice(tmp_path: Path) -> None:
    columns = [pa.array([1, 2]), pa.array([3, 4]), pa.array([5, 6])]
    pq.write_table(pa.Table.from_arrays(columns, names=["a", "b", "a"]), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="more than one column 'a'"):
        read_table(tmp_path / "t.parquet")


# What unpacks to more than fits into memory.


def test_a_csv_file_of_too_many_values(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_names, "MOST_VALUES", 5)
    assert read_table(write(file, "a,b\n1,2\n3,4\n")).shape == (2, 2)
    with pytest.raises(ValueError, match=r"6 values of 8 bytes; .*at most 5"):
        read_table(write(file, "a,b\n1,2\n3,4\n5,6\n"))


MANY = 10**6
BOMBS = {
    "equal numbers": pa.table({"a": np.zeros(MANY), "b": np.ones(MANY)}),
    "lists": pa.table({"a": [np.zeros(MANY), np.zeros(MANY)], "b": [1, 2]}),
    "texts": pa.table({"a": ["x" * 1000] * 4000, "b": range(4000)}),
    "bytes": pa.table({"a": pa.array([b"x" * 1000] * 4000, pa.binary(1000)), "b": range(4000)}),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_parquet_files_that_unpack_to_too_much(
    bomb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.parquet"
    pq.write_table(BOMBS[bomb], path, compression="zstd")
    assert path.stat().st_size < 50_000
    monkeypatch.setattr(column_names, "MOST_VALUES", 100_000)
    with pytest.raises(ValueError, match=r"holds [\d,]{7,} values"):
        read_table(path)
    monkeypatch.undo()
    assert read_table(path).shape == BOMBS[bomb].shape


# Bundled tables.


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("wine", (178, 14)),
        ("breast-cancer", (569, 31)),
        ("diabetes", (442, 11)),
        ("digits", (1797, 65)),
    ],
)
def test_bundled(name: str, shape: tuple[int, int]) -> None:
    frame = read_table(name)
    assert frame.shape == shape
    target, _ = BUNDLED[name]
    is_number = pd.api.types.is_numeric_dtype(frame[target].dtype)
    assert is_number is (name == "diabetes")
    assert all(
        pd.api.types.is_numeric_dtype(frame[column].dtype) for column in set(frame) - {target}
    )


def test_a_file_comes_before_a_bundled_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "wine", "a,b\n1,2\n")
    monkeypatch.chdir(tmp_path)
    assert read_table("wine").shape == (1, 2)


# What is refused.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is empty"),
        (b"\n  \n\n", "blank lines alone"),
        (b"a,b\n", "names columns but has no rows"),
        (b"one\n1\n2\n", "one column only, 'one'"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "neither Parquet nor text in UTF-8"),
        (b"PK\x03\x04\x00\x00\x00\x00", r"compressed \(zip, as Excel's files are too\)"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0), r"compressed \(gzip\).* Unpack it"),
        (bz2.compress(b"a,b\n1,2\n"), r"compressed \(bzip2\)"),
        (lzma.compress(b"a,b\n1,2\n"), r"compressed \(xz\)"),
        ("Größe,b\n1,2\n".encode("latin-1"), "save it as UTF-8"),
        # cut off in the middle
        (b"a,b,c\n1,2,3\n4,5", "cut off.* last row, line 3, has 2 of 3 fields"),
        (b"a,b,c\n1,2,3\n4,5\n", "cut off.* last row, line 3, has 2 of 3 fields"),
        (b'a,b\n1,"x\ny"\n2\n', "last row, line 4, has 1 of 2 fields"),
        (b'a,b\n1,x\n2,"y', "row that starts in line 3 isn't closed"),
        (b'a,b\n1,"x\n2,y\n3,z\n', "row that starts in line 2 isn't closed"),
        (b'a,b\n1,"x"y\n', "row that starts in line 2"),
        (b'a,b\n1,"' + b"x" * 200_000 + b"\n", "row that starts in line 2"),
        # rows that don't fit
        (b"a,b\n1,2\n3\n4,5\n", "line 3 has 1 fields, the first line 2"),
        (b"a,b\n1,2\n3,4,5\n", "line 3 has 3 fields, the first line 2"),
        (b"sep=;\na;b\n1;2\n3;4;5\n", "line 4 has 3 fields, the first line 2"),
        (b"# exported\n# mm\na,b\n1,2\n", "begins with #: if it is a comment, remove it"),
        # names
        (b"a,b,a,c,b\n1,2,3,4,5\n", "more than one column 'a', 'b'"),
        (b"a, a \n1,2\n", "more than one column 'a'"),
        (b",a,b\n0,1,2\n", "column 1 has no name.*row numbers.*index=False"),
        (b"5.1,3.5,1.4\n4.9,3.0,1.4\n", "first line holds numbers"),
    ],
)
def test_refused(file: Path, text: bytes, message: str) -> None:
    write(file, text)
    with pytest.raises(ValueError, match=message) as caught:
        read_table(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_near_misses(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"There is no file 'wein'\. Did you mean 'wine'"):
        read_table("wein")
    missing = tmp_path / "none.csv"
    with pytest.raises(ValueError, match=re.escape(f"There is no file '{missing}'. Expected")):
        read_table(missing)
    with pytest.raises(ValueError, match="is a folder"):
        read_table(tmp_path)


def test_every_cut_of_a_file_is_refused_or_loses_whole_rows(file: Path) -> None:
    whole = 'name,b,c\n"x, y",1,2.5\n"z ""q""",22,-3\nlast,4,5e1\n'
    complete = read_table(write(file, whole))
    kept = 0
    for length in range(len(whole)):
        write(file, whole[:length])
        try:
            frame = read_table(file)
        except ValueError:
            continue
        # the last value itself may have been cut, which nothing in the file tells
        kept += 1
        assert list(frame) == list(complete)
        before = frame.iloc[:-1].assign(c=pd.to_numeric(frame["c"].iloc[:-1]))
        pd.testing.assert_frame_equal(before, complete.iloc[: len(before)], check_dtype=False)
    assert 3 <= kept < len(whole) / 3
