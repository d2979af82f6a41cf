"""From a file to a table."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from .chunks import NumberChunks, TextChunks
from .csvtext import CsvText
from .numbers import (
    MISSING,
    NUMBER_MARKS,
    Notation,
    decide_notation,
    decide_plainly,
    join_cells,
)
from .optional import import_package, import_pandas
from .packing import is_packed, unpack
from .table import Column, Table

if TYPE_CHECKING:
    import pandas as pd

#: Rows, least and most, from which it is seen which columns could hold numbers, and their cells.
_SAMPLE_ROWS, _SAMPLE_CELLS = (50, 250), 100_000
#: Cells that mean "no value" to pandas in every column of numbers, beside those of the first rows.
#: Each costs time for each column; where others come later, columns are read once more.
_USUAL = frozenset({"", "NA", "NaN", "nan", "NULL", "null"})
#: Numbers that pandas cannot read it hands over as bytes; of cells as long as this it cuts the end.
_CELL = np.dtype("S32")
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


def read_table(
    path: str | Path,
    *,
    missing: Sequence[str] = (),
    decimal: str = "",
    thousands: str = "",
    notations: Mapping[str, Notation] | None = None,
    progress: bool = False,
) -> Table:
    """Read a table with a header line.

    Parameters
    ----------
    path : str or Path
        CSV with commas, semicolons, tabs or bars between the cells, in UTF-8 or UTF-16, perhaps
        compressed (.gz, .bz2, .xz, .zip); .xlsx or .parquet.
    missing : sequence of str
        Cells that mean "no value", besides the usual ones.
    decimal, thousands : str
        How numbers are written where two readings are possible; empty: decided by the columns of
        which only one is.
    notations : mapping of str to Notation, optional
        How columns write numbers where that was learned from another table.
    progress : bool
        Show how far it is, where that takes more than a second and someone looks on.

    Raises
    ------
    ValueError
        If the file is not text, has no rows, or a row has more cells than the header.
    OSError
        If it cannot be read.
    ModuleNotFoundError
        If pandas, or what it needs for such a file, is not installed.
    """
    import_pandas()
    source = _read_source(Path(path))
    plan = _plan(source, missing)
    columns = _read_columns(source, plan, missing, progress)
    return Table(
        source if _is_converted(Path(path)) else source.left_in_file(),
        {name: columns[place] for place, name in enumerate(source.names)},
        plan.decimal,
        {source.names[place]: notation for place, notation in plan.notations.items()},
        frozenset(source.names[place] for place in plan.shown),
        tuple(missing),
        decimal,
        thousands,
        notations or {},
    )


# --- the file's text ----------------------------------------------------------------------------


def _read_source(path: Path) -> CsvText:
    """The text of a file, whatever it is stored as."""
    if reader := _FRAMES.get(path.suffix.lower()):
        return CsvText.of(str(path), reader(path).to_csv(index=False).encode())
    data = unpack(path)
    mark, encoding = next(
        ((mark, name) for mark, name in _MARKS.items() if data.startswith(mark)), (b"", "utf-8")
    )
    data = data.removeprefix(mark)
    try:
        if encoding != "utf-8":
            data = data.decode(encoding).encode()
        elif not data.isascii():
            data.decode()
    except UnicodeDecodeError as error:
        byte, place = error.object[error.start], error.start + len(mark)
        kind = "UTF-8" if encoding == "utf-8" else "UTF-16"
        raise ValueError(
            f"{path}: not {kind} text (byte 0x{byte:02x} at offset {place}); save the file as UTF-8"
        ) from None
    if (place := data.find(b"\0")) >= 0:
        raise ValueError(f"{path}: not UTF-8 text (byte 0x00 at offset {place + len(mark)})")
    return CsvText.of(str(path), data, encoding, mark)


def _read_excel(path: Path) -> pd.DataFrame:
    """The first sheet."""
    import_package("openpyxl", f"{path.suffix} files need")
    frame = import_pandas().read_excel(path, keep_default_na=False, na_values=[""])
    # Integers beside holes are floats to pandas, but not to whoever reads the output.
    return frame.convert_dtypes(convert_string=False, convert_boolean=False)


def _read_parquet(path: Path) -> pd.DataFrame:
    import_package("pyarrow", f"{path.suffix} files need")
    frame = import_pandas().read_parquet(path, dtype_backend="numpy_nullable")
    named = [name for name in frame.index.names if name is not None]
    return frame.reset_index(named) if named else frame


def _is_converted(path: Path) -> bool:
    """Whether what a file holds is not the text of a table as it is."""
    return path.suffix.lower() in _FRAMES or is_packed(path)


_FRAMES = {".xlsx": _read_excel, ".xlsm": _read_excel, ".parquet": _read_parquet}


# --- columns ------------------------------------------------------------------------------------


class _Plan(NamedTuple):
    """How to read columns, told by their places."""

    decimal: str
    """What stands before the decimals of those that pandas reads."""
    notations: dict[int, Notation]
    """Those that hold numbers which pandas cannot read."""
    texts: set[int]
    shown: set[int]
    """Those whose cells tell a decimal point from a comma."""
    missing: AbstractSet[str]
    """Cells that mean "no value", as they are written in the first rows, beside the usual ones."""


def _plan(source: CsvText, marks: Sequence[str]) -> _Plan:
    """What the first rows show; pandas is given the decimal separator that most columns have."""
    least, most = _SAMPLE_ROWS
    head = source.head(max(least, min(most, _SAMPLE_CELLS // len(source.names))))
    empty = MISSING | NUMBER_MARKS | {mark.lower() for mark in marks}
    looks = {place: _look_at(cells, empty) for place, cells in enumerate(head)}
    sure = {place: look.notation for place, look in looks.items() if look.notation}
    decimals = [notation.decimal for notation in sure.values()]
    decimal = "," if 2 * decimals.count(",") > len(decimals) else "."
    plain = Notation(decimal)
    others = {
        place
        for place, look in looks.items()
        if not ((look.plain and look.notation == plain) or plain.is_simple(look.cells))
    }
    notations = {place: sure[place] for place in others & set(sure)}
    missing = _USUAL.union(marks, *(look.missing for look in looks.values()))
    return _Plan(decimal, notations, others - set(notations), set(sure), missing)


class _Look(NamedTuple):
    """What some cells of a column show."""

    cells: str
    """Those that hold something, joined."""
    missing: set[str]
    """Those that mean "no value" as they are written."""
    notation: Notation | None
    """How they write numbers, if they tell."""
    plain: bool
    """Whether all are in this notation."""


def _look_at(cells: Sequence[str], empty: AbstractSet[str]) -> _Look:
    """Look at a column, where the cells of `empty`, in lower case, mean "no value"."""
    counts = Counter(cells)
    missing = {text for text in counts if text.lower() in empty}
    for text in missing:
        del counts[text]
    joined = join_cells(counts)
    plainly = decide_plainly(joined)
    decision = plainly or decide_notation(
        import_pandas().Series(list(counts), dtype=object), np.fromiter(counts.values(), np.int64)
    )
    notation = decision.notation if decision.sure else None
    return _Look(joined, missing, notation, plainly is not None)


def _read_columns(
    source: CsvText, plan: _Plan, marks: Sequence[str], progress: bool
) -> dict[int, Column]:
    """Each column as numbers or, where it holds something else, as texts."""
    places = set(range(len(source.names)))
    columns = _read_once(source, places, plan, marks, progress)
    if late := places - set(columns):  # what the first rows did not show
        texts = plan._replace(notations={}, texts=late)
        columns |= _read_once(source, late, texts, marks, progress)
    return columns


def _read_once(
    source: CsvText, places: set[int], plan: _Plan, marks: Sequence[str], progress: bool
) -> dict[int, Column]:
    """Columns by their places, without those that should be numbers and are not."""
    unread = plan.texts | set(plan.notations)
    options = {
        "decimal": plan.decimal,
        "na_values": dict.fromkeys(places - unread, plan.missing),
    }
    dtypes = dict.fromkeys(plan.texts, np.dtype(object)) | dict.fromkeys(plan.notations, _CELL)
    columns: dict[int, TextChunks | NumberChunks] = {
        place: TextChunks()
        if place in plan.texts
        else NumberChunks(source.most_rows, plan.notations.get(place), marks)
        for place in sorted(places)
    }
    with _progress_bar(source, progress) as bar:
        for chunk, end in source.chunks(sorted(places), dtypes, options):
            for place, cells in _arrays(chunk):
                if place in columns and not columns[place].add(cells):
                    del columns[place]
            bar.update(end - bar.n)
    return {place: column.join() for place, column in columns.items()}


def _arrays(chunk: pd.DataFrame) -> Iterator[tuple[int, NDArray[Any]]]:
    """Columns by their places, of many columns several times as fast as `chunk.items`."""
    dtypes = chunk.dtypes
    for dtype in set(dtypes):
        some = dtypes.index[dtypes == dtype]
        yield from zip(some, chunk[some].to_numpy().T, strict=True)


def _progress_bar(source: CsvText, shown: bool) -> tqdm[Any]:
    return tqdm(
        desc=f"reading {source.path}",
        total=len(source.data),
        unit="B",
        unit_scale=True,
        delay=1,
        leave=False,
        disable=None if shown else True,
    )
