"""What the commands share: output for people, and checks that must come before the work."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

LABEL_WIDTH, BAR_WIDTH = 12, 30


def say(label: str, text: str) -> None:
    """Print a labelled line; more lines of the same text are aligned below the first."""
    print(f"{label:{LABEL_WIDTH}}{text}".replace("\n", "\n" + " " * LABEL_WIDTH), flush=True)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under a header: the first column to the left, the others to the right."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *others in lines:
        cells = [cell.rjust(width + 2) for cell, width in zip(others, widths[1:], strict=True)]
        print(("  " + first.ljust(widths[0]) + "".join(cells)).rstrip())


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
