"""One wheel for every x86-64: in the compiled modules, AVX stands in the kernels made for it alone.

They are disassembled as they are installed, whatever flags built them; the symbol table says which
source file a function is from.
"""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator

import pytest

pytestmark = [
    pytest.mark.skipif(
        sys.platform != "linux" or platform.machine() != "x86_64", reason="not Linux on x86-64"
    ),
    pytest.mark.skipif(shutil.which("objdump") is None, reason="objdump is not installed"),
]

# By register or encoding: all of VEX and EVEX has a mnemonic that begins with v, but for masks.
AVX512 = re.compile(r"%(zmm|k[0-7]|[xy]mm(1[6-9]|2\d|3[01]))")
AVX = re.compile(rf"\t(\{{\w+\}} )?v|%ymm|{AVX512.pattern}")
NONE = re.compile(r"(?!)")
FORBIDDEN = {"kernels_avx512.c": NONE, "kernels_avx2.c": AVX512}  # everywhere else: AVX

FUNCTION = re.compile(r"([0-9a-f]+) <(.+)>:")


def path_of(module: str) -> str:
    return importlib.util.find_spec(f"cylstm.{module}").origin


def objdump(path: str, *options: str) -> list[str]:
    command = ["objdump", *options, path]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def source_files(path: str) -> dict[int, str]:
    """The file of each function, by address: local symbols stand below the name of theirs."""
    file, files = "", {}
    for line in objdump(path, "--syms"):
        fields = line.split()
        if fields[2:4] == ["df", "*ABS*"]:
            file = fields[-1] if len(fields) > 5 else ""  # the linker's own have no name
        elif fields[2:3] == ["F"]:
            files[int(fields[0], 16)] = file
    return files


def instructions(path: str) -> Iterator[tuple[str, str, str]]:
    """Each instruction with its function and that one's file."""
    files, file, function = source_files(path), "", ""
    for line in objdump(path, "--disassemble", "--no-show-raw-insn"):
        if start := FUNCTION.fullmatch(line):
            file, function = files.get(int(start[1], 16), ""), start[2]
        elif "\t" in line:
            yield file, function, line


@pytest.mark.parametrize("module", ["_core", "_blas"])
def test_avx_stands_in_its_kernels_alone(module):
    strays = defaultdict(set)
    for file, function, instruction in instructions(path_of(module)):
        if FORBIDDEN.get(file, AVX).search(instruction):
            strays[file].add(function)
    assert not strays


def test_the_kernels_are_what_they_are_called():
    """So the test above sees AVX where there is some, and files by their names."""
    seen = {file: set() for file in FORBIDDEN}
    for file, _, instruction in instructions(path_of("_core")):
        if file in seen:
            seen[file] |= set(re.findall(r"%([xyz]mm|k)", instruction))
    assert seen["kernels_avx2.c"] >= {"ymm"}
    assert seen["kernels_avx512.c"] >= {"zmm"}
