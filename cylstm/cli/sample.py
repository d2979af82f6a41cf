"""`cylstm sample`: a small table to try the other commands on."""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from cylstm.atomic import write_file
from cylstm.tables import pack

from .console import check_output, count, say

HEADER = ("date", "sales", "promotion")
FIRST_DAY = "2023-01-02"  # a Monday
DAYS, DAYS_AHEAD = 730, 7
#: Sales of each weekday beside the mean's.
WEEK = (-14, -16, -8, 0, 13, 28, -3)
GROWTH, PROMOTION_GAIN, NOISE = 0.06, 35, 5.0

EPILOG = f"""\
what is in it
  The made-up sales of a shop on {DAYS} days: they grow, follow the days of the week,
  and rise on days with a promotion (column promotion, 0 or 1). The last {DAYS_AHEAD} rows are
  days to come: their promotions are planned, their sales are empty. The same
  table is written each time.

example
  cylstm sample sales.csv
  cylstm train sales.csv --target sales --horizon {DAYS_AHEAD} --future promotion
  cylstm predict model.safetensors sales.csv -o out.csv
"""


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "sample",
        help="write a small table to try train and predict on",
        description="Write a table of daily sales to try `cylstm train` and `predict` on.",
        epilog=EPILOG,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "file",
        nargs="?",
        default="sales.csv",
        metavar="FILE.csv",
        help="where to write (default %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the table; the exit status."""
    check_output(args.file)
    path, data = Path(args.file), pack(Path(args.file), sample_table().encode())
    if path.exists() and path.read_bytes() != data:
        raise ValueError(f"{args.file}: there is another file of this name already")
    write_file(args.file, data)
    say("saved", f"{args.file}: {count(DAYS, 'day')} of sales, and {DAYS_AHEAD} to come")
    return 0


def sample_table() -> str:
    """The table as CSV: a header, days with sales, days to come without."""
    rng = np.random.default_rng(0)
    days = np.arange(DAYS + DAYS_AHEAD)
    promotion = rng.random(len(days)) < 0.15
    promotion[-2] = True  # a promotion that is planned
    sales = 100 + GROWTH * days + np.take(WEEK, days % 7) + PROMOTION_GAIN * promotion
    sales = np.rint(sales + rng.normal(0, NOISE, len(days))).astype(int)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(HEADER)
    for day in days:
        known = sales[day] if day < DAYS else ""
        rows.writerow([np.datetime64(FIRST_DAY) + day, known, int(promotion[day])])
    return text.getvalue()
