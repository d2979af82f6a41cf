"""Packages that only tables need, imported when one is read."""

from __future__ import annotations

import importlib
from typing import Any


def import_pandas() -> Any:
    """Import pandas, which only tables need."""
    return import_package("pandas", "CSV files need")


def import_package(name: str, purpose: str) -> Any:
    """Import a package, or say for what it is needed and how it is installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"{purpose} {name}, which is not installed: pip install {name}"
        ) from None
