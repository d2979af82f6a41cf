"""Which formats a cell of a column of times may have."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .time_formats import COLUMN_BREAK, ZONE, says_twice


class Candidate(NamedTuple):
    """A format that a cell may have, and the part of it that is the date."""

    form: str
    date: str


_HALF = r"(?:[AaPp]\.[Mm]\.|[AaPp][Mm](?![a-z]))"
_CLOCK = re.compile(
    rf"(?<!\d)\d{{1,2}}:\d{{2}}(?::\d{{2}}(?:[.,]\d{{1,9}})?)?(?!\d)(?:\s?{_HALF})?"
    rf"|(?<!\d)\d{{1,2}}\s?{_HALF}"
)
#: Cells with more characters hold no time, but a text.
LONGEST = 60
#: Stands for the clock time, while the date is looked at.
_HOLE = "\x00"
_ZONE = re.compile(f"({ZONE})\\Z")
_TOKENS = re.compile(r"\d+|[^\W\d_]+|[\W_]")
#: Orders of the date's numerals by their numbers of digits; s stands for one or two.
_ORDERS = {
    "4ss": ("Ymd",),
    "ss4": ("dmY", "mdY"),
    "sss": ("dmy", "mdy", "ymd"),
    "4s": ("Ym",),
    "s4": ("mY",),
    "ss": ("my", "ym", "dm", "md"),
    "43": ("Yj",),
}
#: The same beside the name of a month.
_ORDERS_BY_NAME = {"s4": ("dY",), "4s": ("Yd",), "ss": ("dy", "yd"), "4": ("Y",), "s": ("y", "d")}
#: Numerals that run together.
_RUNS = {
    14: ("%Y%m%d%H%M%S",),
    12: ("%Y%m%d%H%M", "%y%m%d%H%M%S"),
    10: ("%Y%m%d%H", "%y%m%d%H%M"),
    8: ("%Y%m%d", "%d%m%Y", "%m%d%Y"),
    7: ("%Y%j",),
    6: ("%Y%m", "%G%V", "%y%m%d", "%d%m%y", "%m%d%y", "%m%Y"),
    4: ("%Y",),
}
QUARTER_MARKS = {"q", "qtr", "quarter"}
WEEK_MARKS = {"w", "kw", "cw", "wk", "week"}
_CLOCK_RUNS = {6: "%H%M%S", 4: "%H%M", 2: "%H", 1: "%H"}


def candidates(cell: str) -> list[Candidate]:
    """Every format that a cell may have."""
    if len(cell) > LONGEST or not re.search(r"\d", cell):
        return []
    return [found for found in _candidates(cell) if not says_twice(found.form)]


def _candidates(cell: str) -> list[Candidate]:
    cell, zone = without_zone(cell)
    starts = 10 if re.match(r"\d{4}:\d{2}:\d{2}\b", cell) else 0  # after a date with colons
    clock = _CLOCK.search(cell, starts)
    if clock is None:
        return [Candidate(form + zone, _date_of(form)) for form in _dates(cell)]
    before, after = cell[: clock.start()], cell[clock.end() :]
    around = f"{before}{_HOLE}{after}"
    found = []
    for form in _dates(around) if (before + after).strip() else [around]:
        date = form.replace(_HOLE, "") if after.strip() else _date_of(form.partition(_HOLE)[0])
        found.append(Candidate(form.replace(_HOLE, _clock(clock[0])) + zone, date))
    return found


def without_zone(cell: str) -> tuple[str, str]:
    """A cell without what names its zone, and the directive for that."""
    match = _ZONE.search(cell)
    if match is None or not (":" in cell or "T" in cell):
        return cell, ""
    named = match[1] != "Z" and match[1][0].isalpha()
    return cell[: match.start()], "%Z" if named else "%z"


def as_candidate(form: str) -> Candidate:
    """A format that is given."""
    return Candidate(form, _date_of(form))


def _clock(text: str) -> str:
    """The format of a time of day."""
    half = re.search(rf"(\s?){_HALF}\Z", text)
    digits = text[: half.start()] if half else text
    rest = digits.split(":")[1:]
    form = "%I" if half else "%H"
    form += ":%M" if rest else ""
    if len(rest) > 1:
        mark = re.search(r"[.,]", rest[1])
        form += ":%S" + (f"{mark[0]}%f" if mark else "")
    return form + (f"{half[1]}%p" if half else "")


def _date_of(form: str) -> str:
    """The date's part of a format: up to the first time of day, without what joins the two."""
    end = re.search(r"T?%[HIMSfp]", form)
    return (form[: end.start()] if end else form).rstrip(" T,_-:" + COLUMN_BREAK)


def _dates(cell: str) -> list[str]:
    """Formats of a cell without clock time; other characters than those of a date stay."""
    tokens = _TOKENS.findall(cell)
    pieces: list[list[str]] = [[]]
    for token in tokens:
        options = _word(token) if token[0].isalpha() else [token.replace("%", "%%")]
        pieces = [[*piece, option] for piece in pieces for option in options]
    return [form for piece in pieces for form in _fill(piece, tokens)]


def _word(token: str) -> list[str]:
    """What a word of a cell may be in its format."""
    names: dict[str, Iterable[str]] = {
        "%b": calendar.month_abbr,
        "%B": calendar.month_name,
        "%a": calendar.day_abbr,
        "%A": calendar.day_name,
    }
    found = [form for form, words in names.items() if token.lower() in map(str.lower, words)]
    return found or [token]


def _fill(piece: list[str], tokens: list[str]) -> Iterator[str]:
    """Formats by the orders that the numerals of a cell may have."""
    places = [place for place, token in enumerate(tokens) if token.isdecimal()]
    words = [token.lower() for token in tokens if token.isalpha()]
    named = "%b" in piece or "%B" in piece
    for letters in _numeral_orders([tokens[place] for place in places], words, tokens, named):
        form = list(piece)
        for place, letter in zip(places, letters, strict=True):
            form[place] = letter
        yield "".join(form)


def _numeral_orders(
    numerals: list[str], words: list[str], tokens: list[str], named: bool
) -> Iterator[list[str]]:
    """What the numerals of a cell may be, in the order in which they stand there."""
    kinds = "".join("s" if len(numeral) < 3 else str(len(numeral))[0] for numeral in numerals)
    if QUARTER_MARKS & set(words):
        yield from _marked(numerals, tokens, QUARTER_MARKS, "q", "Yy")
    elif WEEK_MARKS & set(words):
        yield from _marked(numerals, tokens, WEEK_MARKS, "V", "G")
    elif named:
        yield from (["%" + letter for letter in order] for order in _ORDERS_BY_NAME.get(kinds, ()))
    elif len(numerals) == 1:
        yield from ([form] for form in _RUNS.get(len(numerals[0]), ()))
    else:
        if len(numerals) == 2 and len(numerals[1]) in _CLOCK_RUNS:
            runs = [form for form in _RUNS.get(len(numerals[0]), ()) if "d" in form]
            yield from ([form, _CLOCK_RUNS[len(numerals[1])]] for form in runs)
        clock = [f"%{letter}" for letter in "HMSf"][: max(0, len(numerals) - 3)]
        if len(numerals) == 4 and len(numerals[3]) in (4, 6):  # digits of a clock run together
            clock = [_CLOCK_RUNS[len(numerals[3])]]
        for order in _ORDERS.get(kinds[:3], ()):
            if len(order) + len(clock) == len(numerals):
                yield [*(f"%{letter}" for letter in order), *clock]
        if kinds == "sss":
            yield ["%H", "%M", "%S"]


def _marked(
    numerals: list[str], tokens: list[str], marks: set[str], letter: str, years: str
) -> Iterator[list[str]]:
    """Year and quarter or week: the numeral beside the mark is no year."""
    mark = next(place for place, token in enumerate(tokens) if token.lower() in marks)
    after = [token for token in tokens[mark + 1 :] if token.isdecimal()]
    first_is_marked = len(numerals) - len(after) == 0 or len(numerals[0]) < 2
    if len(numerals) == 3 and letter == "V":
        yield ["%G", "%V", "%u"]
    if len(numerals) == 2:
        year = numerals[1] if first_is_marked else numerals[0]
        form = {4: f"%{years[0]}", 2: "%y" if "y" in years else ""}.get(len(year), "")
        if form:
            yield [f"%{letter}", form] if first_is_marked else [form, f"%{letter}"]
