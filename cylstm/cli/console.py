"""What the commands share: output for people, and checks that must come before the work.

All that commands print goes through `emit`: labels, names of columns and of files come from
strangers, and a terminal obeys control characters.
"""

from __future__ import annotations

import contextlib
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

LABEL_WIDTH, BAR_WIDTH = 12, 30
LONGEST_LINE = 10_000  # characters
#: Unicode's categories of what changes a terminal or a line's order instead of showing something.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def printable(text: str) -> str:
    r"""Text whose control characters, but for ends of lines, are spelt out.

    >>> printable("a\x1b[31m\tb\nc")
    'a\\x1b[31m\\tb\nc'
    """
    if text.isprintable():
        return text
    return "".join(
        repr(c)[1:-1] if unicodedata.category(c) in _HIDDEN and c != "\n" else c for c in text
    )


def one_line(name: str) -> str:
    r"""A name whose ends of lines are spelt out.

    >>> print(one_line("height\nin m"))
    height\nin m
    """
    return name.replace("\r", "\\r").replace("\n", "\\n")


def shorten(text: str, most: int) -> str:
    """Text of so many characters at most, cut in its middle.

    >>> shorten("0123456789", 7)
    '01...89'
    """
    if len(text) <= most:
        return text
    kept = (most - 3) // 2
    return f"{text[:kept]}...{text[-kept:]}"


def emit(text: str = "", end: str = "\n", file: TextIO | None = None) -> None:
    """Print text, without what a terminal would obey and without endless lines."""
    lines = (shorten(printable(line), LONGEST_LINE) for line in text.split("\n"))
    print("\n".join(lines), end=end, file=file, flush=True)


def say(label: str, text: str) -> None:
    """Print a labelled line; more lines of the same text are aligned below the first."""
    emit(f"{label:{LABEL_WIDTH}}{text}".replace("\n", "\n" + " " * LABEL_WIDTH))


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under a header: the first column to the left, the others to the right."""
    lines = [[" ".join(cell.split("\n")) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *others in lines:
        cells = [cell.rjust(width + 2) for cell, width in zip(others, widths[1:], strict=True)]
        emit(("  " + first.ljust(widths[0]) + "".join(cells)).rstrip())


def print_bars(header: Sequence[str], values: Mapping[str, float]) -> None:
    """Print named values, each with a bar of its length."""
    longest = max(values.values())
    print_table(
        (*header, ""),
        [
            (name, f"{value:.3f}", ("█" * round(BAR_WIDTH * value / longest)).ljust(BAR_WIDTH))
            for name, value in values.items()
        ],
    )


def number(value: float) -> str:
    """A number in about four digits.

    >>> [number(value) for value in (1234567.8, 12.3456, 0.00123456, 0.0)]
    ['1,234,568', '12.35', '0.001235', '0']
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def count(items: int, noun: str, plural: str = "") -> str:
    """A number of things.

    >>> count(1, "row"), count(1234, "row"), count(2, "series", "series")
    ('1 row', '1,234 rows', '2 series')
    """
    return f"{items:,} {noun if items == 1 else plural or noun + 's'}"


def size(nbytes: int) -> str:
    """A size in bytes.

    >>> size(512), size(2_345_678)
    ('512 B', '2.3 MB')
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if nbytes >= scale:
            return f"{nbytes / scale:.1f} {unit}"
    return f"{nbytes} B"


def check_output(path: str, *inputs: str) -> None:
    """Raise, before any work is done for it, if a file could not or should not be written there."""
    target = Path(path)
    folder = target.parent
    if target.resolve() in [Path(name).resolve() for name in inputs]:
        raise ValueError(f"{path}: cannot write the output, it is an input")
    if target.is_dir():
        raise ValueError(f"{path}: cannot write the output, it is a directory")
    if target.exists() and not target.is_file():
        raise ValueError(f"{path}: cannot write the output, it is not a regular file")
    if not folder.is_dir():
        raise ValueError(f"{path}: cannot write the output, there is no directory {str(folder)!r}")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"{path}: cannot write the output, {str(folder)!r} is read-only")


# --- a reader that goes away ---------------------------------------------------------------------


@contextlib.contextmanager
def outliving_reader() -> Iterator[None]:
    """Work to its end though nobody may read standard output any more: it is done for a file."""
    with contextlib.redirect_stdout(_Outliving(sys.stdout)):
        yield


class _Outliving:
    """A stream that swallows what cannot be written any more, and says so once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return self._try(self._stream.write, text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, action: Any, *arguments: Any) -> Any:
        try:
            return action(*arguments)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            with contextlib.suppress(OSError):
                reason = error.strerror or type(error).__name__
                emit(f"cylstm: standard output is lost ({reason}); going on", file=sys.stderr)
            return 0
