"""A table, and its columns as text, numbers and points in time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cylstm.arrays import quote

from .chunks import Texts
from .csvtext import CsvText, normal_name
from .numbers import (
    DECIMALS,
    LARGEST,
    MISSING,
    Notation,
    is_missing,
    is_number_mark,
    read_numbers,
    shows_decimal,
)
from .optional import import_pandas

if TYPE_CHECKING:
    import pandas as pd

    from .times import DateNotation, NumberNotation

#: Numbers as pandas read them (int or float), or texts.
Column: TypeAlias = "NDArray[Any] | Texts"
UNITS_ROW = "; if row 1 holds units, remove it"
#: From here on, numbers as they are read may be the same where the cells are not.
_INEXACT = 2.0**53


class TimeColumn(NamedTuple):
    """A column as points in time, and how it writes them."""

    instants: pd.Series
    notation: DateNotation | NumberNotation


class Numbers(NamedTuple):
    """A column as numbers.

    Attributes
    ----------
    values : ndarray, shape (N,)
        NaN where a cell is missing or holds none.
    notation : Notation or None
        How it writes them; None where most cells hold none.
    sure : bool
        Whether its cells tell a decimal point from a decimal comma.
    unclear : str
        A cell of which they do not, where that matters.
    """

    values: NDArray[np.float64]
    notation: Notation | None
    sure: bool = False
    unclear: str = ""


@dataclass(frozen=True)
class Table:
    """A CSV file in memory: its text, and the columns as they are read from it.

    Attributes
    ----------
    source : CsvText
        The file's text, which is written back as it is.
    parsed : dict of str to ndarray or Texts
        The columns as they were read: as numbers, or as texts without surrounding blanks.
    decimal_read : {".", ","}
        What was taken to stand before the decimals of the numbers that pandas read.
    notations_read : mapping of str to Notation
        What the other numbers were taken to be written in.
    shown : set of str
        Columns whose first rows tell a decimal point from a comma.
    marks : tuple of str
        Cells that mean "no value", besides the usual ones.
    decimal, thousands : str
        How numbers are written where two readings are possible; empty: not known.
    notations : mapping of str to Notation
        How columns write numbers where that was learned from another table.
    added : mapping of str to sequence of str
        Cells of new columns.
    appended : mapping of str to sequence of str
        Cells of new rows.
    """

    source: CsvText
    parsed: Mapping[str, Column]
    decimal_read: str = "."
    notations_read: Mapping[str, Notation] = field(default_factory=dict)
    shown: frozenset[str] = frozenset()
    marks: tuple[str, ...] = ()
    decimal: str = ""
    thousands: str = ""
    notations: Mapping[str, Notation] = field(default_factory=dict)
    added: Mapping[str, Sequence[str]] = field(default_factory=dict)
    appended: Mapping[str, Sequence[str]] = field(default_factory=dict)
    _texts: dict[str, Texts] = field(default_factory=dict, repr=False)
    _numbers: dict[str, Numbers] = field(default_factory=dict, repr=False)
    _decided: dict[tuple[str, str], Numbers] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return self._rows + self._new_rows

    @property
    def path(self) -> str:
        """Where it came from, for messages."""
        return self.source.path

    @cached_property
    def columns(self) -> list[str]:
        """Names of the columns in the file's order, but for those without name and cells."""
        names = zip(self.source.names, self.source.header, strict=True)
        return [name for name, written in names if written.strip() or not self._is_empty(name)]

    def require(self, names: Iterable[str]) -> None:
        """Raise ValueError unless the table has all these columns."""
        absent = [name for name in names if self._key(name) not in self.parsed]
        if absent:
            listed = ", ".join(map(repr, absent))
            raise ValueError(f"{self.path}: no column {listed}; it has {', '.join(self.columns)}")

    # --- columns --------------------------------------------------------------------------------

    def text(self, name: str) -> pd.Series:
        """Cells of a column without surrounding blanks, shape (N,)."""
        cells = self._as_texts(name).series
        if not self._new_rows:
            return cells
        return import_pandas().concat([cells, self._new_cells(name)], ignore_index=True)

    @property
    def frame(self) -> pd.DataFrame:
        """All cells as text, without surrounding blanks, and those that were added."""
        columns = {name: self.text(name) for name in self.columns}
        for name, cells in self.added.items():
            whole = [*cells, *self.appended.get(name, [""] * self._new_rows)]
            columns[name] = import_pandas().Series(whole, dtype=object)
        return import_pandas().DataFrame(columns)

    def first_texts(self, name: str) -> list[str]:
        """Cells of a column that hold something, of the file's first rows."""
        cells = self.source.examples[self.source.names.index(self._key(name))]
        return [cell for cell in cells if cell.lower() not in MISSING]

    def labels(self, names: str | Sequence[str] | None) -> pd.Series:
        """Cells of one or some columns as one text that tells rows apart, shape (N,)."""
        if not names:
            return import_pandas().Series([""] * len(self))
        first, *others = map(self.text, [names] if isinstance(names, str) else names)
        if not others:
            return first
        quoted = [cells.map(self.source.quote) for cells in (first, *others)]
        return quoted[0].str.cat(quoted[1:], self.source.delimiter)

    def missing(self, name: str) -> NDArray[np.bool_]:
        """Which rows have no value in a column, shape (N,)."""
        missing = self._missing_in_file(name)
        if not self._new_rows:
            return missing
        numeric = self.looks_numeric(name)
        new = self._is_missing(self._new_cells(name), among_numbers=numeric)
        return np.concatenate([missing, new])

    def _missing_in_file(self, name: str) -> NDArray[np.bool_]:
        column = self._column(name)
        if isinstance(column, np.ndarray):
            return np.isnan(self._without_marks(column.astype(np.float64, copy=False)))
        return self._is_missing(column.cells, among_numbers=self.looks_numeric(name))[column.codes]

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column as numbers, shape (N,), NaN where the cell is missing.

        Raises
        ------
        ValueError
            If a cell holds text or a number of no use, infinite or beyond 1e30; names the column,
            the row and the cell. If a cell could be two numbers; names both and what decides.
        """
        values, notation, _, unclear = self._as_numbers(name)
        if unclear:
            readings = " or ".join(
                f"{Notation(*separators).parse(import_pandas().Series([unclear]))[0]:.12g}"
                for separators in ((",", ""), (".", ","))
            )
            raise ValueError(
                f"{self.path}: column {name!r}: {quote(unclear)} can be read as {readings}: "
                "say by --decimal . or --decimal , which is meant"
            )
        if notation is None:
            values = self._parse(name, Notation())
        if self._new_rows:
            new = (notation or Notation()).parse(self._new_cells(name))
            values = np.concatenate([values, new])
        missing = self.missing(name)
        learned = self.notations.get(self._key(name))
        how = f" with {learned.decimal!r} before decimals, as in training" if learned else ""
        self._check(name, missing | np.isfinite(values), "a number" + how)
        self._check(name, missing | (np.abs(values) <= LARGEST), f"within {LARGEST:g} of 0")
        return values

    def looks_numeric(self, name: str) -> bool:
        """Whether most of a column's cells that hold something hold numbers."""
        return self._as_numbers(name).notation is not None

    def notation(self, name: str) -> Notation:
        """How a column writes numbers."""
        return self._as_numbers(name).notation or Notation()

    def examples(self, names: Sequence[str]) -> dict[str, tuple[str, float]]:
        """For each column the longest number among its first cells, as text and as read."""
        found = {}
        for name in names:
            head = self.source.examples[self.source.names.index(self._key(name))]
            cells = import_pandas().Series(head, dtype=object)
            values = self.notation(name).parse(cells)
            longest = int(cells.str.len().where(np.isfinite(values), -1).argmax())
            found[name] = cells.iloc[longest], float(values[longest])
        return found

    def times(self, name: str) -> TimeColumn:
        """A column as points in time: dates or numbers.

        Raises
        ------
        ValueError
            If a cell is neither, or missing, or if cells can be read in two ways.
        """
        from .time_axis import read_axis

        reading = read_axis(self, (name,), np.zeros(len(self), np.int64))
        return TimeColumn(import_pandas().Series(reading.instants), reading.axis.notation)

    def duplicates(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of `rows` repeat an earlier one of them in every cell; none from `with_rows`."""
        read = rows < self._rows
        pd = import_pandas()
        columns = {}
        for name, column in self.parsed.items():
            columns[name] = self._telling(name, column)[rows[read]]
        frame = pd.DataFrame(columns, copy=False)
        found = np.zeros(len(rows), bool)
        found[read] = frame.duplicated().to_numpy()
        return found

    def _telling(self, name: str, column: Column) -> NDArray[Any]:
        """Values of a column in the file's rows that differ where its cells do."""
        if isinstance(column, np.ndarray):
            if not (np.abs(column.astype(np.float64, copy=False)) >= _INEXACT).any():
                return column
            column = self._as_texts(name)
        return column.codes

    # --- results --------------------------------------------------------------------------------

    def with_columns(self, rows: NDArray[np.int64], columns: Mapping[str, list[str]]) -> Table:
        """A copy with new columns: one cell for each of `rows`, the others empty.

        Raises
        ------
        ValueError
            If there is a column of such a name already.
        """
        added, appended = dict(self.added), dict(self.appended)
        for name, cells in columns.items():
            if name in self.source.names or name in added:
                raise ValueError(f"{self.path}: there is a column {name!r} already")
            whole = np.full(len(self), "", object)
            whole[rows] = cells
            added[name] = whole[: self._rows].tolist()
            if self._new_rows:
                appended[name] = whole[self._rows :].tolist()
        return replace(self, added=added, appended=appended)

    def with_rows(self, columns: Mapping[str, list[str]]) -> Table:
        """A copy with more rows at its end; cells of columns that are not given are empty."""
        old, new = self._new_rows, len(next(iter(columns.values()), ()))
        appended = {
            name: [*self.appended.get(name, [""] * old), *columns.get(name, [""] * new)]
            for name in {**self.appended, **columns}
        }
        return replace(self, appended=appended)

    def without_rows(self, first: int, stop: int) -> Table:
        """A copy without those of the rows from `with_rows` that are in this range."""
        places = [place for place in range(self._rows, len(self)) if not first <= place < stop]
        appended = {
            name: [cells[place - self._rows] for place in places]
            for name, cells in self.appended.items()
        }
        return replace(self, appended=appended)

    def to_bytes(self) -> bytes:
        """The file with what was added; what was read stands in it as it was."""
        return self.source.with_cells(self.added, self.appended)

    # --- reading --------------------------------------------------------------------------------

    @property
    def _rows(self) -> int:
        return len(next(iter(self.parsed.values())))

    @property
    def _new_rows(self) -> int:
        return len(next(iter(self.appended.values()), ()))

    def _new_cells(self, name: str) -> pd.Series:
        """A column's cells in the rows from `with_rows`."""
        cells = self.appended.get(self._key(name), [""] * self._new_rows)
        return import_pandas().Series(cells, dtype=object)

    def _key(self, name: str) -> str:
        return name if name in self.parsed else normal_name(name)

    def _column(self, name: str) -> Column:
        self.require([name])
        return self.parsed[self._key(name)]

    def _as_texts(self, name: str) -> Texts:
        """A column as texts, read from the file once more if it was read as numbers."""
        column, key = self._column(name), self._key(name)
        if not isinstance(column, np.ndarray):
            return column
        if key not in self._texts:
            self._texts[key] = self.source.texts(self.source.names.index(key))
        return self._texts[key]

    def _is_empty(self, name: str) -> bool:
        column = self.parsed[name]
        if isinstance(column, np.ndarray):
            return bool(np.isnan(column).all())
        return not any(column.cells)

    def _is_missing(self, cells: pd.Series, *, among_numbers: bool) -> NDArray[np.bool_]:
        missing = is_missing(cells, self.marks)
        return missing | is_number_mark(cells) if among_numbers else missing

    def _as_numbers(self, name: str) -> Numbers:
        column, key = self._column(name), self._key(name)
        if key not in self._numbers:
            self._numbers[key] = self._read_numbers(key, column)
        return self._numbers[key]

    def _read_numbers(self, name: str, column: Column) -> Numbers:
        given = self.notations.get(name)
        if isinstance(column, np.ndarray) and self._is_read_rightly(name, column, given):
            values = self._without_marks(column.astype(np.float64, copy=False))
            held = bool(np.isfinite(values).any())
            return Numbers(values, (given or self._notation_read(name)) if held else None)
        if given:
            return Numbers(self._parse(name, given), given)
        alone = self._decide(name)
        if alone.sure or alone.notation is None:
            return alone
        return self._decide(name, self._preferred_decimal, self.thousands)

    def _is_read_rightly(self, name: str, column: NDArray[Any], given: Notation | None) -> bool:
        """Whether the numbers that were read are what the cells mean."""
        read, whole = self._notation_read(name), column.dtype.kind != "f"
        if given:
            same_unit = read.unit == given.unit or not (read.unit or given.is_share)
            same_separators = read.decimal == given.decimal and read.thousands in (
                "",
                given.thousands,
            )
            return same_unit and (whole or same_separators)
        if whole:
            return True
        # Every cell may have been like 1.234, thousands in a file of decimal commas.
        if name in self.shown or shows_decimal(column):
            return True
        return (self._preferred_decimal or ".") == read.decimal

    def _notation_read(self, name: str) -> Notation:
        return self.notations_read.get(name, Notation(self.decimal_read))

    @cached_property
    def _preferred_decimal(self) -> str:
        """What stands before decimals where a column does not tell; empty: not known."""
        if self.decimal:
            return self.decimal
        if self.thousands in DECIMALS:
            return DECIMALS[1 - DECIMALS.index(self.thousands)]
        told = {self._told_decimal(name) for name in self.columns} - {""}
        return told.pop() if len(told) == 1 else ""

    def _told_decimal(self, name: str) -> str:
        """What stands before a column's decimals, if its cells alone can tell."""
        column = self.parsed[name]
        if isinstance(column, np.ndarray):
            if column.dtype.kind != "f" or np.isnan(column).all():
                return ""
            if name in self.shown or shows_decimal(column):
                return self._notation_read(name).decimal
        alone = self._decide(name)
        return alone.notation.decimal if alone.notation and alone.sure else ""

    def _decide(self, name: str, decimal: str = "", thousands: str = "") -> Numbers:
        """A column in the notation that its cells tell."""
        if (name, decimal) not in self._decided:
            texts, cells, present = self._cells(name)
            counts = np.bincount(texts.codes, minlength=len(cells))[present]
            decision, found = read_numbers(cells[present], counts, decimal, thousands)
            values = np.full(len(cells), np.nan)
            values[present] = found
            self._decided[name, decimal] = Numbers(
                self._without_marks(values)[texts.codes], *decision
            )
        return self._decided[name, decimal]

    def _parse(self, name: str, notation: Notation) -> NDArray[np.float64]:
        """A column in a certain notation."""
        texts, cells, present = self._cells(name)
        values = np.full(len(cells), np.nan)
        values[present] = notation.parse(cells[present])
        return self._without_marks(values)[texts.codes]

    def _cells(self, name: str) -> tuple[Texts, pd.Series, NDArray[np.bool_]]:
        """A column's texts, the different ones, and which of these would not be missing numbers."""
        texts = self._as_texts(name)
        return texts, texts.cells, ~self._is_missing(texts.cells, among_numbers=True)

    def _without_marks(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Numbers without those that mean "no value", however the marks write them."""
        if not self.marks:
            return values
        marks = import_pandas().Series(self.marks, dtype=object)
        numbers = np.concatenate([Notation(decimal).parse(marks) for decimal in DECIMALS])
        return np.where(np.isin(values, numbers[np.isfinite(numbers)]), np.nan, values)

    def _check(self, name: str, valid: NDArray[np.bool_], expected: str) -> None:
        if not valid.all():
            row = int(np.argmin(valid))
            cell = self.text(name).iloc[row]
            if row == 0 and len(valid) > 1 and valid[1:].all():
                expected += UNITS_ROW
            raise ValueError(
                f"{self.path}: column {name!r}, row {row + 1}: {quote(cell)} is not {expected}"
            )
