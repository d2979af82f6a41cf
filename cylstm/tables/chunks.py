"""Columns, put together from the chunks in which a file is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .digits import read_digits
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
    """Chunks of a column of texts, each kept as codes of the different cells of the column."""

    def __init__(self) -> None:
        self._code_of: dict[str, int] = {}
        self._codes: list[NDArray[Any]] = []

    def add(self, cells: NDArray[Any]) -> bool:
        """Take the next chunk; True, since every cell is a text."""
        code_of = self._code_of
        codes, unique = import_pandas().factorize(cells)
        known = [code_of.setdefault(cell, len(code_of)) for cell in map(str.strip, unique)]
        self._codes.append(np.array(known, np.min_scalar_type(-len(code_of)))[codes])
        return True

    def join(self) -> Texts:
        """The whole column; the chunks are given up."""
        cells = import_pandas().Series(list(self._code_of), dtype=object)
        codes, self._codes, self._code_of = np.concatenate(self._codes), [], {}
        return Texts(codes, cells)


class NumberChunks:
    """Chunks of a column of numbers, integers in as few bytes as they need.

    Parameters
    ----------
    most : int
        How many rows there can be; memory is taken for those that come.
    notation : Notation, optional
        How the chunks, of type bytes, write numbers; None: they are numbers already.
    marks : sequence of str
        Cells that mean "no value", besides the usual ones.
    """

    def __init__(self, most: int, notation: Notation | None, marks: Sequence[str]) -> None:
        self._values: NDArray[Any] = np.empty(most, np.int8)
        self._rows = 0
        self._notation, self._marks = notation, marks

    def add(self, cells: NDArray[Any]) -> bool:
        """Take the next chunk; False if a cell holds something else than a number."""
        values = cells if self._notation is None else self._parse(cells, self._notation)
        if values is None or values.dtype.kind not in "iuf":
            return False
        values = _in_few_bytes(values)
        stop = self._rows + len(values)
        if (dtype := np.promote_types(self._values.dtype, values.dtype)) != self._values.dtype:
            old, self._values = self._values, np.empty(len(self._values), dtype)
            self._values[: self._rows] = old[: self._rows]
        self._values[self._rows : stop] = values
        self._rows = stop
        return True

    def _parse(self, cells: NDArray[np.bytes_], notation: Notation) -> NDArray[np.float64] | None:
        """Cells as numbers; None if one is none, or is so long that it may have been cut."""
        if cells.view(np.uint8)[cells.itemsize - 1 :: cells.itemsize].any():
            return None
        values, read = read_digits(cells, notation)
        if not read.all():
            others = self._parse_texts(b"\0".join(cells[~read]).decode().split("\0"), notation)
            if others is None:
                return None
            values[~read] = others
        return values

    def _parse_texts(self, cells: list[str], notation: Notation) -> NDArray[np.float64] | None:
        texts = import_pandas().Series(cells, dtype=object)
        values = notation.parse_simple(texts)
        if values is not None:
            return values
        texts = texts.str.strip()
        held = ~(is_missing(texts, self._marks) | is_number_mark(texts))
        values = np.full(len(texts), np.nan)
        values[held] = notation.parse(texts[held])
        return None if np.isnan(values[held]).any() else values

    def join(self) -> NDArray[Any]:
        """The whole column; the chunks are given up."""
        values, self._values = self._values[: self._rows], np.empty(0)
        return values


def _in_few_bytes(values: NDArray[Any]) -> NDArray[Any]:
    """Integers as the smallest type that holds them; other numbers as they are."""
    if values.dtype.kind == "f":
        return values
    low, high = values.min(initial=0), values.max(initial=0)
    for bits in (8, 16, 32, 64):
        if -(2 ** (bits - 1)) <= low and high < 2 ** (bits - 1):
            return values.astype(f"int{bits}")
    return values.astype(np.float64)
