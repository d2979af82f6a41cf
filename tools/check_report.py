"""Fail where tests were skipped that should have run.

    python tools/check_report.py REPORT.xml...

Each REPORT.xml is what ``pytest --junitxml`` wrote. A test that skips itself because a package is
absent looks like success; where everything is installed, as in .ci/run, it is a failure.
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable

#: Skips that are as they should be: patterns of "module::test: reason".
ACCEPTED = (
    r"test_benchmarks::test_peers_agree_with_cylstm\[.*-(jax|openvino)\]",
    r"test_benchmarks::.*needs g\+\+ and Eigen",
    r"test_same_bits::.*instruction_set",  # the processor does not have it, or it is the default
    r"test_c::.*clang-",  # a second compiler is good to have
    r"test_fuzzing::.*: clang is not installed",
    r"test_c_library::.*: (clang|g\+\+|gfortran) is not installed",
    r"test_installed_c::.*: (c\+\+|gfortran|pkg-config) is not installed",
    # and so is a cross compiler; where both are here, its tests cannot skip
    r"test_c(_library)?::.*: (aarch64-linux-gnu-gcc|qemu-aarch64|valgrind) is not installed",
    r"test_windows::.*: (x86_64-w64-mingw32-gcc|wine) is not installed",
    r"test_export_c::.*: (clang|g\+\+|(aarch64|arm)-linux-\w+-gcc|qemu-\w+) is not installed",
    r"test_(threads|report)::.*(clang|LLVM's OpenMP) ",
)
#: Modules that must have run at least one test: what they compare with is not optional here.
REQUIRED = ("test_against_torch", "test_training_against_torch", "test_real_data")


def main(*paths: str) -> int:
    """Print what is wrong with the reports.

    Returns
    -------
    int
        The exit status: 1 where something is.
    """
    cases = [case for path in paths for case in ElementTree.parse(path).iter("testcase")]
    complaints = [*unexpected_skips(cases), *idle_modules(cases)]
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


def unexpected_skips(cases: Iterable[ElementTree.Element]) -> Iterable[str]:
    """Skipped tests whose reason is not an accepted one."""
    for case in cases:
        skipped = case.find("skipped")
        if skipped is None:
            continue
        name = f"{module_of(case)}::{case.get('name')}: {skipped.get('message')}"
        if not any(re.match(pattern, name) for pattern in ACCEPTED):
            yield f"skipped {name}"


def idle_modules(cases: Iterable[ElementTree.Element]) -> Iterable[str]:
    """Required modules of which no test ran."""
    ran = {module_of(case) for case in cases if case.find("skipped") is None}
    return [f"no test of {module} ran" for module in REQUIRED if module not in ran]


def module_of(case: ElementTree.Element) -> str:
    """The module a test is in; a module that skipped itself whole has its name for the test's."""
    return (case.get("classname") or case.get("name") or "").rpartition(".")[2]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
