"""Columns, put together from the chunks in which a file is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .numbers import Notation, is_missing, is_number_mark
from .optional import import_pandas

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Texts:
    """A column of texts.

    Attributes
    ----------
    codes : ndarray of int, shape (N,)
        Which of `cells` stands in each row.
    cells : pandas.Series of str
        The different cells, without surrounding blanks.
    """

    codes: NDArray[Any]
    cells: pd.Series

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def series(self) -> pd.Series:
        """The cell of each row."""
        return self.cells.take(self.codes).reset_index(drop=True)


class TextChunks:
    """Chunks of a column of texts, each kept as its different cells and their codes."""

    def __init__(self) -> None:
        self._chunks: list[Texts] = []

    def add(self, cells: pd.Series) -> bool:
        """Take the next chunk; True, since every cell is a text."""
        self._chunks.append(_factorize(cells))
        return True

    def join(self) -> Texts:
        """The whole column; the chunks are given up."""
        cells = import_pandas().concat([chunk.cells for chunk in self._chunks], ignore_index=True)
        starts = np.cumsum([0, *(len(chunk.cells) for chunk in self._chunks)])
        texts = _factorize(cells.str.strip())
        codes = [
            texts.codes[start:][chunk.codes]
            for start, chunk in zip(starts, self._chunks, strict=False)
        ]
        self._chunks = []
        return Texts(np.concatenate(codes), texts.cells)


def _factorize(cells: pd.Series) -> Texts:
    pd = import_pandas()
    codes, unique = pd.factorize(cells)
    return Texts(codes.astype(np.min_scalar_type(-len(unique))), pd.Series(unique, dtype=object))


class NumberChunks:
    """Chunks of a column of numbers.

    Parameters
    ----------
    most : int
        How many rows there can be; memory is taken for those that come.
    notation : Notation, optional
        How the chunks write numbers; None: they are numbers already.
    marks : sequence of str
        Cells that mean "no value", besides the usual ones.
    """

    def __init__(self, most: int, notation: Notation | None, marks: Sequence[str]) -> None:
        self._values = np.empty(most)
        self._rows = 0
        self._whole = notation is None
        self._notation, self._marks = notation, marks

    def add(self, cells: pd.Series) -> bool:
        """Take the next chunk; False if a cell holds something else than a number."""
        if self._notation is None and cells.dtype.kind not in "iuf":
            return False
        stop = self._rows + len(cells)
        values = cells.to_numpy() if self._notation is None else self._parse(cells, self._notation)
        if values is None:
            return False
        self._values[self._rows : stop] = values
        self._whole &= cells.dtype.kind in "iu"
        self._rows = stop
        return True

    def _parse(self, cells: pd.Series, notation: Notation) -> NDArray[np.float64] | None:
        values = notation.parse_simple(cells)
        if values is not None:
            return values
        cells = cells.str.strip()
        held = ~(is_missing(cells, self._marks) | is_number_mark(cells))
        values = np.full(len(cells), np.nan)
        values[held] = notation.parse(cells[held])
        return None if np.isnan(values[held]).any() else values

    def join(self) -> NDArray[Any]:
        """The whole column, integers in as few bytes as they need; the chunks are given up."""
        values, self._values = self._values[: self._rows], np.empty(0)
        if self._whole:
            return import_pandas().to_numeric(values, downcast="integer")
        return values
