"""Cells that hold a span of time, such as 00:00 - 01:00: its start is the time of the row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from . import time_formats as formats
from .optional import import_pandas

if TYPE_CHECKING:
    import pandas as pd

_CLOCK = r"\d{1,2}:\d{2}(?::\d{2})?"
#: Without blanks around it, what follows a dash could be an offset of the clock.
_SPAN = re.compile(
    rf"(.*{_CLOCK})(\s+(?:-|\N{{EN DASH}}|\N{{EM DASH}}|to|bis|until)\s+)(.*{_CLOCK})\Z"
    rf"|((?:.*{formats.COLUMN_BREAK})?{_CLOCK})([-\N{{EN DASH}}\N{{EM DASH}}])({_CLOCK})\Z"
)


@dataclass(frozen=True)
class Span:
    """How cells go on after the start of a span.

    Attributes
    ----------
    mark : str
        What stands between start and end.
    end : str
        The format of the end.
    seconds : int
        From start to end.
    midnight_24 : bool
        Whether a day ends at hour 24.
    """

    mark: str
    end: str
    seconds: int
    midnight_24: bool = False

    def __str__(self) -> str:
        return f"the start of a span of {timedelta(seconds=self.seconds)}"

    def starts(self, texts: pd.Series) -> pd.Series:
        """The part of cells before the end; what is no span stays as it is."""
        return import_pandas().Series([split(text)[0] for text in texts], texts.index, dtype=object)

    def write(self, start: datetime) -> str:
        """What stands after the start."""
        end: Any = start + timedelta(seconds=self.seconds)
        if self.midnight_24:
            end = formats.Midnight24.of(end)
        return self.mark + formats.write(self.end, end)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Span:
        """Inverse of `dataclasses.asdict`; an error of value, type or look-up for anything else."""
        span = cls(
            str(data["mark"]),
            formats.check_format(str(data["end"])),
            int(data["seconds"]),
            bool(data["midnight_24"]),
        )
        if not 0 < span.seconds < 10**9 or len(span.mark) > 20:
            raise ValueError(f"no span of time: {span!r}")
        return span


def split(text: str) -> tuple[str, str, str]:
    """Start, mark and end of a span; of a cell that is none the cell, and nothing."""
    match = _SPAN.match(text)
    if match is None:
        return text, "", ""
    start, mark, end = (part for part in match.groups() if part is not None)
    return start, mark, end
