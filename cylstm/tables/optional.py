"""Packages that only tables need, imported when one is read."""

from __future__ import annotations

import importlib
from typing import Any


def import_pandas() -> Any:
    """Import pandas, which only tables need."""
    return import_package("pandas", "CSV files need", "csv")


def import_package(name: str, purpose: str, extra: str) -> Any:
    """Import a package, or say for what it is needed and which extra of cylstm brings it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f'{purpose} {name}, which is not installed: pip install "cylstm[{extra}]"'
        ) from None
