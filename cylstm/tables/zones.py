"""Time zones: which one explains the offsets, the names or the doubled hours of a column."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from cylstm.arrays import quote

from .optional import import_pandas

if TYPE_CHECKING:
    import pandas as pd

#: Zones to try, one for each set of rules in wide use; of several that explain a column, the first.
ZONES = (
    "Europe/Berlin", "Europe/London", "America/New_York", "America/Chicago", "America/Los_Angeles",
    "America/Denver", "Europe/Helsinki", "Europe/Lisbon", "Australia/Sydney", "Pacific/Auckland",
    "Australia/Adelaide", "America/Halifax", "America/St_Johns", "America/Anchorage",
    "America/Santiago", "Asia/Jerusalem", "Africa/Cairo", "Europe/Dublin", "Europe/Chisinau",
    "UTC", "Europe/Moscow", "Asia/Tokyo", "Asia/Seoul", "Asia/Hong_Kong", "Asia/Karachi",
    "America/Phoenix", "Pacific/Honolulu", "Australia/Brisbane", "Australia/Perth",
    "Australia/Darwin", "Africa/Johannesburg", "Africa/Lagos", "Africa/Nairobi", "Asia/Jakarta",
)  # fmt: skip


class ZoneError(ValueError):
    """Names of zones that no clock known here shows at the times beside them."""


def zone_info(zone: str) -> tzinfo:
    """The zone of a name such as Europe/Berlin, or of an offset such as +01:00.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if zone[:1] in ("+", "-"):
        return timezone(timedelta(seconds=parse_offset(zone)))
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{zone!r} is no time zone known here, such as Europe/Berlin") from None


def parse_offset(text: str) -> int:
    """Seconds of Z, +01:00, +0100 or +01; ValueError for anything else."""
    if text == "Z":
        return 0
    digits = text[1:].replace(":", "")
    if text[0] not in "+-" or len(digits) not in (2, 4) or not digits.isdecimal():
        raise ValueError(f"{quote(text)} is no offset such as +01:00")
    seconds = 3600 * int(digits[:2]) + 60 * int(digits[2:] or 0)
    if seconds >= 86400:
        raise ValueError(f"{quote(text)} is no offset of less than a day")
    return -seconds if text[0] == "-" else seconds


def to_wall(instants: NDArray[Any], zone: str) -> NDArray[Any]:
    """What a clock in the zone shows at instants (UTC); both datetime64."""
    if not zone or zone == "UTC":
        return instants
    local = _index(instants).tz_localize("UTC").tz_convert(zone_info(zone))
    return local.tz_localize(None).to_numpy()


def to_instants(wall: NDArray[Any], zone: str) -> NDArray[Any]:
    """When a clock in the zone shows this: the first time of two, the next where it skips."""
    if not zone or zone == "UTC":
        return wall
    first = np.ones(len(wall), bool)
    local = _index(wall).tz_localize(zone_info(zone), ambiguous=first, nonexistent="shift_forward")
    return local.tz_convert("UTC").tz_localize(None).to_numpy()


def _index(moments: NDArray[Any]) -> pd.DatetimeIndex:
    return import_pandas().DatetimeIndex(moments)


def from_offsets(wall: NDArray[Any], tails: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """Instants and the zone, from clock times and the offset written beside each.

    The zone is the fixed offset where there is only one, else one whose clock has these offsets,
    and where none has, the offset of the last instant.

    Raises
    ------
    ValueError
        If an offset is none.
    """
    codes, names = import_pandas().factorize(tails)
    seconds = np.array([parse_offset(name) for name in names])[codes]
    instants = wall - seconds.astype("timedelta64[s]")
    if len(set(seconds.tolist())) > 1:
        for zone in ZONES:
            if np.array_equal(to_wall(instants, zone), wall):
                return instants, zone
    last = names[codes[int(np.argmax(instants))]]
    return instants, "UTC" if last == "Z" else str(last)


def from_names(wall: NDArray[Any], tails: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """Instants and the zone, from clock times and the name of a zone written beside each.

    The zone is empty where one name stands in all rows and is not known: whatever it means, it
    means the same everywhere.

    Raises
    ------
    ZoneError
        If no zone known here explains the names.
    """
    codes, names = import_pandas().factorize(tails)
    if len(names) == 1 and "/" in names[0]:
        return to_instants(wall, names[0]), str(names[0])
    for zone, offsets in _zones_with(set(names), wall):
        seconds = np.array([offsets[name] for name in names])[codes]
        instants = wall - seconds.astype("timedelta64[s]")
        if np.array_equal(to_wall(instants, zone), wall):
            return instants, zone
    if len(names) == 1:
        return wall, ""
    raise ZoneError(
        f"no time zone known here has the names {', '.join(sorted(names))} at these times; "
        "offsets such as +01:00 say what is meant"
    )


def _zones_with(names: set[str], wall: NDArray[Any]) -> Iterator[tuple[str, dict[str, int]]]:
    """Zones that know these names, and what offset in seconds each name stands for."""
    pd = import_pandas()
    first, last = (pd.Timestamp(moment).year for moment in (wall.min(), wall.max()))
    moments = [pd.Timestamp(y, m, 1, tz="UTC") for y in range(first, last + 1) for m in (1, 7)]
    for zone in ZONES:
        local = [moment.tz_convert(zone_info(zone)) for moment in moments]
        offsets = {time.tzname(): round(time.utcoffset().total_seconds()) for time in local}
        if names <= offsets.keys():
            yield zone, {name: offsets[name] for name in names}


def from_clock(
    wall: NDArray[Any], zone: str, shown: NDArray[np.int64], shows: NDArray[np.int64]
) -> NDArray[Any]:
    """Instants of what a clock without offsets showed; NaT where it could not.

    `shown` says how many rows of the series before a row, in the order of time, show the same;
    `shows` how many do in all. The first half of them belongs to the summer time that ends.
    """
    local = _index(wall).tz_localize(
        zone_info(zone), ambiguous=2 * shown < shows, nonexistent="NaT"
    )
    return local.tz_convert("UTC").tz_localize(None).to_numpy()


@cache
def zones_with_summer_time() -> tuple[str, ...]:
    """The zones whose clocks are changed during the year."""
    moments = [datetime(2023, month, 1, tzinfo=UTC) for month in (1, 7)]
    return tuple(
        zone
        for zone in ZONES
        if len({moment.astimezone(zone_info(zone)).utcoffset() for moment in moments}) > 1
    )
