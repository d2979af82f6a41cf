"""Tables: the time to read one beside pandas', and the memory of the commands beside its size."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

ROWS, COLUMNS = 200_000, 14
READERS = {
    "cylstm": "from cylstm.tables import read_table; read = lambda path, **_: read_table(path)",
    "pandas": "from pandas import read_csv as read",
}
READING = """
import sys, time
path, options = sys.argv[1], eval(sys.argv[2])
begin = time.perf_counter()
read(path, **options)
print(time.perf_counter() - begin)
"""
# The peak is looked at from inside, since what the system says of a child that has ended may be its
# parent's. The time is the whole command's.
RUNNING = """
import sys
from cylstm.cli import main
if main(sys.argv[1:]):
    sys.exit(1)
with open("/proc/self/status") as status:
    [peak] = [line for line in status if line.startswith("VmHWM:")]
print(int(peak.split()[1]) * 1024)
"""
TRAINING = (
    *("--target", "c1", "--time", "Date", "--window", "8", "--epochs", "1", "-q"),
    *("--hidden-size", "8", "--batch-size", "1024", "--test-fraction", "0.1"),
)


class Kind(NamedTuple):
    """A kind of table: how its cells are written, and what pandas has to be told of them."""

    name: str
    write: Callable[[float], str]
    options: Mapping[str, str] = MappingProxyType({})
    rows: int = ROWS
    columns: int = COLUMNS


def _swapped(value: float) -> str:
    return f"{value:.2f}".replace(".", ",")


KINDS = (
    Kind("two decimals", "{:.2f}".format),
    Kind("decimal comma", _swapped, {"sep": ";", "decimal": ","}),
    Kind("17 digits", repr),
    Kind("one-digit integers", lambda value: str(int(value) % 10)),
    Kind("thousands, 4,051.86", lambda value: f'"{1000 * value:,.2f}"', {"thousands": ","}),
    Kind("2,000 columns", "{:.2f}".format, rows=1000, columns=2000),
)


def write_table(path: Path, kind: Kind, rows: int | None = None) -> int:
    """Write measurements of every ten minutes with the date before them; the file's size."""
    generator, separator = np.random.default_rng(0), kind.options.get("sep", ",")
    rows = rows or kind.rows
    season = 10 - 10 * np.cos(2 * np.pi * np.arange(rows) / 52560)
    times = np.datetime64("2009-01-01T00:00") + 10 * np.arange(rows)
    with path.open("w") as file:
        names = [f"c{column}" for column in range(kind.columns)]
        print("Date", *names, sep=separator, file=file)
        for time, level in zip(times.tolist(), season.tolist(), strict=True):
            values = level + 10 * np.arange(kind.columns) + generator.normal(0, 1, kind.columns)
            cells = map(kind.write, values.tolist())
            print(f"{time:%d.%m.%Y %H:%M:%S}", *cells, sep=separator, file=file)
    return path.stat().st_size


def print_tables(rounds: int) -> list[dict[str, Any]]:
    """Print a line for each kind and one for each command."""
    print(f"{'reading':24}{'MB':>8}{'cylstm s':>10}{'pandas s':>10}{'ratio':>8}")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.csv")
        for kind in KINDS:
            size = write_table(path, kind)
            seconds = [[read_seconds(who, path, kind) for who in READERS] for _ in range(rounds)]
            ours, theirs = np.median(seconds, axis=0)
            rows.append({"kind": kind.name, "bytes": size, "cylstm": ours, "pandas": theirs})
            cells = f"{ours:10.2f}{theirs:10.2f}{ours / theirs:8.2f}"
            print(f"{kind.name:24}{size / 1e6:8.1f}{cells}", flush=True)
        for command, factor in memory_factors(Path(folder)).items():
            rows.append({"command": command, "memory_factor": factor})
            print(f"peak memory of `cylstm {command}`: {factor:.1f} times the file", flush=True)
    return rows


def read_seconds(who: str, path: Path, kind: Kind) -> float:
    """Time to read a table in an interpreter of its own, imports not counted."""
    code = f"{READERS[who]}\nimport pandas\n{READING}"
    return float(_run(code, str(path), repr(dict(kind.options))))


def memory_factors(folder: Path, rows: int = ROWS) -> dict[str, float]:
    """Most memory of `train` and `predict` on a table over its size.

    What the commands take for a table of few rows (Python, packages) is not counted.
    """
    peaks, sizes = [], []
    for count in (400, rows):
        path, model = folder / f"{count}.csv", folder / f"{count}.safetensors"
        sizes.append(write_table(path, KINDS[0], count))
        train = _peak("train", path, *TRAINING, "-o", model)
        predict = _peak("predict", model, path, "-o", folder / "out.csv")
        peaks.append({"train": train, "predict": predict})
    few, many = peaks
    return {name: (many[name] - few[name]) / (sizes[1] - sizes[0]) for name in many}


def _peak(*arguments: str | Path) -> int:
    return int(_run(RUNNING, *map(str, arguments)).splitlines()[-1])


def _run(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
