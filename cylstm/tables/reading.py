"""From a file to a table."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from pathlib import Path

from .optional import import_pandas
from .table import Table

DELIMITERS = ",;\t|"


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
    pd = import_pandas()
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
