"""Check source distributions and wheels as they would be published.

    python tools/check_distributions.py FILE...

What twine and check-wheel-contents find, and what they do not look for: that a wheel is small,
holds nothing that only the build needs, and has the licence of every library it brings along.
Needs the dependency group ``package``.
"""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

MOST_BYTES = 2_000_000
#: Libraries that wheels bring along, and the files in licenses/ that say on what terms.
LICENCES = {
    "libgomp": ("GPL-3.0.txt", "GCC-exception-3.1.txt"),
    "libomp": ("Apache-2.0.txt", "LLVM-exception.txt"),
    "vcomp140": ("bundled.md",),
}
BUNDLED = re.compile(r"(?:cylstm\.libs|cylstm/\.dylibs)/([a-z]+\d*)")
ONLY_FOR_BUILDING = (".c", ".pyx")


def main(*paths: str) -> int:
    """Print what is wrong with the files.

    Returns
    -------
    int
        The exit status: 1 where something is.
    """
    wheels = [path for path in paths if path.endswith(".whl")]
    commands = [["twine", "check", "--strict", *paths], ["check-wheel-contents", *wheels]]
    failed = [command[0] for command in commands if subprocess.run(command, check=False).returncode]
    complaints = [complaint for wheel in wheels for complaint in wrong_with(Path(wheel))]
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if failed or complaints else 0


def wrong_with(wheel: Path) -> Iterable[str]:
    """Complaints about one wheel."""
    size = wheel.stat().st_size
    print(f"{wheel.name}: {size:,} bytes")
    if size > MOST_BYTES:
        yield f"{wheel.name}: more than {MOST_BYTES:,} bytes"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    licences = {Path(name).name for name in names if ".dist-info/licenses/" in name}
    for name in names:
        if name.endswith(ONLY_FOR_BUILDING):
            yield f"{wheel.name}: {name} is only for building"
        if bundled := BUNDLED.match(name):
            missing = set(LICENCES.get(bundled[1], [f"a licence of {bundled[1]}"])) - licences
            yield from (f"{wheel.name}: {name} without {licence}" for licence in missing)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
