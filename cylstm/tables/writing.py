"""From a table to a file of the format that its name says."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .numbers import Notation, is_missing
from .optional import import_package, import_pandas
from .packing import pack
from .table import Table
from .time_axis import TimeAxis
from .times import DateNotation

if TYPE_CHECKING:
    import pandas as pd

#: Integers from here on are not all float64's.
_INEXACT = 2**53
#: Excel counts days from here on.
_FIRST_EXCEL_YEAR = 1900
_UNWRITTEN = (".xls", ".xlsm", ".xlsb", ".ods", ".feather")


def check_format(path: str | Path) -> None:
    """Raise, before any work is done for it, if a file of this name could not be written.

    Raises
    ------
    ValueError
        If its format can only be read.
    ModuleNotFoundError
        If the package that writes it is not installed.
    """
    suffix = Path(path).suffix.lower()
    if suffix in _UNWRITTEN:
        raise ValueError(f"{path}: only .xlsx, .parquet and CSV (.csv, .csv.gz) are written")
    if suffix in _WRITERS:
        import_package(*_PACKAGES[suffix])


def encode_table(
    path: str | Path, table: Table, axis: TimeAxis | None, notation: Notation
) -> bytes:
    """What a file of this name should hold.

    In CSV cells stand as they were read. Excel and Parquet have types: columns of which every cell
    holds a number become numbers, and the column of times becomes times if it names no zone.

    Parameters
    ----------
    path : str or Path
        .xlsx, .parquet, or anything else for CSV, perhaps compressed (.gz, .bz2, .xz, .zip).
    table : Table
    axis : TimeAxis or None
        Its column of times.
    notation : Notation
        How the columns that were added write numbers.

    Raises
    ------
    ValueError
        If a cell or the number of rows does not fit into the format.
    """
    write = _WRITERS.get(Path(path).suffix.lower())
    if write is None:
        return pack(Path(path), table.to_bytes())
    try:
        return write(_typed_frame(table, axis, notation))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _typed_frame(table: Table, axis: TimeAxis | None, notation: Notation) -> pd.DataFrame:
    frame = table.frame
    columns = {}
    for name in frame:
        how = notation if name in table.added else table.notation(name)
        columns[name] = _as_numbers(frame[name], how)
    if axis is not None and len(axis.columns) == 1:
        (name,) = axis.columns
        columns[name] = _as_times(frame[name], axis, columns[name])
    return import_pandas().DataFrame(columns)


def _as_numbers(cells: pd.Series, notation: Notation) -> pd.Series:
    """A column as numbers, if they say all that its cells do; else as it is."""
    held = ~is_missing(cells)
    texts = cells[held]
    values = notation.parse(texts)
    inexact = ~(np.abs(values) < _INEXACT)  # text (NaN), too
    codes = texts.str.match(r"0\d").to_numpy(bool)  # 01234 is the name of a place
    if not len(values) or inexact.any() or codes.any():
        return cells.where(cells != "", None)
    return import_pandas().Series(values, texts.index).convert_dtypes().reindex(cells.index)


def _as_times(cells: pd.Series, axis: TimeAxis, otherwise: pd.Series) -> pd.Series:
    """A column of dates as such, without a time of day where all are midnight."""
    notation = axis.notation
    if not isinstance(notation, DateNotation) or not notation.has_date or notation.zone:
        return otherwise
    held = cells != ""
    instants = notation.read(cells[held], np.zeros(int(held.sum()), np.int64)).instants
    times = import_pandas().Series(instants, cells.index[held])
    if times.isna().any() or (times.dt.year < _FIRST_EXCEL_YEAR).any():
        return otherwise
    midnights = (times == times.dt.normalize()).all()
    return (times.dt.date if midnights else times).reindex(cells.index)


# --- formats ------------------------------------------------------------------------------------


def _excel(frame: pd.DataFrame) -> bytes:
    from openpyxl.utils.exceptions import IllegalCharacterError

    file = io.BytesIO()
    try:
        with import_pandas().ExcelWriter(file, engine="openpyxl") as writer:
            frame.to_excel(writer, index=False)
            for row in next(iter(writer.sheets.values())).iter_rows():
                for cell in row:
                    if cell.data_type == "f":  # text that begins with = is no formula of ours
                        cell.data_type = "s"
    except IllegalCharacterError:
        raise ValueError("a cell holds a control character, which .xlsx cannot hold") from None
    return file.getvalue()


def _parquet(frame: pd.DataFrame) -> bytes:
    data: bytes = frame.to_parquet(None, engine="pyarrow", index=False)
    return data


_WRITERS: dict[str, Callable[[Any], bytes]] = {".xlsx": _excel, ".parquet": _parquet}
_PACKAGES = {
    ".xlsx": ("openpyxl", ".xlsx files need"),
    ".parquet": ("pyarrow", ".parquet files need"),
}
