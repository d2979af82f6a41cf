"""How a column writes points in time, and what comes after the last of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .optional import import_pandas

if TYPE_CHECKING:
    import pandas as pd

    from .table import Table


class Times(NamedTuple):
    """Points in time, one for each row.

    Attributes
    ----------
    instants : pandas.Series
        Numbers or dates (UTC).
    notation : str or None
        How the file writes its dates, as strftime takes it; None for numbers.
    """

    instants: pd.Series
    notation: str | None


def read_dates(texts: pd.Series) -> Times:
    """Dates in one notation for all, with the month first where both orders would do."""
    pd = import_pandas()
    readings = []
    for day_first in (False, True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # pandas on orders it has to guess
            notation = pd.tseries.api.guess_datetime_format(texts.iloc[0], dayfirst=day_first)
            dates = pd.to_datetime(texts, format=notation, errors="coerce", utc=True)
        readings.append(Times(dates, notation or "%Y-%m-%d %H:%M:%S"))
    whole = [times for times in readings if times.instants.notna().all()]
    return (whole or readings)[0]


def future_times(
    table: Table, time: str, series: Sequence[NDArray[np.int64]], steps: int
) -> list[str]:
    """Continue the time column: the cells of the `steps` rows after each of some series.

    `series` are the series' rows in time order. Dates continue at their frequency (months stay
    months) where they have one, all else at the median distance, in the notation of the file.
    A series of one row has no distance and gets empty cells.
    """
    instants, notation = table.times(time)
    cells: list[str] = []
    for rows in series:
        cells += _continue_times(instants.iloc[rows].reset_index(drop=True), notation, steps)
    return cells


def _continue_times(instants: pd.Series, notation: str | None, steps: int) -> list[str]:
    """Times after the last of one series."""
    pd = import_pandas()
    if len(instants) < 2:
        return [""] * steps
    distance, last = instants.diff().median(), instants.iloc[-1]
    if notation is None:
        return [f"{last + k * distance:.12g}" for k in range(1, steps + 1)]
    # Three dates are the fewest from which pandas names a frequency.
    frequency = pd.infer_freq(instants) if len(instants) > 2 else None
    future = pd.date_range(last, periods=steps + 1, freq=frequency or distance)[1:]
    return list(future.strftime(notation))
