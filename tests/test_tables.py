"""CSV tables: what is read is what is written, series in time order, columns as numbers."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pandas")

from cylstm.tables import (
    TEST,
    TRAINING,
    VALIDATION,
    Column,
    Timeline,
    learn_columns,
    read_table,
)


@pytest.fixture
def read(tmp_path):
    """Read a table from its text or bytes."""

    def read_text(content, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_table(path)

    return read_text


SHOPS = """\
day,shop,sales,sky
2024-01-03,a,3,sun
2024-01-01,a,1,rain
2024-01-01,b,10,
2024-01-02,a,,sun
2024-01-02,b,20,rain
"""


# --- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_what_is_read_is_written(read, delimiter):
    text = 'id,value,note\n007,1.50,"a ""quote"""\n008,NA,\n'.replace(",", delimiter)
    table = read(text)
    assert table.columns == ["id", "value", "note"]
    assert table.to_bytes().decode() == text


def test_columns_without_a_name_of_their_own_are_written_as_read(read):
    text = ",x,x, y ,y, z\n0,1,2,3,4,5\n"
    table = read(text)
    assert table.columns == ["Unnamed: 0", "x", "x.1", " y ", "y", "z"]
    assert table.to_bytes().decode() == text
    added = table.with_columns(np.array([0]), {"new": ["6"]}).with_rows({"z": ["7"]})
    assert added.to_bytes().decode() == ",x,x, y ,y, z,new\n0,1,2,3,4,5,6\n,,,,,7,\n"


def test_byte_order_mark_is_not_part_of_the_first_name(read):
    assert read(b"\xef\xbb\xbfa,b\n1,2\n").columns == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "data.csv: the file is empty"),
        (b"a,b\n", "data.csv: no rows below the header"),
        (
            b"a,b\n1,2,3\n4,5,6\n",
            "data.csv: not a table: line 2 has 3 cells, more than the header's 2; is one the comma",
        ),
        (
            b"a,b\n1,2\n1,2,3\n",
            "data.csv: not a table: line 3 has 3 cells, more than the header's 2",
        ),
        (b"a\nna\xefve\n", r"data.csv: not UTF-8 text \(byte 0xef at offset 4\)"),
    ],
)
def test_files_that_are_no_tables(read, content, message):
    with pytest.raises(ValueError, match=message):
        read(content)


def test_absent_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "absent.csv")


def test_short_rows_are_missing_cells(read):
    assert read("a,b\n1\n2,3\n").missing("b").tolist() == [True, False]


def test_without_pandas(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match="pip install pandas"):
        read_table(tmp_path / "data.csv")


# --- cells --------------------------------------------------------------------------------------


def test_numbers_and_missing_cells(read):
    table = read('x\n1\n 2.5 \nNA\n""\nnull\n-3e2\n')
    np.testing.assert_array_equal(table.numbers("x"), [1, 2.5, np.nan, np.nan, np.nan, -300])


@pytest.mark.parametrize("cell", ["abc", "inf", "-Infinity", "12h"])
def test_text_where_numbers_should_be(read, cell):
    with pytest.raises(ValueError, match=rf"column 'x', row 2: '{cell}' is not a number"):
        read(f"x;y\n1;1\n{cell};1\n").numbers("x")


@pytest.mark.parametrize("cell", ["1e31", "-1e300"])
def test_numbers_that_float32_could_not_compute_with(read, cell):
    with pytest.raises(ValueError, match=f"column 'x', row 2: '{cell}' is not within 1e\\+30 of 0"):
        read(f"x\n-1e30\n{cell}\n").numbers("x")


def test_missing_column_lists_the_others(read):
    with pytest.raises(ValueError, match="no column 'c', 'd'; it has a, b"):
        read("a,b\n1,2\n").require(["a", "c", "d"])


def test_new_columns_and_rows(read):
    table = read("a,b\n1,x\n2,y\n")
    wider = table.with_columns(np.array([1]), {"p": ["9"]})
    longer = wider.with_rows({"p": ["8", "7"], "a": ["3", "4"]})
    assert longer.to_bytes() == b"a,b,p\n1,x,\n2,y,9\n3,,8\n4,,7\n"
    assert table.columns == ["a", "b"]
    with pytest.raises(ValueError, match="there is a column 'a' already"):
        table.with_columns(np.array([0]), {"a": ["1"]})


def test_new_rows_can_be_read_and_taken_away(read):
    table = read("t,x\n1,1.5\n2,2\n").with_rows({"t": ["3", "4"]}).with_rows({"x": ["5"]})
    assert len(table) == 5
    assert table.text("t").tolist() == ["1", "2", "3", "4", ""]
    np.testing.assert_array_equal(table.numbers("x"), [1.5, 2, np.nan, np.nan, 5])
    assert table.missing("x").tolist() == [False, False, True, True, False]
    assert len(table.labels(None)) == 5
    with pytest.raises(ValueError, match="row 5: '' is not a number"):
        Timeline.of(table, None, "t")
    wider = table.with_columns(np.array([0, 3]), {"p": ["a", "b"]})
    assert wider.to_bytes() == b"t,x,p\n1,1.5,a\n2,2,\n3,,\n4,,b\n,5,\n"
    assert wider.without_rows(2, 4).to_bytes() == b"t,x,p\n1,1.5,a\n2,2,\n,5,\n"


# --- series -------------------------------------------------------------------------------------


def test_timeline_sorts_each_series_by_time(read):
    timeline = Timeline.of(read(SHOPS), "shop", "day")
    assert timeline.rows.tolist() == [1, 3, 0, 2, 4]
    assert timeline.start.tolist() == [0, 0, 0, 3, 3]
    assert timeline.stop.tolist() == [3, 3, 3, 5, 5]
    assert timeline.series == [("a", slice(0, 3)), ("b", slice(3, 5))]
    assert timeline.repeats == 0


def test_timeline_without_columns_is_the_file(read):
    timeline = Timeline.of(read(SHOPS))
    assert timeline.rows.tolist() == [0, 1, 2, 3, 4]
    assert timeline.series == [("", slice(0, 5))]


def test_timeline_sorts_numbers_as_numbers_and_counts_repeats(read):
    timeline = Timeline.of(read("t,x\n10,1\n9,1\n100,1\n9,2\n"), time="t")
    assert timeline.rows.tolist() == [1, 3, 0, 2]
    assert timeline.repeats == 1
    assert Timeline.of(read("g,t\na,1\nb,1\n"), "g", "t").repeats == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t\n2024-01-01\nyesterday\n", "row 2: 'yesterday' is not a number or a date"),
        ("t,x\n1,1\n2,1\n3,1\n,1\n", r"row 4: '' is not a number \(as the column's others are\)"),
    ],
)
def test_times_that_are_none(read, text, message):
    with pytest.raises(ValueError, match=message):
        Timeline.of(read(text), time="t")


def test_parts_cut_each_series_in_time(read):
    table = read("g\n" + "a\n" * 10 + "b\n" * 5)
    parts = Timeline.of(table, "g").parts(0.2, 0.3)
    assert parts[:10].tolist() == [TRAINING] * 5 + [VALIDATION] * 2 + [TEST] * 3
    assert parts[10:].tolist() == [TRAINING] * 2 + [VALIDATION] * 1 + [TEST] * 2


def test_fill_forward_stays_in_its_series(read):
    timeline = Timeline.of(read("g\na\na\na\nb\nb\nb\n"), "g")
    values = np.array([np.nan, 1, np.nan, np.nan, 2, np.nan])
    filled = timeline.fill_forward(values, np.isnan(values))
    np.testing.assert_array_equal(filled, [np.nan, 1, 1, np.nan, 2, 2])


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["2024-01-01", "2024-02-01", "2024-03-01"], ["2024-04-01", "2024-05-01"]),
        (["30/01/2024", "31/01/2024", "01/02/2024"], ["02/02/2024", "03/02/2024"]),
        (["2024-01-01 00:00", "2024-01-01 00:10"], ["2024-01-01 00:20", "2024-01-01 00:30"]),
        (["11/01/2024", "12/01/2024", "13/01/2024"], ["14/01/2024", "15/01/2024"]),
        (["12/30/2023", "12/31/2023", "01/01/2024"], ["01/02/2024", "01/03/2024"]),
        (["1700", "1701", "1702"], ["1703", "1704"]),
        (["0.1", "0.2", "0.3"], ["0.4", "0.5"]),
        (["2024-01-01"], ["", ""]),
    ],
)
def test_future_times(read, times, expected):
    table = read("t,x\n" + "".join(f"{time},1\n" for time in times))
    timeline = Timeline.of(table, time="t")
    assert timeline.cells_after([len(times) - 1], 2) == {"t": expected}


# --- columns ------------------------------------------------------------------------------------


def learned(table, training=None, names=None, timeline=None, **options):
    rows = np.ones(len(table), bool) if training is None else np.array(training, bool)
    return learn_columns(table, timeline or Timeline.of(table), rows, names, **options)


def test_columns_are_learned_from_the_training_rows(read):
    table = read("day,x,sky\n1,1,sun\n2,,rain\n3,2,sun\n4,6,rain\n5,100,snow\n")
    columns, ignored = learned(table, [1, 1, 1, 1, 0], exclude=["day", None])
    assert columns == [Column("x", fill=3.0), Column("sky", categories=("rain", "sun"))]
    assert ignored == {}


def test_numbers_are_carried_forward_then_the_mean(read):
    table = read("g,x\na,\na,2\na,\nb,\nb,4\n")
    timeline = Timeline.of(table, "g")
    encoded = Column("x", fill=3.0).encode(table, timeline)
    assert encoded.tolist() == [[3], [2], [2], [3], [4]]


def test_categories_unknown_or_missing_are_zeros(read):
    table = read("c,x\n red,1\nblue ,1\ngreen,1\n NA ,1\n")
    column = Column("c", categories=("blue", "red"))
    assert column.features == ["c=blue", "c=red"]
    assert column.encode(table, Timeline.of(table)).tolist() == [[0, 1], [1, 0], [0, 0], [0, 0]]
    assert table.missing("c").tolist() == [False, False, False, True]


def test_columns_that_are_no_inputs(read):
    rows = "".join(f"name{n},,{n % 2},{n}\n" for n in range(6))
    table = read("key,empty,code,x\n" + rows)
    columns, ignored = learned(table, exclude=["x"], categories=["code"])
    assert columns == [Column("code", categories=("0", "1"))]
    assert ignored == {
        "key": "6 different texts in 6 rows",
        "empty": "no value in the training part",
    }
    with pytest.raises(ValueError, match="column 'key' cannot be an input: 6 different texts"):
        learned(table, names=["key"])
    with pytest.raises(ValueError, match="no column 'z'"):
        learned(table, names=["z"])
    assert learned(table, names=["key"], categories=["key"])[0][0].categories == tuple(
        f"name{n}" for n in range(6)
    )


def test_a_slip_in_a_numeric_column_is_not_a_category(read):
    with pytest.raises(ValueError, match="column 'x', row 3: 'l2' is not a number"):
        learned(read("x,y\n1,1\n2,1\nl2,1\n"))


@pytest.mark.parametrize("column", [Column("x", fill=1 / 3), Column("c", categories=("a", "b"))])
def test_columns_survive_a_model_file(column):
    assert Column.from_dict(column.to_dict()) == column


def test_looks_numeric_of_an_empty_column(read):
    assert not read("x,y\n,1\n").looks_numeric("x")


@pytest.mark.parametrize("values", ["123", "321"])
def test_a_counter_is_no_input_unless_it_is_named(read, values):
    table = read("n,x\n" + "".join(f"{n},{x}\n" for n, x in zip(values, "121", strict=True)))
    columns, ignored = learned(table)
    assert [column.name for column in columns] == ["x"]
    said = {"123": "rises with every row, like a time", "321": "newest first? --time n sorts by it"}
    assert ignored["n"].endswith(said[values])
    assert [column.name for column in learned(table, names=["n"])[0]] == ["n"]


def test_a_counter_is_one_in_each_series_and_in_time_order(read):
    table = read("g,t,n,x\na,2,30,1\nb,1,10,1\na,1,20,2\nb,2,40,2\na,3,50,2\n")
    for group, time, expected in (("g", "t", ["x"]), (None, None, ["n", "x"])):
        timeline = Timeline.of(table, group, time)
        columns, _ = learned(table, timeline=timeline, exclude=["g", "t"])
        assert [column.name for column in columns] == expected
