"""The argument parser's pieces: an error of one line, and types that say what they expect."""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Callable
from typing import NoReturn

import cylstm
from cylstm.tables import normal_name


class UsageError(ValueError):
    """A command line that cannot be understood."""


class Parser(argparse.ArgumentParser):
    """A parser whose help keeps its examples as they are and whose errors are one line."""

    def __init__(self, **options: object) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def name(text: str) -> str:
    """A column's name."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"expected a column's name, got {text!r}")
    return normal_name(text.strip())


def names(text: str) -> list[str]:
    """Column names between commas, as in a row of a CSV file: those with commas in quotes.

    >>> names('day, "height, m"')
    ['day', 'height, m']
    """
    found = next(csv.reader([text], skipinitialspace=True), [])
    if not found or not all(map(str.strip, found)):
        raise argparse.ArgumentTypeError(f"expected column names between commas, got {text!r}")
    return [name(each) for each in found]


def _number(
    kind: Callable[[str], float], accept: Callable[[float], bool], expected: str
) -> Callable[[str], float]:
    """A type for argparse: a number that `accept` accepts."""

    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and accept(value)):
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
        return value

    return convert


positive_int = _number(int, lambda value: value >= 1, "a whole number of at least 1")
season = _number(int, lambda value: value >= 2, "a whole number of at least 2")
natural = _number(int, lambda value: value >= 0, "a whole number of at least 0")
number = _number(float, lambda value: True, "a number")
positive = _number(float, lambda value: value > 0, "a number above 0")
temperature = _number(float, lambda value: value >= 0, "a number of at least 0")
fraction = _number(float, lambda value: 0 <= value < 1, "a number from 0 to below 1")


def add_seed(group: argparse._ActionsContainer) -> None:
    """Add --seed."""
    group.add_argument(
        "--seed",
        type=natural,
        default=0,
        metavar="N",
        help="of everything random; the same seed repeats the run (default %(default)s)",
    )


def add_threads(group: argparse._ActionsContainer) -> None:
    """Add --threads, which `use_threads` obeys."""
    group.add_argument(
        "--threads", type=positive_int, metavar="N", help="threads to use (default: every core)"
    )


def use_threads(args: argparse.Namespace) -> None:
    """Set the number of threads that the command line asks for."""
    if args.threads is not None:
        cylstm.set_num_threads(args.threads)
