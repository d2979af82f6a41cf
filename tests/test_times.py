"""Times of rows: which of two readings, the order, frequencies and their gaps, the calendar."""

# ruff: noqa: E501 (a row of a table is a line)

from __future__ import annotations

import copy
import random
from datetime import date

import numpy as np
import pytest

pytest.importorskip("pandas")

import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cylstm.tables import TimeAxis, Timeline, calendar_columns, find_time, read_table
from cylstm.tables.frequency import Frequency
from cylstm.tables.time_inference import UndecidedTimesError


@pytest.fixture
def table(tmp_path):
    """A table of columns of cells; x counts its rows."""

    def make(**columns):
        path = tmp_path / "data.csv"
        length = len(next(iter(columns.values())))
        pd.DataFrame(columns | {"x": range(length)}).to_csv(path, index=False, sep=";")
        return read_table(path)

    return make


def written(start, periods, freq, form, **options):
    return list(pd.date_range(start, periods=periods, freq=freq, **options).strftime(form))


# --- which reading ------------------------------------------------------------------------------


def test_two_readings_are_not_guessed(table):
    cells = written("2024-03-01", 12, "D", "%d/%m/%Y")
    with pytest.raises(
        ValueError,
        match=r"data.csv: column 't': '01/03/2024' can be 1 March 2024 \(%d/%m/%Y\) or "
        r'3 January 2024 \(%m/%d/%Y\), and both fit all rows; .* --time-format "%d/%m/%Y"',
    ):
        Timeline.of(table(t=cells), time="t")


@pytest.mark.parametrize(
    ("given", "following"), [("%d/%m/%Y", "13/03/2024"), ("%m/%d/%Y", "01/03/2025")]
)
def test_the_user_decides(table, given, following):
    cells = written("2024-03-01", 12, "D", "%d/%m/%Y")
    line = Timeline.of(table(t=cells), time="t", time_format=given)
    assert line.cells_after([11], 1) == {"t": [following]}


def test_a_format_that_does_not_fit(table):
    with pytest.raises(ValueError, match=r"'t', row 1: '2024-01-31' is not .* as --time-format"):
        Timeline.of(table(t=["2024-01-31", "2024-02-01"]), time="t", time_format="%d/%m/%Y")
    for wrong in ("epoch", "%d/%d/%Y", "%x", "%Y %"):
        with pytest.raises(ValueError, match=f"column 't': '{wrong}' is not a format of times"):
            Timeline.of(table(t=["2024-01-31", "2024-02-01"]), time="t", time_format=wrong)


def test_all_cells_decide_not_the_first(table):
    days = written("2024-01-01", 31, "D", "%m/%d/%Y")
    assert Timeline.of(table(t=days), time="t").axis.notation.formats == ("%m/%d/%Y",)
    random.Random(0).shuffle(days)
    assert Timeline.of(table(t=days), time="t").cells_after([30], 1) == {"t": ["02/01/2024"]}


def test_what_decided_is_said(table):
    months = written("2015-01-01", 60, "MS", "%d.%m.%Y")
    found = Timeline.of(table(t=months), time="t").found
    assert found.reason == "read as %m.%d.%Y, rows would not be evenly spaced"
    twice = [f"{day:02}.{month:02}.2020" for month in range(1, 13) for day in (1, 10)]
    found = Timeline.of(table(t=twice), time="t").found
    assert found.reason == "read as %m.%d.%Y, rows would not be in order and evenly spaced"


def test_series_decide_each_by_itself(table):
    months = written("2015-01-01", 40, "MS", "%d.%m.%Y")
    line = Timeline.of(table(g=["a"] * 40 + ["b"] * 40, t=months * 2), "g", "t")
    assert line.axis.notation.formats == ("%d.%m.%Y",)
    assert line.rows.tolist() == list(range(80))
    assert line.repeats == 0


def test_a_cell_of_another_notation_is_named(table):
    days = written("2024-01-20", 40, "D", "%d/%m/%Y")
    days[31] = "2024-02-20"
    with pytest.raises(ValueError, match="column 't', row 32: '2024-02-20' is not a number or a d"):
        Timeline.of(table(t=days), time="t")


@pytest.mark.parametrize(
    ("cells", "following"),
    [
        (["1", "2", "4"], "5"),
        (["0,5", "1,0", "1,5"], "2,0"),
        (["0.5", "1", "1.5"], "2"),
        (["1700000000.25", "1700000000.5", "1700000000.75"], "1700000001"),
        (["20231231", "20240101", "20240102"], "20240103"),
        (["1999", "2001", "2003"], "2005"),
        (["1234567890123456789", "1234567890123456790"], "1234567890123456791"),
    ],
)
def test_numbers_go_on_exactly(table, cells, following):
    line = Timeline.of(table(t=cells), time="t")
    assert line.cells_after([len(cells) - 1], 1) == {"t": [following]}


@pytest.mark.parametrize(
    "cells", [["1601", "1650", "1675", "1698"], ["90010101", "90010102"], ["1234567", "1234568"]]
)
def test_digits_that_are_no_dates_of_ours_are_numbers(table, cells):
    assert str(Timeline.of(table(t=cells), time="t").axis.notation) == "numbers"


def test_a_date_that_could_be_a_time_of_day_is_a_date(table):
    years = [f"20.01.{year}" for year in range(51, 57)]
    assert Timeline.of(table(t=years), time="t").cells_after([5], 1) == {"t": ["20.01.57"]}


def test_digits_that_run_together_are_all_there(table):
    columns = {"d": ["20240131"] * 3, "t": ["235900", "96000", "100000"]}
    with pytest.raises(ValueError, match=r"columns? 'd' and 't', row 2: '20240131 96000' is not"):
        Timeline.of(table(**columns), time=["d", "t"])
    columns["t"][1] = ""
    with pytest.raises(ValueError, match=r"columns? 'd' and 't', row 2: '' is not"):
        Timeline.of(table(**columns), time=["d", "t"])


def test_a_stored_notation_is_used_again(table):
    year = written("2023-01-01", 365, "D", "%d/%m/%Y")
    axis = Timeline.of(table(t=year), time="t").axis
    new = written("2024-03-01", 12, "D", "%d/%m/%Y")
    line = Timeline.of(table(t=new), time=TimeAxis.from_dict(axis.to_dict()))
    assert line.cells_after([11], 1) == {"t": ["13/03/2024"]}
    assert not line.found.rewritten


def test_another_notation_than_the_stored_one(table):
    axis = Timeline.of(table(t=written("2023-01-01", 365, "D", "%d/%m/%Y")), time="t").axis
    line = Timeline.of(table(t=written("2024-03-01", 12, "D", "%Y-%m-%d")), time=axis)
    assert line.found.rewritten
    assert line.cells_after([11], 1) == {"t": ["2024-03-13"]}
    with pytest.raises(ValueError, match="column 't' holds numbers, in training it held %d/%m/%Y"):
        Timeline.of(table(t=["1", "2", "5"]), time=axis)


def test_a_stored_frequency_continues_a_single_row(table):
    axis = Timeline.of(table(t=written("2022-01-03", 30, "B", "%Y-%m-%d")), time="t").axis
    line = Timeline.of(table(t=["2024-05-31"]), time=axis)
    assert line.cells_after([0], 2) == {"t": ["2024-06-03", "2024-06-04"]}


def test_rows_apart_otherwise_than_in_training_have_their_own_frequency(table):
    axis = Timeline.of(table(t=written("2023-01-01", 48, "h", "%Y-%m-%d %H:%M")), time="t").axis
    line = Timeline.of(table(t=written("2024-01-01", 9, "D", "%Y-%m-%d %H:%M")), time=axis)
    assert line.axis.frequency == Frequency("day", 1)
    assert line.found.grid.absent == 0


# --- zones --------------------------------------------------------------------------------------


def test_winter_alone_is_the_offset_and_a_summer_file_has_its_own(table):
    def cells(day):
        hours = pd.date_range(day, periods=30, freq="h", tz="Europe/Berlin")
        return [moment.isoformat() for moment in hours]

    axis = Timeline.of(table(t=cells("2024-01-10")), time="t").axis
    assert axis.notation.zone == "+01:00"
    line = Timeline.of(table(t=cells("2024-07-10")), time=axis)
    assert line.cells_after([29], 1) == {"t": ["2024-07-11T06:00:00+02:00"]}


def test_doubled_hours_newest_first_and_in_each_series(table):
    hours = pd.date_range("2023-10-28", periods=60, freq="30min", tz="Europe/Berlin")
    hours = hours.append(pd.date_range(hours[-1], periods=61, freq="30min")[1:])
    cells = list(hours.strftime("%Y-%m-%d %H:%M"))
    for order in (cells, cells[::-1]):
        line = Timeline.of(table(g=["a"] * 120 + ["b"] * 120, t=order * 2), "g", "t")
        assert line.axis.notation.zone == "Europe/Berlin"
        assert line.repeats == 0
        assert (np.diff(line.instants[:120]) == np.timedelta64(30, "m")).all()
        rows = np.arange(120) if order is cells else np.arange(120)[::-1]
        assert line.rows[:120].tolist() == rows.tolist()


def test_a_name_of_two_zones_is_that_whose_clock_shows_it(table):
    cells = written("2024-07-01", 30, "h", "%Y-%m-%d %H:%M IST")
    line = Timeline.of(table(t=cells), time="t")
    assert line.axis.notation.zone == "Europe/Dublin"
    assert line.cells_after([29], 1) == {"t": ["2024-07-02 06:00 IST"]}
    cells = written("2024-01-01", 400, "D", "%Y-%m-%d %H:%M IST")  # all year: that of India
    line = Timeline.of(table(t=cells), time="t")
    assert (line.axis.notation.zone, line.found.grid.absent) == ("", 0)
    assert line.cells_after([399], 1) == {"t": ["2025-02-04 00:00 IST"]}


def test_names_of_zones_that_contradict_each_other(table):
    with pytest.raises(ValueError, match=r"no time zone known here has the names CET, EDT"):
        Timeline.of(table(t=["2024-01-01 00:00 CET", "2024-07-01 00:00 EDT"]), time="t")


# --- order and columns --------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["oldest first", "newest first", "in no order"])
def test_order_of_the_file(table, order):
    days = written("2024-01-01", 50, "D", "%Y-%m-%d")
    sorted_days = list(days)
    if order == "newest first":
        days.reverse()
    elif order == "in no order":
        random.Random(1).shuffle(days)
    data = table(day=days)
    line = Timeline.of(data, time=find_time(data))
    assert line.found.file_order == order
    assert [days[row] for row in line.rows] == sorted_days


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"when": written("2024-01-01", 20, "D", "%d.%m.%Y"), "y": range(20)}, ("when",)),
        ({"id": range(20), "month": written("2020-01-01", 20, "MS", "%Y-%m")}, ("month",)),
        ({"year": range(1990, 2010), "y": range(2000, 2020)}, ("year",)),
        ({"size": range(1990, 2010)}, None),
        ({"code": range(20240101, 20240121)}, ("code",)),
        ({"price": [1e9 + n % 7 for n in range(20)]}, None),
        ({"ts": range(1700000000, 1700001200, 60)}, ("ts",)),
        ({"text": ["may be", "march on"] * 10}, None),
        ({"day": range(1, 21)}, None),
        ({"id": [f"GT{n}" for n in range(1990, 2010)]}, None),
        ({"note": ["3 Jun-Mar", "4 May-May"] * 10}, None),
        (
            {
                "date": ["01/31/2024"] * 12 + ["02/01/2024"] * 8,
                "time": written("2024-01-31 12:00", 20, "h", "%H:%M"),
            },
            ("date", "time"),
        ),
        (
            {
                "date": ["2024-01-31"] * 12 + ["2024-02-01"] * 8,
                "hour": [*range(12, 24), *range(8)],
            },
            ("date", "hour"),
        ),
        (
            {
                "No": range(20),
                "year": [2024] * 20,
                "month": [1] * 12 + [2] * 8,
                "day": [31] * 12 + [1] * 8,
                "hour": [*range(12, 24), *range(8)],
            },
            ("year", "month", "day", "hour"),
        ),
    ],
)
def test_the_column_of_times_is_found(table, columns, found):
    reading = find_time(table(**columns))
    assert (reading and reading.axis.columns) == found
    if found:
        order = Timeline.of(table(**columns), time=reading).rows
        assert order.tolist() == list(range(20))


def test_a_column_found_that_leaves_the_order_open_is_not_used(table):
    years = [2001 + n * 7 % 5 for n in range(100)]
    data = table(year_sold=years)
    reading = find_time(data)
    assert reading.axis.columns == ("year_sold",)
    line = Timeline.of(data, time=reading)
    assert line.axis is None and line.rows.tolist() == list(range(100))
    assert Timeline.of(data, time="year_sold").repeats == 95
    data = table(year_sold=sorted(years))
    assert Timeline.of(data, time=find_time(data)).repeats == 95


def test_parts_of_a_date_go_on_in_their_columns(table):
    hours = pd.date_range("2024-01-31 12:00", periods=20, freq="h")
    data = table(year=hours.year, month=hours.month, day=hours.day, hour=hours.hour)
    line = Timeline.of(data, time=["year", "month", "day", "hour"])
    assert line.cells_after([19], 1) == {
        "year": ["2024"], "month": ["2"], "day": ["1"], "hour": ["8"]
    }  # fmt: skip


@pytest.mark.parametrize("name", ["quarter", "week"])
def test_year_and_quarter_or_week_in_two_columns(table, name):
    if name == "quarter":
        moments = pd.date_range("2019-07-01", periods=22, freq="QS")
        years, numbers = moments.year, moments.quarter
    else:
        moments = pd.date_range("2019-07-01", periods=62, freq="W-MON")
        years, numbers = moments.isocalendar().year, moments.isocalendar().week
    columns = {"year": list(years), name: list(numbers)}
    data = table(**{name: cells[:-2] for name, cells in columns.items()})
    reading = find_time(data)
    assert reading.axis.columns == ("year", name)
    with pytest.raises(ValueError, match=f"the date has more parts: --time year,{name}"):
        Timeline.of(data, time="year")
    line = Timeline.of(data, time=reading)
    following = line.cells_after([len(line) - 1], 2)
    assert following == {name: list(map(str, cells[-2:])) for name, cells in columns.items()}
    assert line.axis.explain(line.instants[0]).startswith(
        {"quarter": "%Y %q: 2019 3 is 1 July", "week": "%G %V: 2019 27 is 1 July"}[name]
    )


def test_a_column_called_date_with_a_slip_is_no_silent_file_order(table):
    days = written("2024-01-01", 50, "D", "%Y-%m-%d")
    with pytest.raises(
        ValueError, match="column 'date', row 51: 'Total' is not a number or a date"
    ):
        find_time(table(date=[*days, "Total"]))
    assert find_time(table(note=[*days, "Total"])) is None


def test_two_columns_that_give_two_orders(table):
    days = written("2024-01-13", 40, "D", "%d/%m/%Y")
    ordered, shipped = random.Random(1).sample(days, 40), random.Random(2).sample(days, 40)
    with pytest.raises(ValueError, match="'order_date' and 'ship_date' both hold times and put"):
        find_time(table(order_date=ordered, ship_date=shipped))
    assert find_time(table(order_date=ordered, ship_date=days)).axis.columns == ("ship_date",)


# --- rows that share a time ---------------------------------------------------------------------


def test_many_series_without_a_group(table):
    days = written("2024-01-01", 30, "D", "%Y-%m-%d")
    columns = {
        "day": [day for day in days for _ in range(4)],
        "shop": [*"aabb"] * 30,
        "item": [1, 2, 1, 2] * 30,
    }
    with pytest.raises(ValueError, match="'shop' and 'item' would tell apart: --group shop,item"):
        Timeline.of(table(**columns), time="day")
    with pytest.raises(ValueError, match="'item' would tell apart: --group shop,item"):
        Timeline.of(table(**columns), "shop", "day")
    columns["shop"] = [
        f"{shop}{item}" for shop, item in zip(columns["shop"], columns["item"], strict=True)
    ]
    with pytest.raises(ValueError, match="which 'shop' would tell apart: --group shop "):
        Timeline.of(table(**columns), time="day")
    assert Timeline.of(table(**columns), "shop", "day").repeats == 0


def test_many_rows_in_one_second_stay_in_their_order(table):
    cells = [f"2024-01-01 00:00:{n // 50:02}" for n in range(500)]
    y, z = [n * 0.37 % 1 for n in range(500)], [n * 37 % 150 for n in range(500)]
    line = Timeline.of(table(time=cells, y=y, z=z), time="time")
    assert line.rows.tolist() == list(range(500))
    assert line.repeats == 490
    assert line.cells_after([499], 1) == {"time": ["2024-01-01 00:00:10"]}


def test_date_or_time_of_day_alone(table):
    minutes = pd.date_range("2024-01-13 22:00", periods=300, freq="min")
    data = table(Date=minutes.strftime("%d/%m/%Y"), Time=minutes.strftime("%H:%M"))
    with pytest.raises(ValueError, match="'Time' holds the time of day: --time Date,Time"):
        Timeline.of(data, time="Date")
    with pytest.raises(ValueError, match="'Time' holds times of day, which begin again every day"):
        Timeline.of(data, time="Time")
    line = Timeline.of(data, time=["Date", "Time"])
    assert line.cells_after([299], 1) == {"Date": ["14/01/2024"], "Time": ["03:00"]}


def test_rows_written_twice_count_once(tmp_path):
    days = written("2024-01-01", 20, "D", "%Y-%m-%d")
    rows = [f"{day},{n}" for n, day in enumerate(days) for _ in range(1 + (n % 5 == 0))]
    path = tmp_path / "twice.csv"
    path.write_text("\n".join(["day,y", *rows, "2024-01-20,7"]) + "\n")
    line = Timeline.of(read_table(path), time="day")
    assert (line.found.duplicates, line.repeats, len(line)) == (4, 1, 21)
    assert line.rows[:3].tolist() == [0, 2, 3]


# --- frequencies --------------------------------------------------------------------------------

SESSIONS = pd.date_range("2024-01-02 09:30", "2024-01-31 16:00", freq="30min")
SESSIONS = SESSIONS[SESSIONS.indexer_between_time("09:30", "16:00")]
SESSIONS = SESSIONS[SESSIONS.weekday < 5]


@pytest.mark.parametrize(
    ("moments", "words", "following"),
    [
        (pd.date_range("2024-01-01", periods=30, freq="D"), "1 day", "2024-01-31 00:00"),
        (pd.date_range("2024-01-01", periods=30, freq="B"), "1 day, Mon to Fri", "2024-02-12 00:00"),
        (pd.bdate_range("2024-01-01", periods=30, freq="C", weekmask="Sun Mon Tue Wed Thu"),
         "1 day, Mon, Tue, Wed, Thu, Sun", "2024-02-12 00:00"),
        (pd.bdate_range("2024-01-01", periods=30, freq="C", weekmask="Mon Thu"),
         "1 day, Mon, Thu", "2024-04-15 00:00"),
        (pd.date_range("2024-01-01", periods=30, freq="W-WED"), "1 week", "2024-07-31 00:00"),
        (pd.date_range("2024-01-01", periods=30, freq="2W-WED"), "2 weeks", "2025-02-26 00:00"),
        (pd.date_range("2024-01-31", periods=30, freq="ME"), "1 month, its last day", "2026-07-31 00:00"),
        (pd.date_range("2024-01-31", periods=30, freq="BME"), "1 month, its last weekday", "2026-07-31 00:00"),
        (pd.date_range("2024-01-31", periods=30, freq="BMS"), "1 month, its first weekday", "2026-08-03 00:00"),
        (pd.DatetimeIndex([f"2024-{n:02}-15 06:00" for n in range(1, 13)]), "1 month, day 15", "2025-01-15 06:00"),
        (pd.DatetimeIndex(["2023-12-30", "2024-01-30", "2024-02-29", "2024-03-30", "2024-04-30"]),
         "1 month, day 30", "2024-05-30 00:00"),
        (pd.DatetimeIndex([f"2024-{n:02}-{d}" for n in range(1, 13) for d in ("01", "11", "21")]),
         "1 month, days 1, 11, 21", "2025-01-01 00:00"),
        (pd.date_range("2024-01-31", periods=20, freq="SME"), "1 month, days 15, last", "2024-11-30 00:00"),
        (pd.date_range("2024-01-31", periods=30, freq="2QE"), "2 quarters, its last day", "2039-03-31 00:00"),
        (pd.date_range("2024-02-29", periods=9, freq="4YE-FEB"), "4 years, its last day", "2060-02-29 00:00"),
        (pd.date_range("2024-01-01", periods=30, freq="10min"), "10 minutes", "2024-01-01 05:00"),
        (pd.date_range("2024-01-01", periods=30, freq="90min"), "90 minutes", "2024-01-02 21:00"),
        (SESSIONS, "30 minutes, Mon to Fri, 09:30 to 16:00", "2024-02-01 09:30"),
        (SESSIONS[SESSIONS.day < 27], "30 minutes, Mon to Fri, 09:30 to 16:00", "2024-01-29 09:30"),
    ],
)  # fmt: skip
def test_frequency(table, moments, words, following):
    line = Timeline.of(table(t=moments.strftime("%Y-%m-%d %H:%M")), time="t")
    assert str(line.axis.frequency) == words
    assert line.found.grid.clear and line.found.grid.absent == 0
    assert line.cells_after([len(moments) - 1], 1) == {"t": [following]}
    assert Frequency.from_dict(line.axis.frequency.to_dict()) == line.axis.frequency


@pytest.mark.parametrize(
    "freq", ["D", "B", "MS", "ME", "BME", "QE", "YS", "W-SAT", "h", "15min", "SMS"]
)
def test_gaps_are_counted_and_filled_with_the_rows_that_were_there(table, freq):
    moments = pd.date_range("2020-01-01", periods=100, freq=freq)
    kept = sorted({0, 99, *random.Random(3).sample(range(100), 90)})
    cells = moments[kept].strftime("%Y-%m-%d %H:%M")
    data = table(t=cells)
    line = Timeline.of(data, time="t")
    assert line.found.grid.absent == 100 - len(kept)
    filled, order = line.with_gaps_filled(data, None)
    assert filled.text("t")[order.rows].tolist() == moments.strftime("%Y-%m-%d %H:%M").tolist()
    assert filled.missing("x")[order.rows].sum() == order.found.filled == 100 - len(kept)
    assert (order.instants == moments.to_numpy()).all()
    assert order.found.grid.absent == 0
    assert filled.without_rows(len(kept), len(filled)).to_bytes() == data.to_bytes()


def test_gaps_of_each_series(table):
    hours = pd.date_range("2024-01-01", periods=30, freq="h").strftime("%Y-%m-%d %H:%M")
    first, second = list(hours), [cell for n, cell in enumerate(hours[5:]) if n not in (3, 9)]
    data = table(g=["a"] * 30 + ["b"] * 23, t=first + second)
    filled, line = Timeline.of(data, "g", "t").with_gaps_filled(data, "g")
    assert line.series == [("a", slice(0, 30)), ("b", slice(30, 55))]
    assert filled.text("g")[line.rows].tolist() == ["a"] * 30 + ["b"] * 25
    assert filled.text("t")[line.rows].tolist() == [*hours, *hours[5:]]


def test_gaps_across_a_change_of_clocks(table):
    hours = pd.date_range("2024-03-29", periods=120, freq="h", tz="Europe/Berlin")
    cells = [moment.isoformat() for moment in hours]
    data = table(t=[cell for n, cell in enumerate(cells) if n not in range(45, 52)])
    filled, line = Timeline.of(data, time="t").with_gaps_filled(data, None)
    assert filled.text("t")[line.rows].tolist() == cells


def test_days_across_a_change_of_clocks(table):
    days = pd.date_range("2024-03-20", periods=30, freq="D", tz="Europe/Berlin")
    cells = [moment.isoformat() for moment in days]
    data = table(t=[*cells[:5], *cells[6:28]])
    line = Timeline.of(data, time="t")
    assert (str(line.axis.frequency), line.found.grid.absent) == ("1 day", 1)
    assert line.cells_after([26], 2) == {"t": cells[28:]}


def test_irregular_times_have_no_gaps(table):
    rng = np.random.default_rng(0)
    moments = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.cumsum(rng.integers(1, 99, 50)), "s")
    data = table(t=moments.strftime("%Y-%m-%d %H:%M:%S"))
    line = Timeline.of(data, time="t")
    assert not line.found.grid.clear
    assert str(line.axis.frequency).startswith("no regular step, ")
    with pytest.raises(ValueError, match="column 't' keeps to no regular step"):
        line.with_gaps_filled(data, None)


def test_a_wrong_year_does_not_become_a_million_rows(table):
    cells = written("2024-01-01", 100, "h", "%Y-%m-%d %H:%M")
    data = table(t=[*cells, "2204-01-01 00:00"])
    line = Timeline.of(data, time="t")
    assert not line.has_clear_grid
    with pytest.raises(
        ValueError, match=r"1,577,732 rows are absent between 101; is a time wrong\?"
    ):
        line.with_gaps_filled(data, None)


# --- the calendar -------------------------------------------------------------------------------


def test_calendar_features_are_those_of_the_clock(table):
    hours = pd.date_range("2024-03-29", periods=120, freq="h", tz="Europe/Berlin")
    data = table(t=[moment.isoformat() for moment in hours])
    line = Timeline.of(data, time="t")
    hour, weekday, month = (
        c.encode(data, line) for c in calendar_columns(["hour", "weekday", "month"])
    )
    angle = 2 * np.pi * hours.hour / 24
    np.testing.assert_allclose(hour, np.column_stack([np.sin(angle), np.cos(angle)]), atol=1e-12)
    assert (weekday.argmax(axis=1) == hours.weekday).all()
    angle = 2 * np.pi * (hours.dayofyear - 1 + hours.hour / 24) / 366
    np.testing.assert_allclose(month, np.column_stack([np.sin(angle), np.cos(angle)]), atol=1e-12)


def test_calendar_features_of_rows_to_come(table):
    data = table(t=written("2024-12-20", 4, "D", "%Y-%m-%d"))
    line = Timeline.of(data, time="t")
    (weekday,) = calendar_columns(["weekday"])
    assert weekday.at(line.axis.wall(line.after(3, 3))).argmax(axis=1).tolist() == [1, 2, 3]
    assert len(weekday.features) == 7


def test_holidays(table):
    pytest.importorskip("holidays")
    data = table(t=written("2024-12-23", 10, "D", "%Y-%m-%d"))
    line = Timeline.of(data, time="t")
    (german,) = calendar_columns(["holidays:DE"])
    assert german.encode(data, line)[:, 0].tolist() == [0, 0, 1, 1, 0, 0, 0, 0, 0, 1]
    with pytest.raises(ValueError, match="holidays:XX"):
        calendar_columns(["holidays:XX"])[0].encode(data, line)


def test_a_calendar_that_is_none(table):
    with pytest.raises(ValueError, match="expected hour, weekday, month or holidays:COUNTRY"):
        calendar_columns(["minute"])
    data = table(t=["1", "2", "3"])
    with pytest.raises(ValueError, match="column 't' holds plain numbers, not dates"):
        calendar_columns(["hour"])[0].encode(data, Timeline.of(data, time="t"))
    with pytest.raises(ValueError, match="needs the dates of rows; which column holds them"):
        calendar_columns(["hour"])[0].encode(data, Timeline.of(data))


# --- model files --------------------------------------------------------------------------------


def test_damaged_axes_are_errors_of_value(table):
    axis = Timeline.of(table(t=written("2024-01-20", 30, "D", "%d.%m.%y")), time="t").axis
    sound = axis.to_dict()
    junk = [None, -1, 2**80, float("inf"), "x" * 9, "%", "../../etc/passwd", [], {}, [[]], True]

    def places(data, path=()):
        items = data.items() if isinstance(data, dict) else enumerate(data)
        for key, value in items:
            yield (*path, key)
            if isinstance(value, dict | list | tuple):
                yield from places(value, (*path, key))

    for path in places(sound):
        for value in junk:
            damaged = copy.deepcopy(sound)
            inner = damaged
            for key in path[:-1]:
                if isinstance(inner[key], tuple):
                    inner[key] = list(inner[key])
                inner = inner[key]
            inner[path[-1]] = value
            try:
                read = TimeAxis.from_dict(damaged)
            except ValueError:
                continue
            if read.frequency:
                assert len(read.frequency.after(np.datetime64("2024-01-01", "us"), 5, "")) <= 5


# --- whatever the dates -------------------------------------------------------------------------


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    form=st.sampled_from(
        [
            "%Y-%m-%d",
            "%d.%m.%y",
            "%m/%d/%Y %H:%M",
            "%b-%y",
            "%Y%m%d",
            "%Y",
            "%Y%m",
            "%d %B %Y",
            "%Y-%m-%dT%H:%M:%S%z",
        ]
    ),
    freq=st.sampled_from(["D", "h", "MS", "ME", "B", "7min", "YS", "W-SUN", "SMS"]),
    first=st.dates(date(1970, 1, 1), date(2024, 12, 31)),
    count=st.integers(1, 40),
    zone=st.sampled_from([None, "Europe/Berlin"]),
    seed=st.integers(0, 2**32),
)
def test_what_was_read_is_read_again(table, form, freq, first, count, zone, seed):
    moments = pd.date_range(first, periods=count, freq=freq, tz=zone)
    rng = random.Random(seed)
    cells = [moment.strftime(form) for moment in moments if rng.random() < 0.8] or ["2024-01-31"]
    rng.shuffle(cells)
    data = table(t=cells)
    try:
        line = Timeline.of(data, time="t")
    except UndecidedTimesError:
        return
    again = Timeline.of(data, time=TimeAxis.from_dict(line.axis.to_dict()))
    assert (again.instants == line.instants).all() and (again.rows == line.rows).all()
    grid = line.found.grid
    if grid and grid.frequency.regular:
        filled, complete = line.with_gaps_filled(data, None)
        assert complete.found.grid.absent == 0
        assert len(filled) == len(data) + grid.absent
        assert (Timeline.of(filled, time=line.axis).instants == complete.instants).all()
