"""How a column writes numbers, and which of its cells hold none."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .optional import import_pandas

if TYPE_CHECKING:
    import pandas as pd

#: Cells that mean "no value", compared without case and surrounding blanks.
MISSING = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", r"\n"})
#: Cells that mean it among numbers, where a text column could mean something else by them.
NUMBER_MARKS = frozenset(
    {"?", "-", "--", "---", "\N{EM DASH}", ".", "..", "...", "*", "m", "n.a.", "n.d.", "nd", "k.a."}
    | {"missing", "#div/0!", "#value!", "#ref!", "#num!", "#name?", "#null!"}
)
#: Numbers beyond this are refused: float32, in which a network computes, ends at 3.4e38, and errors
#: are squared.
LARGEST = 1e30

#: What may stand before the decimals, and between groups of digits.
DECIMALS, SEPARATORS = (".", ","), (",", ".", " ", "'")
#: What letters after a number multiply it by, as a power of ten.
_POWERS = {"k": "e3", "K": "e3", "M": "e6", "B": "e9", "bn": "e9", "Bn": "e9", "T": "e12"}
_SHARES = ("%", "‰")
_CURRENCIES = (
    *("US$", "R$", "A$", "C$", "HK$", "NZ$", "$", "€", "£", "¥", "₹", "₽", "₩", "₺", "₴", "₪", "₫"),
    *("฿", "₦", "₱", "₿", "zł", "Kč", "Ft", "Fr.", "kr.", "kr", "Rs.", "Rs"),
    *("AED", "ARS", "AUD", "BGN", "BRL", "BTC", "CAD", "CHF", "CLP", "CNY", "COP", "CZK", "DKK"),
    *("EGP", "EUR", "GBP", "HKD", "HUF", "IDR", "ILS", "INR", "ISK", "JPY", "KRW", "MXN", "MYR"),
    *("NGN", "NOK", "NZD", "PEN", "PHP", "PKR", "PLN", "RON", "RUB", "SAR", "SEK", "SGD", "THB"),
    *("TRY", "TWD", "UAH", "USD", "VND", "ZAR"),
)
_UNIT = "|".join(map(re.escape, _SHARES + _CURRENCIES))
_CELL = re.compile(
    rf"(?P<open>\()? *(?P<first>[-+])? *(?P<before>{_UNIT})? *(?P<second>[-+])?"
    r"(?P<digits>[0-9](?:[0-9.,' ]*[0-9])?[.,]?|[.,][0-9]+)"
    rf"(?P<power>[eE][-+]?[0-9]+|{'|'.join(_POWERS)})?"
    rf" *(?P<after>{_UNIT})?(?P<last>-)? *(?P<close>\))?"
)
#: Other ways to write a minus, a blank and an apostrophe.
_SIMPLER = str.maketrans(
    dict.fromkeys("\N{MINUS SIGN}\N{EN DASH}\N{FIGURE DASH}\N{FULLWIDTH HYPHEN-MINUS}", "-")
    | dict.fromkeys("\t\u00a0\u2002\u2003\u2005\u2007\u2008\u2009\u200a\u202f\u3000", " ")
    | dict.fromkeys("\N{RIGHT SINGLE QUOTATION MARK}\N{LEFT SINGLE QUOTATION MARK}\u00b4`", "'")
)
_END = "\0"
_WITH_UNIT = re.compile(
    r"[-+\u2212]?[0-9](?:[0-9.,' ]*[0-9])?\s?(?P<unit>[^\d\s.,'+:;/\u2212-][^\d\s]{0,14}[23]?)"
)
#: How often a value must come to be suspected to mean none, and how many others there must be.
_SUSPECT_TIMES, _SUSPECT_OTHERS = 3, 10
#: Of values that programs write for none, such as -9999, one is enough, among so many others.
_MARK, _MARK_OTHERS = re.compile(r"-?9{3,}(?:\.[09]+)?|-?9+\.9{2,}"), 3
#: Cells that are looked at to see whether a column could hold numbers.
_SAMPLE = 1000


def is_missing(texts: pd.Series, marks: Iterable[str] = ()) -> NDArray[np.bool_]:
    """Which cells are one of `MISSING` or `marks`; `texts` without surrounding blanks."""
    return texts.str.lower().isin(MISSING | {mark.lower() for mark in marks}).to_numpy(bool)


def is_number_mark(texts: pd.Series) -> NDArray[np.bool_]:
    """Which cells are one of `NUMBER_MARKS`; `texts` without surrounding blanks."""
    return texts.str.lower().isin(NUMBER_MARKS).to_numpy(bool)


def parse_numbers(texts: pd.Series) -> NDArray[np.float64]:
    """Cells as programs write numbers, NaN where one holds none; without surrounding blanks."""
    return import_pandas().to_numeric(texts, errors="coerce").to_numpy(np.float64)


@dataclass(frozen=True)
class Notation:
    """How a column writes numbers.

    In every notation a sign may stand before or after a number or be parentheses (-5, 5-, (5)),
    and k, M, B or T after it.

    Attributes
    ----------
    decimal : {".", ","}
        What stands before the decimals.
    thousands : {"", ",", ".", " ", "'"}
        What may stand between groups of digits.
    unit : str
        A percent sign, or the symbol or code of a currency, before or after the numbers. It does
        not change them. Some cells may lack a currency; without a percent sign only 0 is clear.
    """

    decimal: str = "."
    thousands: str = ""
    unit: str = ""

    @property
    def is_share(self) -> bool:
        """Whether the numbers are percent or the like."""
        return self.unit in _SHARES

    def parse(self, texts: pd.Series) -> NDArray[np.float64]:
        """Cells as numbers, NaN where one holds none in this notation.

        >>> import pandas as pd
        >>> Notation(",", ".", "%").parse(pd.Series(["-1.234,5 %", "1,234.5 %"])).tolist()
        [-1234.5, nan]
        """
        values = self.parse_simple(texts)
        if values is None:
            values = np.full(len(texts), np.nan)
            cells = take_apart(texts)
            fits = self.fits(cells)
            digits = cells["digits"][fits]
            values[fits] = self._numbers_in(
                join_cells(cells["sign"][fits] + digits + cells["power"][fits])
            )
        return values

    def parse_simple(self, texts: Iterable[str]) -> NDArray[np.float64] | None:
        """Cells as numbers if all have a sign, digits, separators and the unit at most, else None.

        One match of all cells is several times as fast as one for each.
        """
        cells = join_cells(texts)
        return self._numbers_in(cells) if self.is_simple(cells) else None

    def is_simple(self, cells: str) -> bool:
        """Whether joined cells are as `parse_simple` reads them."""
        digits, unit = f"{self.digits_pattern}(?:[eE][-+]?[0-9]+)?", re.escape(self.unit)
        if self.is_share:
            digits = f"{digits} ?{unit}"
        elif self.unit:
            digits = f"(?:{digits}(?: ?{unit})?|{unit} ?{digits})"
        return bool(re.fullmatch(rf"(?:[-+]?{digits}{_END})*+", cells))

    def fits(self, cells: pd.DataFrame) -> NDArray[np.bool_]:
        """Which cells, taken apart, hold a number in this notation."""
        bare = cells["unit"] == ""
        if self.is_share:  # 0.5 beside 50 % could be either
            bare &= cells["digits"].str.fullmatch("[0.,]+")
        allowed = bare | (cells["unit"] == self.unit)
        return (allowed & cells["digits"].str.fullmatch(self.digits_pattern)).to_numpy(bool)

    def write(self, values: Iterable[float], unit: float | None = None) -> list[str]:
        """Numbers as text, to the seven digits that float32 has.

        `unit` is what they differ by: numbers that are much larger get more digits, so that four of
        the difference are seen.

        >>> Notation(",", ".").write([1234.5, 1e-7])
        ['1234,5', '1e-07']
        >>> Notation(".", "").write([4492557.16493], unit=0.25)
        ['4492557.1649']
        """
        numbers = np.asarray(values, np.float64)
        largest = np.abs(numbers[np.isfinite(numbers)]).max(initial=0.0)
        digits = 7
        if unit is not None and largest > unit > 0.0:
            digits = min(max(7, 4 + math.floor(math.log10(largest / unit))), 17)
        return [f"{value:.{digits}g}".replace(".", self.decimal) for value in numbers.tolist()]

    def to_dict(self) -> dict[str, str]:
        """As plain data for a model file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Notation:
        """Inverse of `to_dict`; ValueError for anything else."""
        notation = cls(**data)
        if (
            notation.decimal not in DECIMALS
            or notation.thousands not in ("", *SEPARATORS)
            or notation.decimal == notation.thousands
            or notation.unit not in ("", *_SHARES, *_CURRENCIES)
        ):
            raise ValueError(f"no notation of numbers: {data!r}")
        return notation

    @property
    def digits_pattern(self) -> str:
        """Regular expression of digits with these separators."""
        decimal, thousands = re.escape(self.decimal), re.escape(self.thousands)
        size = "{2,3}" if self.thousands == "," else "{3}"  # in India some groups have two digits
        groups = rf"[1-9][0-9]{{0,2}}(?:{thousands}[0-9]{size})*{thousands}[0-9]{{3}}|"
        whole = f"(?:{groups if thousands else ''}[0-9]+)"
        return f"(?:{whole}(?:{decimal}[0-9]*)?|{decimal}[0-9]+)"

    def _numbers_in(self, cells: str) -> NDArray[np.float64]:
        """Joined cells that are numbers in this notation."""
        for unit in (f" {self.unit}", f"{self.unit} ", self.unit) if self.unit else ():
            cells = cells.replace(unit, "")
        if self.thousands:
            cells = cells.replace(self.thousands, "")
        cells = cells.replace(self.decimal, ".")
        return parse_numbers(import_pandas().Series(cells.split(_END)[:-1], dtype=object))


def join_cells(texts: Iterable[str]) -> str:
    """Cells as one text, in which much can be done at once; no file has what stands after each."""
    cells = _END.join([*texts, ""])
    return cells if cells.isascii() else cells.translate(_SIMPLER)


def take_apart(texts: pd.Series) -> pd.DataFrame:
    """Digits, sign, power of ten and unit of cells; `texts` without surrounding blanks.

    All four are texts, empty where a cell lacks them or holds no number.
    """
    parts = [_parts(_CELL.fullmatch(text)) for text in texts.str.translate(_SIMPLER)]
    names = ["digits", "sign", "power", "unit"]
    return import_pandas().DataFrame(parts, columns=names, index=texts.index, dtype=object)


def _parts(match: re.Match[str] | None) -> tuple[str, str, str, str]:
    if match is None:
        return "", "", "", ""
    part = match.groupdict("")
    signs = part["first"] + part["second"] + part["last"]
    parentheses = part["open"] + part["close"]
    if (parentheses, signs) not in (("", ""), ("", "-"), ("", "+"), ("()", "")):
        return "", "", "", ""
    if part["before"] and part["after"]:
        return "", "", "", ""
    power = _POWERS.get(part["power"], part["power"])
    return part["digits"], "-" if parentheses else signs, power, part["before"] + part["after"]


class Decision(NamedTuple):
    """What the cells of a column say of its notation.

    Attributes
    ----------
    notation : Notation or None
        None where most cells hold no number in any.
    sure : bool
        Whether a cell tells a decimal point from a decimal comma.
    unclear : str
        A cell that either could have written, as another number; empty if there is none.
    """

    notation: Notation | None
    sure: bool = False
    unclear: str = ""


def shows_decimal(values: NDArray[Any]) -> bool:
    """Whether a number has decimals that cannot be a group of thousands, as those of 1.234 can."""
    if values.dtype.kind != "f":
        return False
    thousandths = values * 1000
    group = np.abs(thousandths - np.rint(thousandths)) < 1e-6
    group &= (np.abs(values) >= 1) & (np.abs(values) < 1000)
    return bool((np.isfinite(values) & (values != np.rint(values)) & ~group).any())


class Suspect(NamedTuple):
    """A value that may stand for "no value", how often it comes, and the range of the others."""

    value: float
    times: int
    least: float
    greatest: float


def find_suspect(values: NDArray[np.float64]) -> Suspect | None:
    """A value at an end of a column that repeats far from all others, such as -999.

    Far is three deviations of the others, or below zero where all others are not. Columns of few
    different values, such as flags, have none. Of values such as -9999 one is enough.
    """
    values = values[np.isfinite(values)]
    for end, opposite in ((np.min, np.max), (np.max, np.min)) if len(values) else ():
        value = end(values)
        others = values[values != value]
        times = len(values) - len(others)
        is_mark = bool(_MARK.fullmatch(f"{value:.12g}"))
        needed = (1, _MARK_OTHERS) if is_mark else (_SUSPECT_TIMES, _SUSPECT_OTHERS)
        if times < needed[0] or len(np.unique(others[:_SAMPLE])) < needed[1]:
            continue
        alone_below_zero = value < 0 <= others.min()
        if alone_below_zero or abs(end(others) - value) > 3 * others.std():
            least, greatest = sorted((float(end(others)), float(opposite(others))))
            return Suspect(float(value), times, least, greatest)
    return None


def find_unit(texts: Iterable[str]) -> str:
    """The unit that stands after the numbers of most texts; empty if they hold others.

    >>> find_unit(["12 kg", "7.5 kg", ""]), find_unit(["3°C", "-1,5°C"]), find_unit(["1st", "2nd"])
    ('kg', '°C', '')
    """
    texts = [text for text in texts if text]
    units = Counter(match["unit"] for text in texts if (match := _WITH_UNIT.fullmatch(text)))
    unit, times = next(iter(units.most_common(1)), ("", 0))
    return unit if 2 * times > len(texts) else ""


def read_numbers(
    texts: pd.Series, counts: NDArray[np.int64], decimal: str = "", thousands: str = ""
) -> tuple[Decision, NDArray[np.float64]]:
    """The notation of a column and its different cells as numbers; arguments as `decide_notation`.

    What some cells tell for sure holds for all if it reads them all: then only those are compared.
    """
    if plain := decide_plainly(join_cells(texts), decimal):
        assert plain.notation
        return plain, plain.notation.parse(texts)
    if len(texts) > _SAMPLE:
        some = np.unique(_sample(counts))
        decision = decide_notation(texts.iloc[some], counts[some], decimal, thousands)
        if decision.notation and decision.sure:
            values = decision.notation.parse(texts)
            if not np.isnan(values).any():
                return decision, values
    decision = decide_notation(texts, counts, decimal, thousands)
    if decision.notation is None:
        return decision, np.full(len(texts), np.nan)
    return decision, decision.notation.parse(texts)


def decide_plainly(cells: str, decimal: str = "") -> Decision | None:
    """What `decide_notation` would say of joined cells as most programs write them, but faster.

    None where it has to be asked.
    """
    separators = [mark for mark in DECIMALS if mark in cells]
    if not cells or len(separators) > 1:
        return None
    plain = Notation(separators[0] if separators else decimal or ".")
    if not plain.is_simple(cells):
        return None
    grouped = Notation(DECIMALS[plain.decimal == "."], plain.decimal).digits_pattern
    shown = any(
        plain.decimal in text and not re.fullmatch(grouped, re.split("[eE]", text.lstrip("+-"))[0])
        for text in cells.split(_END)
    )
    return Decision(plain, sure=shown) if shown or not separators else None


def decide_notation(
    texts: pd.Series, counts: NDArray[np.int64], decimal: str = "", thousands: str = ""
) -> Decision:
    """The simplest notation in which most cells of a column are numbers.

    Parameters
    ----------
    texts : pandas.Series
        Its different cells, none of them missing.
    counts : ndarray of int64
        How often each comes.
    decimal, thousands : str
        What to take where two readings are possible; empty: not known.
    """
    if not len(texts):
        return Decision(None)
    sample = _sample(counts)
    looked_at = take_apart(texts.iloc[sample])
    if 4 * np.count_nonzero(looked_at["digits"]) <= len(sample):  # far from most: dates, names
        return Decision(None)
    cells = take_apart(texts)
    candidates = _candidates(cells["unit"], counts)
    fits = np.array([notation.fits(cells) for notation in candidates])
    if 2 * counts[fits.any(axis=0)].sum() <= counts.sum():
        return Decision(None)
    weights = (fits * counts).sum(axis=1)
    best = [candidates[k] for k in np.flatnonzero(weights == weights.max())]
    separated = fits[weights.argmax()] & cells["digits"].str.contains("[.,]").to_numpy(bool)
    if len({notation.decimal for notation in best}) == 1:
        return Decision(best[0], sure=bool(separated.any()))
    wanted = [
        notation
        for notation in best
        if decimal in ("", notation.decimal) and thousands in ("", notation.thousands)
    ]
    if not separated.any() or decimal or thousands:
        return Decision((wanted or best)[0])
    # Programs write a decimal point; only a comma is unclear.
    commas = separated & cells["digits"].str.contains(",").to_numpy(bool)
    return Decision(best[0], unclear=texts[commas].iloc[0] if commas.any() else "")


def _candidates(units: pd.Series, counts: NDArray[np.int64]) -> list[Notation]:
    """Every notation with the commonest unit, the simpler first."""
    weights = import_pandas().Series(counts, index=units.to_numpy()).drop("", errors="ignore")
    unit = "" if weights.empty else str(weights.groupby(level=0).sum().idxmax())
    return [
        Notation(decimal, thousands, unit)
        for thousands in ("", *SEPARATORS)
        for decimal in DECIMALS
        if decimal != thousands
    ]


def _sample(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which texts stand at places evenly spread over the cells."""
    ends = np.cumsum(counts)
    places = np.linspace(0, ends[-1] - 1, min(_SAMPLE, ends[-1]), dtype=np.int64)
    return np.searchsorted(ends, places, side="right")
