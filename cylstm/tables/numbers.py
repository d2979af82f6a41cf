"""How a column writes numbers, and which of its cells hold none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .optional import import_pandas

if TYPE_CHECKING:
    import pandas as pd

#: Cells that mean "no value", compared without case and surrounding blanks.
MISSING = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "null", "none"})
#: Numbers beyond this are refused: float32, in which a network computes, ends at 3.4e38, and errors
#: are squared.
LARGEST = 1e30


def is_missing(texts: pd.Series) -> NDArray[np.bool_]:
    """Which cells mean "no value"; `texts` without surrounding blanks."""
    return texts.str.lower().isin(MISSING).to_numpy(bool)


def parse_numbers(texts: pd.Series) -> NDArray[np.float64]:
    """Cells as numbers, NaN where one holds none; `texts` without surrounding blanks."""
    return import_pandas().to_numeric(texts, errors="coerce").to_numpy(np.float64)
