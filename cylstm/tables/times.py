"""How a column writes points in time: as read once for all its cells, and written back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import time_formats as formats
from .languages import Names
from .optional import import_pandas
from .time_spans import Span
from .zones import from_clock, from_names, from_offsets, to_wall, zone_info

if TYPE_CHECKING:
    import pandas as pd

#: Units of time since 1970, and how many of each are in a second.
EPOCHS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
#: Two digits of a year stand for 1950 to 2049, unless the column goes on from before.
FIRST_YEAR = 1950


class Times(NamedTuple):
    """Points in time, one for each row.

    Attributes
    ----------
    instants : ndarray, shape (N,)
        datetime64: UTC, or what the clock showed where the notation has no zone; or numbers.
        NaT and NaN where the notation does not read a cell.
    notation : DateNotation or NumberNotation
    """

    instants: NDArray[Any]
    notation: DateNotation | NumberNotation


def is_none(instants: NDArray[Any]) -> NDArray[np.bool_]:
    """Which points in time are missing."""
    return np.isnat(instants) if instants.dtype.kind == "M" else ~np.isfinite(instants)


class Clock(NamedTuple):
    """What the clock showed in some cells, NaT where that cannot be read.

    Attributes
    ----------
    wall : ndarray of datetime64
    tails : ndarray of str
        What names the zone beside it, or nothing.
    """

    wall: NDArray[Any]
    tails: NDArray[Any]


# --- dates --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DateNotation:
    """Dates as text.

    Attributes
    ----------
    formats : tuple of str
        Formats as in `time_formats`, the shortest first. A point in time is written in the first
        that loses nothing: where there are several, the file drops zeros.
    zone : str
        The zone or offset of the clock; empty where the file names none.
    first_year : int
        The first of the hundred years that two digits stand for.
    midnight_24 : bool
        Whether midnight is hour 24 of the day that ends.
    names : Names or None
        What the file calls months and weekdays; None: as in English.
    span : Span or None
        What follows where cells hold the start and the end of a span of time.
    """

    formats: tuple[str, ...]
    zone: str = ""
    first_year: int = FIRST_YEAR
    midnight_24: bool = False
    names: Names | None = None
    span: Span | None = None

    @property
    def names_zone(self) -> bool:
        """Whether an offset or the name of a zone stands beside each time."""
        return any(letter in "zZ" for letter in formats.directives(self.formats[0]))

    @property
    def has_date(self) -> bool:
        """Whether it says more than a time of day."""
        return formats.has_date(self.formats[-1])

    def read(self, texts: pd.Series, series: NDArray[np.int64]) -> Times:
        """Read cells of series, whose number stands beside each; NaT where one is no such time.

        The notation returned has the zone of these cells, where they name another.

        Raises
        ------
        ValueError
            If offsets or names of zones beside the times contradict each other.
        """
        codes, unique = import_pandas().factorize(texts)
        shown = self.read_clock(import_pandas().Series(unique, dtype="str"))
        return self.resolve(shown, codes, series)

    def resolve(self, shown: Clock, codes: NDArray[np.int64], series: NDArray[np.int64]) -> Times:
        """Instants of rows, whose cells are those with the numbers `codes` of what was read."""
        wall = shown.wall[codes]
        if not self.names_zone and self.zone:
            return Times(from_clock(wall, self.zone, *count_shown(wall, series)), self)
        if not self.names_zone or np.isnat(shown.wall).any():
            return Times(wall, self)
        instants, zone = _apply_tails(shown, self.zone)
        return Times(instants[codes], replace(self, zone=zone))

    def read_clock(self, texts: pd.Series) -> Clock:
        """What the clock shows in cells, NaT where it cannot be read, and what names its zone."""
        if self.span is not None:
            texts = self.span.starts(texts)
        if self.names is not None:
            texts = self.names.to_english(texts)
        wall = np.full(len(texts), np.datetime64("NaT"), "datetime64[us]")
        tails = np.full(len(texts), "", object)
        for form in reversed(self.formats):  # most cells have the longest
            todo = np.flatnonzero(np.isnat(wall))
            if not len(todo):
                break
            found, tails[todo] = self._parse(form, texts.iloc[todo])
            if np.datetime_data(found.dtype)[0] == "ns":
                wall = wall.astype(found.dtype)
            wall[todo] = found
        return Clock(wall, tails)

    def _parse(self, form: str, texts: pd.Series) -> tuple[NDArray[Any], NDArray[Any]]:
        tails = np.full(len(texts), "", object)
        if formats.directives(form)[-1] in "zZ":
            found = texts.str.extract(r"\A(.*?)\s*" + f"({formats.ZONE})\\Z")
            texts, tails = found[0].fillna(""), found[1].fillna("").to_numpy(object)
            form = re.sub(r"\s*%[-^#:h]?[zZ]\Z", "", form)
        wall = parse_dates(form, texts)
        if self.midnight_24 and (late := np.flatnonzero(np.isnat(wall))).size:
            wall[late] = parse_midnight_24(form, texts.iloc[late])
        return self.in_century(wall), tails

    def in_century(self, wall: NDArray[Any]) -> NDArray[Any]:
        """Move dates to the hundred years that two digits of a year stand for, if it has only two.

        The 29th of February stays the day after the 28th.
        """
        if "y" not in formats.directives(self.formats[0]):
            return wall
        months = wall.astype("datetime64[M]")
        years = months.astype("datetime64[Y]").astype(np.int64) + 1970
        moved = self.first_year + (years - self.first_year) % 100 - years
        moved[np.isnat(wall)] = 0
        there = (months + 12 * moved).astype("datetime64[D]")
        shifted = there.astype(wall.dtype) + (wall - months.astype(wall.dtype))
        return np.where(moved != 0, shifted, wall)

    def write(self, instants: NDArray[Any]) -> list[str]:
        """Points in time as the file writes them."""
        pd = import_pandas()
        moments = list(pd.DatetimeIndex(to_wall(instants, self.zone)))
        if self.names_zone and self.zone:
            zone = zone_info(self.zone)
            moments = list(pd.DatetimeIndex(instants).tz_localize("UTC").tz_convert(zone))
        return [self._write(moment) for moment in moments]

    def _write(self, moment: Any) -> str:
        shown: Any = formats.Midnight24.of(moment) if self.midnight_24 else moment
        form = self._shortest(shown)
        if self.names is not None:
            form = self.names.put_into(form, shown)
        return formats.write(form, shown) + (self.span.write(moment) if self.span else "")

    def _shortest(self, moment: Any) -> str:
        """The first format that loses nothing."""
        for form in self.formats[:-1]:
            if not formats.loses(form, moment):
                return form
        return self.formats[-1]

    def to_dict(self) -> dict[str, Any]:
        """As plain data for a model file."""
        return {"dates": asdict(self)}

    def __str__(self) -> str:
        forms = " or ".join(formats.readable(form) for form in self.formats)
        zone = f", zone {self.zone}" if self.zone else ""
        return ", ".join([f"{forms}{zone}", *map(str, filter(None, (self.names, self.span)))])


def parse_dates(form: str, texts: pd.Series) -> NDArray[Any]:
    """Cells by one format without a zone, NaT where they have another; microseconds or finer."""
    pd = import_pandas()
    letters = formats.directives(form)
    if "p" in letters:
        texts = texts.str.replace(r"([AaPp])\.[Mm]\.", r"\1m", regex=True)
    if "q" in letters:
        form, texts = _quarters_as_months(form, texts)
    if "V" in letters and "u" not in letters:
        form, texts = form + " %u", texts + " 1"
    if re.search(r"%.%", formats.plain(form)):  # numbers that run together have all their digits
        right = len(formats.write(formats.plain(form), pd.Timestamp(2001, 10, 10, 10)))
        if not set("bBaAp") & set(letters):
            texts = texts.where(texts.str.len() == right)
    dates = pd.to_datetime(texts, format=formats.plain(form), errors="coerce").to_numpy()
    fine = dates.astype("datetime64[ns]") if np.datetime_data(dates.dtype)[0] == "ns" else None
    if fine is not None and (fine[~np.isnat(fine)].astype(np.int64) % 1000).any():
        return fine
    return dates.astype("datetime64[us]")


def _quarters_as_months(form: str, texts: pd.Series) -> tuple[str, pd.Series]:
    """Years and the first months of quarters."""
    found = texts.str.extract(formats.pattern(form).pattern)
    year = next(letter for letter in "Yy" if letter in found)
    months = (3 * found["q"].astype("float") - 2).map(lambda month: f"{month:02.0f}")
    return f"%{year} %m", found[year] + " " + months


def parse_midnight_24(form: str, texts: pd.Series) -> NDArray[Any]:
    """Cells whose hour is 24, read as midnight of the next day; NaT for others."""
    expression = formats.pattern(form)

    def at_zero(text: str) -> str:
        match = expression.match(text)
        if not match or "H" not in match.groupdict() or match["H"] != "24":
            return ""
        return text[: match.start("H")] + "00" + text[match.end("H") :]

    return parse_dates(form, texts.map(at_zero).astype("str")) + np.timedelta64(1, "D")


def _apply_tails(shown: Clock, stored: str) -> tuple[NDArray[Any], str]:
    """Instants and their zone, the stored one if its clock shows the same."""
    wall, tails = shown
    offsets = all(tail == "Z" or tail[0] in "+-" for tail in tails)
    instants, zone = (from_offsets if offsets else from_names)(wall, tails)
    if stored and offsets and np.array_equal(to_wall(instants, stored), wall):
        return instants, stored
    return instants, zone


def count_shown(
    wall: NDArray[Any], series: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How often the clock of a series showed what it shows in a row: before, and in all."""
    frame = import_pandas().DataFrame({"series": series, "wall": wall})
    groups = frame.groupby(["series", "wall"], sort=False, dropna=False)["wall"]
    newest_first = np.count_nonzero(wall[1:] < wall[:-1]) > len(wall) / 2
    return groups.cumcount(ascending=not newest_first).to_numpy(), groups.transform(
        "size"
    ).to_numpy()


# --- numbers ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NumberNotation:
    """Numbers: of seconds (or parts of them) since 1970, or of whatever the column counts.

    Attributes
    ----------
    unit : {"", "s", "ms", "us", "ns"}
        Unit of time since 1970; empty for a count.
    decimals : int
        Digits after the decimal mark.
    trimmed : bool
        Whether the file leaves out zeros at a fraction's end.
    mark : str
        The decimal mark.
    """

    unit: str = ""
    decimals: int = 0
    trimmed: bool = False
    mark: str = "."

    @property
    def zone(self) -> str:
        """Time since 1970 is that of UTC."""
        return ""

    def read(self, texts: pd.Series, series: NDArray[np.int64] | None = None) -> Times:
        """Read cells; NaN or NaT where one is no number."""
        return self.timed(parse_plain_numbers(texts))

    def timed(self, values: NDArray[Any]) -> Times:
        """Numbers as points in time."""
        return Times(self._instants(values) if self.unit else values, self)

    def _instants(self, values: NDArray[Any]) -> NDArray[Any]:
        if values.dtype.kind == "i":
            return values.astype(f"datetime64[{self.unit}]").astype(
                "datetime64[ns]" if self.unit == "ns" else "datetime64[us]"
            )
        micro = np.where(np.isfinite(values), np.rint(values * (1e6 / EPOCHS[self.unit])), 0)
        instants = micro.astype(np.int64).astype("datetime64[us]")
        instants[~np.isfinite(values)] = np.datetime64("NaT")
        return instants

    def write(self, instants: NDArray[Any]) -> list[str]:
        """Points in time as the file writes them."""
        if not self.unit:
            return [self._number(value) for value in instants.tolist()]
        ns = instants.astype("datetime64[ns]").astype(np.int64).tolist()
        scale = 10**9 // EPOCHS[self.unit]
        return [self._number(Decimal(value) / scale) for value in ns]

    def _number(self, value: Any) -> str:
        text = f"{value:.{self.decimals}f}"
        if self.trimmed:
            text = text.rstrip("0").rstrip(".")
        return text.replace(".", self.mark)

    def to_dict(self) -> dict[str, Any]:
        """As plain data for a model file."""
        return {"numbers": asdict(self)}

    def __str__(self) -> str:
        names = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
        return f"{names[self.unit]} since 1970" if self.unit else "numbers"


def parse_plain_numbers(texts: pd.Series) -> NDArray[Any]:
    """Cells as integers, or as floats with NaN where one is no number; commas are decimal marks."""
    pd = import_pandas()
    values = pd.to_numeric(texts, errors="coerce").to_numpy()
    if values.dtype.kind == "f" and np.isnan(values).any() and texts.str.contains(",").any():
        values = pd.to_numeric(texts.str.replace(",", "."), errors="coerce").to_numpy()
    if values.dtype.kind not in "if":
        values = values.astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan) if values.dtype.kind == "f" else values


def read_numbers(texts: pd.Series, unit: str = "") -> Times:
    """Read cells as numbers, NaN or NaT where one is none, and find out how they write them."""
    values = parse_plain_numbers(texts)
    notation = NumberNotation(unit)
    if values.dtype.kind == "f":
        lengths = set(texts.str.extract(r"[.,](\d+)\Z")[0].fillna("").str.len())
        exponents = bool(texts.str.contains("[eE]").any())
        decimals = 6 if exponents and not unit else max(lengths)
        mark = "," if texts.str.contains(",").any() else "."
        notation = NumberNotation(unit, decimals, len(lengths) > 1 or exponents, mark)
    return notation.timed(values)


# --- model files --------------------------------------------------------------------------------


def notation_from_dict(data: Mapping[str, Any]) -> DateNotation | NumberNotation:
    """Inverse of `to_dict`; an error of value, type or look-up for anything else."""
    if "numbers" in data:
        numbers = NumberNotation(**data["numbers"])
        if numbers.unit not in ("", *EPOCHS) or not 0 <= int(numbers.decimals) <= 20:
            raise ValueError(f"no notation of numbers: {numbers}")
        if numbers.mark not in (".", ","):
            raise ValueError(f"no decimal mark: {numbers.mark!r}")
        return numbers
    dates = data["dates"]
    forms = tuple(formats.check_format(str(form)) for form in dates["formats"])
    if not forms or sum(map(len, forms)) > 1000:
        raise ValueError(f"no formats of dates: {len(forms)} of them")
    zone, first_year = str(dates["zone"]), int(dates["first_year"])
    if zone:
        zone_info(zone)
    if not 0 < first_year < 9900:
        raise ValueError(f"first_year: expected a year, got {first_year}")
    named = dates.get("names")
    names = None if named is None else Names.from_dict(named)
    spanned = dates.get("span")
    span = None if spanned is None else Span.from_dict(spanned)
    return DateNotation(forms, zone, first_year, bool(dates["midnight_24"]), names, span)
