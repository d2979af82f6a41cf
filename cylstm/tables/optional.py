"""Packages that only tables need, imported when one is read."""

from __future__ import annotations

from typing import Any


def import_pandas() -> Any:
    """Import pandas, which only CSV files need."""
    try:
        import pandas
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'CSV files need pandas, which is not installed: pip install "cylstm[csv]"'
        ) from None
    return pandas
