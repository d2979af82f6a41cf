"""Formats of dates and times: as strptime has them, with modifiers that say how a file writes them.

    %d %m %H %I %j ...   with two (three) digits; `%-d` without leading zeros
    %b %B %a %A %p       as in `Jan` or `PM`; `%^b` in capitals, `%#b` in small letters
    %.p %!p              as in `p.m.` or `P.M.`
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
#: Before a mark such as Q or W that says what a column holds, and that its cells do not have.
COLUMN_MARK = "\x1e"
#: The mark of numbers such as 93000 for 9:30:00, which are read with their leading zeros.
UNPADDED = "N"

#: Parts of a format: a directive with its modifier, a blank, or another character.
_PARTS = re.compile(r"%(?P<modifier>[-^#:h.!]|[1-9])?(?P<directive>[A-Za-z%])|(?P<literal>.)", re.S)


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
    "p": Directive(r"[AaPp](?:[Mm]|\.[Mm]\.)", lambda t: "AM" if t.hour < 12 else "PM"),
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
#: What names a zone at the end of a cell: an offset, or a name after a blank.
ZONE = (
    r"(?<=[\d\smM])(?:Z|[+-]\d{2}(?::?\d{2})?)"
    r"|(?<=\s)(?![AaPp][Mm]\Z)[A-Z][A-Za-z]+(?:/[A-Za-z_/+-]+)?"
)


def parts(form: str) -> Iterator[tuple[str, str, str]]:
    """A format's parts: (modifier, directive, "") or ("", "", a literal character)."""
    for match in _PARTS.finditer(form):
        yield match["modifier"] or "", match["directive"] or "", match["literal"] or ""


def directives(form: str) -> list[str]:
    """The letters of a format's directives."""
    return [directive for _, directive, _ in parts(form) if directive]


def says_twice(form: str) -> bool:
    """Whether a format has a directive twice."""
    found = [letter for letter in directives(form) if letter != "%"]
    return len(set(found)) < len(found)


def check_format(form: str) -> str:
    """`form`, if it is a format that says which time is meant.

    Raises
    ------
    ValueError
        If it has an unknown directive or none.
    """
    found = directives(form)
    unknown = [letter for letter in found if letter not in DIRECTIVES]
    if unknown or says_twice(form) or not found or (form.endswith("%") and not form.endswith("%%")):
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
    if directive == "p" and modifier in (".", "!"):
        dotted = f"{text[0]}.{text[1]}."
        return dotted.lower() if modifier == "." else dotted
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
    return bare(plain(form)).replace(COLUMN_BREAK, " ")


def bare(text: str) -> str:
    """What stands in the cells that were read as one text."""
    return re.sub(f"{COLUMN_MARK}(?:{UNPADDED}0*(?=\\d)|.)", "", text)


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
    if directive == "p" and any("." in text for text in texts):
        return "." if all(text.islower() for text in texts) else "!"
    if directive in "bBaAp" and texts:
        if all(text.islower() for text in texts):
            return "#"
        return "^" if all(text.isupper() for text in texts) and directive != "p" else ""
    if directive == "z":
        return {1: "^", 3: "h", 6: ":"}.get(max(map(len, texts), default=5), "")
    return ""


def has_date(form: str) -> bool:
    """Whether a format says more than a time of day."""
    return not set(directives(form)) <= TIME_OF_DAY | {"%"}


def with_literal_zone(form: str, name: str) -> str:
    """The format with a name in place of its zone."""
    return re.sub(r"%[-^#:h]?[zZ]\Z", name.replace("%", "%%"), form)
