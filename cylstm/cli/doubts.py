"""What a table's cells may mean otherwise than they were read: warnings instead of silence."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from cylstm.arrays import quote
from cylstm.tables import Table, TimeAxis, Timeline, find_suspect, find_unit
from cylstm.tables.time_axis import are_excel_days, excel_advice
from cylstm.tables.times import NumberNotation

from .console import count, number, one_line
from .recipe import Recipe

#: Integers from here on are not all float64's.
_INEXACT = 2.0**53
#: Fewer different texts with a unit may well be categories, such as "1 room".
_FEW = 10


def doubts(table: Table, recipe: Recipe, timeline: Timeline) -> Iterator[str]:
    """A line for each reading of a column, a number or a time, that may be wrong."""
    for name in recipe.notations:
        for doubt in (_suspect, _lost_digits, _leading_zeros):
            if line := doubt(table, name):
                yield f"{one_line(name)}: {line}"
    for column in recipe.columns:
        texts = column.categories or ()
        if len(texts) > _FEW and (unit := find_unit(texts)):
            yield (
                f"{one_line(column.name)}: {len(texts)} categories such as {quote(texts[0])}; "
                f"without the unit {quote(unit)} in the cells they would be numbers"
            )
    if recipe.time and (line := _excel_days(recipe.time, timeline)):
        yield line


def _suspect(table: Table, name: str) -> str:
    """A value of a column that may mean that there is none."""
    suspect = find_suspect(table.numbers(name))
    if suspect is None:
        return ""
    others = f"{number(suspect.least)} to {number(suspect.greatest)}"
    value = f"{suspect.value:.12g}"
    return (
        f"{value} comes {count(suspect.times, 'time')}, all others are {others}; if it means no "
        f"value: --missing={value}"
    )


def _lost_digits(table: Table, name: str) -> str:
    """An integer of more digits than a float64 has."""
    values = np.abs(table.numbers(name))
    if not np.nanmax(values, initial=0.0) >= _INEXACT:
        return ""
    cell = table.text(name).iloc[int(np.nanargmax(values))]
    if not re.fullmatch(r"[-+]?\d+", cell):
        return ""
    return (
        f"integers beyond 2^53 such as {quote(cell)} lose their last digits; if they name things: "
        f"--categories {name}"
    )


def _leading_zeros(table: Table, name: str) -> str:
    """A cell like 01234, which may name something."""
    cell = next((text for text in table.first_texts(name) if re.fullmatch(r"0\d+", text)), "")
    if not cell:
        return ""
    number_read = f"{quote(cell)} is read as the number {int(cell)}"
    return f"{number_read}; if it names something: --categories {name}"


def _excel_days(time: TimeAxis, timeline: Timeline) -> str:
    """Times that are plain numbers in the range of Excel's days."""
    numeric = isinstance(time.notation, NumberNotation)
    if not numeric or timeline.instants is None or not are_excel_days(timeline.instants):
        return ""
    return f"{time}: {excel_advice(timeline.instants)}"
