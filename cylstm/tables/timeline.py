"""Series in time order, and the parts into which time divides them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .frequency import Grid, find_grid, measure
from .optional import import_pandas
from .table import Table
from .time_axis import AxisReading, TimeAxis, clock_columns, date_parts, find_axis, read_axis
from .times import DateNotation

#: The parts of a series in the order of time, see `Timeline.parts`.
TRAINING, VALIDATION, TEST = range(3)
#: Gaps are not filled with more rows than this for each row that is there.
MOST_FILLED = 10
#: Columns that name more series than this for each row of the fullest time name none.
MOST_SERIES = 2
FILE_ORDER = "(--time none keeps the file's order)"


class TimeFindings(NamedTuple):
    """What was found out about the times of a table, to be said.

    Attributes
    ----------
    file_order : {"oldest first", "newest first", "in no order"}
    reason : str
        What spoke for the notation, where there was another.
    rewritten : bool
        Whether the notation is another than in training.
    repeats, duplicates : int
        Rows with the time of the row before in their series; of those, the ones that equal another
        row in every cell and were left out.
    grid : Grid or None
        The frequency and its gaps.
    filled : int
        Rows inserted in gaps.
    """

    file_order: str = "oldest first"
    reason: str = ""
    rewritten: bool = False
    repeats: int = 0
    duplicates: int = 0
    grid: Grid | None = None
    filled: int = 0


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
        The series' names in order: values of the group columns, or one empty name.
    axis : TimeAxis or None
        The column of times, with its notation and frequency; None for the file's order.
    instants : ndarray or None
        The time at each position.
    found : TimeFindings
    """

    rows: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    names: tuple[str, ...]
    axis: TimeAxis | None = None
    instants: NDArray[Any] | None = None
    found: TimeFindings = field(default_factory=TimeFindings)

    @classmethod
    def of(
        cls,
        table: Table,
        group: str | Sequence[str] | None = None,
        time: str | Sequence[str] | TimeAxis | AxisReading | None = None,
        *,
        time_format: str | None = None,
    ) -> Timeline:
        """Order a table's rows by `group` (in order of appearance) and `time` (else as they are).

        Of rows that equal one before in every cell, time and group included, only one counts.

        Parameters
        ----------
        table : Table
        group : str or sequence of str, optional
            Column, or columns, that name the series of a row.
        time : str, sequence of str, TimeAxis or AxisReading, optional
            The column of times, several that are read as one, what was learned of them, or what
            `find_time` found, which is not used if it leaves the order of many rows open and the
            file has another.
        time_format : str, optional
            The notation of the times, as `--time-format` takes it.

        Raises
        ------
        ValueError
            If a column is missing, a cell is no time, times can be read in two ways, or many rows
            share their time with others that another column tells apart.
        """
        pd = import_pandas()
        codes, names = pd.factorize(table.labels(group))
        if time is None:
            return cls._laid_out(np.argsort(codes, kind="stable"), codes, names)
        reading = _read(table, codes, time, time_format)
        rows = np.lexsort((reading.instants, codes))
        again = _same_as_before(rows, codes, reading.instants)
        duplicates = _duplicates(table, rows, again)
        repeats = int(again.sum()) - len(duplicates)
        found = TimeFindings(
            _file_order(codes, reading.instants),
            reading.reason,
            reading.rewritten,
            repeats,
            len(duplicates),
        )
        _check_clock(table, reading, found)
        if 4 * repeats > len(table):
            _check_panel(table, _as_names(group), reading)
            if isinstance(time, AxisReading) and found.file_order == "in no order":
                return cls.of(table, group)  # such as the years in which houses were sold
        rows = rows[~np.isin(rows, duplicates)] if len(duplicates) else rows
        timeline = cls._laid_out(rows, codes, names)
        return timeline._on(reading.axis, reading.instants[rows], found)

    @classmethod
    def _laid_out(
        cls, rows: NDArray[np.int64], codes: NDArray[np.int64], names: Sequence[str]
    ) -> Timeline:
        """Rows sorted by series, whose numbers are `codes` over the table's rows."""
        edges = np.searchsorted(codes[rows], np.arange(len(names) + 1))
        sizes = np.diff(edges)
        start, stop = np.repeat(edges[:-1], sizes), np.repeat(edges[1:], sizes)
        return cls(rows, start, stop, tuple(map(str, names)))

    def _on(self, axis: TimeAxis, instants: NDArray[Any], found: TimeFindings) -> Timeline:
        """With times: the frequency is the axis's if the rows keep to it, else their own."""
        same = self.start[1:] == self.start[:-1]
        zone, grid = axis.notation.zone, None
        if axis.frequency is not None:
            grid = measure(axis.frequency, instants, same, zone)
        if grid is None:
            grid = find_grid(instants, same, zone)
            axis = replace(axis, frequency=grid.frequency if grid else axis.frequency)
        return replace(self, axis=axis, instants=instants, found=found._replace(grid=grid))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def repeats(self) -> int:
        """How many rows have the time of the row before them in their series."""
        return self.found.repeats

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

    def after(self, position: int, count: int) -> NDArray[Any]:
        """The times of the `count` rows that follow a position; none without a frequency."""
        if self.axis is None or self.instants is None:
            return np.array([])
        return self.axis.after(self.instants[position], count)

    def cells_after(self, positions: Iterable[int], count: int) -> dict[str, list[str]]:
        """The time cells of the `count` rows that follow each position, empty if it is unknown."""
        if self.axis is None:
            return {}
        cells: dict[str, list[str]] = {name: [] for name in self.axis.columns}
        for position in positions:
            times = self.after(position, count)
            written = self.axis.cells(times) if len(times) else {}
            for name in cells:
                cells[name] += written.get(name, [""] * count)
        return cells

    # --- gaps -----------------------------------------------------------------------------------

    @property
    def has_clear_grid(self) -> bool:
        """Whether rows have a clear frequency without pauses, so that absent ones are gaps.

        Where weekdays or hours have no rows at all, an absent row is a holiday rather than a gap.
        """
        grid = self.found.grid
        return grid is not None and grid.clear and not grid.frequency.pauses

    def with_gaps_filled(
        self, table: Table, group: str | Sequence[str] | None = None
    ) -> tuple[Table, Timeline]:
        """The table with a row for each absent one at its end, empty but for time and group.

        Raises
        ------
        ValueError
            If there is no frequency to fill up, or the gaps are many times longer than the series.
        """
        grid = self.found.grid
        if self.axis is None or self.instants is None or grid is None:
            raise ValueError(f"{table.path}: without times of rows there are no gaps to fill")
        if not grid.frequency.regular:
            raise ValueError(
                f"{table.path}: column {str(self.axis)!r} keeps to no regular step, so it has no "
                "gaps to fill"
            )
        if grid.absent > MOST_FILLED * len(self) + 1000:
            raise ValueError(
                f"{table.path}: column {str(self.axis)!r}: {grid.absent:,} rows are absent between "
                f"{len(self):,}; is a time wrong? --no-fill-gaps leaves them out"
            )
        if not grid.absent:
            return table, self
        return self._filled(table, _as_names(group), self.axis, self.instants, grid)

    def _filled(
        self,
        table: Table,
        group: tuple[str, ...],
        axis: TimeAxis,
        instants: NDArray[Any],
        grid: Grid,
    ) -> tuple[Table, Timeline]:
        zone = axis.notation.zone
        steps = np.diff(grid.frequency.places(instants, zone))
        gaps = np.flatnonzero((self.start[1:] == self.start[:-1]) & (steps > 1.5))
        lacking = np.rint(steps[gaps]).astype(int) - 1
        absent = [
            grid.frequency.after(instants[gap], count, zone)
            for gap, count in zip(gaps, lacking, strict=True)
        ]
        after = np.repeat(gaps, lacking)
        new = np.concatenate(absent).astype(instants.dtype)
        cells = axis.cells(new)
        for name in group:
            cells[name] = table.text(name).iloc[self.rows[after]].tolist()
        codes = np.searchsorted(np.unique(self.start), self.start)
        rows = np.insert(self.rows, after + 1, len(table) + np.arange(len(new)))
        over_rows = np.zeros(len(table) + len(new), np.int64)
        over_rows[rows] = np.insert(codes, after + 1, codes[after])
        filled = self._laid_out(rows, over_rows, self.names)
        found = self.found._replace(filled=len(new))
        times = np.insert(instants, after + 1, new)
        return table.with_rows(cells), filled._on(axis, times, found)


def find_time(
    table: Table,
    group: str | Sequence[str] | None = None,
    exclude: Iterable[str | None] = (),
    time_format: str | None = None,
) -> AxisReading | None:
    """The columns that hold the times of a table's rows, as `find_axis`; None if there are none."""
    codes, _ = import_pandas().factorize(table.labels(group))
    return find_axis(table, codes, {*exclude, *_as_names(group)}, time_format)


def _as_names(group: str | Sequence[str] | None) -> tuple[str, ...]:
    """The columns that together name a row's series."""
    return (group,) if isinstance(group, str) else tuple(group or ())


def _read(
    table: Table,
    codes: NDArray[np.int64],
    time: str | Sequence[str] | TimeAxis | AxisReading,
    time_format: str | None,
) -> AxisReading:
    """The times of a table's rows, by whatever says which columns hold them."""
    if isinstance(time, AxisReading):
        return time
    if isinstance(time, TimeAxis):
        return read_axis(table, time.columns, codes, given=time_format, stored=time)
    columns = (time,) if isinstance(time, str) else tuple(time)
    return read_axis(table, columns, codes, given=time_format)


def _same_as_before(
    rows: NDArray[np.int64], codes: NDArray[np.int64], instants: NDArray[Any]
) -> NDArray[np.bool_]:
    """Which places in `rows` have the series and the time of the place before."""
    same = (np.diff(codes[rows]) == 0) & (instants[rows][1:] == instants[rows][:-1])
    return np.concatenate([[False], same])


def _duplicates(
    table: Table, rows: NDArray[np.int64], again: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Rows that equal one before in every cell, of those with a time that comes again."""
    involved = rows[again | np.append(again[1:], False)]
    return involved[table.duplicates(involved)]


def _file_order(codes: NDArray[np.int64], instants: NDArray[Any]) -> str:
    order = np.argsort(codes, kind="stable")
    steps = np.diff(instants[order])[np.diff(codes[order]) == 0]
    zero = steps.dtype.type(0)
    if (steps >= zero).all():
        return "oldest first"
    return "newest first" if (steps <= zero).all() else "in no order"


def _check_panel(table: Table, group: tuple[str, ...], reading: AxisReading) -> None:
    """Raise ValueError if many rows share their time and other columns tell them apart."""
    taken = {*reading.axis.columns, *group}
    problem = f"{table.path}: column {str(reading.axis)!r}: many rows share their time with others"
    if clocks := clock_columns(table, taken):
        both = ",".join([*reading.axis.columns, clocks[0]])
        raise ValueError(
            f"{problem}; {clocks[0]!r} holds the time of day: --time {both} {FILE_ORDER}"
        )
    for parts in date_parts(table.columns):
        if set(reading.axis.columns) < set(parts):
            raise ValueError(
                f"{problem}; the date has more parts: --time {','.join(parts)} {FILE_ORDER}"
            )
    for columns in _keys(table, taken):
        names = [*group, *columns]
        if _tells_apart(table, names, reading.instants):
            raise ValueError(
                f"{problem}, which {' and '.join(map(repr, columns))} would tell apart: "
                f"--group {','.join(names)} {FILE_ORDER}"
            )


def _check_clock(table: Table, reading: AxisReading, found: TimeFindings) -> None:
    """Raise ValueError for times of day that begin again, where rows are of several days."""
    notation = reading.axis.notation
    of_day = isinstance(notation, DateNotation) and not notation.has_date
    if of_day and (found.repeats or found.file_order == "in no order"):
        name = reading.axis.columns[0]
        raise ValueError(
            f"{table.path}: column {name!r} holds times of day, which begin again every day; name "
            f"the column of the date too: --time DATE,{name}"
        )


def _keys(table: Table, taken: set[str]) -> Iterator[tuple[str, ...]]:
    """Columns, one or two, of texts or whole numbers that come often enough to name series."""
    names = []
    for name in table.columns:
        cells = table.text(name) if name not in taken else None
        if cells is not None and 1 < cells.nunique() <= len(table) / 2:
            names += [] if cells.str.fullmatch(r"-?\d*[.,]\d+").any() else [name]
    for size in (1, 2):
        yield from combinations(names[:20], size)


def _tells_apart(table: Table, names: Sequence[str], instants: NDArray[Any]) -> bool:
    """Whether rows of one time differ in these columns, which name not many more series than that.

    Numbers that happen to differ within a second name no series.
    """
    frame = import_pandas().DataFrame({name: table.text(name) for name in names})
    at_once = np.unique(instants, return_counts=True)[1].max()
    series = len(frame.drop_duplicates())
    frame["\0"] = instants
    return series <= MOST_SERIES * at_once and not frame.duplicated().any()
