"""At which times a series has rows: found from them, continued, and its gaps counted.

Instants are datetime64 (UTC, or clock time where the file names no zone) or numbers. Days and
months are those of the clock in the zone of the file, so that a change of clocks moves no day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .zones import to_instants, to_wall

DAY = 86_400_000_000_000
EVERY_DAY = (0, 1, 2, 3, 4, 5, 6)
_WEEKDAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_UNITS = (
    (DAY, "day"),
    (3_600_000_000_000, "hour"),
    (60_000_000_000, "minute"),
    (1_000_000_000, "second"),
    (1_000_000, "millisecond"),
    (1_000, "microsecond"),
    (1, "nanosecond"),
)
#: A frequency is clear if at least this share of the steps from row to row is one step of it.
CLEAR_SHARE = 0.75
#: With fewer, rows keep to no frequency: their times are whole seconds or days, and that is all.
LEAST_SHARE = 0.5


@dataclass(frozen=True)
class Frequency:
    """Steps from row to row.

    Attributes
    ----------
    unit : {"number", "time", "day", "month"}
    step : int or float
        Units in a step; for "time", nanoseconds.
    regular : bool
        Whether every row is a whole number of steps after the one before. Otherwise `step` is the
        median distance.
    days : tuple of int
        For "month", the days that have rows, ascending; 31 is the last of each month.
    working : bool
        For "month", whether rows of a Saturday or Sunday move to the nearest weekday in the month.
    weekdays : tuple of int
        For "time" and steps of one day, the weekdays that have rows (0 is Monday).
    hours : tuple of int or None
        For "time", the first and the last time of a day that has a row, in nanoseconds.
    """

    unit: str
    step: int | float
    regular: bool = True
    days: tuple[int, ...] = ()
    working: bool = False
    weekdays: tuple[int, ...] = EVERY_DAY
    hours: tuple[int, int] | None = None

    @property
    def pauses(self) -> bool:
        """Whether it leaves out days of the week or hours of the day."""
        return self.weekdays != EVERY_DAY or self.hours is not None

    def to_dict(self) -> dict[str, Any]:
        """As plain data for a model file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Frequency:
        """Inverse of `to_dict`; an error of value, type or look-up for anything else."""
        hours = data["hours"]
        made = cls(
            str(data["unit"]),
            data["step"],
            bool(data["regular"]),
            tuple(map(int, data["days"])),
            bool(data["working"]),
            tuple(map(int, data["weekdays"])),
            None if hours is None else (int(hours[0]), int(hours[1])),
        )
        made._check()
        return made

    def _check(self) -> None:
        whole = isinstance(self.step, int) and not isinstance(self.step, bool)
        number = whole or (isinstance(self.step, float) and np.isfinite(self.step))
        most = {"number": np.inf, "time": 2**62, "day": 10**6, "month": 10**4}[self.unit]
        sound = (
            number and 0 < self.step <= most and (whole or self.unit == "number")
            and set(self.weekdays) <= set(EVERY_DAY) and self.weekdays
            and all(1 <= day <= 31 for day in self.days)
            and (bool(self.days) == (self.unit == "month"))
            and (self.hours is None or 0 <= self.hours[0] <= self.hours[1] < DAY)
        )  # fmt: skip
        if not sound:
            raise ValueError(f"no frequency of rows: {self!r}")

    # --- rows' places ---------------------------------------------------------------------------

    def places(self, instants: NDArray[Any], zone: str) -> NDArray[np.float64]:
        """Numbers, one apart for rows one step apart; fractions where a row is between steps."""
        if self.unit == "number":
            return instants.astype(np.float64) / self.step
        wall = to_wall(instants, zone)
        if self.unit == "month":
            return self._month_places(wall)
        if self.unit == "day":
            return self._day_places(wall) / self.step
        if not self.pauses:
            ns = instants.astype("datetime64[ns]").astype(np.int64)
            return (ns - ns[:1]) / self.step
        first, last = self.hours or (0, DAY - self.step)
        slots = (last - first) // self.step + 1
        return self._day_places(wall, whole=True) * slots + (_time_of_day(wall) - first) / self.step

    def _day_places(self, wall: NDArray[Any], *, whole: bool = False) -> NDArray[np.float64]:
        days = wall.astype("datetime64[D]")
        places = days.astype(np.float64)
        if self.weekdays != EVERY_DAY:
            mask = [day in self.weekdays for day in EVERY_DAY]
            open_before = np.busday_count("1970-01-01", days, weekmask=mask)
            closed = ~np.is_busday(days, weekmask=mask)
            places = open_before.astype(np.float64) - 0.5 * closed
        return places if whole else places + _time_of_day(wall) / DAY

    def _month_places(self, wall: NDArray[Any]) -> NDArray[np.float64]:
        months = wall.astype("datetime64[M]")
        columns = [_day_in_month(months, day, self.working) for day in self.days]
        dates = wall.astype("datetime64[D]")
        hits = np.stack([dates == column for column in columns], axis=1)
        place = np.where(hits.any(axis=1), hits.argmax(axis=1), np.nan)
        months_passed = months.astype(np.int64) / self.step
        time = (_time_of_day(wall) - _time_of_day(wall[:1])) / DAY  # rows stand at one time of day
        return months_passed * len(self.days) + place + time

    # --- the rows that follow -------------------------------------------------------------------

    def after(self, last: Any, count: int, zone: str) -> NDArray[Any]:
        """The times of the `count` rows that follow one at `last`, shape (count,)."""
        k = np.arange(1, count + 1)
        if self.unit == "number":
            return last + k * self.step
        if self.unit == "time" and not self.pauses:
            return last + (k * np.int64(self.step)).astype("timedelta64[ns]")
        start = to_wall(np.array([last]), zone)
        following = {
            "time": self._open_times_after,
            "day": self._days_after,
            "month": self._month_days_after,
        }
        return to_instants(following[self.unit](start, count), zone)

    def _days_after(self, start: NDArray[Any], count: int) -> NDArray[Any]:
        days = np.arange(1, count * 7 // len(self.weekdays) + 8) * self.step
        wall = start + days.astype("timedelta64[D]")
        return wall[np.isin(_weekday(wall), self.weekdays)][:count]

    def _month_days_after(self, start: NDArray[Any], count: int) -> NDArray[Any]:
        months = start.astype("datetime64[M]") + (
            np.arange(count // len(self.days) + 2) * self.step
        ).astype("timedelta64[M]")
        dates = np.stack([_day_in_month(months, day, self.working) for day in self.days], axis=1)
        wall = dates.ravel() + (start - start.astype("datetime64[D]"))
        return wall[wall > start][:count]

    def _open_times_after(self, start: NDArray[Any], count: int) -> NDArray[Any]:
        """Day by day the times that have rows: at whole steps from `start`, outside of pauses."""
        step, now = int(self.step), int(_time_of_day(start)[0])
        first, last = self.hours or (0, DAY - 1)
        first += (now - first) % step
        a_day = max(1, (last - first) // step + 1)
        days = Frequency("day", 1, weekdays=self.weekdays)
        midnight = start.astype("datetime64[D]")
        dates = np.concatenate([midnight, days._days_after(midnight, -(-count // a_day))])
        passed = min(a_day, max(0, (now - first) // step + 1))  # of the first day
        slots = np.arange(passed, passed + count)
        times = first + slots % a_day * step
        return dates[slots // a_day] + times.astype("timedelta64[ns]")

    # --- in words -------------------------------------------------------------------------------

    def __str__(self) -> str:
        if not self.regular:
            return f"no regular step, {self._size()} at the median"
        if self.unit == "month":
            return self._size() + self._days_in_words()
        if self.weekdays != EVERY_DAY:
            names = ", ".join(_WEEKDAY_NAMES[day] for day in self.weekdays)
            names = "Mon to Fri" if self.weekdays == EVERY_DAY[:5] else names
            return f"{self._size()}, {names}{self._hours_in_words()}"
        return self._size() + self._hours_in_words()

    def _size(self) -> str:
        if self.unit == "number":
            return f"{self.step:g}"
        if self.unit == "month":
            for months, name in ((12, "year"), (3, "quarter"), (1, "month")):
                if self.step % months == 0:
                    return _some(int(self.step) // months, name)
        size = int(self.step) * (DAY if self.unit == "day" else 1)
        if size % (7 * DAY) == 0:
            return _some(size // (7 * DAY), "week")
        scale, name = next(unit for unit in _UNITS if size % unit[0] == 0 or size >= 100 * unit[0])
        return _some(size / scale, name)

    def _days_in_words(self) -> str:
        if self.working:
            return ", its last weekday" if self.days == (31,) else ", its first weekday"
        if len(self.days) > 1:
            return ", days " + ", ".join("last" if day == 31 else str(day) for day in self.days)
        return {1: "", 31: ", its last day"}.get(self.days[0], f", day {self.days[0]}")

    def _hours_in_words(self) -> str:
        if self.hours is None:
            return ""
        first, last = (
            f"{ns // 3_600_000_000_000:02}:{ns // 60_000_000_000 % 60:02}" for ns in self.hours
        )
        return f", {first} to {last}"


def _some(count: float, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count:g} {noun}s"


def _time_of_day(wall: NDArray[Any]) -> NDArray[np.int64]:
    """Nanoseconds since midnight."""
    since = (wall - wall.astype("datetime64[D]")).astype("timedelta64[ns]")
    return since.astype(np.int64)


def _weekday(wall: NDArray[Any]) -> NDArray[np.int64]:
    return (wall.astype("datetime64[D]").astype(np.int64) + 3) % 7


def _day_in_month(months: NDArray[Any], day: int, working: bool) -> NDArray[Any]:
    """The date of a day in each month; the last where a month has not so many."""
    first = months.astype("datetime64[D]")
    last = (months + 1).astype("datetime64[D]") - 1
    dates = np.minimum(first + (day - 1), last)
    return (
        np.busday_offset(dates, 0, roll="modifiedpreceding" if day > 15 else "modifiedfollowing")
        if working
        else dates
    )


# --- from rows to a frequency -------------------------------------------------------------------


@dataclass(frozen=True)
class Grid:
    """A frequency and how well rows keep to it.

    Attributes
    ----------
    frequency : Frequency
    clear : bool
        Whether most rows are one step apart, so that a longer step is a gap.
    absent : int
        Rows that the gaps lack.
    """

    frequency: Frequency
    clear: bool
    absent: int


def find_grid(instants: NDArray[Any], same: NDArray[np.bool_], zone: str = "") -> Grid | None:
    """The frequency of rows in time order; None if no two of a series differ in time.

    Parameters
    ----------
    instants : ndarray, shape (N,)
        Series by series, ascending in each.
    same : ndarray of bool, shape (N - 1,)
        Whether a row and the next belong to one series.
    zone : str
        That of the clock.
    """
    steps = np.diff(instants)[same]
    steps = steps[steps > steps.dtype.type(0)]
    if not len(steps):
        return None
    irregular = None
    for frequency in _possible(instants, steps, zone):
        grid = measure(frequency, instants, same, zone)
        if grid is not None and grid.clear:
            return grid
        irregular = irregular or grid
    return irregular or Grid(_median(steps, to_wall(instants, zone)), False, 0)


def measure(
    frequency: Frequency, instants: NDArray[Any], same: NDArray[np.bool_], zone: str
) -> Grid | None:
    """How well rows keep to a frequency; None if they do not."""
    if not frequency.regular:
        return None
    steps = np.diff(frequency.places(instants, zone))[same]
    whole = np.rint(steps)
    tolerance = 1e-3 if frequency.unit == "number" else 1e-6
    if not np.all(np.abs(steps - whole) <= tolerance):  # NaN for days without rows
        return None
    distances = np.diff(instants)[same]
    moved = whole[distances > distances.dtype.type(0)]
    if (moved < 1).any():
        return None
    absent = int((moved - 1).sum())
    share = np.mean(moved == 1) if len(moved) else 1.0
    if share < LEAST_SHARE:
        return None
    clear = bool(share >= CLEAR_SHARE) and absent <= len(instants)
    return Grid(frequency, clear, absent)


def _possible(instants: NDArray[Any], steps: NDArray[Any], zone: str) -> Iterator[Frequency]:
    """Frequencies that rows may have, the one that says most about them first."""
    sizes, counts = np.unique(steps, return_counts=True)
    usual, shortest = sizes[np.argmax(counts)], sizes[0]
    if steps.dtype.kind != "m":
        yield Frequency("number", usual.item())
        return
    wall = to_wall(instants, zone)
    day = np.timedelta64(1, "D")
    if shortest >= np.timedelta64(27, "D"):
        yield from _monthly(wall)
    if shortest >= np.timedelta64(22, "h"):
        yield from _daily(wall, max(1, int(np.rint(usual / day))))
    if shortest >= 5 * day and 1 < len(days := _days_of_month(wall)) <= 4:
        yield Frequency("month", 1, days=days)
    usual_ns = int(usual.astype("timedelta64[ns]").astype(np.int64))
    if pauses := _pauses(wall, usual_ns):
        yield from (f for f in (Frequency("time", usual_ns), Frequency("time", usual_ns, **pauses)))
    else:
        yield Frequency("time", usual_ns)


def _monthly(wall: NDArray[Any]) -> Iterator[Frequency]:
    """Steps of whole months: on one day of the month, or its first or last weekday."""
    months = np.unique(wall.astype("datetime64[M]").astype(np.int64))
    if len(months) < 2:
        return
    sizes, counts = np.unique(np.diff(months), return_counts=True)
    step = int(sizes[np.argmax(counts)])
    dates, in_months = wall.astype("datetime64[D]"), wall.astype("datetime64[M]")
    latest = int(_day_of_month(wall).max())
    for day, working in ((31, False), (latest, False), (1, True), (31, True)):
        if np.array_equal(_day_in_month(in_months, day, working), dates):
            yield Frequency("month", step, days=(day,), working=working)


def _daily(wall: NDArray[Any], usual: int) -> Iterator[Frequency]:
    """Steps of whole days, or from one weekday that has rows to the next."""
    weekdays = tuple(np.unique(_weekday(wall)).tolist())
    long = wall.max() - wall.min() >= np.timedelta64(14, "D")
    some_days = [Frequency("day", 1, weekdays=weekdays)] if long and 1 < len(weekdays) < 7 else []
    every = [Frequency("day", usual)]
    yield from (some_days + every if usual == 1 else every + some_days)


def _pauses(wall: NDArray[Any], step: int) -> dict[str, Any]:
    """Weekdays and hours that never have rows, as arguments of a Frequency."""
    if 2 * step > DAY or wall.max() - wall.min() < np.timedelta64(3, "D"):
        return {}
    found: dict[str, Any] = {}
    weekdays = tuple(np.unique(_weekday(wall)).tolist())
    if len(weekdays) < 7 and wall.max() - wall.min() >= np.timedelta64(14, "D"):
        found["weekdays"] = weekdays
    time = _time_of_day(wall)
    first, last = int(time.min()), int(time.max())
    if last - first < DAY - 2 * step:
        found["hours"] = (first, last)
    return found


def _median(steps: NDArray[Any], wall: NDArray[Any]) -> Frequency:
    """The median distance, where rows keep to no step."""
    if steps.dtype.kind != "m":
        return Frequency("number", float(np.median(steps)), regular=False)
    step = np.median(steps.astype("timedelta64[ns]").astype(np.int64))
    if not _time_of_day(wall).any():  # dates: the next row is on a date too
        return Frequency("day", max(1, round(step / DAY)), regular=False)
    return Frequency("time", max(1, int(step)), regular=False)


def _days_of_month(wall: NDArray[Any]) -> tuple[int, ...]:
    """The days of the month that have rows; 31 for the last of every month."""
    days = _day_of_month(wall)
    dates, months = wall.astype("datetime64[D]"), wall.astype("datetime64[M]")
    last = (days >= 28) & (dates == _day_in_month(months, 31, False))
    return tuple(np.unique(np.where(last, 31, days)).tolist())


def _day_of_month(wall: NDArray[Any]) -> NDArray[np.int64]:
    dates = wall.astype("datetime64[D]")
    return (dates - dates.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64) + 1
