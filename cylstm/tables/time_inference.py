"""Which notation a column of times has, decided from all its cells.

Every notation that the first cells allow is tried on all cells. Of several that read them all, that
one holds in which the rows are in order and evenly spaced, if the others are not; if that does not
tell, the user has to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cylstm.arrays import quote

from . import time_formats as formats
from .frequency import find_grid
from .languages import find_names, may_have_names
from .numbers import is_missing
from .optional import import_pandas
from .time_candidates import Candidate, as_candidate, candidates
from .time_spans import Span, split
from .times import (
    EPOCHS,
    Clock,
    DateNotation,
    NumberNotation,
    Times,
    count_shown,
    is_none,
    parse_plain_numbers,
    read_numbers,
)
from .zones import ZoneError, from_clock, zones_with_summer_time

if TYPE_CHECKING:
    import pandas as pd

SAMPLE = 400
MOST_FORMATS = 4
#: Numerals that run together are dates only in these years, else plain numbers.
YEARS = (1600, 2300)
#: Seconds since 1970 are taken for such from 2001 to 2039.
EPOCH_SECONDS = (1e9, 2.2e9)


class UndecidedTimesError(ValueError):
    """A column of times that can be read in two ways."""


@dataclass(frozen=True)
class Inference:
    """Times as read, and what spoke for this reading where there was another.

    Attributes
    ----------
    times : Times
    reason : str
        Empty where no other notation reads all cells.
    """

    times: Times
    reason: str = ""


def infer_times(texts: pd.Series, series: NDArray[np.int64], given: str | None = None) -> Inference:
    """Read a column in the one notation that fits all its cells.

    Parameters
    ----------
    texts : Series of str, shape (N,)
        Cells without surrounding blanks; those of several columns with COLUMN_BREAK between them.
    series : ndarray of int, shape (N,)
        Number of the series that each row belongs to.
    given : str, optional
        The notation, as `--time-format` takes it: a format, "number", or a key of EPOCHS.

    Raises
    ------
    UndecidedTimesError
        If two notations are possible and nothing speaks for one of them.
    CellError
        If no notation reads all cells.
    """
    if (missing := is_missing(texts)).any():
        numeric = given is None and _looks_numeric(texts)
        raise CellError(int(np.argmax(missing)), _NUMBER if numeric else _DATE)
    if split(texts.iloc[0])[1]:
        return _infer_spans(texts, series, given)
    if may_have_names(texts.iloc[0], ["Jan"]):  # or else 3. Mär 2022 is read as %m. Mär %Y
        named = _readings_by_names(texts, series, given, 0)
        return _decide(named or list(_readings(texts, series, given)), texts, series)
    try:
        readings = list(_readings(texts, series, given))
    except CellError as error:
        readings = _readings_by_names(texts, series, given, error.row)
        if not readings:
            raise
    return _decide(readings, texts, series)


def _infer_spans(texts: pd.Series, series: NDArray[np.int64], given: str | None) -> Inference:
    """Read spans of time by their starts."""
    starts, marks, ends = (
        import_pandas().Series(some, dtype=object) for some in zip(*map(split, texts), strict=True)
    )
    if (single := marks == "").any():
        raise CellError(int(np.argmax(single)), "a span of time (as the column's others are)")
    inference = infer_times(starts, series, given)
    notation = inference.times.notation
    assert isinstance(notation, DateNotation)  # starts have colons
    span = _find_span(notation.read_clock(starts).wall, marks.iloc[0], ends)
    return replace(inference, times=inference.times._replace(notation=replace(notation, span=span)))


def _find_span(starts: NDArray[Any], mark: str, ends: pd.Series) -> Span:
    """How the ends of spans are written, and how long most are."""
    best, longest = (0.0, 0), Span(mark, "%H:%M", 0)
    for candidate in candidates(ends.iloc[0]):
        notation = DateNotation((candidate.form,), midnight_24=True)
        lengths = notation.read_clock(ends).wall - starts
        if not notation.has_date:
            lengths %= np.timedelta64(1, "D")
        sizes, counts = np.unique(lengths[~np.isnat(lengths)], return_counts=True)
        if len(sizes):
            seconds = int(sizes[counts.argmax()] / np.timedelta64(1, "s")) or 86_400
            late = bool(ends.str.contains(r"\b24:", regex=True).any())
            form = formats.as_written(candidate.form, _spread(ends))
            merit = (counts.max() / len(ends), seconds > 0)
            best, longest = max(
                (best, longest), (merit, Span(mark, form, seconds, late)), key=lambda pair: pair[0]
            )
    if not longest.seconds > 0:
        raise CellError(0, "a span of time that ends after its start")
    return longest


class CellError(ValueError):
    """A cell that is no time: its row and what was expected."""

    def __init__(self, row: int, expected: str) -> None:
        super().__init__(f"row {row + 1}: expected {expected}")
        self.row, self.expected = row, expected


_DATE = "a number or a date"
_LANGUAGES = " (for names of months in other languages than English: pip install babel)"
_NUMBER = "a number (as the column's others are)"


def _spread(texts: pd.Series) -> pd.Series:
    """Some of the cells, from all parts of a column."""
    step = max(1, len(texts) // SAMPLE)
    return texts.iloc[::step]


def _readings(texts: pd.Series, series: NDArray[np.int64], given: str | None) -> Iterator[Times]:
    """Every reading of all cells; a CellError if there is none."""
    if given == "number" or given in EPOCHS:
        yield _read_numbers(texts, "" if given == "number" else given)
    elif given is not None:
        yield from _date_readings(texts, series, [as_candidate(formats.check_format(given))])
    elif _looks_numeric(texts):
        yield from _numeric_readings(texts, series)
    else:
        yield from _date_readings(texts, series, candidates(texts.iloc[0]))


def _looks_numeric(texts: pd.Series) -> bool:
    values = parse_plain_numbers(_spread(texts))
    return bool(2 * np.isfinite(values).sum() > len(values))


def _read_numbers(texts: pd.Series, unit: str) -> Times:
    times = read_numbers(texts, unit)
    if (none := is_none(times.instants)).any():
        raise CellError(int(np.argmax(none)), _NUMBER)
    return times


# --- numbers ------------------------------------------------------------------------------------


def _numeric_readings(texts: pd.Series, series: NDArray[np.int64]) -> Iterator[Times]:
    """Dates whose digits run together, else time since 1970, else counts."""
    plain = _read_numbers(texts, "")
    assert isinstance(plain.notation, NumberNotation)
    dates = list(_run_readings(texts, series))
    if dates:
        yield from dates
    elif (unit := _epoch(plain.instants)) and texts.str.len().max() <= 20:
        yield replace(plain.notation, unit=unit).timed(plain.instants)
    else:
        yield plain


def _run_readings(texts: pd.Series, series: NDArray[np.int64]) -> Iterator[Times]:
    """Readings of 20231231 and the like: valid in every cell, in years that tables are about.

    Few digits are no more than a hint: then rows must also be evenly spaced.
    """
    lengths = set(texts.str.len())
    sample = _spread(texts)
    if len(lengths) > 1 or not sample.str.fullmatch(r"\d+|\d{4}\.\d\d").all():
        return
    try:
        readings = _date_readings(texts, series, candidates(texts.iloc[0]))
    except CellError:
        return
    for times in readings:
        years = times.instants.astype("datetime64[Y]").astype(np.int64) + 1970
        plausible = YEARS[0] <= years.min() and years.max() <= YEARS[1]
        if plausible and (max(lengths) >= 8 or _Evidence.of(times, series).regular):
            yield times


def _epoch(values: NDArray[Any]) -> str:
    """The unit in which all values are times since 1970 in our days; empty if none."""
    low, high = float(values.min()), float(values.max())
    for unit, scale in EPOCHS.items():
        if EPOCH_SECONDS[0] * scale <= low and high < EPOCH_SECONDS[1] * scale:
            return unit
    return ""


# --- dates --------------------------------------------------------------------------------------


def _date_readings(
    texts: pd.Series, series: NDArray[np.int64], possible: Sequence[Candidate]
) -> list[Times]:
    """Readings of all cells that begin with one of some formats; CellError if there is none."""
    codes, unique = import_pandas().factorize(texts)
    unique = import_pandas().Series(unique, dtype="str")
    sample = _spread(unique)
    read: list[tuple[DateNotation, Clock]] = []
    furthest: tuple[int, Candidate | None] = (-1, None)
    for candidate in possible:
        notation, clock, failing = _extend(candidate, sample)
        if failing is None:
            notation, clock, failing = _extend(candidate, unique, notation)
        if failing is None:
            read.append((notation, clock))
        elif failing > furthest[0]:
            furthest = failing, candidate
    if not read:
        failing = _extend(furthest[1], unique)[2] if furthest[1] else 0
        raise CellError(int(np.argmax(codes == failing)), _DATE)
    found: list[Times] = []
    contradiction: ZoneError | None = None
    with_date = [pair for pair in read if pair[0].has_date]
    for pair in with_date or read:
        notation, clock = _with_century(*pair)
        try:
            times = notation.resolve(clock, codes, series)
            found.append(_as_written(times, clock, sample))
        except ZoneError as error:  # day and month the other way round may agree
            contradiction = error
    if not found and contradiction is not None:
        raise contradiction
    return found


def _extend(
    candidate: Candidate, unique: pd.Series, notation: DateNotation | None = None
) -> tuple[DateNotation, Clock, int | None]:
    """Add formats of the same date until all cells are read; the first cell that none reads."""
    notation = notation or DateNotation((candidate.form,))
    while True:
        clock = notation.read_clock(unique)
        failing = np.flatnonzero(np.isnat(clock.wall))
        if not len(failing):
            return notation, clock, None
        cell = unique.iloc[[failing[0]]]
        for wider in _wider(notation, candidate, cell.iloc[0]):
            if not np.isnat(wider.read_clock(cell).wall).any():
                notation = wider
                break
        else:
            return notation, clock, int(unique.index[failing[0]])


def _wider(notation: DateNotation, candidate: Candidate, cell: str) -> Iterator[DateNotation]:
    """The notation with one more format, or with an hour 24."""
    if not notation.midnight_24:
        yield replace(notation, midnight_24=True)
    if len(notation.formats) < MOST_FORMATS:
        for other in candidates(cell):
            if other.date == candidate.date and other.form not in notation.formats:
                forms = sorted({*notation.formats, other.form}, key=len)
                yield replace(notation, formats=tuple(forms))


def _with_century(notation: DateNotation, clock: Clock) -> tuple[DateNotation, Clock]:
    """With the hundred years that two digits of a year most likely stand for, if it has two."""
    if "y" not in formats.directives(notation.formats[0]):
        return notation, clock
    years = np.unique(clock.wall.astype("datetime64[Y]").astype(np.int64) + 1970)
    notation = replace(notation, first_year=_first_year(years))
    return notation, clock._replace(wall=notation.in_century(clock.wall))


def _first_year(years: NDArray[np.int64]) -> int:
    """Where a hundred years begin that leave the longest run of absent years outside.

    The latest year is one of 1950 to 2049.
    """
    short = np.unique(years % 100)
    gaps = np.diff(np.append(short, short[0] + 100))
    latest = int(short[np.argmax(gaps)])
    latest += 1900 if latest >= 50 else 2000
    return latest - 99 + (int(gaps.max()) - 1) // 2


def _as_written(times: Times, clock: Clock, sample: pd.Series) -> Times:
    """With formats that say how the cells are written: zeros, capitals, offsets."""
    notation = times.notation
    assert isinstance(notation, DateNotation)
    forms = [formats.as_written(form, sample) for form in notation.formats]
    if notation.names_zone and not notation.zone:  # a word that all cells end with
        forms = [formats.with_literal_zone(form, clock.tails[0]) for form in forms]
    return Times(times.instants, replace(notation, formats=tuple(forms)))


def _readings_by_names(
    texts: pd.Series, series: NDArray[np.int64], given: str | None, row: int
) -> list[Times]:
    """Readings by names of months and weekdays in another language; none if cells have no such.

    Raises
    ------
    CellError
        Of `row`, if it would have to be known what the names mean.
    """
    codes, unique = import_pandas().factorize(texts)
    unique = import_pandas().Series(unique, dtype=object)
    try:
        names = find_names(unique.tolist())
    except ModuleNotFoundError:
        raise CellError(row, _DATE + _LANGUAGES) from None
    if names is None:
        return []
    english = names.to_english(unique).take(codes).reset_index(drop=True)
    return [
        times._replace(notation=replace(times.notation, names=names))
        for times in _readings(english, series, given)
        if isinstance(times.notation, DateNotation)
    ]


# --- which reading ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Evidence:
    """What speaks for a reading."""

    sorted: bool
    regular: bool

    @classmethod
    def of(cls, times: Times, series: NDArray[np.int64]) -> _Evidence:
        order = np.argsort(series, kind="stable")
        instants, same = times.instants[order], np.diff(series[order]) == 0
        steps = np.diff(instants)[same]
        zero = steps.dtype.type(0)
        in_order = bool((steps >= zero).all() or (steps <= zero).all())
        order = np.lexsort((times.instants, series))
        same = np.diff(series[order]) == 0
        grid = find_grid(times.instants[order], same, times.notation.zone)
        return cls(in_order, grid is not None and grid.clear)

    def beats(self, other: _Evidence) -> bool:
        """Whether all that differs speaks for this one."""
        mine, theirs = (self.sorted, self.regular), (other.sorted, other.regular)
        return mine != theirs and all(a >= b for a, b in zip(mine, theirs, strict=True))

    def over(self, other: _Evidence) -> str:
        words = [
            word
            for word, differs in (
                ("in order", self.sorted != other.sorted),
                ("evenly spaced", self.regular != other.regular),
            )
            if differs
        ]
        return " and ".join(words)


def _decide(readings: list[Times], texts: pd.Series, series: NDArray[np.int64]) -> Inference:
    """The reading that the order and the distances of the rows speak for."""
    different: list[Times] = []
    for times in readings:
        if not any(np.array_equal(times.instants, other.instants) for other in different):
            different.append(times)
    if len(different) == 1:
        return Inference(different[0])
    evidence = [_Evidence.of(times, series) for times in different]
    for place, mine in enumerate(evidence):
        others = [theirs for other, theirs in enumerate(evidence) if other != place]
        if all(mine.beats(theirs) for theirs in others):
            names = " or ".join(
                _format(times) for times in different if times is not different[place]
            )
            return Inference(
                different[place], f"read as {names}, rows would not be {mine.over(others[0])}"
            )
    best = [
        times
        for times, mine in zip(different, evidence, strict=True)
        if not any(theirs.beats(mine) for theirs in evidence)
    ]
    raise UndecidedTimesError(_question(best[0], best[1], texts))


def _format(times: Times) -> str:
    """The longest format of dates."""
    form = getattr(times.notation, "formats", ("%s",))[-1]
    return formats.readable(form)


def _question(one: Times, other: Times, texts: pd.Series) -> str:
    """Ask which of two readings is meant."""
    row = int(np.argmax(one.instants != other.instants))
    readings = []
    for times in (one, other):
        day = import_pandas().Timestamp(times.instants[row])
        form = _format(times)
        readings.append(f"{day.day} {day:%B %Y} ({form})")
    form = readings[0].partition("(")[2].rstrip(")")
    cell = texts.iloc[row].replace(formats.COLUMN_BREAK, " ")
    return (
        f"{quote(cell)} can be {readings[0]} or {readings[1]}, and both fit all rows; "
        f'say which by --time-format, such as --time-format "{form}"'
    )


# --- a clock without offsets --------------------------------------------------------------------


def find_zone(times: Times, series: NDArray[np.int64]) -> Times:
    """Read the times by a zone whose changes of clocks explain doubled and absent hours, if any.

    That is one by which rows are more regular than by the clock alone, and no time comes twice.
    """
    notation = times.notation
    if not isinstance(notation, DateNotation) or notation.zone or notation.names_zone:
        return times
    hour, zero = np.timedelta64(1, "h"), np.timedelta64(0)
    steps = _steps(times.instants, series)
    if not len(steps):
        return times
    sizes, counts = np.unique(steps, return_counts=True)
    usual, unusual = sizes[np.argmax(counts)], len(steps) - counts.max()
    if not zero < usual <= hour or not np.isin([zero, usual + hour], sizes).any():
        return times
    shown = count_shown(times.instants, series)
    for zone in zones_with_summer_time():
        instants = from_clock(times.instants, zone, *shown)
        steps = _steps(instants, series)  # NaT, of which no comparison holds, where a clock skips
        if np.count_nonzero(steps != usual) < unusual and (steps > zero).all():
            return Times(instants, replace(notation, zone=zone))
    return times


def _steps(instants: NDArray[Any], series: NDArray[np.int64]) -> NDArray[Any]:
    """Distances in time from row to row of the same series, in the order of time."""
    order = np.lexsort((instants, series))
    return np.diff(instants[order])[np.diff(series[order]) == 0]
