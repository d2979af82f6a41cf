"""Tables of text cells: reading and writing, columns as numbers, series in time order.

A table is kept as the text of its cells, so that what is written back is what was read and an
error can quote the cell. Everything learned from a table (means, categories) is learned from its
training rows alone and is plain data that a model file can carry.

    reading.py           a file to a table
    table.py             the table, and its columns as text, numbers, times
    numbers.py           how a column writes numbers, and which cells hold none
    timeline.py          series in time order, their parts and gaps
    time_axis.py         the columns that hold the times: found, read, continued
    time_inference.py    which notation a column of times has, decided from all its cells
    time_candidates.py   which formats a cell may have
    times.py             notations: how a column writes points in time
    time_formats.py      formats of dates: strptime's, with how a file writes them
    frequency.py         at which times a series has rows
    zones.py             time zones that explain offsets, names and doubled hours
    calendar_columns.py  inputs that follow from the time of a row
    columns.py           a column as features of a network

Letters: N rows, F features (a number is one feature, a category column one for each category).
"""

from .calendar_columns import CalendarColumn, calendar_columns
from .columns import Column, learn_columns
from .reading import read_table
from .table import Table
from .time_axis import AxisReading, TimeAxis
from .timeline import TEST, TRAINING, VALIDATION, Timeline, find_time

__all__ = [
    "TEST",
    "TRAINING",
    "VALIDATION",
    "AxisReading",
    "CalendarColumn",
    "Column",
    "Table",
    "TimeAxis",
    "Timeline",
    "calendar_columns",
    "find_time",
    "learn_columns",
    "read_table",
]
