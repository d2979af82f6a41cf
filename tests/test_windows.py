"""The C library for Windows: made by mingw-w64's gcc as CMake has it, and run by Wine."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from test_c import ROOT, run

COMPILER = "x86_64-w64-mingw32-gcc"
TOOLS = (COMPILER, "cmake", "wine")
FLAGS = "-Wall -Wextra -Werror"


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the shared library and all test programs."""
    for tool in TOOLS:
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    folder = tmp_path_factory.mktemp("windows")
    options = ["--toolchain", f"{ROOT}/tools/mingw-w64.cmake", f"-DCMAKE_C_FLAGS={FLAGS}"]
    run(["cmake", "-S", str(ROOT), "-B", str(folder), "-DBUILD_SHARED_LIBS=ON", *options])
    run(["cmake", "--build", str(folder), "--parallel", "2"])
    return folder


def test_the_c_tests_pass(build):
    print(run(["ctest", "--test-dir", str(build), "--output-on-failure"]))


def test_the_library_exports_the_header(build):
    table = run([COMPILER.replace("gcc", "objdump"), "-p", str(build / "libcylstm.dll")])
    names = table.partition("[Ordinal/Name Pointer] Table")[2]
    exported = set(re.findall(r"^\s*\[\s*\d+\] (\w+)$", names, re.MULTILINE))
    header = (ROOT / "src/cylstm.h").read_text()
    assert exported == set(re.findall(r"^CYLSTM_API [^;(]*?(\w+)\(", header, re.MULTILINE))
