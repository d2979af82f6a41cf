"""Tables of text cells: reading and writing, columns as numbers, series in time order.

A table is kept as the text of its cells, so that what is written back is what was read and an
error can quote the cell. Everything learned from a table (means, categories) is learned from its
training rows alone and is plain data that a model file can carry.

    reading.py    a file to a table
    table.py      the table, and its columns as text, numbers, times
    numbers.py    how a column writes numbers, and which cells hold none
    times.py      how a column writes points in time, and what comes after the last
    timeline.py   series in time order, and their parts
    columns.py    a column as features of a network

Letters: N rows, F features (a number is one feature, a category column one for each category).
"""

from .columns import Column, learn_columns
from .reading import read_table
from .table import Table
from .timeline import TEST, TRAINING, VALIDATION, Timeline
from .times import future_times

__all__ = [
    "TEST",
    "TRAINING",
    "VALIDATION",
    "Column",
    "Table",
    "Timeline",
    "future_times",
    "learn_columns",
    "read_table",
]
