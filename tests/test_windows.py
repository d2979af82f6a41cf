"""The C library for Windows: made by mingw-w64's gcc as CMake has it, and run by Wine."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from configurations import check_program
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


@pytest.fixture(scope="module")
def run_models(build: Path) -> list[str]:
    """tests/c/run_models.c with the DLL beside it, as a program has it."""
    source, binary = "tests/c/run_models.c", str(build / "run_models.exe")
    options = [*FLAGS.split(), "-std=c11", "-O2", "-DCYLSTM_SHARED", "-Isrc", f"-L{build}"]
    run([COMPILER, *options, source, "-lcylstm", "-o", binary])
    return ["wine", binary]


def test_the_c_tests_pass(build):
    print(run(["ctest", "--test-dir", str(build), "--output-on-failure"]))


def test_the_library_exports_the_header(build):
    table = run([COMPILER.replace("gcc", "objdump"), "-p", str(build / "libcylstm.dll")])
    names = table.partition("[Ordinal/Name Pointer] Table")[2]
    exported = set(re.findall(r"^\s*\[\s*\d+\] (\w+)$", names, re.MULTILINE))
    header = (ROOT / "src/cylstm.h").read_text()
    assert exported == set(re.findall(r"^CYLSTM_API [^;(]*?(\w+)\(", header, re.MULTILINE))


def test_the_bits_are_pythons(run_models, tmp_path):
    check_program(run_models, tmp_path)


def test_a_file_of_more_than_2_gb_is_seen_as_large_as_it_is(run_models, tmp_path):
    size = (1 << 32) + 12345  # no long of 32 bits has it
    with open(tmp_path / "large", "wb") as file:
        file.truncate(size)
    printed = run([*run_models, "large"], cwd=tmp_path)
    assert printed.strip() == f"no memory for the {size} bytes of large"
