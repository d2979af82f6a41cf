"""CSV tables: reading and writing, columns as numbers, series in time order.

A table is kept as the text of its cells, so that what is written back is what was read and an
error can quote the cell. Everything learned from a table (means, categories) is learned from its
training rows alone and is plain data that a model file can carry.

Letters: N rows, F features (a number is one feature, a category column one for each category).
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "TEST",
    "TRAINING",
    "VALIDATION",
    "Column",
    "Table",
    "Timeline",
    "future_times",
    "learn_columns",
    "read_table",
]

#: Cells that mean "no value", compared without case and surrounding blanks.
MISSING = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "null", "none"})
DELIMITERS = ",;\t|"
#: A text column with more different values than this, or with values that mostly come once, is a
#: name or a key, not a category.
MAX_CATEGORIES = 100
#: Numbers beyond this are refused: float32, in which a network computes, ends at 3.4e38, and errors
#: are squared.
LARGEST = 1e30
#: The parts of a series in the order of time, see `Timeline.parts`.
TRAINING, VALIDATION, TEST = range(3)


def _pandas() -> Any:
    """Import pandas, which only CSV files need."""
    try:
        import pandas
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'CSV files need pandas, which is not installed: pip install "cylstm[csv]"'
        ) from None
    return pandas


class Times(NamedTuple):
    """Points in time, one for each row.

    Attributes
    ----------
    instants : pandas.Series
        Numbers or dates (UTC).
    notation : str or None
        How the file writes its dates, as strftime takes it; None for numbers.
    """

    instants: pd.Series
    notation: str | None


# --- the table ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """A CSV file in memory, every cell as its text.

    Attributes
    ----------
    path : str
        Where it came from, for messages.
    frame : pandas.DataFrame
        The cells, all strings; rows numbered from 0. Each column has a name of its own, without
        surrounding blanks.
    delimiter : str
        What stood between the cells.
    header : mapping of str to str
        How the file writes the name of a column.
    """

    path: str
    frame: pd.DataFrame
    delimiter: str = ","
    header: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def columns(self) -> list[str]:
        """Names of the columns in the file's order."""
        return list(self.frame.columns)

    def require(self, names: Iterable[str]) -> None:
        """Raise ValueError unless the table has all these columns."""
        absent = [name for name in names if name not in self.frame.columns]
        if absent:
            listed = ", ".join(map(repr, absent))
            raise ValueError(f"{self.path}: no column {listed}; it has {', '.join(self.columns)}")

    def text(self, name: str) -> pd.Series:
        """Cells of a column without surrounding blanks."""
        self.require([name])
        return self.frame[name].str.strip()

    def missing(self, name: str) -> NDArray[np.bool_]:
        """Which rows have no value in a column, shape (N,)."""
        return self.text(name).str.lower().isin(MISSING).to_numpy(bool)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column as numbers, shape (N,), NaN where the cell is missing.

        Raises
        ------
        ValueError
            If a cell holds text or a number of no use, infinite or beyond 1e30; names the column,
            the row and the cell.
        """
        missing, values = self.missing(name), self._parsed(name)
        self._check(name, missing | np.isfinite(values), "a number")
        self._check(name, missing | (np.abs(values) <= LARGEST), f"within {LARGEST:g} of 0")
        return values

    def looks_numeric(self, name: str) -> bool:
        """Whether most of a column's cells that hold something hold numbers."""
        numeric, present = np.isfinite(self._parsed(name)), ~self.missing(name)
        return bool(2 * np.count_nonzero(numeric & present) > np.count_nonzero(present))

    def times(self, name: str) -> Times:
        """A column as points in time: numbers or, where most cells are none, dates.

        Raises
        ------
        ValueError
            If a cell is neither, or missing.
        """
        if self.looks_numeric(name):
            values = self._parsed(name)
            self._check(name, np.isfinite(values), "a number (as the column's others are)")
            return Times(_pandas().Series(values), None)
        times = _read_dates(self.text(name))
        self._check(name, times.instants.notna().to_numpy(bool), "a number or a date")
        return times

    def with_columns(self, rows: NDArray[np.int64], columns: Mapping[str, list[str]]) -> Table:
        """A copy with new columns: one cell for each of `rows`, the others empty.

        Raises
        ------
        ValueError
            If there is a column of such a name already.
        """
        frame = self.frame.copy()
        for name, cells in columns.items():
            if name in frame.columns:
                raise ValueError(f"{self.path}: there is a column {name!r} already")
            whole = np.full(len(frame), "", object)
            whole[rows] = cells
            frame[name] = whole
        return replace(self, frame=frame)

    def with_rows(self, columns: Mapping[str, list[str]]) -> Table:
        """A copy with more rows at its end; cells of columns that are not given are empty."""
        pd = _pandas()
        frame = pd.concat([self.frame, pd.DataFrame(columns, dtype=object)], ignore_index=True)
        return replace(self, frame=frame.fillna(""))

    def to_bytes(self) -> bytes:
        """The table as a CSV file, with the delimiter that it was read with."""
        header = [self.header.get(name, name) for name in self.columns]
        options = {"index": False, "sep": self.delimiter, "lineterminator": "\n"}
        return self.frame.to_csv(header=header, **options).encode()

    def _parsed(self, name: str) -> NDArray[np.float64]:
        return _pandas().to_numeric(self.text(name), errors="coerce").to_numpy(np.float64)

    def _check(self, name: str, valid: NDArray[np.bool_], expected: str) -> None:
        if not valid.all():
            row = int(np.argmin(valid))
            cell = self.frame[name].iloc[row]
            raise ValueError(
                f"{self.path}: column {name!r}, row {row + 1}: {cell!r} is not {expected}"
            )


def _read_dates(texts: pd.Series) -> Times:
    """Dates in one notation for all, with the month first where both orders would do."""
    pd = _pandas()
    readings = []
    for day_first in (False, True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # pandas on orders it has to guess
            notation = pd.tseries.api.guess_datetime_format(texts.iloc[0], dayfirst=day_first)
            dates = pd.to_datetime(texts, format=notation, errors="coerce", utc=True)
        readings.append(Times(dates, notation or "%Y-%m-%d %H:%M:%S"))
    whole = [times for times in readings if times.instants.notna().all()]
    return (whole or readings)[0]


def read_table(path: str | Path) -> Table:
    """Read a CSV file: UTF-8, a header line; commas, semicolons, tabs or bars between the cells.

    Raises
    ------
    ValueError
        If the file is not UTF-8, has no rows, or a row has more cells than the header.
    OSError
        If it cannot be read.
    ModuleNotFoundError
        If pandas is not installed.
    """
    pd = _pandas()
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ValueError(
            f"{path}: not UTF-8 text (byte 0x{byte:02x} at offset {error.start}); "
            "save the file as UTF-8"
        ) from None
    delimiter = max(DELIMITERS, key=text.partition("\n")[0].count)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # it would drop cells
            options = {"sep": delimiter, "dtype": str, "na_filter": False, "index_col": False}
            frame = pd.read_csv(io.StringIO(text), **options)
            header = pd.read_csv(io.StringIO(text), header=None, nrows=1, **options).iloc[0]
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path}: the file is empty") from None
    except pd.errors.ParserWarning:
        raise ValueError(f"{path}: not a table: rows have more cells than the header") from None
    except pd.errors.ParserError as error:
        reason = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        raise ValueError(f"{path}: not a table: {reason}") from None
    if frame.empty:
        raise ValueError(f"{path}: no rows below the header")
    frame.columns = _bare_names(frame.columns)
    return Table(
        str(path), frame.fillna(""), delimiter, dict(zip(frame.columns, header, strict=True))
    )


def _bare_names(names: Iterable[str]) -> list[str]:
    """Names without surrounding blanks, except where two would then be the same."""
    taken = set(names)
    bare_names = []
    for name in names:
        bare = name.strip()
        bare_names.append(bare if bare and bare not in taken else name)
        taken.add(bare)
    return bare_names


# --- series in time order -----------------------------------------------------------------------


@dataclass(frozen=True)
class Timeline:
    """The rows of a table laid out series by series, each in time order.

    A position is a place in that order. Arrays over positions have shape (N,).

    Attributes
    ----------
    rows : ndarray of int64
        The table's row at each position.
    start, stop : ndarray of int64
        First position of the series a position belongs to, and one past its last.
    names : tuple of str
        The series' names in order: values of the group column, or one empty name.
    repeats : int
        How many rows have the time of the row before them in their series.
    """

    rows: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    names: tuple[str, ...]
    repeats: int = 0

    @classmethod
    def of(cls, table: Table, group: str | None = None, time: str | None = None) -> Timeline:
        """Order a table's rows by `group` (in order of appearance) and `time` (else as they are).

        Raises
        ------
        ValueError
            If a column is missing or a time is neither a number nor a date.
        """
        pd = _pandas()
        names = table.text(group) if group else pd.Series([""] * len(table))
        codes, unique = pd.factorize(names)
        instants = table.times(time).instants.to_numpy() if time else np.zeros(len(table))
        rows = np.lexsort((instants, codes)) if time else np.argsort(codes, kind="stable")
        edges = np.searchsorted(codes[rows], np.arange(len(unique) + 1))
        sizes = np.diff(edges)
        again = (np.diff(codes[rows]) == 0) & (instants[rows][1:] == instants[rows][:-1])
        return cls(
            rows=rows,
            start=np.repeat(edges[:-1], sizes),
            stop=np.repeat(edges[1:], sizes),
            names=tuple(map(str, unique)),
            repeats=int(again.sum()) if time else 0,
        )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def series(self) -> list[tuple[str, slice]]:
        """Each series' name and its positions."""
        firsts = np.unique(self.start)
        return [
            (name, slice(int(first), int(self.stop[first])))
            for name, first in zip(self.names, firsts, strict=True)
        ]

    def fill_forward(self, values: NDArray[Any], missing: NDArray[np.bool_]) -> NDArray[Any]:
        """Carry the last present value of a series over its missing ones.

        `values` and `missing` are over positions. What has no present value before it stays.
        """
        latest = np.maximum.accumulate(np.where(missing, -1, np.arange(len(self))))
        return values[np.where(latest >= self.start, latest, np.arange(len(self)))]

    def parts(self, validation: float, test: float) -> NDArray[np.int64]:
        """Split each series by time: TRAINING, VALIDATION or TEST for each position.

        `validation` and `test` are fractions of a series' rows; the test rows are its last.
        """
        size, place = self.stop - self.start, np.arange(len(self)) - self.start
        test_rows = np.rint(size * test)
        tested = place >= size - test_rows
        validated = place >= size - test_rows - np.rint(size * validation)
        return tested.astype(np.int64) + validated


def future_times(
    table: Table, time: str, series: Sequence[NDArray[np.int64]], steps: int
) -> list[str]:
    """Continue the time column: the cells of the `steps` rows after each of some series.

    `series` are the series' rows in time order. Dates continue at their frequency (months stay
    months) where they have one, all else at the median distance, in the notation of the file.
    A series of one row has no distance and gets empty cells.
    """
    instants, notation = table.times(time)
    cells: list[str] = []
    for rows in series:
        cells += _continue_times(instants.iloc[rows].reset_index(drop=True), notation, steps)
    return cells


def _continue_times(instants: pd.Series, notation: str | None, steps: int) -> list[str]:
    """Times after the last of one series."""
    pd = _pandas()
    if len(instants) < 2:
        return [""] * steps
    distance, last = instants.diff().median(), instants.iloc[-1]
    if notation is None:
        return [f"{last + k * distance:.12g}" for k in range(1, steps + 1)]
    # Three dates are the fewest from which pandas names a frequency.
    frequency = pd.infer_freq(instants) if len(instants) > 2 else None
    future = pd.date_range(last, periods=steps + 1, freq=frequency or distance)[1:]
    return list(future.strftime(notation))


# --- columns as numbers -------------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    """An input column and what the training rows taught about it.

    Attributes
    ----------
    name : str
    fill : float
        For numbers: their mean, which stands in where a series has no value yet.
    categories : tuple of str or None
        For categories: the values that have a feature of their own; None for numbers.
    """

    name: str
    fill: float = 0.0
    categories: tuple[str, ...] | None = None

    @property
    def features(self) -> list[str]:
        """Name of each feature the column becomes."""
        if self.categories is None:
            return [self.name]
        return [f"{self.name}={value}" for value in self.categories]

    def encode(self, table: Table, timeline: Timeline) -> NDArray[np.float64]:
        """The column over positions, shape (N, features).

        Missing numbers take the last value of their series, before the first the training mean.
        A category that is missing or was not seen in training is 0 in every feature.
        """
        if self.categories is not None:
            cells = table.text(self.name).to_numpy()[timeline.rows]
            return (cells[:, None] == np.array(self.categories, dtype=object)).astype(np.float64)
        values = table.numbers(self.name)[timeline.rows]
        filled = timeline.fill_forward(values, np.isnan(values))
        return np.where(np.isnan(filled), self.fill, filled)[:, None]

    def to_dict(self) -> dict[str, Any]:
        """As plain data for a model file."""
        if self.categories is None:
            return {"name": self.name, "fill": self.fill}
        return {"name": self.name, "categories": list(self.categories)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Column:
        """Inverse of `to_dict`."""
        categories = data.get("categories")
        return cls(
            str(data["name"]),
            float(data.get("fill", 0.0)),
            None if categories is None else tuple(map(str, categories)),
        )


def learn_columns(
    table: Table,
    timeline: Timeline,
    training: NDArray[np.bool_],
    names: Sequence[str] | None,
    *,
    exclude: Iterable[str | None] = (),
    categories: Sequence[str] = (),
) -> tuple[list[Column], dict[str, str]]:
    """Choose the input columns and learn from the training rows how to read them.

    Parameters
    ----------
    table : Table
    timeline : Timeline
        The order of its rows.
    training : ndarray of bool, shape (N,)
        The rows to learn from.
    names : sequence of str or None
        The columns to use; None: every one that can be and is not a mere counter, less `exclude`.
    exclude : iterable of str or None
        Columns with another part to play.
    categories : sequence of str
        Columns to read as categories although they hold numbers or very many different texts.

    Returns
    -------
    columns : list of Column
    ignored : dict of str to str
        Columns left out and why; always empty when `names` is given.

    Raises
    ------
    ValueError
        If a named column is absent or cannot be used.
    """
    table.require([*(names or ()), *categories])
    excluded = set(exclude)
    columns, ignored = [], {}
    for name in names if names is not None else table.columns:
        if names is None and name in excluded:
            continue
        column, problem = _learn_column(table, name, training, as_text=name in categories)
        if names is None and not problem and _is_counter(table, timeline, column):
            problem = "rises or falls with every row, like a time"
        if problem and names is not None:
            raise ValueError(f"{table.path}: column {name!r} cannot be an input: {problem}")
        if problem:
            ignored[name] = problem
        else:
            columns.append(column)
    return columns, ignored


def _is_counter(table: Table, timeline: Timeline, column: Column) -> bool:
    """Whether later rows of a series can only lie outside of its range seen in training."""
    if column.categories is not None:
        return False
    steps = np.diff(table.numbers(column.name)[timeline.rows])
    steps = steps[timeline.start[1:] == timeline.start[:-1]]  # not from series to series
    return len(steps) > 1 and bool((steps > 0).all() or (steps < 0).all())


def _learn_column(
    table: Table, name: str, training: NDArray[np.bool_], *, as_text: bool
) -> tuple[Column, str]:
    """A column as learned from its training rows, and why it is of no use, if it is not."""
    present = training & ~table.missing(name)
    if not present.any():
        return Column(name), "no value in the training part"
    if not as_text and table.looks_numeric(name):
        return Column(name, fill=float(table.numbers(name)[present].mean())), ""
    values = tuple(sorted(set(table.text(name)[present])))
    if not as_text and len(values) > min(MAX_CATEGORIES, np.count_nonzero(present) / 2):
        return Column(name), f"{len(values)} different texts in {np.count_nonzero(present)} rows"
    return Column(name, categories=values), ""
