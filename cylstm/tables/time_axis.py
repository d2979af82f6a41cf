"""The column (or columns) of a table that says when a row was: found, read, continued."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cylstm.arrays import quote

from .frequency import Frequency
from .languages import may_have_names
from .numbers import is_missing
from .optional import import_pandas
from .table import UNITS_ROW, Table
from .time_candidates import candidates
from .time_formats import COLUMN_BREAK, COLUMN_MARK, UNPADDED, bare, directives
from .time_inference import CellError, Inference, UndecidedTimesError, find_zone, infer_times
from .times import DateNotation, NumberNotation, Times, is_none, notation_from_dict
from .zones import to_wall

if TYPE_CHECKING:
    import pandas as pd

#: Names of columns that hold times, whatever they look like.
_TIME_NAME = re.compile(
    r"date|time|stamp|datum|zeit|fecha|year|jahr|month|monat|week|quarter"
    r"|^(ds|ts|day|tag|period|hour|hr|stunde)$"
)
#: Columns that hold a date's parts, the large before the small.
_YEAR = ("year", "yr")
_PARTS = (
    _YEAR,
    ("month", "mon"),
    ("day",),
    ("hour", "hr"),
    ("minute", "min"),
    ("second", "sec"),
)
_QUARTERS, _WEEKS = (_YEAR, ("quarter", "qtr")), (_YEAR, ("week",))
#: What stands before the numbers of these columns elsewhere.
_MARKS = {"quarter": "Q", "qtr": "Q", "week": "W"}
_HOURS = ("hour", "hr", "stunde", "hour_ending")


@dataclass(frozen=True)
class TimeAxis:
    """How a table says when its rows were.

    Attributes
    ----------
    columns : tuple of str
        One column, or several that are read as one: a date and a time of day.
    notation : DateNotation or NumberNotation
    frequency : Frequency or None
        None where no series has two rows.
    """

    columns: tuple[str, ...]
    notation: DateNotation | NumberNotation
    frequency: Frequency | None = None

    def __str__(self) -> str:
        return " and ".join(self.columns)

    def cells(self, instants: NDArray[Any]) -> dict[str, list[str]]:
        """What stands in each of the columns at these times."""
        texts = [bare(text).split(COLUMN_BREAK) for text in self.notation.write(instants)]
        return {name: [text[n] for text in texts] for n, name in enumerate(self.columns)}

    def explain(self, instant: Any) -> str:
        """The notation, and how it reads one cell."""
        if np.asarray(instant).dtype.kind != "M":
            return str(self.notation)
        times = np.array([instant])
        cell = bare(self.notation.write(times)[0]).replace(COLUMN_BREAK, " ")
        moment = import_pandas().Timestamp(self.wall(times)[0])
        time = f" {moment:%H:%M:%S}" if moment != moment.normalize() else ""
        return f"{self.notation}: {cell} is {moment.day} {moment:%B %Y}{time}"

    def after(self, last: Any, count: int) -> NDArray[Any]:
        """The times of the `count` rows that follow one at `last`; none without a frequency."""
        if self.frequency is None:
            return np.array([], np.asarray(last).dtype)
        return self.frequency.after(last, count, self.notation.zone)

    def wall(self, instants: NDArray[Any]) -> NDArray[Any]:
        """What a clock shows at instants.

        Raises
        ------
        ValueError
            If the times are counts, of which no clock knows.
        """
        if instants.dtype.kind != "M":
            raise ValueError(f"column {str(self)!r} holds plain numbers, not dates")
        return to_wall(instants, self.notation.zone)

    def to_dict(self) -> dict[str, Any]:
        """As plain data for a model file."""
        frequency = None if self.frequency is None else self.frequency.to_dict()
        return {
            "columns": list(self.columns),
            "notation": self.notation.to_dict(),
            "frequency": frequency,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TimeAxis:
        """Inverse of `to_dict`; ValueError for anything else."""
        try:
            frequency = data["frequency"]
            if not data["columns"]:
                raise LookupError("no columns")
            return cls(
                tuple(map(str, data["columns"])),
                notation_from_dict(data["notation"]),
                None if frequency is None else Frequency.from_dict(frequency),
            )
        except (AttributeError, LookupError, OverflowError, TypeError) as error:
            raise ValueError(f"damaged description of times: {error!r}") from None


class AxisReading(NamedTuple):
    """An axis as read from a table.

    Attributes
    ----------
    axis : TimeAxis
        With the notation of this table; the frequency is the one given, if any.
    instants : ndarray, shape (N,)
        The time of each row of the table.
    reason : str
        What spoke for this notation, where there was another.
    rewritten : bool
        Whether the notation is another than the one given.
    """

    axis: TimeAxis
    instants: NDArray[Any]
    reason: str = ""
    rewritten: bool = False


def read_axis(
    table: Table,
    columns: Sequence[str],
    series: NDArray[np.int64],
    *,
    given: str | None = None,
    stored: TimeAxis | None = None,
) -> AxisReading:
    """Read the times of a table's rows.

    Parameters
    ----------
    table : Table
    columns : sequence of str
    series : ndarray of int, shape (N,)
        Number of the series that each row belongs to.
    given : str, optional
        The notation as `--time-format` takes it.
    stored : TimeAxis, optional
        What is known from training: its notation is used if it reads every cell.

    Raises
    ------
    ValueError
        If a column is absent, a cell is no time, or two readings are possible.
    """
    texts = _joined(table, columns)
    if stored is not None and given is None:
        times = stored.notation.read(texts, series)
        if not is_none(times.instants).any():
            return AxisReading(replace(stored, notation=times.notation), times.instants)
    inference = _infer(table, columns, texts, series, given)
    times = find_zone(inference.times, series)
    label = " and ".join(map(repr, columns))
    if stored is not None and _is_date(stored.notation, times) != (
        times.instants.dtype.kind == "M"
    ):
        raise ValueError(
            f"{table.path}: column {label} holds {times.notation}, in training it held "
            f"{stored.notation}"
        )
    frequency = None if stored is None else stored.frequency
    axis = TimeAxis(tuple(columns), times.notation, frequency)
    reasons = [inference.reason] if inference.reason else []
    if times is not inference.times:
        zone = times.notation.zone
        reasons.append(f"hours that come twice or not at all are those of the clocks of {zone}")
    return AxisReading(axis, times.instants, "; ".join(reasons), stored is not None)


def _infer(
    table: Table,
    columns: Sequence[str],
    texts: pd.Series,
    series: NDArray[np.int64],
    given: str | None,
) -> Inference:
    """`infer_times`, whose errors here name the file, the column and the cell."""
    label = " and ".join(map(repr, columns))
    try:
        return infer_times(texts, series, given)
    except CellError as error:
        cell = bare(texts.iloc[error.row]).replace(COLUMN_BREAK, " ")
        form = f" as --time-format {given!r} says" if given else ""
        form += (
            UNITS_ROW if error.row == 0 and _are_times(texts.iloc[1:], series[1:], given) else ""
        )
        raise ValueError(
            f"{table.path}: column {label}, row {error.row + 1}: {quote(cell)} is not "
            f"{error.expected}{form}"
        ) from None
    except ValueError as error:
        kind = UndecidedTimesError if isinstance(error, UndecidedTimesError) else ValueError
        raise kind(f"{table.path}: column {label}: {error}") from None


def _are_times(texts: pd.Series, series: NDArray[np.int64], given: str | None) -> bool:
    try:
        return len(texts) > 0 and bool(infer_times(texts.reset_index(drop=True), series, given))
    except ValueError:
        return False


def _is_date(notation: DateNotation | NumberNotation, times: Times) -> bool:
    return isinstance(notation, DateNotation) or bool(notation.unit)


def _joined(table: Table, columns: Sequence[str]) -> pd.Series:
    """The cells of one column, or those of several as one text; empty where one is missing."""
    first, *others = (table.text(name) for name in columns)
    texts = first
    for name, other in zip(columns[1:], others, strict=True):
        mark = _MARKS.get(name.lower(), "") if other.str.isdecimal().all() else ""
        cells = other
        if digits := _unpadded_digits(other):
            mark, cells = UNPADDED, other.str.zfill(digits)
        texts = texts + COLUMN_BREAK + (COLUMN_MARK + mark if mark else "") + cells
    missing = [is_missing(other) for other in others]
    return texts.mask(np.logical_or.reduce(missing), "") if missing else texts


def _unpadded_digits(cells: pd.Series) -> int:
    """How many digits 93000 and 0 should have, as 9:30:00 and midnight; 0 for other cells."""
    lengths = set(cells[cells != ""].str.len())
    clock = lengths and max(lengths) in (4, 5, 6) and len(lengths) > 1
    if not clock or not cells.str.fullmatch(r"0|[1-9]\d*|").all():
        return 0
    return 4 if max(lengths) == 4 else 6


# --- which columns hold times -------------------------------------------------------------------


class _Found(NamedTuple):
    """A column that may hold the times, and how much speaks for it."""

    reading: AxisReading
    named: bool
    repeats: int
    in_order: bool
    order: NDArray[np.int64]

    @property
    def columns(self) -> tuple[str, ...]:
        """The column, or the columns that are read as one."""
        return self.reading.axis.columns

    @property
    def merit(self) -> tuple[bool, bool, int]:
        return (self.named, self.in_order, -self.repeats)


def find_axis(
    table: Table,
    series: NDArray[np.int64],
    exclude: Iterable[str | None] = (),
    given: str | None = None,
) -> AxisReading | None:
    """The column, or the columns of date and time of day, that hold the times of a table's rows.

    Columns of text are found by what they hold; numbers such as 2019 or 20190131 also need the
    name of a time, or to be evenly spaced. None if there is none.

    Raises
    ------
    ValueError
        If two columns could be meant, which would put the rows in different orders; or if a column
        by its name and most of its cells holds times, but not in all its cells; or if none is
        written as `given`.
    """
    exclude = set(exclude)
    names = [name for name in table.columns if name not in exclude]
    dates = [name for name in names if _kind(table, name) == "date"]
    choices: list[tuple[str, ...]] = [(name,) for name in dates]
    if dates and (clocks := clock_columns(table, {*exclude, *dates})):
        choices = [(dates[0], clocks[0]), *choices]
    pieces = [found for found in date_parts(names) if set(dates) <= set(found)]
    choices = [*pieces, *choices]
    found = [reading for choice in choices if (reading := _try(table, choice, series, given))]
    if given and not found:
        raise ValueError(f"{table.path}: --time-format {given!r}: no column is written like this")
    if not found:
        return None
    best = max(found, key=lambda choice: choice.merit)
    _check_rivals(table, best, found)
    return best.reading


def _kind(table: Table, name: str) -> str:
    """What a column seems to hold by some of its cells: "date", "clock" or nothing of these.

    Where its name says that it holds times, a tenth of the cells may be slips.
    """
    named = bool(_TIME_NAME.search(name.lower()))
    if not named and (first := table.first_texts(name)) and _is_no_time(first[0]):
        return ""  # said without reading a column of numbers once more
    step = max(1, len(table) // 100)
    texts = table.text(name).iloc[::step]
    texts = texts[~is_missing(texts)].reset_index(drop=True)
    if not named and (not len(texts) or _is_no_time(texts.iloc[0])):
        return ""
    for _ in range(1 + (len(texts) // 10 if named else 0)):
        if not len(texts):
            break
        try:
            times = infer_times(texts, np.zeros(len(texts), np.int64)).times
        except CellError as error:
            texts = texts.drop(error.row).reset_index(drop=True)
        except UndecidedTimesError:
            return "date"
        except ValueError:
            break
        else:
            return _kind_of(times, named)
    return ""


def unread_times(table: Table, exclude: Iterable[str | None] = ()) -> Iterator[tuple[str, str]]:
    """Columns that seem to hold times where `find_axis` found none, and what may be done."""
    for name in table.columns:
        cells = table.first_texts(name)
        if name in set(exclude) or not cells:
            continue
        named = bool(_TIME_NAME.search(name.lower()))
        if named and table.looks_numeric(name):
            values = table.numbers(name)
            if are_excel_days(values):
                yield name, excel_advice(values)
        elif not table.looks_numeric(name) and (named or _looks_like_time(cells[0])):
            yield (
                name,
                f"--time {name} says which cell is no time; --time-format how they are written",
            )


def _looks_like_time(cell: str) -> bool:
    """Whether a cell has at least two numerals as a time has them."""
    return bool(re.search(r"\d\D+\d", cell)) and not _is_no_time(cell)


def are_excel_days(values: NDArray[Any]) -> bool:
    """Whether numbers are in the range of Excel's days from 1954 to 2118, and hardly repeat."""
    values = values[~is_none(values)] if values.dtype.kind != "M" else values[:0]
    in_range = len(values) and values.min() >= 20_000 and values.max() < 80_000
    return bool(in_range) and 2 * len(np.unique(values)) > len(values)


def excel_advice(values: NDArray[Any]) -> str:
    """What to do with numbers that may be Excel's days."""
    value = values[~is_none(values)][0]
    day = np.datetime64("1899-12-30") + np.timedelta64(int(value), "D")
    return f"{value:.12g} may be Excel's number of the day {day}; format the cells as dates there"


def _is_no_time(cell: str) -> bool:
    """Whether a cell, in a column whose name does not say so, is a count, a price or a text."""
    return bool(re.fullmatch(r"[-\d.,]{1,7}", cell)) or not (
        candidates(cell) or re.fullmatch(r"[\d.,]+", cell) or may_have_names(cell)
    )


def _kind_of(times: Times, named: bool) -> str:
    if times.instants.dtype.kind != "M":
        return ""
    if isinstance(times.notation, DateNotation):
        if not times.notation.has_date:
            return "clock"
        more_than_years = len(set(directives(times.notation.formats[0]))) > 1
        return "date" if named or more_than_years else ""
    rising = np.all(np.diff(times.instants) > np.timedelta64(0))
    return "date" if named or rising else ""


def clock_columns(table: Table, exclude: Iterable[str | None] = ()) -> list[str]:
    """Columns that hold times of day, or hours that go with dates."""
    names = [name for name in table.columns if name not in set(exclude)]
    clocks = [name for name in names if _kind(table, name) == "clock"]
    return clocks or [name for name in names if name.lower() in _HOURS]


def date_parts(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Columns called year, month, day, hour ..., as far as they go, or year and quarter or week."""
    called = {name.lower(): name for name in reversed(names)}
    for parts in (_PARTS, _QUARTERS, _WEEKS):
        columns = [next((called[word] for word in part if word in called), "") for part in parts]
        found = tuple(takewhile(bool, columns))
        if len(found) > 1:
            yield found


def _try(
    table: Table, columns: tuple[str, ...], series: NDArray[np.int64], given: str | None
) -> _Found | None:
    """Read columns as times; None if they hold none and are not called so either."""
    named = all(_TIME_NAME.search(name.lower()) for name in columns) or len(columns) > 2
    try:
        reading = read_axis(table, columns, series, given=given)
    except ValueError:
        if named and len(columns) == 1 and given is None:
            raise
        return None
    instants = reading.instants
    if instants.dtype.kind != "M":
        return None
    order = np.lexsort((instants, series))
    same = np.diff(series[order]) == 0
    repeats = int((np.diff(instants[order])[same] == np.timedelta64(0)).sum())
    steps = np.diff(instants)[np.diff(series) == 0]
    zero = np.timedelta64(0)
    return _Found(
        reading, named, repeats, bool((steps >= zero).all() or (steps <= zero).all()), order
    )


def _check_rivals(table: Table, best: _Found, found: Sequence[_Found]) -> None:
    """Raise ValueError if another column has as much for it and gives another order."""
    for other in found:
        apart = not set(other.columns) & set(best.columns)
        if apart and other.merit[:2] == best.merit[:2] and not best.in_order:
            names = [",".join(choice.columns) for choice in (best, other)]
            if not np.array_equal(other.order, best.order):
                raise ValueError(
                    f"{table.path}: {names[0]!r} and {names[1]!r} both hold times and put the rows "
                    f"in different orders; say which by --time (--time none: the file's order)"
                )
