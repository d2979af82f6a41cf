"""A table of text cells, and its columns as text, numbers and points in time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .numbers import LARGEST, is_missing, parse_numbers
from .optional import import_pandas

if TYPE_CHECKING:
    import pandas as pd

    from .times import DateNotation, NumberNotation


class TimeColumn(NamedTuple):
    """A column as points in time, and how it writes them."""

    instants: pd.Series
    notation: DateNotation | NumberNotation


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
        return is_missing(self.text(name))

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
        pd = import_pandas()
        frame = pd.concat([self.frame, pd.DataFrame(columns, dtype=object)], ignore_index=True)
        return replace(self, frame=frame.fillna(""))

    def without_rows(self, first: int, stop: int) -> Table:
        """A copy without the rows from `first` up to `stop`."""
        kept = self.frame.drop(index=range(first, stop)).reset_index(drop=True)
        return replace(self, frame=kept)

    def to_bytes(self) -> bytes:
        """The table as a CSV file, with the delimiter that it was read with."""
        header = [self.header.get(name, name) for name in self.columns]
        options = {"index": False, "sep": self.delimiter, "lineterminator": "\n"}
        return self.frame.to_csv(header=header, **options).encode()

    def _parsed(self, name: str) -> NDArray[np.float64]:
        return parse_numbers(self.text(name))

    def _check(self, name: str, valid: NDArray[np.bool_], expected: str) -> None:
        if not valid.all():
            row = int(np.argmin(valid))
            cell = self.frame[name].iloc[row]
            raise ValueError(
                f"{self.path}: column {name!r}, row {row + 1}: {cell!r} is not {expected}"
            )
