"""Which rows a model was trained on, so that `predict` scores the others only."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cylstm.tables import Table, Timeline

from .recipe import Recipe


def learn_seen(
    recipe: Recipe, table: Table, timeline: Timeline, seen: NDArray[np.bool_]
) -> dict[str, Any]:
    """Until where each series was seen, by its name, as plain data.

    With times the last one seen: a number, or a date in ISO 8601. Without times the number of rows
    seen, and a digest of their targets by which to know them again. `seen`, shape (N,), is the
    beginning of each series.
    """
    found: dict[str, Any] = {}
    for name, places in timeline.series:
        rows = timeline.rows[places][seen[places]]
        if len(rows) and timeline.instants is not None:
            last = timeline.instants[places][seen[places]][-1]
            found[name] = str(last) if last.dtype.kind == "M" else last.item()
        elif len(rows):
            found[name] = [len(rows), _digest(recipe, table, rows)]
    return found


def unseen(recipe: Recipe, table: Table, timeline: Timeline) -> NDArray[np.bool_]:
    """Which positions were not seen in training, shape (N,)."""
    new = np.ones(len(timeline), bool)
    instants = timeline.instants
    for name, places in timeline.series:
        until, rows = recipe.seen.get(name), timeline.rows[places]
        if until is None:
            continue
        if instants is not None:
            dates = instants.dtype.kind == "M"
            if dates == isinstance(until, str):  # else they do not compare
                new[places] = instants[places] > (np.datetime64(until) if dates else until)
        elif _digest(recipe, table, rows[: until[0]]) == until[1]:
            new[places.start : places.start + until[0]] = False
    return new


def _digest(recipe: Recipe, table: Table, rows: NDArray[np.int64]) -> str:
    if recipe.target not in table.columns:
        return ""
    cells = "\n".join(table.text(recipe.target).iloc[rows])
    return hashlib.sha256(cells.encode()).hexdigest()[:16]
