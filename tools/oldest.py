"""Print the oldest versions that pyproject.toml says cylstm works with, as constraints for pip.

    python tools/oldest.py >oldest.txt
    pip install --constraint oldest.txt 'cylstm[csv,plot,test]'

No resolver picks them by itself; .ci/run tests with them.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def main() -> None:
    """Print a line for each package that cylstm or one of its extras requires."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in sorted({requirement for group in groups for requirement in group}):
        print(oldest(requirement))


def oldest(requirement: str) -> str:
    """The constraint for a requirement, which has to say where it begins.

    Examples
    --------
    >>> oldest("numpy>=1.26,<3")
    'numpy==1.26'
    """
    found = re.fullmatch(r"([\w.-]+)>=([\w.]+)(,.*)?", requirement)
    if found is None:
        raise ValueError(f"{requirement}: expected a package and its oldest version")
    return f"{found[1]}=={found[2]}"


if __name__ == "__main__":
    main()
