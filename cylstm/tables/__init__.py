"""Tables of text cells: reading and writing, columns as numbers, series in time order.

The text of the file is kept and written back as it is. Columns are read from it by pandas, as
numbers where they are, otherwise as texts. How a column writes numbers is decided from all its
cells, and by the other columns where two readings are possible. Everything learned from a table
(means, categories, notations) is plain data that a model file can carry; what depends on values is
learned from training rows alone.

    reading.py           a file to a table
    csvtext.py           the text of a CSV file: where its records and columns lie
    packing.py           compressed files
    writing.py           a table to a file: CSV, Excel, Parquet
    chunks.py            columns put together from the chunks in which a file is read
    digits.py            numbers out of cells of a fixed width, all cells at once
    table.py             the table, and its columns as text, numbers, times
    numbers.py           how a column writes numbers, and which cells hold none
    timeline.py          series in time order, their parts and gaps
    time_axis.py         the columns that hold the times: found, read, continued
    time_inference.py    which notation a column of times has, decided from all its cells
    time_candidates.py   which formats a cell may have
    times.py             notations: how a column writes points in time
    time_formats.py      formats of dates: strptime's, with how a file writes them
    time_spans.py        cells with the start and the end of a span
    languages.py         names of months and weekdays in other languages than English
    frequency.py         at which times a series has rows
    zones.py             time zones that explain offsets, names and doubled hours
    calendar_columns.py  inputs that follow from the time of a row
    columns.py           a column as features of a network

Letters: N rows, F features (a number is one feature, a category column one for each category).
"""

from .calendar_columns import CalendarColumn, calendar_columns
from .columns import Column, learn_columns
from .csvtext import normal_name
from .numbers import Notation, find_suspect, find_unit
from .packing import pack
from .reading import read_table
from .table import Table
from .time_axis import AxisReading, TimeAxis
from .timeline import TEST, TRAINING, VALIDATION, Timeline, find_time
from .writing import check_format, encode_table

__all__ = [
    "TEST",
    "TRAINING",
    "VALIDATION",
    "AxisReading",
    "CalendarColumn",
    "Column",
    "Notation",
    "Table",
    "TimeAxis",
    "Timeline",
    "calendar_columns",
    "check_format",
    "encode_table",
    "find_suspect",
    "find_time",
    "find_unit",
    "learn_columns",
    "normal_name",
    "pack",
    "read_table",
]
