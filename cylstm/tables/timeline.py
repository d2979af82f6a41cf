"""Series in time order, and the parts into which time divides them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .optional import import_pandas
from .table import Table

#: The parts of a series in the order of time, see `Timeline.parts`.
TRAINING, VALIDATION, TEST = range(3)


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
    repeats : int
        How many rows have the time of the row before them in their series.
    """

    rows: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    names: tuple[str, ...]
    repeats: int = 0

    @classmethod
    def of(
        cls, table: Table, group: str | Sequence[str] | None = None, time: str | None = None
    ) -> Timeline:
        """Order a table's rows by `group` (in order of appearance) and `time` (else as they are).

        `group` is the column, or the columns, that name a row's series.

        Raises
        ------
        ValueError
            If a column is missing or a time is neither a number nor a date.
        """
        pd = import_pandas()
        codes, unique = pd.factorize(table.labels(group))
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
