"""SciPy's sgemm for the core; importing it imports SciPy."""

from typing import Any

def info() -> dict[str, Any]: ...
