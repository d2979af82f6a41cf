"""Formats of dates and times: as strptime has them, with modifiers that say how a file writes them.

    %d %m %H %I %j ...   with two (three) digits; `%-d` without leading zeros
    %b %B %a %A %p       as in `Jan` or `PM`; `%^b` in capitals, `%#b` in small letters
    %f                   the fraction of a second; `%3f` with three digits
    %z                   an offset such as +0100; `%:z` +01:00, `%hz` +01, `%^z` Z in UTC
    %Z                   the name of a zone, as CET
    %q                   the quarter of a year
    %G %V                year and number of an ISO week, without `%u` its Monday

The cells of several columns are read as one text, with COLUMN_BREAK between them.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

COLUMN_BREAK = "\x1f"

#: Parts of a format: a directive with its modifier, a blank, or another character.
_PARTS = re.compile(r"%(?P<modifier>[-^#:h]|[1-9])?(?P<directive>[A-Za-z%])|(?P<literal>.)", re.S)


class Directive(NamedTuple):
    """What a directive looks like in a cell, and how it is written."""

    pattern: str
    write: Callable[[datetime], str]


def _offset(moment: datetime) -> str:
    """The offset from UTC, as +01:00."""
    offset = moment.utcoffset()
    minutes = 0 if offset is None else round(offset.total_seconds() / 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


DIRECTIVES = {
    "Y": Directive(r"\d{4}", lambda t: f"{t.year:04}"),
    "y": Directive(r"\d{2}", lambda t: f"{t.year % 100:02}"),
    "m": Directive(r"\d{1,2}", lambda t: f"{t.month:02}"),
    "d": Directive(r"\d{1,2}", lambda t: f"{t.day:02}"),
    "H": Directive(r"\d{1,2}", lambda t: f"{t.hour:02}"),
    "I": Directive(r"\d{1,2}", lambda t: f"{t.hour % 12 or 12:02}"),
    "M": Directive(r"\d{1,2}", lambda t: f"{t.minute:02}"),
    "S": Directive(r"\d{1,2}", lambda t: f"{t.second:02}"),
    "f": Directive(
        r"\d{1,9}", lambda t: f"{1000 * t.microsecond + getattr(t, 'nanosecond', 0):09}"
    ),
    "p": Directive(r"[AaPp][Mm]", lambda t: "AM" if t.hour < 12 else "PM"),
    "b": Directive(r"[^\W\d_]+", lambda t: calendar.month_abbr[t.month]),
    "B": Directive(r"[^\W\d_]+", lambda t: calendar.month_name[t.month]),
    "a": Directive(r"[^\W\d_]+", lambda t: calendar.day_abbr[t.weekday()]),
    "A": Directive(r"[^\W\d_]+", lambda t: calendar.day_name[t.weekday()]),
    "j": Directive(r"\d{1,3}", lambda t: f"{t.timetuple().tm_yday:03}"),
    "q": Directive(r"[1-4]", lambda t: f"{(t.month + 2) // 3}"),
    "G": Directive(r"\d{4}", lambda t: f"{t.isocalendar()[0]:04}"),
    "V": Directive(r"\d{1,2}", lambda t: f"{t.isocalendar()[1]:02}"),
    "u": Directive(r"[1-7]", lambda t: f"{t.isoweekday()}"),
    "z": Directive(r"Z|[+-]\d{2}(?::?\d{2})?", _offset),
    "Z": Directive(r"[A-Za-z][A-Za-z/_+-]+", lambda t: t.tzname() or ""),
    "%": Directive("%", lambda t: "%"),
}
TIME_OF_DAY = frozenset("HIMSfp")


def parts(form: str) -> Iterator[tuple[str, str, str]]:
    """A format's parts: (modifier, directive, "") or ("", "", a literal character)."""
    for match in _PARTS.finditer(form):
        yield match["modifier"] or "", match["directive"] or "", match["literal"] or ""


def directives(form: str) -> list[str]:
    """The letters of a format's directives."""
    return [directive for _, directive, _ in parts(form) if directive]


def check_format(form: str) -> str:
    """`form`, if it is a format that says which time is meant.

    Raises
    ------
    ValueError
        If it has an unknown directive or none.
    """
    found = directives(form)
    unknown = [letter for letter in found if letter not in DIRECTIVES]
    twice = len(set(found) - {"%"}) < len(found) - found.count("%")
    if unknown or twice or not found or (form.endswith("%") and not form.endswith("%%")):
        raise ValueError(
            f"{form!r} is not a format of times, such as %d/%m/%Y %H:%M "
            f"(directives: {' '.join('%' + letter for letter in DIRECTIVES)})"
        )
    return form


def plain(form: str) -> str:
    """The format without modifiers, as pandas takes it."""
    return "".join(literal or f"%{directive}" for _, directive, literal in parts(form))


def pattern(form: str) -> re.Pattern[str]:
    """A regular expression with a group for each directive, named as its letter."""
    pieces, seen = [], set()
    for _, directive, literal in parts(form):
        if not directive:
            pieces.append(r"\s+" if literal.isspace() else re.escape(literal))
        elif directive in seen:
            pieces.append(f"(?:{DIRECTIVES[directive].pattern})")
        else:
            seen.add(directive)
            pieces.append(
                f"(?P<{directive if directive != '%' else '_'}>{DIRECTIVES[directive].pattern})"
            )
    return re.compile("".join(pieces) + r"\Z")


def write(form: str, moment: datetime) -> str:
    """A point in time as a file with this format writes it."""
    return "".join(
        literal or _modified(modifier, directive, DIRECTIVES[directive].write(moment))
        for modifier, directive, literal in parts(form)
    )


def _modified(modifier: str, directive: str, text: str) -> str:
    if directive == "z":
        short = {"": text.replace(":", ""), "h": text[:3], "^": "Z" if text == "+00:00" else text}
        return short.get(modifier, text)
    if modifier == "-":
        return text.lstrip("0") or "0"
    if modifier in ("^", "#"):
        return text.upper() if modifier == "^" else text.lower()
    return text[: int(modifier)] if modifier.isdigit() else text


#: What a clock time is lost of by a format without the directive, the coarse before the fine.
_LOST = (("HI", "hour"), ("M", "minute"), ("S", "second"), ("f", "microsecond"))


def loses(form: str, moment: datetime) -> bool:
    """Whether a time of day would be lost that is not zero."""
    letters = set(directives(form))
    return any(getattr(moment, part) and not letters & set(few) for few, part in _LOST)


class Midnight24(NamedTuple):
    """Midnight as hour 24 of the day that ends, for `write`."""

    moment: datetime

    @classmethod
    def of(cls, moment: datetime) -> datetime | Midnight24:
        """The moment itself unless it is midnight."""
        midnight = not any(getattr(moment, part) for _, part in _LOST)
        return cls(moment - timedelta(days=1)) if midnight else moment

    @property
    def hour(self) -> int:
        return 24

    def __getattr__(self, name: str) -> Any:
        return getattr(self.moment, name)


def readable(form: str) -> str:
    """A format as others know it: without modifiers, columns apart by a blank."""
    return plain(form).replace(COLUMN_BREAK, " ")


def as_written(form: str, cells: Iterable[str]) -> str:
    """The format with the modifiers that some cells show."""
    expression = pattern(form)
    seen: dict[str, set[str]] = {}
    for cell in cells:
        if match := expression.match(cell):
            for letter, text in match.groupdict().items():
                seen.setdefault(letter, set()).add(text)
    return "".join(
        literal or f"%{_modifier(directive, seen.get(directive, set()))}{directive}"
        for _, directive, literal in parts(form)
    )


def _modifier(directive: str, texts: set[str]) -> str:
    """How a directive is written whose texts are these."""
    if directive in "mdHIMSjV":
        return "-" if any(len(text) < (3 if directive == "j" else 2) for text in texts) else ""
    if directive == "f":
        return str(max(map(len, texts), default=6))
    if directive in "bBaAp" and texts:
        if all(text.islower() for text in texts):
            return "#"
        return "^" if all(text.isupper() for text in texts) and directive != "p" else ""
    if directive == "z":
        return {1: "^", 3: "h", 6: ":"}.get(max(map(len, texts), default=5), "")
    return ""


# --- which formats a cell may have --------------------------------------------------------------


class Candidate(NamedTuple):
    """A format that a cell may have, and the part of it that is the date."""

    form: str
    date: str


_CLOCK = re.compile(
    r"(?<!\d)\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?!\d)(?:\s?[AaPp][Mm](?![a-z]))?"
    r"|(?<!\d)\d{1,2}\s?[AaPp][Mm](?![a-z])"
)
#: Cells with more characters hold no time, but a text.
LONGEST = 60
#: What names a zone at the end of a cell: an offset, or a name after a blank.
ZONE = (
    r"(?<=[\d\smM])(?:Z|[+-]\d{2}(?::?\d{2})?)"
    r"|(?<=\s)(?![AaPp][Mm]\Z)[A-Z][A-Za-z]+(?:/[A-Za-z_/+-]+)?"
)
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
    6: ("%Y%m", "%y%m%d", "%d%m%y", "%m%d%y", "%m%Y"),
    4: ("%Y",),
}
_QUARTER = {"q", "qtr", "quarter"}
_WEEK = {"w", "kw", "cw", "wk", "week"}
_CLOCK_RUNS = {6: "%H%M%S", 4: "%H%M", 2: "%H", 1: "%H"}


def candidates(cell: str) -> list[Candidate]:
    """Every format that a cell may have."""
    if len(cell) > LONGEST or not re.search(r"\d", cell):
        return []
    zone = ""
    if (match := _ZONE.search(cell)) and (":" in cell or "T" in cell):
        cell, zone = (
            cell[: match.start()],
            "%Z" if match[1][0].isalpha() and match[1] != "Z" else "%z",
        )
    clock_starts = 10 if re.match(r"\d{4}:\d{2}:\d{2}\b", cell) else 0
    if not (clock := _CLOCK.search(cell, clock_starts)):
        found = _dates(cell)
        return [Candidate(form + zone, _date_of(form)) for form in found]
    before, after = cell[: clock.start()], cell[clock.end() :]
    hole = "\x00"
    return [
        Candidate(
            form.replace(hole, _clock(clock[0])) + zone,
            _date_of(form.partition(hole)[0] if not after.strip() else form.replace(hole, "")),
        )
        for form in (
            _dates(before + hole + after) if (before + after).strip() else [before + hole + after]
        )
    ]


def candidate(form: str) -> Candidate:
    """A format that is given."""
    return Candidate(form, _date_of(form))


def has_date(form: str) -> bool:
    """Whether a format says more than a time of day."""
    return not set(directives(form)) <= TIME_OF_DAY | {"%"}


def with_literal_zone(form: str, name: str) -> str:
    """The format with a name in place of its zone."""
    return re.sub(r"%[-^#:h]?[zZ]\Z", name.replace("%", "%%"), form)


def _clock(text: str) -> str:
    """The format of a time of day."""
    half = re.search(r"(\s?)[AaPp][Mm]\Z", text)
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
    small = token.lower()
    return [
        form for form, all_of in names.items() if small in [text.lower() for text in all_of]
    ] or [token]


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
    if _QUARTER & set(words):
        yield from _marked(numerals, tokens, _QUARTER, "q", "Yy")
    elif _WEEK & set(words):
        yield from _marked(numerals, tokens, _WEEK, "V", "G")
    elif named:
        yield from (["%" + letter for letter in order] for order in _ORDERS_BY_NAME.get(kinds, ()))
    elif len(numerals) == 1:
        yield from ([form] for form in _RUNS.get(len(numerals[0]), ()))
    else:
        if len(numerals) == 2 and len(numerals[1]) in _CLOCK_RUNS:
            runs = [form for form in _RUNS.get(len(numerals[0]), ()) if "d" in form]
            yield from ([form, _CLOCK_RUNS[len(numerals[1])]] for form in runs)
        clock = [f"%{letter}" for letter in "HMSf"][: max(0, len(numerals) - 3)]
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
