"""Files that hold tables: how they are divided, encoded, packed, and written back as read."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pandas")

import pandas as pd

from cylstm.tables import pack, read_table


@pytest.fixture
def read(tmp_path):
    """Read a table from its text or bytes."""

    def read_content(content, name="data.csv", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_table(path, **options)

    return read_content


def added(table):
    """The file with a column and a row more."""
    return table.with_columns(np.array([0]), {"new": ["x"]}).with_rows({"new": ["y"]}).to_bytes()


# --- what is written back is what was read ------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        'a,b\n"1",2.50\n003,"x, y"\n',
        '"a","b"\r\n" 1 ","two\r\nlines"\r\n3,4\r\n',
        'a,b\n5" pipe,6"\n7" pipe,8"\n',
        'a,b\n"say ""hi""",1\n',
        "a;b;;\n1,5;2;;\n2,5;3;;\n",
        "sep=;\na;b\n1;2\n",
        "a,b\n1,2\n3,4",
        "größe,b\n1,ü\n",
    ],
)
def test_quotes_blanks_and_ends_of_lines_stay(read, text):
    table = read(text)
    end = "\r\n" if "\r\n" in text else "\n"
    whole = text if text.endswith("\n") else text + "\n"
    assert table.to_bytes().decode() == whole
    *rows, last, empty = added(table).decode().split(end)
    assert (last.strip(",;"), empty) == ("y", "")
    assert any(row.endswith("x") for row in rows)
    assert added(table).decode().startswith(text.partition(end)[0])


def test_all_cells_are_to_be_had_as_text(read):
    table = read("a,b\n 1 ,x\n2.50,\n")
    assert table.text("a").tolist() == ["1", "2.50"]
    assert table.text("b").tolist() == ["x", ""]


def test_carriage_returns_alone_end_lines_too(read):
    table = read("a,b\r1,2\r3,4\r")
    assert table.numbers("b").tolist() == [2, 4]
    assert table.to_bytes() == b"a,b\r1,2\r3,4\r"


def test_a_short_row_gets_its_cells_and_one_too_long_loses_them(read):
    assert added(read("a,b\n1\n2,3\n")) == b"a,b,new\n1,,x\n2,3,\n,,y\n"
    assert added(read("a,b\n1,2,\n3,4,\n")) == b"a,b,new\n1,2,x\n3,4,\n,,y\n"


def test_new_cells_are_quoted_where_they_must_be(read):
    table = read("a;b\n1;2\n").with_columns(np.array([0]), {"n;w": ['say "1;5"']})
    assert table.to_bytes() == b'a;b;"n;w"\n1;2;"say ""1;5"""\n'


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"])
def test_the_encoding_stays(read, mark):
    encoding = {3: "utf-8", 2: "utf-16-le" if mark[0] == 0xFF else "utf-16-be"}[len(mark)]
    data = mark + "größe\twert\r\n1\t2\r\n".encode(encoding)
    table = read(data)
    assert table.columns == ["größe", "wert"]
    assert table.to_bytes() == data


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfea\x00\n\x00\x00", "not UTF-16 text"),
        (b"a,b\n1,\x00\n", r"byte 0x00 at offset 6"),
        (b"sep=;\n", "the file is empty"),
        (b"a,b\n1,2\r 3,4\n", r"carriage return without a line feed \(byte 7\)"),
        (b"a,b\n,,\n,\n", "no rows below the header"),
    ],
)
def test_what_is_no_text_or_no_table(read, content, message):
    with pytest.raises(ValueError, match=f"data.csv: .*{message}"):
        read(content)


# --- delimiters, names, empty rows and columns --------------------------------------------------


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ('"a, m";"b, s";c\n1,5;2,5;3,5\n', ["a, m", "b, s", "c"]),
        ('"a;b;c;d",e\n1,2\n', ["a;b;c;d", "e"]),
        ("a|b\tc\n1\t2\n", ["a|b", "c"]),
        ("sep=|\na|b\n1|2\n", ["a", "b"]),
        ('"sep=;"\r\na;b\r\n1;2\r\n', ["a", "b"]),
        ("length, mm\n1.5\n2.5\n", ["length, mm"]),
        ("x\n1,5\n2,5\n", ["x"]),
        ("a,b;c\n1,2\n3,4\n", ["a", "b;c"]),
    ],
)
def test_delimiters(read, text, columns):
    assert read(text).columns == columns


def test_names_match_in_both_forms_of_unicode(read):
    name = "größe"
    for form in ("NFC", "NFD"):
        table = read(unicodedata.normalize(form, f"{name},b\n1,2\n"))
        for asked in ("NFC", "NFD"):
            assert table.numbers(unicodedata.normalize(asked, name)).tolist() == [1]
        assert table.to_bytes().decode() == unicodedata.normalize(form, f"{name},b\n1,2\n")
    both = read(f"{name},{unicodedata.normalize('NFD', name)}\n1,2\n")
    assert [both.numbers(column).tolist() for column in both.columns] == [[1], [2]]


def test_rows_and_columns_that_hold_nothing_are_left_out(read):
    table = read("a;b;;\n1;2;;\n;;;\n3;4;;\n;;;\n;;;\n\n")
    assert table.columns == ["a", "b"]
    assert len(table) == 3
    assert table.source.empty_rows == 2
    assert added(table).decode() == "a;b;;;new\n1;2;;;x\n;;;;\n3;4;;;\n;;;;y\n"


# --- packed and other files ---------------------------------------------------------------------


def zipped(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "a,b\n1,2\n")
    return file.getvalue()


@pytest.mark.parametrize(
    ("suffix", "data"),
    [
        (".gz", gzip.compress(b"a,b\n1,2\n", mtime=0)),
        (".bz2", bz2.compress(b"a,b\n1,2\n")),
        (".xz", lzma.compress(b"a,b\n1,2\n")),
        (".zip", zipped("data.csv")),
    ],
)
def test_packed_files(read, suffix, data, tmp_path):
    name = "data.csv" + suffix
    assert read(data, name).numbers("b").tolist() == [2]
    packed = pack(Path(name), b"a,b\n3,4\n")
    assert read(packed, name).numbers("b").tolist() == [4]
    assert packed == pack(Path(name), b"a,b\n3,4\n")
    for damaged in (data[:-9], b"a,b\n1,2\n"):
        with pytest.raises(ValueError, match=f"data.csv{suffix}: not a sound {suffix} file"):
            read(damaged, name)
    with pytest.raises(ValueError, match="expected one file in it, found 2"):
        read(zipped("a.csv", "b.csv"), "two.zip")


@pytest.mark.parametrize(("suffix", "package"), [(".xlsx", "openpyxl"), (".parquet", "pyarrow")])
def test_sheets_and_parquet(tmp_path, monkeypatch, suffix, package):
    pytest.importorskip(package)
    frame = pd.DataFrame(
        {
            "day": pd.date_range("2024-01-01", periods=3),
            "count": pd.array([1, None, 3], dtype="Int64"),
            "x": [0.1, 2.5, None],
            "sky": ["sun", "rain, snow", None],
        }
    )
    path = tmp_path / f"data{suffix}"
    (frame.to_excel if suffix == ".xlsx" else frame.to_parquet)(path, index=False)
    table = read_table(path)
    assert table.text("day").tolist() == ["2024-01-01", "2024-01-02", "2024-01-03"]
    np.testing.assert_array_equal(table.numbers("count"), [1, np.nan, 3])
    np.testing.assert_array_equal(table.numbers("x"), [0.1, 2.5, np.nan])
    assert table.text("sky").tolist() == ["sun", "rain, snow", ""]
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=f"{package}.*pip install {package}"):
        read_table(path)


# --- columns ------------------------------------------------------------------------------------


def test_numbers_keep_their_text(read):
    table = read("code,x\n007,1\n010,2\n")
    assert table.text("code").tolist() == ["007", "010"]
    assert table.numbers("code").tolist() == [7, 10]
    assert read("flag,x\nTrue,1\nFALSE,2\n").text("flag").tolist() == ["True", "FALSE"]


def test_texts_that_come_late_in_a_column_of_numbers(read):
    table = read("x,y\n" + "1.0,1\n" * 9000 + "abc,2\n")
    assert table.text("x").iloc[[0, -1]].tolist() == ["1.0", "abc"]
    assert table.numbers("y")[-1] == 2


def test_copies_of_rows(read):
    table = read("t,x,w\n1,2.50,a\n2,3,b\n1,2.5,a\n1,2.5,c\n")
    assert table.duplicates(np.arange(4)).tolist() == [False, False, True, False]
    assert table.duplicates(np.array([2, 1, 0])).tolist() == [False, False, True]
    ids = read("t,id\n1,1701129660000000001\n1,1701129660000000002\n1,1701129660000000001\n")
    assert ids.duplicates(np.arange(3)).tolist() == [False, False, True]
    longer = table.with_rows({"t": ["1"], "x": ["2.5"], "w": ["a"]})
    assert longer.duplicates(np.array([4, 0, 2])).tolist() == [False, False, True]


def test_labels_of_several_columns_do_not_run_together(read):
    table = read('a,b\nx,"y,z"\n"x,y",z\nx,"y,z"\n')
    assert table.labels("a").tolist() == ["x", "x,y", "x"]
    first, second, third = table.labels(["a", "b"])
    assert first == third != second


def test_a_long_cell_is_not_quoted_whole(read):
    with pytest.raises(ValueError, match="row 3: 'xxx") as error:
        read("a,b\n1,1\n2,1\n" + "x" * 100_000 + ",1\n").numbers("a")
    assert len(str(error.value)) < 300


# --- a file that stays where it is ---------------------------------------------------------------


def test_text_that_was_read_is_left_in_the_file(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("a,b\n1,x\n2,y\n")
    table = read_table(path)
    assert not isinstance(table.source.kept, bytes)
    with path.open("a") as file:  # as a program does that goes on measuring
        file.write("3,z\n")
    assert table.text("a").tolist() == ["1", "2"]
    assert table.to_bytes() == b"a,b\n1,x\n2,y\n"
    path.write_text("a,b\n1,x\n3,y\n")
    with pytest.raises(ValueError, match="the file was changed since it was read"):
        table.to_bytes()


def test_text_that_was_converted_is_kept(tmp_path):
    path = tmp_path / "data.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,x\n2,y\n"))
    table = read_table(path)
    path.unlink()
    assert table.to_bytes() == b"a,b\n1,x\n2,y\n"
