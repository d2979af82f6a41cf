"""Tables of text cells: reading and writing, columns as numbers, series in time order.

The text of the file is kept and written back as it is; columns are read from it by pandas as numbers
where they are, otherwise as texts. How a column writes numbers is decided from all its cells, with
the other columns as witnesses where two readings are possible. Everything learned from a table (means, categories) is learned from its
training rows alone and is plain data that a model file can carry.

    reading.py    a file to a table
    csvtext.py    the text of a CSV file: where its records and columns lie
    chunks.py     columns put together from the chunks in which a file is read
    table.py      the table, and its columns as text, numbers, times
    numbers.py    how a column writes numbers, and which cells hold none
    times.py      how a column writes points in time, and what comes after the last
    timeline.py   series in time order, and their parts
    columns.py    a column as features of a network

Letters: N rows, F features (a number is one feature, a category column one for each category).
"""

from .columns import Column, learn_columns
from .csvtext import normal_name
from .numbers import Notation
from .reading import read_table
from .table import Table
from .timeline import TEST, TRAINING, VALIDATION, Timeline
from .times import future_times

__all__ = [
    "TEST",
    "TRAINING",
    "VALIDATION",
    "Column",
    "Notation",
    "Table",
    "Timeline",
    "future_times",
    "learn_columns",
    "normal_name",
    "read_table",
]
