"""The text of a CSV file: where its header, records and columns lie."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cylstm.arrays import quote

from .chunks import TextChunks, Texts
from .optional import import_pandas

if TYPE_CHECKING:
    import pandas as pd

#: The rarer a character is in cells, the earlier it stands.
DELIMITERS = "\t;|,"
#: Records that are looked at to find the delimiter.
_SAMPLE = 100
#: Rows among which an example is chosen.
_EXAMPLES = 100
#: Cells, and rows at least, that are parsed at once: few enough for what is temporary to stay small
#: beside the file.
_CHUNK_CELLS, _CHUNK_ROWS = 2**18, 4096


class FilePart(NamedTuple):
    """Bytes that are read from a file whenever they are wanted, so that they take no memory."""

    path: str
    start: int
    size: int
    checksum: int

    @classmethod
    def of(cls, path: str, start: int, data: bytes) -> FilePart:
        """Where bytes lie that were read from a file."""
        return cls(path, start, len(data), zlib.crc32(data))

    def read(self) -> bytes:
        """Read them again; ValueError if they are not the same, more after them does not matter."""
        with open(self.path, "rb") as file:
            file.seek(self.start)
            data = file.read(self.size)
        if len(data) != self.size or zlib.crc32(data) != self.checksum:
            raise ValueError(f"{self.path}: the file was changed since it was read")
        return data


@dataclass(frozen=True)
class CsvText:
    """A CSV file as UTF-8 text, from which columns are read and which is written back as it is.

    Attributes
    ----------
    path : str
        Where it came from, for messages.
    kept : bytes or FilePart
        The text without byte order mark and without empty rows at its end, or where it lies.
    delimiter : str
        What stands between the cells.
    header : tuple of str
        The cells of the header, as they are; at least one for each cell of the longest row.
    names : tuple of str
        A name of its own for each column, in Unicode's composed form (NFC), without surrounding
        blanks.
    encoding : str
        Of the file, as Python names it.
    mark : bytes
        The byte order mark of the file.
    prefix : str
        A first line such as `sep=;`, which says the delimiter; otherwise empty.
    newline : str
        What ends the lines of the file.
    empty_rows : int
        How many rows at the end were left out, since all their cells are empty.
    """

    path: str
    kept: bytes | FilePart
    delimiter: str
    header: tuple[str, ...]
    names: tuple[str, ...]
    encoding: str = "utf-8"
    mark: bytes = b""
    prefix: str = ""
    newline: str = "\n"
    empty_rows: int = 0

    @classmethod
    def of(cls, path: str, data: bytes, encoding: str = "utf-8", mark: bytes = b"") -> CsvText:
        """Find out how a text in UTF-8 is divided into cells.

        Raises
        ------
        ValueError
            If it has no header, or no rows below it.
        """
        newline = _newline(path, data)
        if newline == "\r":
            data = data.replace(b"\r", b"\n")
        prefix = _prefix(data)
        start = len(prefix.encode())
        delimiter = prefix.rstrip('\r\n"')[-1:] or _find_delimiter(_lines(data, 0))
        data, empty_rows = _without_empty_rows(data, delimiter)
        first = [cells for cells, _ in _records(path, _lines(data, start), delimiter, 2)]
        if not first:
            raise ValueError(f"{path}: the file is empty")
        if len(first) == 1:
            raise ValueError(f"{path}: no rows below the header")
        _check_title(path, data, delimiter, start)
        header = tuple(first[0])
        names = tuple(_bare_names(_unique_names(header)))
        return cls(
            path, data, delimiter, header, names, encoding, mark, prefix, newline, empty_rows
        )

    def chunks(
        self, columns: Sequence[int], dtypes: Any, options: Mapping[str, Any]
    ) -> Iterator[tuple[pd.DataFrame, int]]:
        """Some columns, chunk by chunk of the rows, and the bytes read up to there.

        Only where all columns are read does pandas say that a row has more cells than the header.

        Columns of the frames are numbers of columns. `dtypes` is the type of all, or those of some;
        the others are of the type that pandas finds in a chunk. `options` are those of
        `pandas.read_csv`.
        """
        pd = import_pandas()
        file = io.BytesIO(self.data)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # it would drop cells
            try:
                yield from (
                    (chunk, file.tell())
                    for chunk in pd.read_csv(
                        file,
                        sep=self.delimiter,
                        skiprows=1 if self.prefix else 0,
                        header=0,
                        names=range(len(self.header)),
                        index_col=False,
                        usecols=None if len(columns) == len(self.header) else list(columns),
                        dtype=dtypes,
                        keep_default_na=False,
                        chunksize=max(_CHUNK_ROWS, _CHUNK_CELLS // len(self.header)),
                        low_memory=False,
                        **options,
                    )
                )
            except (pd.errors.ParserWarning, pd.errors.ParserError) as error:
                reason = str(error).strip().removeprefix("Error tokenizing data. C error: ")
                reason = self._longer_row() or reason
                raise ValueError(f"{self.path}: not a table: {reason}") from None

    def _longer_row(self) -> str:
        """What is wrong with the first row of more cells than the header; empty if none has."""
        reader = csv.reader(_lines(self.data, len(self.prefix.encode())), delimiter=self.delimiter)
        for cells in reader:
            if len(cells) > len(self.header):
                line = reader.line_num + bool(self.prefix)
                commas = "; is one the comma in a number? Quote it, or divide cells by semicolons"
                return (
                    f"line {line} has {len(cells)} cells, more than the header's {len(self.header)}"
                    f"{commas if self.delimiter == ',' else ''}"
                )
        return ""

    def texts(self, place: int) -> Texts:
        """The cells of a column."""
        texts = TextChunks()
        for chunk, _ in self.chunks([place], object, {}):
            texts.add(chunk[place].to_numpy())
        return texts.join()

    def head(self, rows: int) -> list[tuple[str, ...]]:
        """Cells of each column in the first rows, without surrounding blanks."""
        lines = _lines(self.data, len(self.prefix.encode()))
        _, *records = _records(self.path, lines, self.delimiter, rows + 1)
        width = len(self.header)
        cells = [[*map(str.strip, record[:width])] for record, _ in records]
        return list(zip(*(row + [""] * (width - len(row)) for row in cells), strict=True))

    @cached_property
    def examples(self) -> list[tuple[str, ...]]:
        """Cells of each column in the first rows, among which examples are chosen."""
        return self.head(_EXAMPLES)

    @property
    def data(self) -> bytes:
        """The text without byte order mark and without empty rows at its end."""
        return self.kept if isinstance(self.kept, bytes) else self.kept.read()

    def left_in_file(self) -> CsvText:
        """The same, whose text is read anew whenever it is wanted; not where it was converted."""
        whole = self.encoding == "utf-8" and self.newline != "\r" and Path(self.path).is_file()
        if not whole or not isinstance(self.kept, bytes):
            return self
        return replace(self, kept=FilePart.of(self.path, len(self.mark), self.kept))

    @cached_property
    def most_rows(self) -> int:
        """Not less than the number of rows."""
        return self.data.count(b"\n") + 1

    def records(self) -> Iterator[tuple[str, int]]:
        """The header and each row as they stand in the file, and the number of their cells."""
        lines = _lines(self.data, len(self.prefix.encode()))
        for cells, record in _records(self.path, lines, self.delimiter):
            yield record, len(cells)

    def quote(self, cell: str) -> str:
        """A cell as it stands in a row."""
        if any(character in cell for character in (self.delimiter, '"', "\n", "\r")):
            return '"' + cell.replace('"', '""') + '"'
        return cell

    def with_cells(
        self, columns: Mapping[str, Sequence[str]], rows: Mapping[str, Sequence[str]]
    ) -> bytes:
        """The file with more columns, and more rows at its end, whose other cells are empty."""
        names = [*self.names, *columns]
        width, records = len(self.header), self.records()
        cells = zip(*([name, *column] for name, column in columns.items()), strict=True)
        file = io.BytesIO(self.mark)
        file.seek(0, io.SEEK_END)
        text = io.TextIOWrapper(file, self.encoding, newline="")
        if self.prefix:
            text.write(self.prefix.rstrip("\r\n") + self.newline)
        for record, size in records:
            new = [self.quote(cell) for cell in next(cells, ())]
            # A row may lack cells at its end, or have empty ones beyond the header's.
            whole = record.removesuffix(self.delimiter * (size - width))
            whole += self.delimiter * (width - size)
            text.write(self.delimiter.join([whole, *new]) + self.newline)
        for row in zip(*(rows[name] for name in rows), strict=True):
            given = dict(zip(rows, map(self.quote, row), strict=True))
            text.write(self.delimiter.join(given.get(name, "") for name in names) + self.newline)
        text.flush()
        return file.getvalue()


def normal_name(name: str) -> str:
    """A column's name in Unicode's composed form (NFC), so that both ways to write é are one."""
    return unicodedata.normalize("NFC", name)


def _lines(data: bytes, start: int) -> Iterator[str]:
    """Lines with what ends them; also inside of quotes."""
    file = io.BytesIO(data)
    file.seek(start)
    return iter(io.TextIOWrapper(file, encoding="utf-8", newline=""))


def _records(
    path: str, lines: Iterator[str], delimiter: str, most: int | None = None
) -> Iterator[tuple[list[str], str]]:
    """Cells and text of each record that is not blank, without the end of its line."""
    taken: list[str] = []

    def take() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line

    try:
        for cells in csv.reader(take(), delimiter=delimiter):
            record = "".join(taken).rstrip("\r\n")
            taken.clear()
            if len(cells) > 1 or record.strip(" \t"):  # pandas too leaves blank lines out
                yield cells, record
                most = None if most is None else most - 1
            if most == 0:
                return
    except csv.Error as error:
        raise ValueError(f"{path}: not a table: {error}") from None


def _newline(path: str, data: bytes) -> str:
    """What ends the lines of a text: pandas misreads those with carriage returns among others."""
    if b"\r" not in data:
        return "\n"
    if b"\n" not in data:
        return "\r"
    if alone := re.search(rb"\r(?!\n)", data):
        raise ValueError(
            f"{path}: a carriage return without a line feed (byte {alone.start()}), where other "
            "lines end otherwise; save the file with one kind of line ends"
        )
    return "\r\n" if data.find(b"\r") < data.find(b"\n") else "\n"


def _prefix(data: bytes) -> str:
    """The first line if it only says the delimiter, as Excel understands it."""
    line = data[: data.find(b"\n") + 1]
    bare = line.strip().strip(b'"')
    return line.decode() if bare.lower().startswith(b"sep=") and len(bare) == 5 else ""


def _find_delimiter(lines: Iterator[str]) -> str:
    """What divides the header and rows into the same number of cells, at least two.

    If nothing does, there is one column: then what divides no row.
    """
    text = "".join(line for line, _ in zip(lines, range(10 * _SAMPLE), strict=False))
    sizes = {delimiter: _sizes(text, delimiter) for delimiter in DELIMITERS}

    def agreement(delimiter: str) -> float:
        header, *rows = sizes[delimiter]
        return rows.count(header) / max(len(rows), 1)

    several = [
        delimiter
        for delimiter, (header, *rows) in sizes.items()
        if header > 1 and max(rows, default=2) > 1
    ]
    if several:  # max takes the first of equals: a semicolon in every row is hardly in a cell
        return max(several, key=agreement)
    return next((mark for mark in reversed(DELIMITERS) if max(sizes[mark]) == 1), ",")


def _sizes(text: str, delimiter: str) -> list[int]:
    """How many cells the first records have; one where they cannot be read."""
    if delimiter not in text:
        return [1]
    records = _records("", io.StringIO(text, newline=""), delimiter, _SAMPLE)
    try:
        return [len(cells) for cells, _ in records] or [1]
    except ValueError:
        return [1]


def _check_title(path: str, data: bytes, delimiter: str, start: int) -> None:
    """Raise ValueError if lines above the header say something else, such as a title.

    They have one cell that holds something. Below them a row of names, and then rows with numbers,
    have all as many cells.
    """
    text = "".join(line for line, _ in zip(_lines(data, start), range(_SAMPLE), strict=False))
    for mark in dict.fromkeys([delimiter, *DELIMITERS]):
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
        try:
            rows = [(list(filter(None, cells)), reader.line_num) for cells in reader]
        except csv.Error:
            continue
        rows = [(cells, line) for cells, line in rows if cells]
        titles = [*takewhile(lambda row: len(row[0]) == 1, rows)]
        names, *table = rows[len(titles) :] or [([], 0)]
        numbers = any(cell[:1].isdigit() for cells, _ in table for cell in cells)
        as_wide = sum(len(cells) == len(names[0]) for cells, _ in table)
        if not (titles and numbers and 2 * as_wide > len(table) and all(map(_is_name, names[0]))):
            continue
        raise ValueError(
            f"{path}: the table seems to begin in line {names[1]}, below {quote(titles[0][0][0])}; "
            "remove the lines above it"
        )


def _is_name(cell: str) -> bool:
    """Whether a cell could stand in a header."""
    return cell.strip()[:1].isalpha()


def _without_empty_rows(data: bytes, delimiter: str) -> tuple[bytes, int]:
    """A text without the rows at its end that hold nothing, and how many there were."""
    blank, empty_rows, end = b" \t\r\n" + delimiter.encode(), 0, len(data)
    while end:
        begin = data.rfind(b"\n", 0, end - 1) + 1
        line = data[begin:end]
        if line.strip(blank):
            break
        empty_rows += delimiter.encode() in line
        end = begin
    return data[:end], empty_rows


def _unique_names(header: Sequence[str]) -> Iterable[str]:
    """The header's cells, with a name for those without, and one of its own for each."""
    if all(header) and len(set(header)) == len(header):
        return header
    line = io.StringIO()
    csv.writer(line).writerow(header)
    line.seek(0)
    return import_pandas().read_csv(line, nrows=0, index_col=False, skip_blank_lines=False).columns


def _bare_names(names: Iterable[str]) -> list[str]:
    """Names composed and without surrounding blanks, except where two would then be the same."""
    names = list(names)
    taken = set(names)
    bare_names = []
    for name in names:
        bare = normal_name(name.strip())
        bare_names.append(bare if bare and bare not in taken else name)
        taken.add(bare)
    return bare_names
