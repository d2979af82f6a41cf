"""Inputs that follow from the time of a row alone, and so are known of rows to come."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .table import Table
from .timeline import Timeline

Floats = NDArray[np.float64]
_HOLIDAYS = re.compile(r"holidays:([A-Z]{2,4})(?:-([A-Za-z0-9]{1,5}))?")


@dataclass(frozen=True)
class CalendarColumn:
    """A feature of the calendar.

    Attributes
    ----------
    name : str
        "hour" (the time of day), "weekday", "month" (the time of year), or "holidays:" with a
        country and perhaps a part of it, such as "holidays:DE" or "holidays:US-CA".
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in _FEATURES and not _HOLIDAYS.fullmatch(self.name):
            raise ValueError(
                f"calendar: expected {', '.join(_FEATURES)} or holidays:COUNTRY, such as "
                f"holidays:DE or holidays:US-CA, got {self.name!r}"
            )

    @property
    def features(self) -> list[str]:
        """Name of each feature the column becomes."""
        names = _FEATURES[self.name][0] if self.name in _FEATURES else ("",)
        return [f"{self.name} {name}".strip() for name in names]

    def at(self, wall: NDArray[Any]) -> Floats:
        """The features at what the clock shows, datetime64 of shape (N,): shape (N, features).

        Raises
        ------
        ValueError
            If there is no such country, or no such part of it.
        ModuleNotFoundError
            For holidays, if the package of this name is not installed.
        """
        if self.name in _FEATURES:
            return _FEATURES[self.name][1](wall)
        return _holidays(self.name, wall)

    def encode(self, table: Table, timeline: Timeline) -> Floats:
        """The features over positions, shape (N, features).

        Raises
        ------
        ValueError
            If the table's rows have no dates.
        """
        if timeline.axis is None or timeline.instants is None:
            raise ValueError(
                f"{table.path}: {self.name!r} of the calendar needs the dates of rows; which "
                "column holds them? (--time)"
            )
        return self.at(timeline.axis.wall(timeline.instants))


def _turn(share: Floats) -> Floats:
    """A place on a circle, so that its end is next to its begin."""
    return np.column_stack([np.sin(2 * np.pi * share), np.cos(2 * np.pi * share)])


def _share(wall: NDArray[Any], unit: str) -> Floats:
    """How much of a day or a year has passed."""
    begin = wall.astype(f"datetime64[{unit}]")
    begin, end = begin.astype("datetime64[us]"), (begin + 1).astype("datetime64[us]")
    return (wall.astype("datetime64[us]") - begin) / (end - begin)


def _weekdays(wall: NDArray[Any]) -> Floats:
    weekday = (wall.astype("datetime64[D]").astype(np.int64) + 3) % 7
    return np.eye(7)[weekday]


_FEATURES: dict[str, tuple[tuple[str, ...], Callable[[NDArray[Any]], Floats]]] = {
    "hour": (("sine", "cosine"), lambda wall: _turn(_share(wall, "D"))),
    "weekday": (("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), _weekdays),
    "month": (("sine", "cosine"), lambda wall: _turn(_share(wall, "Y"))),
}


def _holidays(name: str, wall: NDArray[Any]) -> Floats:
    """1 on holidays, else 0; shape (N, 1)."""
    try:
        import holidays
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"{name!r} needs the package holidays: pip install holidays"
        ) from None
    match = _HOLIDAYS.fullmatch(name)
    assert match is not None
    dates = wall.astype("datetime64[D]")
    years = np.unique(dates.astype("datetime64[Y]").astype(np.int64) + 1970)
    try:
        days = holidays.country_holidays(match[1], subdiv=match[2], years=years.tolist())
    except NotImplementedError as error:
        raise ValueError(f"{name!r}: {error}") from None
    return np.isin(dates, np.array(sorted(days), "datetime64[D]")).astype(np.float64)[:, None]


def calendar_columns(names: Iterable[str]) -> tuple[CalendarColumn, ...]:
    """A column for each name; ValueError for one that is unknown."""
    return tuple(CalendarColumn(name) for name in dict.fromkeys(names))
