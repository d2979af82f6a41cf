"""Which rows a model was trained on, so that `predict` scores the others only."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cylstm.tables import Table, Timeline
from cylstm.tables.optional import import_pandas

from .recipe import Recipe


def learn_seen(
    recipe: Recipe, table: Table, timeline: Timeline, seen: NDArray[np.bool_]
) -> dict[str, Any]:
    """Until where each series was seen, by its name, as plain data.

    With a time column the last time seen. Without one the number of rows seen, and a digest of
    their targets by which to know them again. `seen`, shape (N,), is the beginning of each series.
    """
    found: dict[str, Any] = {}
    for name, places in timeline.series:
        rows = timeline.rows[places][seen[places]]
        if len(rows) and recipe.time:
            found[name] = _instants(table, recipe.time)[rows[-1]]
        elif len(rows):
            found[name] = [len(rows), _digest(recipe, table, rows)]
    return found


def unseen(recipe: Recipe, table: Table, timeline: Timeline) -> NDArray[np.bool_]:
    """Which positions were not seen in training, shape (N,)."""
    new = np.ones(len(timeline), bool)
    instants = _instants(table, recipe.time) if recipe.time else None
    for name, places in timeline.series:
        until, rows = recipe.seen.get(name), timeline.rows[places]
        if until is None:
            continue
        if instants is not None:
            new[places] = [instants[row] > until for row in rows]
        elif _digest(recipe, table, rows[: until[0]]) == until[1]:
            new[places.start : places.start + until[0]] = False
    return new


def _instants(table: Table, time: str) -> list[Any]:
    """Times that compare, as JSON holds them: numbers, or dates in ISO 8601 to the nanosecond."""
    instants = table.times(time).instants
    if instants.dtype.kind not in "iuf":
        utc = import_pandas().to_datetime(instants, utc=True).dt.tz_localize(None)
        instants = utc.to_numpy("datetime64[ns]").astype(str)
    found: list[Any] = instants.tolist()
    return found


def _digest(recipe: Recipe, table: Table, rows: NDArray[np.int64]) -> str:
    if recipe.target not in table.columns:
        return ""
    cells = "\n".join(table.text(recipe.target).iloc[rows])
    return hashlib.sha256(cells.encode()).hexdigest()[:16]
