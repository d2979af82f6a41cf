"""Notations of times that files have: what it was, what was read, what came next."""

# ruff: noqa: E501 (a row of the table is a line)

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

pytest.importorskip("pandas")

import pandas as pd

from cylstm.tables import TimeAxis, Timeline, read_table
from cylstm.tables.languages import LANGUAGES


def unpadded(form):
    """A strftime format whose numbers have no leading zeros, on any platform."""
    numbers = {"d": "day", "m": "month", "H": "hour", "y": "year", "Y": "year"}

    def write(moment):
        text = form
        for letter, name in numbers.items():
            text = text.replace(f"%-{letter}", str(getattr(moment, name)))
        return moment.strftime(text.replace("%-I", str(moment.hour % 12 or 12)))

    return write


def quarter(form):
    return lambda moment: moment.strftime(form.replace("%q", str(moment.quarter)))


def fraction(form, digits):
    return lambda moment: moment.strftime(form).replace(
        "#", f"{moment.nanosecond + 1000 * moment.microsecond:09}"[:digits]
    )


def epoch(unit):
    return lambda moment: str(moment.value // unit)


def bare_midnight(form):
    return lambda moment: moment.strftime(form).removesuffix(" 00:00:00")


def bare_seconds(moment):
    return moment.isoformat()  # leaves .000000 out


def hour_24(form):
    day = pd.Timedelta(days=1)
    return lambda moment: (
        (moment - day).strftime(form.replace("%H", "24"))
        if moment.hour == 0
        else moment.strftime(form)
    )


def month_upper(form):
    return lambda moment: (form(moment) if callable(form) else moment.strftime(form)).upper()


def month_lower(form):
    return lambda moment: moment.strftime(form).lower()


def dotted(form):
    return lambda moment: moment.strftime(
        form.replace("%p", "a.m." if moment.hour < 12 else "p.m.")
    )


def until(form, mark, end):
    hour = pd.Timedelta(hours=1)
    return lambda moment: moment.strftime(form) + mark + (moment + hour).strftime(end)


def iso(moment):
    return moment.isoformat()


DAYS = ("2021-12-20", "D")
MONTHS = ("2015-03-01", "MS")
HOURS = ("2023-11-28 20:00", "h")
BERLIN, NEW_YORK, SYDNEY = "Europe/Berlin", "America/New_York", "Australia/Sydney"
Y, M = "%Y-%m-%d", "%H:%M"

#: What it was: first time, frequency, zone, how the file writes it.
#: What was read: the format (without what only matters for writing).
#: What came next: the cell after 60 rows.
NOTATIONS = [
    # days
    (*DAYS, None, "%Y-%m-%d", "%Y-%m-%d", "2022-02-18"),
    (*DAYS, None, "%Y/%m/%d", "%Y/%m/%d", "2022/02/18"),
    (*DAYS, None, "%Y.%m.%d", "%Y.%m.%d", "2022.02.18"),
    (*DAYS, None, "%Y%m%d", "%Y%m%d", "20220218"),
    (*DAYS, None, "%d%m%Y", "%d%m%Y", "18022022"),
    (*DAYS, None, "%d.%m.%Y", "%d.%m.%Y", "18.02.2022"),
    (*DAYS, None, "%d/%m/%Y", "%d/%m/%Y", "18/02/2022"),
    (*DAYS, None, "%m/%d/%Y", "%m/%d/%Y", "02/18/2022"),
    (*DAYS, None, "%m-%d-%Y", "%m-%d-%Y", "02-18-2022"),
    (*DAYS, None, unpadded("%-m/%-d/%Y"), "%m/%d/%Y", "2/18/2022"),
    (*DAYS, None, unpadded("%-d.%-m.%Y"), "%d.%m.%Y", "18.2.2022"),
    (*DAYS, None, "%d.%m.%y", "%d.%m.%y", "18.02.22"),
    (*DAYS, None, "%d-%m-%y", "%d-%m-%y", "18-02-22"),
    (*DAYS, None, "%m/%d/%y", "%m/%d/%y", "02/18/22"),
    (*DAYS, None, "%y/%m/%d", "%y/%m/%d", "22/02/18"),
    (*DAYS, None, "%y%m%d", "%y%m%d", "220218"),
    (*DAYS, None, "%d-%b-%Y", "%d-%b-%Y", "18-Feb-2022"),
    (*DAYS, None, unpadded("%-d-%b-%y"), "%d-%b-%y", "18-Feb-22"),
    (*DAYS, None, month_upper("%d-%b-%y"), "%d-%b-%y", "18-FEB-22"),
    (*DAYS, None, "%d%b%Y", "%d%b%Y", "18Feb2022"),
    (*DAYS, None, month_upper("%d%b%Y"), "%d%b%Y", "18FEB2022"),
    (*DAYS, None, "%b %d, %Y", "%b %d, %Y", "Feb 18, 2022"),
    (*DAYS, None, unpadded("%B %-d, %Y"), "%B %d, %Y", "February 18, 2022"),
    (*DAYS, None, unpadded("%-d %B %Y"), "%d %B %Y", "18 February 2022"),
    (*DAYS, None, "%a %d %b %Y", "%a %d %b %Y", "Fri 18 Feb 2022"),
    (*DAYS, None, unpadded("%A, %B %-d, %Y"), "%A, %B %d, %Y", "Friday, February 18, 2022"),
    (*DAYS, None, "%Y-%j", "%Y-%j", "2022-049"),
    (*DAYS, None, "%Y%j", "%Y%j", "2022049"),
    (*DAYS, None, unpadded("%Y年%-m月%-d日"), "%Y年%m月%d日", "2022年2月18日"),
    (*DAYS, None, "%Y. %m. %d.", "%Y. %m. %d.", "2022. 02. 18."),
    (*DAYS, None, "%G-W%V-%u", "%G-W%V-%u", "2022-W07-5"),
    (*DAYS, None, "%Y-%m-%d 00:00:00", "%Y-%m-%d %H:%M:%S", "2022-02-18 00:00:00"),
    (*DAYS, None, unpadded("%-m/%-d/%Y 0:00"), "%m/%d/%Y %H:%M", "2/18/2022 0:00"),
    (*DAYS, None, epoch(10**9), "seconds since 1970", "1645142400"),
    # weekdays, months, quarters, years
    ("2021-12-20", "B", None, "%Y%m%d", "%Y%m%d", "20220314"),
    ("2020-12-27", "W-SUN", None, "%d/%m/%Y", "%d/%m/%Y", "20/02/2022"),
    ("2020-12-28", "W-MON", None, "%G-W%V", "%G-W%V", "2022-W08"),
    ("2020-12-28", "W-MON", None, "%GW%V", "%GW%V", "2022W08"),
    ("2020-12-28", "W-MON", None, "Week %V %G", "Week %V %G", "Week 08 2022"),
    (*MONTHS, None, "%Y-%m", "%Y-%m", "2020-03"),
    (*MONTHS, None, "%Y%m", "%Y%m", "202003"),
    (*MONTHS, None, "%Y.%m", "%Y.%m", "2020.03"),
    (*MONTHS, None, "%m/%Y", "%m/%Y", "03/2020"),
    (*MONTHS, None, unpadded("%-m/%Y"), "%m/%Y", "3/2020"),
    (*MONTHS, None, "%YM%m", "%YM%m", "2020M03"),
    (*MONTHS, None, "%b-%y", "%b-%y", "Mar-20"),
    (*MONTHS, None, month_upper("%b-%y"), "%b-%y", "MAR-20"),
    (*MONTHS, None, "%y-%b", "%y-%b", "20-Mar"),
    (*MONTHS, None, "%b %Y", "%b %Y", "Mar 2020"),
    (*MONTHS, None, "%B %Y", "%B %Y", "March 2020"),
    (*MONTHS, None, month_lower("%B %Y"), "%B %Y", "march 2020"),
    (*MONTHS, None, "%Y %b", "%Y %b", "2020 Mar"),
    (*MONTHS, None, "01.%m.%Y", "%d.%m.%Y", "01.03.2020"),
    ("1964-03-01", "MS", None, "%b-%y", "%b-%y", "Mar-69"),
    ("2015-01-31", "ME", None, "%d/%m/%y", "%d/%m/%y", "31/01/20"),
    ("2015-01-31", "BME", None, "%Y-%m-%d", "%Y-%m-%d", "2020-02-28"),
    ("2015-01-01", "BMS", None, "%m/%d/%Y", "%m/%d/%Y", "01/01/2020"),
    ("2015-01-15", "SMS", None, "%d.%m.%Y", "%d.%m.%Y", "15.07.2017"),
    ("2001-01-01", "QS", None, quarter("%YQ%q"), "%YQ%q", "2016Q1"),
    ("2001-01-01", "QS", None, quarter("%Y-Q%q"), "%Y-Q%q", "2016-Q1"),
    ("2001-01-01", "QS", None, quarter("Q%q %Y"), "Q%q %Y", "Q1 2016"),
    ("2001-01-01", "QS", None, quarter("%qQ%y"), "%qQ%y", "1Q16"),
    ("2001-01-01", "QS", None, quarter("Q%q/%y"), "Q%q/%y", "Q1/16"),
    ("2001-03-31", "QE", None, "%d.%m.%Y", "%d.%m.%Y", "31.03.2016"),
    ("1950-01-01", "YS", None, "%Y", "%Y", "2010"),
    ("1950-12-31", "YE", None, "%Y-%m-%d", "%Y-%m-%d", "2010-12-31"),
    # hours and less
    (*HOURS, None, "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S", "2023-12-01 08:00:00"),
    (*HOURS, None, "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M", "2023-12-01T08:00"),
    (*HOURS, None, "%Y-%m-%d %H", "%Y-%m-%d %H", "2023-12-01 08"),
    (*HOURS, None, "%Y%m%d%H", "%Y%m%d%H", "2023120108"),
    (*HOURS, None, "%Y%m%d%H%M", "%Y%m%d%H%M", "202312010800"),
    (*HOURS, None, "%Y%m%d%H%M%S", "%Y%m%d%H%M%S", "20231201080000"),
    (*HOURS, None, "%Y%m%d %H%M", "%Y%m%d %H%M", "20231201 0800"),
    (*HOURS, None, "%Y%m%dT%H%M%S", "%Y%m%dT%H%M%S", "20231201T080000"),
    (*HOURS, None, "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M", "01.12.2023 08:00"),
    (*HOURS, None, unpadded("%-d.%-m.%Y %-H:%M"), "%d.%m.%Y %H:%M", "1.12.2023 8:00"),
    (*HOURS, None, unpadded("%-m/%-d/%Y %-I:%M:%S %p"), "%m/%d/%Y %I:%M:%S %p", "12/1/2023 8:00:00 AM"),
    (*HOURS, None, month_lower("%d/%m/%Y %I:%M%p"), "%d/%m/%Y %I:%M%p", "01/12/2023 08:00am"),
    (*HOURS, None, "%m/%d/%y %I %p", "%m/%d/%y %I %p", "12/01/23 08 AM"),
    (*HOURS, None, "%d%b%Y:%H:%M:%S", "%d%b%Y:%H:%M:%S", "01Dec2023:08:00:00"),
    (*HOURS, None, "%Y:%m:%d %H:%M:%S", "%Y:%m:%d %H:%M:%S", "2023:12:01 08:00:00"),
    (*HOURS, None, "%Y-%m-%d-%H.%M.%S", "%Y-%m-%d-%H.%M.%S", "2023-12-01-08.00.00"),
    (*HOURS, None, "%Y-%m-%d_%H-%M-%S", "%Y-%m-%d_%H-%M-%S", "2023-12-01_08-00-00"),
    (*HOURS, None, "%d/%m/%Y, %H:%M:%S", "%d/%m/%Y, %H:%M:%S", "01/12/2023, 08:00:00"),
    (*HOURS, None, "%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S %Y", "Fri Dec 01 08:00:00 2023"),
    (*HOURS, None, "%H:%M %d.%m.%Y", "%H:%M %d.%m.%Y", "08:00 01.12.2023"),
    (*HOURS, None, "%d.%m.%Y %H Uhr", "%d.%m.%Y %H Uhr", "01.12.2023 08 Uhr"),
    (*HOURS, None, bare_midnight("%d.%m.%Y %H:%M:%S"), "%d.%m.%Y or %d.%m.%Y %H:%M:%S", "01.12.2023 08:00:00"),
    (*HOURS, None, hour_24("%Y-%m-%d %H:%M"), "%Y-%m-%d %H:%M", "2023-12-01 08:00"),
    ("2023-11-28 13:00", "h", None, hour_24("%d.%m.%Y %H:%M"), "%d.%m.%Y %H:%M", "01.12.2023 01:00"),
    (*HOURS, None, epoch(10**6), "milliseconds since 1970", "1701417600000"),
    ("2023-11-28", "15min", None, epoch(10**3), "microseconds since 1970", "1701183600000000"),
    ("2023-11-28", "s", None, epoch(1), "nanoseconds since 1970", "1701129660000000000"),
    ("2023-11-28", "250ms", None, bare_seconds, "%Y-%m-%dT%H:%M:%S or %Y-%m-%dT%H:%M:%S.%f", "2023-11-28T00:00:15"),
    ("2023-11-28", "100ms", None, fraction("%Y-%m-%d %H:%M:%S.#", 3), "%Y-%m-%d %H:%M:%S.%f", "2023-11-28 00:00:06.000"),
    ("2023-11-28", "100ms", None, fraction("%Y-%m-%d %H:%M:%S,#", 3), "%Y-%m-%d %H:%M:%S,%f", "2023-11-28 00:00:06,000"),
    ("2023-11-28", "250ns", None, fraction("%H:%M:%S.#", 9), "%H:%M:%S.%f", "00:00:00.000015000"),
    ("2023-11-28 08:30", "min", None, "%H:%M", "%H:%M", "09:30"),
    ("2023-11-28 08:30", "min", None, "%I:%M %p", "%I:%M %p", "09:30 AM"),
    (*HOURS, None, dotted("%d/%m/%Y %I:%M %p"), "%d/%m/%Y %I:%M %p", "01/12/2023 08:00 a.m."),
    (*HOURS, None, month_upper(dotted("%m/%d/%y %I:%M:%S%p")), "%m/%d/%y %I:%M:%S%p", "12/01/23 08:00:00A.M."),
    (*DAYS, None, "%a %Y-%m-%d", "%a %Y-%m-%d", "Fri 2022-02-18"),
    (*DAYS, None, "%A, %d.%m.%Y", "%A, %d.%m.%Y", "Friday, 18.02.2022"),
    (*DAYS, None, "%d/%m/%Y (%a)", "%d/%m/%Y (%a)", "18/02/2022 (Fri)"),
    ("2020-12-28", "W-MON", None, "%G%V", "%G%V", "202208"),
    (*HOURS, None, "%d.%m.%Y %H%M%S", "%d.%m.%Y %H%M%S", "01.12.2023 080000"),
    # spans
    (*HOURS, None, until("%d.%m.%Y %H:%M", " - ", "%d.%m.%Y %H:%M"), "%d.%m.%Y %H:%M, the start of a span of 1:00:00", "01.12.2023 08:00 - 01.12.2023 09:00"),
    (*HOURS, None, until("%d/%m/%Y %H:%M", " - ", "%d/%m/%Y %H:%M"), "%d/%m/%Y %H:%M, the start of a span of 1:00:00", "01/12/2023 08:00 - 01/12/2023 09:00"),
    (*HOURS, None, until("%Y-%m-%d %H:%M", " to ", "%H:%M"), "%Y-%m-%d %H:%M, the start of a span of 1:00:00", "2023-12-01 08:00 to 09:00"),
    # zones
    (*HOURS, "UTC", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S%z, zone UTC", "2023-12-01T08:00:00Z"),
    (*HOURS, "UTC", "%Y%m%dT%H%M%SZ", "%Y%m%dT%H%M%S%z, zone UTC", "20231201T080000Z"),
    (*HOURS, "UTC", "%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%d %H:%M:%S %Z, zone UTC", "2023-12-01 08:00:00 UTC"),
    (*HOURS, "UTC", fraction("%Y-%m-%dT%H:%M:%S.#Z", 3), "%Y-%m-%dT%H:%M:%S.%f%z, zone UTC", "2023-12-01T08:00:00.000Z"),
    (*HOURS, "UTC", "%d/%b/%Y:%H:%M:%S %z", "%d/%b/%Y:%H:%M:%S %z, zone +0000", "01/Dec/2023:08:00:00 +0000"),
    (*HOURS, "UTC", "%a, %d %b %Y %H:%M:%S %z", "%a, %d %b %Y %H:%M:%S %z, zone +0000", "Fri, 01 Dec 2023 08:00:00 +0000"),
    (*HOURS, "America/Bogota", iso, "%Y-%m-%dT%H:%M:%S%z, zone -05:00", "2023-12-01T08:00:00-05:00"),
    (*HOURS, "Asia/Kolkata", iso, "%Y-%m-%dT%H:%M:%S%z, zone +05:30", "2023-12-01T08:00:00+05:30"),
    ("2023-10-28 06:00", "h", BERLIN, iso, "%Y-%m-%dT%H:%M:%S%z, zone Europe/Berlin", "2023-10-30T17:00:00+01:00"),
    ("2024-03-29 06:00", "h", BERLIN, iso, "%Y-%m-%dT%H:%M:%S%z, zone Europe/Berlin", "2024-03-31T19:00:00+02:00"),
    ("2023-10-28 06:00", "h", BERLIN, "%d.%m.%Y %H:%M %Z", "%d.%m.%Y %H:%M %Z, zone Europe/Berlin", "30.10.2023 17:00 CET"),
    ("2023-10-28 06:00", "h", BERLIN, "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M, zone Europe/Berlin", "30.10.2023 17:00"),
    ("2024-03-29 06:00", "h", BERLIN, "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M, zone Europe/Berlin", "31.03.2024 19:00"),
    ("2023-11-03 06:00", "h", NEW_YORK, "%m/%d/%Y %I:%M %p %Z", "%m/%d/%Y %I:%M %p %Z, zone America/New_York", "11/05/2023 05:00 PM EST"),
    ("2023-11-03 06:00", "30min", NEW_YORK, "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M", "11/04/2023 12:00"),
    ("2023-11-04 06:00", "30min", NEW_YORK, "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M, zone America/New_York", "11/05/2023 11:00"),
    ("2023-09-30 06:00", "h", SYDNEY, "%Y-%m-%d %H:%M:%S%z", "%Y-%m-%d %H:%M:%S%z, zone Australia/Sydney", "2023-10-02 19:00:00+1100"),
]  # fmt: skip


#: Names of months and weekdays, as files have them: the language that is found, what writes them.
IN_LANGUAGES = [
    ("de", "d. MMM y", "%d. %b %Y"), ("de", "EE dd.MM.y", "%a %d.%m.%Y"), ("de", "MMMM y", "%b %Y"),
    ("fr", "d MMM y", "%d %b %Y"), ("fr", "EEEE d MMMM y", "%a %d %b %Y"), ("fr", "EE dd/MM/y", "%a %d/%m/%Y"),
    ("es", "d 'de' MMMM 'de' y", "%d de %b de %Y"), ("es", "d-MMM-yy", "%d-%b-%y"),
    ("it", "d MMMM y", "%d %b %Y"), ("it", "EE d MMM y", "%a %d %b %Y"),
    ("nl", "d MMMM y", "%d %b %Y"), ("pt", "d 'de' MMMM 'de' y", "%d de %b de %Y"),
    ("pt", "EEEE, d MMM y", "%a, %d %b %Y"), ("sv", "EEEE d MMMM y", "%a %d %b %Y"),
    ("da", "EEEE 'den' d. MMMM y", "%a den %d. %b %Y"), ("nb", "EEEE d. MMM y", "%a %d. %b %Y"),
    ("fi", "d. MMMM y", "%d. %b %Y"), ("pl", "d MMMM y", "%d %b %Y"), ("cs", "d. MMMM y", "%d. %b %Y"),
]  # fmt: skip


@pytest.fixture
def timeline(tmp_path):
    """The order of a table with these cells of times."""

    def read(cells, names=("t",), time=None, **options):
        path = tmp_path / "data.csv"
        rows = [cell if isinstance(cell, tuple) else (cell,) for cell in cells]
        lines = [";".join([*names, "x"]), *(";".join([*row, str(n)]) for n, row in enumerate(rows))]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return Timeline.of(read_table(path), None, time or list(names), **options)

    return read


@pytest.mark.parametrize(
    ("start", "freq", "zone", "write", "read", "following"),
    NOTATIONS,
    ids=[f"{row[4]}|{row[5]}" for row in NOTATIONS],
)
def test_notation(timeline, start, freq, zone, write, read, following):
    moments = pd.date_range(start, periods=62, freq=freq, tz=zone)
    cells = [write(moment) if callable(write) else moment.strftime(write) for moment in moments]
    line = timeline(cells[:60])
    assert str(line.axis.notation) == read
    assert line.rows.tolist() == list(range(60))
    assert line.found.grid.clear and line.found.grid.absent == 0
    assert cells[60] == following
    assert line.cells_after([59], 2) == {"t": cells[60:]}
    if getattr(line.axis.notation, "has_date", True):
        expected = (
            moments[:60] if zone is None or "zone" not in read else moments[:60].tz_convert("UTC")
        )
        assert (pd.DatetimeIndex(line.instants) == expected.tz_localize(None)).all()
    assert TimeAxis.from_dict(line.axis.to_dict()) == line.axis


# --- names in other languages -------------------------------------------------------------------


@pytest.mark.parametrize("case", [str, str.upper])
@pytest.mark.parametrize(("language", "written", "read"), IN_LANGUAGES)
def test_names_in_another_language(timeline, monkeypatch, language, written, read, case):
    dates = pytest.importorskip("babel.dates")
    days = pd.date_range("2021-03-01", periods=402, freq="MS" if "d" not in written else "D")
    cells = [case(dates.format_date(day, written, locale=language)) for day in days]
    line = timeline(cells[:400])
    assert (
        str(line.axis.notation).casefold() == f"{read}, names in {LANGUAGES[language]}".casefold()
    )
    assert (pd.DatetimeIndex(line.instants) == days[:400]).all()
    assert line.cells_after([399], 2) == {"t": cells[400:]}
    stored = TimeAxis.from_dict(json.loads(json.dumps(line.axis.to_dict())))
    assert stored == line.axis
    monkeypatch.setitem(sys.modules, "babel", None)  # the model knows the names
    assert timeline(cells[:300], time=stored).axis == line.axis


def test_months_that_did_not_come_yet_are_written_in_the_style_of_the_others(timeline):
    pytest.importorskip("babel")
    for cells, following in (
        (["1. Okt 2021", "2. Okt 2021"], "3. Okt 2021"),
        (["30. Mrz 2021", "31. Mrz 2021"], "01. Apr 2021"),
        (["30. okt. 2021", "31. okt. 2021"], "01. nov. 2021"),
        (["29 JANV. 2021", "30 JANV. 2021", "31 JANV. 2021"], "01 FÉVR. 2021"),
        (["28 février 2022"], ""),
        (["27 fevrier 2022", "28 fevrier 2022"], "01 mars 2022"),
        (["30. Sep 2021", "1. Okt 2021", "2. Okt 2021"], "3. Okt 2021"),
        (["28. Feb 2021", "1. Mär 2021", "2. Mär 2021"], "3. Mär 2021"),
    ):
        assert timeline(cells).cells_after([len(cells) - 1], 1)["t"][0] == following


def test_without_babel_an_error_says_what_to_install(timeline, monkeypatch):
    monkeypatch.setitem(sys.modules, "babel", None)
    with pytest.raises(ValueError, match=r"row 1: '3\. Mär 2022' is not .*pip install babel"):
        timeline(["3. Mär 2022", "4. Mär 2022"])
    assert timeline(["3 Mar 2022", "4 Mar 2022"])


def test_babel_is_imported_only_for_what_may_be_dates(timeline, monkeypatch):
    monkeypatch.setitem(sys.modules, "babel", None)
    for cells in (["Haus", "Hof"], ["12", "x"]):
        with pytest.raises(ValueError, match=r"is not a number or a date$"):
            timeline(cells)


def test_words_of_no_language_are_no_dates(timeline):
    pytest.importorskip("babel")
    with pytest.raises(ValueError, match=r"row 2: '4 Hof 2022' is not a number or a date$"):
        timeline(["3 Haus 2022", "4 Hof 2022"])


@pytest.mark.parametrize(
    "damage",
    [{"language": "xx"}, {"months": ["Mär"]}, {"weekdays": [1] * 7}, {"months": ["\\1"] * 12}],
)
def test_damaged_names_are_refused(timeline, damage):
    pytest.importorskip("babel")
    data = timeline(["3. Mär 2022", "4. Mär 2022"]).axis.to_dict()
    data["notation"]["dates"]["names"] |= damage
    with pytest.raises(ValueError, match=r"no names of months|damaged"):
        TimeAxis.from_dict(data)


# --- spans, clocks in numbers, weeks ------------------------------------------------------------


@pytest.mark.parametrize(
    ("mark", "last_end"),
    [(" - ", "00:00"), (" - ", "24:00"), ("-", "00:00"), (" \u2013 ", "24:00")],
)
def test_a_span_in_a_column_beside_the_date(timeline, mark, last_end):
    ends = [f"{hour:02}:00" for hour in range(1, 24)] + [last_end]
    cells = [
        (f"{day:02}.01.2023", f"{hour:02}:00{mark}{end}")
        for day in (1, 2, 3)
        for hour, end in enumerate(ends)
    ]
    line = timeline(cells[:70], ("Date", "Time"))
    assert line.axis.notation.span.seconds == 3600
    assert "the start of a span of 1:00:00" in str(line.axis.notation)
    assert line.instants[1] == np.datetime64("2023-01-01T01:00")
    following = line.cells_after([69], 2)
    assert [*zip(following["Date"], following["Time"], strict=True)] == cells[70:]
    stored = TimeAxis.from_dict(json.loads(json.dumps(line.axis.to_dict())))
    assert timeline(cells, ("Date", "Time"), stored).axis.notation == line.axis.notation


def test_an_offset_is_no_span(timeline):
    line = timeline([f"2023-01-{day:02} 00:00-01:00" for day in range(1, 9)])
    assert line.axis.notation.zone == "-01:00"
    assert line.axis.notation.span is None


def test_a_cell_that_is_no_span_among_spans(timeline):
    with pytest.raises(ValueError, match="row 2: '01:00' is not a span of time"):
        timeline(["00:00 - 01:00", "01:00"])
    with pytest.raises(ValueError, match="is not a span of time that ends after its start"):
        timeline(["22.1.2023 05:00 - 21.1.2023 05:00"])


@pytest.mark.parametrize("date", ["%d.%m.%Y", "%Y%m%d", "%m/%d/%Y"])
@pytest.mark.parametrize(("clock", "step"), [("%H%M%S", "90min"), ("%H%M", "30min")])
def test_clocks_that_are_numbers_without_leading_zeros(timeline, date, clock, step):
    moments = pd.date_range("2023-01-13", periods=100, freq=step)
    cells = [(m.strftime(date), str(int(m.strftime(clock)))) for m in moments]
    line = timeline(cells[:48], ("Date", "Time"))
    assert (pd.DatetimeIndex(line.instants) == moments[:48]).all()
    assert str(line.axis.notation) == f"{date} {clock}"
    following = line.cells_after([47], 50)
    assert [*zip(following["Date"], following["Time"], strict=True)] == cells[48:98]


def test_weeks_and_months_in_six_digits(timeline):
    with pytest.raises(ValueError, match=r"'201802' can be .*%Y%m.*%G%V.*--time-format"):
        timeline([f"2018{month:02}" for month in range(1, 13)])
    cells = [f"2018{month:02}" for month in range(1, 13)]
    for form, first in (("%Y%m", "2018-02-01"), ("%G%V", "2018-01-08")):
        line = timeline(cells, time_format=form)
        assert line.instants[1] == np.datetime64(first)
    assert timeline([*cells, "201901"]).cells_after([12], 1) == {"t": ["201902"]}
    weeks = [f"{year}{week:02}" for year in (2018, 2019) for week in range(1, 53)]
    assert timeline(weeks).cells_after([103], 1) == {"t": ["202001"]}
