"""Tables of text cells: reading and writing, columns as numbers, series in time order.

The text of the file is kept and written back as it is. Columns are read from it by pandas, as
numbers where they are, otherwise as texts. How a column writes numbers is decided from all its
cells, and by the other columns where two readings are possible. Everything learned from a table
(means, categories, notations) is plain data that a model file can carry; what depends on values is
learned from training rows alone.

    reading.py    a file to a table
    csvtext.py    the text of a CSV file: where its records and columns lie
    packing.py    compressed files
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
from .numbers import Notation, find_suspect
from .packing import pack
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
    "find_suspect",
    "future_times",
    "learn_columns",
    "normal_name",
    "pack",
    "read_table",
]
