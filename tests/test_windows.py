"""The C library for Windows: made by mingw-w64's gcc as CMake has it, and run by Wine."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from configurations import check_program
from test_c import ISA_FLAGS, ROOT, run

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
        file.write(b"\xff" * 8)
        file.truncate(size)
    printed = run([*run_models, "large"], cwd=tmp_path)
    assert printed.strip().endswith(f"got a header of {2**64 - 1} bytes in {size}")


# --- what cl.exe would see -----------------------------------------------------------------------

#: gcc has no CPUID's friend XGETBV without -mxsave, and does not know cl.exe's pragmas.
AS_CL = [
    "-std=c11",
    "-mxsave",
    "-Wall",
    "-Wextra",
    "-Wno-unknown-pragmas",
    "-Wno-attributes",
    "-Werror",
]


def compile_as_cl(source: str, *options: str) -> None:
    isa = ISA_FLAGS["x86_64"].get(source.removeprefix("kernels_"), [])
    prelude = ["-include", "tests/c/as_cl.h"]
    run([COMPILER, *AS_CL, *isa, "-ffp-contract=off", *prelude, f"src/{source}.c", *options])


@pytest.mark.parametrize(
    "source",
    ["cpu", "kernels_avx2", "kernels_avx512", "kernels_generic", "message", "parallel", "system"],
)
def test_the_code_for_cl_compiles_by_its_names(build, source):
    """Of the files that use what compiler.h or system.h have in more than one way."""
    compile_as_cl(source, "-fsyntax-only")


def test_cpuid_finds_the_kernels_that_gccs_builtin_finds(build, tmp_path):
    """CPUID read by hand, as for cl.exe: the other objects are those of the build."""
    compile_as_cl("cpu", "-c", "-o", str(tmp_path / "cpu.obj"))
    objects = build.glob("CMakeFiles/cylstm_*.dir/src/[!c]*.obj")
    libraries = ["-static", "-fopenmp", "-lsynchronization", "-lpthread"]
    program = str(tmp_path / "test_bits.exe")
    source = [f"{ROOT}/tests/c/test_bits.c", f"-I{ROOT}/src", "-std=c11", "-fopenmp"]
    others = [str(path) for path in (*objects, tmp_path / "cpu.obj")]
    run([COMPILER, *source, *others, *libraries, "-o", program])
    isas = re.compile(r"^bits (\S+)", re.MULTILINE)
    with_builtin = set(isas.findall(run(["wine", str(build / "test_bits.exe")])))
    assert set(isas.findall(run(["wine", program]))) == with_builtin
