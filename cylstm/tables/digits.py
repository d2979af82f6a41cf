"""Numbers out of cells of a fixed width, all cells at once."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from .numbers import Notation

#: Integers below this, and these powers of ten, are exact: so is the rounding of their quotient.
_EXACT, _EXACT_POWER = 2.0**53, 22
_POWERS = np.array([float(f"1e{power}") for power in range(_EXACT_POWER + 1)])
#: Kinds of characters.
_ZERO, _DIGIT, _DECIMAL_MARK, _THOUSANDS_MARK, _SIGN, _NONE, _OTHER = range(7)
_KINDS = 8
#: Where the automaton stands in a cell; in a group of digits, how many of them it has seen.
_START, _SIGNED, _ONE, _TWO, _THREE, _LONG, _SEPARATED = range(7)
_GROUP_ONE, _GROUP_TWO, _GROUP, _BARE_POINT, _POINT, _DECIMAL, _END, _WRONG = range(7, 15)
_WHOLE = (_ONE, _TWO, _THREE, _LONG, _GROUP)


def read_digits(
    cells: NDArray[np.bytes_], notation: Notation
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Cells that consist of a sign, digits and separators as numbers, and which cells do so.

    The others, those with a unit among them, are 0. Groups of thousands must be whole, as
    `Notation.digits_pattern` says; without a unit, such cells mean what `Notation.parse` says.

    >>> values, read = read_digits(np.array([b"-1,234.5", b"12,34", b"1e3"]), Notation(".", ","))
    >>> values.tolist(), read.tolist()
    ([-1234.5, 0.0, 0.0], [True, False, False])
    """
    size, width = len(cells), cells.dtype.itemsize
    if notation.is_share:  # numbers without the sign are none there
        return np.zeros(size), np.zeros(size, bool)
    characters = np.ascontiguousarray(cells).view(np.uint8).reshape(size, width)
    longest = np.flatnonzero(characters.any(axis=0)).max(initial=0) + 1
    rows = np.ascontiguousarray(characters[:, :longest].T)
    kinds = _translate(rows, _kinds(notation.decimal, notation.thousands))
    following = _automaton(notation.thousands == ",")
    state = np.full(size, _START * _KINDS, np.uint8)
    whole, decimals = np.zeros(size), np.zeros(size, np.uint8)
    for row, kind in zip(rows, kinds, strict=True):
        state = _translate(state + kind, following)
        np.copyto(whole, 10.0 * whole + (row - ord("0")), where=kind <= _DIGIT)
        decimals += state == _DECIMAL * _KINDS
    read = _translate(state + np.uint8(_NONE), following) == _END * _KINDS
    read &= (whole < _EXACT) & (decimals <= _EXACT_POWER)
    values = np.where(read, whole, 0) / _POWERS[np.where(read, decimals, 0)]
    return np.where(rows[0] == ord("-"), -values, values), read


def _translate(values: NDArray[np.uint8], table: bytes) -> NDArray[np.uint8]:
    """Elements as a table of 256 says; several times as fast as an array's elements by an array."""
    return np.frombuffer(values.tobytes().translate(table), np.uint8).reshape(values.shape)


@cache
def _kinds(decimal: str, thousands: str) -> bytes:
    """The kind of each character."""
    kinds = np.full(256, _OTHER, np.uint8)
    marks = {"123456789": _DIGIT, "0": _ZERO, "+-": _SIGN, "\0": _NONE}
    for characters, kind in {**marks, decimal: _DECIMAL_MARK, thousands: _THOUSANDS_MARK}.items():
        kinds[list(characters.encode())] = kind
    return kinds.tobytes()


@cache
def _automaton(short_groups: bool) -> bytes:
    """The next state by state and kind of character; states are multiples of the kinds' number.

    `short_groups`: between others, groups may have two digits, as in India.
    """
    steps = np.full((256 // _KINDS, _KINDS), _WRONG * _KINDS, np.uint8)

    def step(states: tuple[int, ...], kinds: tuple[int, ...], following: int) -> None:
        steps[np.ix_(states, kinds)] = following * _KINDS

    digits = (_ZERO, _DIGIT)
    step((_START,), (_SIGN,), _SIGNED)
    step((_START, _SIGNED), (_DIGIT,), _ONE)
    step((_START, _SIGNED), (_ZERO,), _LONG)  # a group of thousands does not begin with 0
    step((_ONE,), digits, _TWO)
    step((_TWO,), digits, _THREE)
    step((_THREE, _LONG), digits, _LONG)
    grouped = (_ONE, _TWO, _THREE, _GROUP, *((_GROUP_TWO,) if short_groups else ()))
    step(grouped, (_THOUSANDS_MARK,), _SEPARATED)
    step((_SEPARATED,), digits, _GROUP_ONE)
    step((_GROUP_ONE,), digits, _GROUP_TWO)
    step((_GROUP_TWO,), digits, _GROUP)
    step((_START, _SIGNED), (_DECIMAL_MARK,), _BARE_POINT)
    step(_WHOLE, (_DECIMAL_MARK,), _POINT)
    step((_BARE_POINT, _POINT, _DECIMAL), digits, _DECIMAL)
    step((*_WHOLE, _POINT, _DECIMAL, _END), (_NONE,), _END)
    return steps.tobytes()
