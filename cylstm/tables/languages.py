"""Names of months and weekdays in other languages than English, as the package babel knows them.

A cell with such names is read as the English one. What a column calls the months is stored with its
notation, so that cells can be written, and read again, without babel.
"""

from __future__ import annotations

import calendar
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .optional import import_package, import_pandas
from .time_candidates import LONGEST, QUARTER_MARKS, WEEK_MARKS, candidates, without_zone

if TYPE_CHECKING:
    import pandas as pd

LANGUAGES = {
    "de": "German", "fr": "French", "es": "Spanish", "it": "Italian", "pt": "Portuguese",
    "nl": "Dutch", "sv": "Swedish", "da": "Danish", "nb": "Norwegian", "fi": "Finnish",
    "pl": "Polish", "cs": "Czech",
}  # fmt: skip
#: What programs write besides: language -> month -> spelling.
_OTHER_SPELLINGS = {"de": {3: ("Mrz", "Maerz")}}
_MONTHS, _WEEKDAYS = 12, 7
#: Words that are no names in other languages: of English dates, or beside numbers.
_NO_NAMES = {
    *(name.lower() for names in (calendar.month_abbr, calendar.month_name) for name in names),
    *(name.lower() for names in (calendar.day_abbr, calendar.day_name) for name in names),
    *("am", "pm", "uhr", "month", "monat", "period", "day", "year", *QUARTER_MARKS, *WEEK_MARKS),
}
#: A word with the dot that an abbreviation may end with.
_WORD = re.compile(r"[^\W\d_]{2,}(?:-[^\W\d_]+)*\.?")
#: Columns of dates do not have more different words than this: names, zones, "de" and "Uhr".
_MOST_WORDS = 60
_SAMPLE = 400
_CASES: tuple[Callable[[str], str], ...] = (str, str.lower, str.title, str.upper)
_DOTS: tuple[Callable[[str], str], ...] = (
    str,
    lambda name: name.rstrip("."),
    lambda name: name.rstrip(".") + ".",
)


@dataclass(frozen=True)
class Names:
    """What a column calls months and weekdays.

    Attributes
    ----------
    language : str
        A key of LANGUAGES.
    months : tuple of str
        The names of all twelve; empty if the column has none.
    weekdays : tuple of str
        The names of all seven, from Monday; empty if the column has none.
    """

    language: str
    months: tuple[str, ...] = ()
    weekdays: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"names in {LANGUAGES[self.language]}"

    def to_english(self, texts: pd.Series) -> pd.Series:
        """Cells with the English abbreviation in place of each name."""
        months, weekdays = (
            {_key(name): place for place, name in enumerate(names)}
            for names in (self.months, self.weekdays)
        )
        return import_pandas().Series(
            [_translate(text, months, weekdays) for text in texts], texts.index, dtype=object
        )

    def put_into(self, form: str, moment: datetime) -> str:
        """A format with the names of a moment's month and weekday in place of the directives."""
        for letters, names, place in (
            ("bB", self.months, moment.month - 1),
            ("aA", self.weekdays, moment.weekday()),
        ):
            if names:
                form = re.sub(f"%[{letters}]", names[place], form)
        return form

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Names:
        """Inverse of `dataclasses.asdict`; an error of value, type or look-up for anything else."""
        names = cls(str(data["language"]), tuple(data["months"]), tuple(data["weekdays"]))
        sound = (
            names.language in LANGUAGES
            and len(names.months) in (0, _MONTHS)
            and len(names.weekdays) in (0, _WEEKDAYS)
            and all(map(_is_name, (*names.months, *names.weekdays)))
        )
        if not sound:
            raise ValueError(f"no names of months and weekdays: {names}")
        return names


def _is_name(name: object) -> bool:
    return isinstance(name, str) and len(name) <= LONGEST and bool(_WORD.fullmatch(name))


def may_have_names(cell: str, names: Sequence[str] = ("Jan", "Mon")) -> bool:
    """Whether a cell would be a date if a word that English does not know were one of `names`."""
    if len(cell) > LONGEST or not any(character.isdecimal() for character in cell):
        return False
    cell = without_zone(cell)[0]
    return any(
        candidates(cell[: word.start()] + name + cell[word.end() :])
        for word in _WORD.finditer(cell)
        if word[0].rstrip(".").lower() not in _NO_NAMES
        for name in names
    )


def find_names(cells: Sequence[str]) -> Names | None:
    """What cells call months and weekdays, if there is a language of which each has a name.

    Raises
    ------
    ModuleNotFoundError
        If babel, which knows the names, is not installed.
    """
    if not any(map(may_have_names, cells[:_SAMPLE])):
        return None
    words = {_key(word) for cell in cells for word in _WORD.findall(cell)}
    if len(words) > _MOST_WORDS:
        return None
    import_package("babel", "names of months in other languages need")
    found = (_names_in(language, cells) for language in LANGUAGES)
    return max(filter(None, found), key=lambda pair: pair[0], default=(0, None))[1]


def _names_in(language: str, cells: Sequence[str]) -> tuple[int, Names] | None:
    """The names in one language, and how many its own spelling has; None if a cell has none."""
    months, weekdays = _spellings(language, "months"), _spellings(language, "days")
    found = [_find(cell, months, weekdays) for cell in cells]
    if any([name.is_weekday for name in some] == [True] for some in found):
        found = [_find(cell, {}, weekdays) for cell in cells]  # beside dates in numbers
    if not all(found):
        return None
    usual, named = 0, []
    for kind in ("months", "days"):
        of_kind = [name for some in found for name in some if name.is_weekday == (kind == "days")]
        agreeing, names = _complete(language, kind, {name.place: name.text for name in of_kind})
        usual += agreeing
        named.append(names)
    return usual, Names(language, *named)


class _Name(NamedTuple):
    """A name in a cell: where it stands, and which month or weekday it means."""

    start: int
    text: str
    is_weekday: bool
    place: int


def _find(cell: str, months: Mapping[str, int], weekdays: Mapping[str, int]) -> list[_Name]:
    """The names in a cell; that of a weekday stands before that of a month."""
    known = [
        (match, word)
        for match in _WORD.finditer(cell)
        if (word := _key(match[0])) in months or word in weekdays
    ]
    found: list[_Name] = []
    for match, word in known:
        is_weekday = not found and word in weekdays and (len(known) > 1 or word not in months)
        if is_weekday or word in months:
            place = (weekdays if is_weekday else months)[word]
            found.append(_Name(match.start(), match[0], is_weekday, place))
    return found


def _translate(cell: str, months: Mapping[str, int], weekdays: Mapping[str, int]) -> str:
    """A cell with the names in English."""
    for start, text, is_weekday, place in reversed(_find(cell, months, weekdays)):
        name = calendar.day_abbr[place] if is_weekday else calendar.month_abbr[place + 1]
        cell = cell[:start] + name + cell[start + len(text) :]
    return cell


def _complete(language: str, kind: str, seen: Mapping[int, str]) -> tuple[int, tuple[str, ...]]:
    """All names in the style of those seen, and how many of these it has itself."""
    if not seen:
        return 0, ()
    styles = [
        [case(dot(name)) for name in names]
        for names in _name_lists(language, kind)
        for dot, case in product(_DOTS, _CASES)
    ]

    def dotted(names: Iterable[str]) -> float:
        return float(np.mean([name.endswith(".") for name in names]))

    def agreement(names: Sequence[str]) -> tuple[int, float, int]:
        pairs = [(names[place], word) for place, word in seen.items()]
        return (
            sum(name == word for name, word in pairs),
            -abs(dotted(names) - dotted(seen.values())),
            sum(name.isupper() == word.isupper() for name, word in pairs),
        )

    best = max(styles, key=agreement)
    names = tuple(seen.get(place, name) for place, name in enumerate(best))
    return agreement(best)[0], names


# --- what babel knows ---------------------------------------------------------------------------


def _name_lists(language: str, kind: str) -> list[list[str]]:
    """Months from January, or days from Monday, in every form that a language has for all."""
    forms = getattr(import_package("babel", "names of months need").Locale(language), kind)
    lists = []
    for context, width in product(("format", "stand-alone"), ("abbreviated", "wide", "short")):
        if names := forms[context].get(width):
            lists.append([names[number] for number in sorted(names)])
    wide = forms["format"]["wide"]
    return [*lists, [wide[number][:3] for number in sorted(wide)]]


def _spellings(language: str, kind: str) -> dict[str, int]:
    """Every spelling that tells which month or weekday is meant, as `_key`."""
    places: dict[str, set[int]] = {}
    for names in _name_lists(language, kind):
        for place, name in enumerate(names):
            for spelling in {name, name.rstrip(".")[:3], name.rstrip(".")[:4]}:
                places.setdefault(_key(spelling), set()).add(place)
    if kind == "months":
        for month, spellings in _OTHER_SPELLINGS.get(language, {}).items():
            places |= {_key(spelling): {month - 1} for spelling in spellings}
    return {key: next(iter(some)) for key, some in places.items() if len(some) == 1}


def _key(word: str) -> str:
    """A word without case, accents and the dot of an abbreviation."""
    letters = unicodedata.normalize("NFKD", word.rstrip(".").casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
