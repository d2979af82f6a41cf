"""From a file to a table."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tqdm import tqdm

from .chunks import NumberChunks, TextChunks
from .csvtext import CsvText
from .numbers import MISSING, NUMBER_MARKS, Notation, is_missing, is_number_mark, read_numbers
from .optional import import_package, import_pandas
from .packing import unpack
from .table import Column, Table

if TYPE_CHECKING:
    import pandas as pd

#: Rows from which it is seen which columns could hold numbers.
_SAMPLE_ROWS = 250
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
        source,
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


def _plan(source: CsvText, marks: Sequence[str]) -> _Plan:
    """What the first rows show; pandas is given the decimal separator that most columns have."""
    pd = import_pandas()
    every = range(len(source.names))
    options = {"nrows": _SAMPLE_ROWS}
    sample = next(source.chunks(every, dict.fromkeys(every, "object"), options))[0]
    cells, sure = {}, {}
    for place in every:
        texts = sample[place].str.strip()
        counts = texts[~(is_missing(texts, marks) | is_number_mark(texts))].value_counts()
        cells[place] = pd.Series(counts.index, dtype=object)
        decision, _ = read_numbers(cells[place], counts.to_numpy())
        if decision.notation and decision.sure:
            sure[place] = decision.notation
    decimals = [notation.decimal for notation in sure.values()]
    decimal = "," if 2 * decimals.count(",") > len(decimals) else "."
    plain = Notation(decimal)
    others = {place for place in every if plain.parse_simple(cells[place]) is None}
    notations = {place: sure[place] for place in others & set(sure)}
    return _Plan(decimal, notations, others - set(notations), set(sure))


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
    missing = [*marks, *_spellings(MISSING | NUMBER_MARKS)]
    options = {"decimal": plan.decimal, "na_values": dict.fromkeys(places - unread, missing)}
    columns: dict[int, TextChunks | NumberChunks] = {
        place: TextChunks()
        if place in plan.texts
        else NumberChunks(source.most_rows, plan.notations.get(place), marks)
        for place in sorted(places)
    }
    with _progress_bar(source, progress) as bar:
        for chunk, end in source.chunks(sorted(places), dict.fromkeys(unread, "object"), options):
            for place in list(columns):
                if not columns[place].add(chunk[place]):
                    del columns[place]
            bar.update(end - bar.n)
    return {place: column.join() for place, column in columns.items()}


def _spellings(words: Iterable[str]) -> set[str]:
    """Words as they are mostly written, for pandas, which heeds the case."""
    return {spelt for word in words for spelt in (word, word.upper(), word.capitalize())} | {"NaN"}


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
