"""Command line: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cells import select
from benchmarks.machine import pin_threads
from benchmarks.peers import OURS, PEERS

PARTS = (
    "inference",
    "training",
    "demo",
    "step",
    "load",
    "plan",
    "footprint",
    "forecast",
    "long-series",
    "tables",
)
DESCRIPTION = """\
Measure cylstm beside the libraries that are installed: on the same threads, in alternating rounds,
after comparing their outputs.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for, print the tables and write the JSON file.

    Returns
    -------
    int
        0; 1 where a library failed or disagreed; 2 for a bad argument.
    """
    parser = make_parser()
    options = parser.parse_args(arguments)
    cells = select(options.cells)
    if not cells:
        parser.error(f"--cells: no cell has the name or group {options.cells!r}")
    try:
        threads = pin_threads(options.threads)
    except ValueError as error:
        parser.error(str(error))
    # Imported here because libraries read their number of threads when they are loaded.
    from benchmarks.results import Results
    from benchmarks.session import run

    results = Results(options.json)
    parts = PARTS if options.what == "all" else (options.what,)
    good = run(parts, cells, options.peers, threads, options.repeat, results)
    return 0 if good else 1


def peer_names(text: str) -> list[str]:
    """Split and check the argument of --peers; an empty one leaves cylstm alone."""
    names = [name for name in text.split(",") if name]
    for name in names:
        if name == OURS or name not in PEERS:
            raise argparse.ArgumentTypeError(f"{name!r} is not a peer")
    return names


def count(text: str) -> int:
    """A whole number from 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=DESCRIPTION)
    parser.add_argument(
        "what",
        nargs="?",
        default="inference",
        choices=[*PARTS, "all"],
        help="inference (default) or training of the cells; demo: training of the character "
        "model; step: a streaming step in C beside Eigen; load: inference by one thread and by "
        "two, alone and beside busy processes; plan: what the plan's choices bring, to set its "
        "thresholds by; footprint: import time, memory and size on disk; "
        "forecast: errors of forecasts beside simple methods; long-series: accuracy on series of "
        "150 samples and more beside a ridge classifier; tables: time to read tables beside "
        "pandas', memory of the commands",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="default: every CPU there is")
    parser.add_argument(
        "--cells",
        default="*",
        metavar="PATTERN",
        help='cells whose name or group ("grid", "extended") matches, such as "B1 *"; default: all',
    )
    parser.add_argument(
        "--peers",
        type=peer_names,
        default=[name for name in PEERS if name != OURS],
        metavar="NAMES",
        help=f"some of {','.join(name for name in PEERS if name != OURS)}; default: all",
    )
    parser.add_argument(
        "--repeat", type=count, default=15, metavar="N", help="rounds (default: %(default)s)"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write all that is measured here, row by row"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
