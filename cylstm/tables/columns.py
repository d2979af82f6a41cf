"""A column as features of a network, as its training rows teach it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .numbers import find_unit
from .optional import import_pandas
from .table import Table
from .timeline import Timeline

#: A text column with more different values than this, or with values that mostly come once, is a
#: name or a key, not a category.
MAX_CATEGORIES = 100
#: Why a column that counts down is no input.
FALLING = "falls with every row, like a time that runs backwards"


@dataclass(frozen=True)
class Column:
    """An input column and what the training rows taught about it.

    Attributes
    ----------
    name : str
    fill : float
        For numbers: their mean, which stands in where a series has no value yet.
    categories : tuple of str or None
        For categories: the values that have a feature of their own; None for numbers.
    """

    name: str
    fill: float = 0.0
    categories: tuple[str, ...] | None = None

    @property
    def features(self) -> list[str]:
        """Name of each feature the column becomes."""
        if self.categories is None:
            return [self.name]
        return [f"{self.name}={value}" for value in self.categories]

    def encode(self, table: Table, timeline: Timeline) -> NDArray[np.float64]:
        """The column over positions, shape (N, features).

        Missing numbers take the last value of their series, before the first the training mean.
        A category that is missing or was not seen in training is 0 in every feature.
        """
        if self.categories is not None:
            found = import_pandas().Index(self.categories).get_indexer(table.text(self.name))
            codes = found[timeline.rows]
            return (codes[:, None] == np.arange(len(self.categories))).astype(np.float64)
        values = table.numbers(self.name)[timeline.rows]
        filled = timeline.fill_forward(values, np.isnan(values))
        return np.where(np.isnan(filled), self.fill, filled)[:, None]

    def to_dict(self) -> dict[str, Any]:
        """As plain data for a model file."""
        if self.categories is None:
            return {"name": self.name, "fill": self.fill}
        return {"name": self.name, "categories": list(self.categories)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Column:
        """Inverse of `to_dict`."""
        categories = data.get("categories")
        return cls(
            str(data["name"]),
            float(data.get("fill", 0.0)),
            None if categories is None else tuple(map(str, categories)),
        )


def learn_columns(
    table: Table,
    timeline: Timeline,
    training: NDArray[np.bool_],
    names: Sequence[str] | None,
    *,
    exclude: Iterable[str | None] = (),
    categories: Sequence[str] = (),
) -> tuple[list[Column], dict[str, str]]:
    """Choose the input columns and learn from the training rows how to read them.

    Parameters
    ----------
    table : Table
    timeline : Timeline
        The order of its rows.
    training : ndarray of bool, shape (N,)
        The rows to learn from.
    names : sequence of str or None
        The columns to use; None: every one that can be and is not a mere counter, less `exclude`.
    exclude : iterable of str or None
        Columns with another part to play.
    categories : sequence of str
        Columns to read as categories although they hold numbers or very many different texts.

    Returns
    -------
    columns : list of Column
    ignored : dict of str to str
        Columns left out and why; always empty when `names` is given.

    Raises
    ------
    ValueError
        If a named column is absent or cannot be used.
    """
    table.require([*(names or ()), *categories])
    excluded = set(exclude)
    columns, ignored = [], {}
    for name in names if names is not None else table.columns:
        if names is None and name in excluded:
            continue
        column, problem = _learn_column(table, name, training, as_text=name in categories)
        if names is None and not problem:
            problem = _counter_problem(table, timeline, column)
        if problem and names is not None:
            raise ValueError(f"{table.path}: column {name!r} cannot be an input: {problem}")
        if problem:
            ignored[name] = problem
        else:
            columns.append(column)
    return columns, ignored


def _counter_problem(table: Table, timeline: Timeline, column: Column) -> str:
    """Why a counter is of no use: later rows can only lie outside of its range seen in training."""
    if column.categories is not None:
        return ""
    steps = np.diff(table.numbers(column.name)[timeline.rows])
    steps = steps[timeline.start[1:] == timeline.start[:-1]]  # not from series to series
    if len(steps) > 1 and (steps > 0).all():
        return "rises with every row, like a time"
    if len(steps) > 1 and (steps < 0).all():
        advice = f"; is the file newest first? --time {column.name} sorts by it"
        return FALLING + ("" if timeline.axis else advice)
    return ""


def _learn_column(
    table: Table, name: str, training: NDArray[np.bool_], *, as_text: bool
) -> tuple[Column, str]:
    """A column as learned from its training rows, and why it is of no use, if it is not."""
    present = training & ~table.missing(name)
    if not present.any():
        return Column(name), "no value in the training part"
    if not as_text and table.looks_numeric(name):
        return Column(name, fill=float(table.numbers(name)[present].mean())), ""
    values = tuple(sorted(set(table.text(name)[present])))
    unit = "" if as_text else find_unit(values)
    if unit and len(values) > min(MAX_CATEGORIES, np.count_nonzero(present) / 2):
        return Column(name), f"numbers with the unit {unit!r}; leave it out of the cells"
    if not as_text and len(values) > min(MAX_CATEGORIES, np.count_nonzero(present) / 2):
        return Column(name), f"{len(values)} different texts in {np.count_nonzero(present)} rows"
    return Column(name, categories=values), ""
