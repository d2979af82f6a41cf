"""The C tests: compiled with all warnings and with sanitizers, by each compiler there is, and run.

For NEON by a cross compiler, to run under qemu, which is too slow for sanitizers. Such a program's
bits are compared with those on this processor.

How to do the same without Python stands at the head of tests/c/check.h and of each test.
"""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ["-std=c11", "-ffp-contract=off", "-fopenmp", "-Wall", "-Wextra", "-Werror", "-Isrc"]
ISA_FLAGS = {
    "x86_64": {"avx2": ["-mavx2", "-mfma"], "avx512": ["-mavx512f", "-mfma"]},
    "aarch64": {"neon": []},
}
PROGRAMS = tuple(sorted(path.stem for path in (ROOT / "tests/c").glob("test_*.c")))
PROGRAMS_OF_TEAMS = ("test_guard", "test_linear", "test_model", "test_network", "test_parallel")
PROGRAMS_OF_BITS = ("test_activation", "test_bits")
# Millions of floats through kernels that test_kernels shows to sanitizers.
TO_SANITIZE = tuple(program for program in PROGRAMS if program != "test_activation")
# Where an allocation fails, gcc's sanitizer sees what clang's does in a third of the time.
FOR_CLANG = tuple(program for program in TO_SANITIZE if program != "test_allocations")
SECONDS = 600
# LLVM's OpenMP keeps some memory until the process ends. The thread sanitizer knows OpenMP's
# barriers by libarcher, which must not be told of what happens inside libraries it does not see.
SUPPRESSIONS = "leak:libomp\n"
TSAN_OPTIONS = "ignore_noninstrumented_modules=1"
# Threads take turns, or one that spins would keep out those it waits for. What libgomp allocates
# for a thread that opens regions, its pool, is lost where that thread ends.
VALGRIND = (
    *("valgrind", "--quiet", "--error-exitcode=1", "--fair-sched=yes"),
    *("--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite"),
)
VALGRIND_SUPPRESSIONS = """
{
   libgomp's pool
   Memcheck:Leak
   match-leak-kinds: definite
   fun:*
   obj:*libgomp.so*
   ...
}
"""


class Variant(NamedTuple):
    """One way to compile the tests, and which of them."""

    compiler: str
    sanitizers: str  # without any, optimised instead
    programs: tuple[str, ...]
    machine: str = platform.machine()
    emulator: str = ""  # what runs programs for another machine

    def __str__(self) -> str:
        return f"{self.compiler}-{self.sanitizers or 'optimised'}"

    @property
    def flags(self) -> list[str]:
        if self.sanitizers:
            checks = [f"-fsanitize={self.sanitizers}", "-fno-sanitize-recover=all"]
            return [*FLAGS, "-O1", "-g1", *checks]
        static = ["-static"] if self.emulator else []  # qemu need not find that machine's libraries
        return [*FLAGS, "-O2", *static]


SANITIZED = [
    variant
    for variant in (
        Variant("gcc", "address,undefined", TO_SANITIZE),
        Variant("clang", "address,undefined", FOR_CLANG),
        Variant("clang", "thread", TO_SANITIZE),
    )
    if shutil.which(variant.compiler)
]
NEON = Variant("aarch64-linux-gnu-gcc", "", PROGRAMS, "aarch64", "qemu-aarch64")
OPTIMISED = Variant("cc", "", PROGRAMS_OF_BITS)


def run(command: list[str], **options) -> str:
    """What a command prints; the test fails where it does."""
    options = {"cwd": ROOT, "capture_output": True, "text": True, "timeout": SECONDS} | options
    done = subprocess.run(command, check=False, **options)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def check_presence(variant: Variant) -> None:
    """Skip where a tool is absent: in these words, which tools/check_report.py knows."""
    for tool in filter(None, (variant.compiler, variant.emulator)):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")


def check_support(variant: Variant, folder: Path) -> None:
    """Skip where the compiler has no such sanitizer or no OpenMP, or this system cannot run it."""
    source, binary = folder / "empty.c", str(folder / "empty")
    source.write_text("#include <omp.h>\nint main(void) { return 0; }\n")
    try:
        run([variant.compiler, *variant.flags, str(source), "-o", binary])
        run([binary])
    except AssertionError as error:
        pytest.skip(f"{variant} does not work here: {error}")


def make_library(variant: Variant, folder: Path) -> Path:
    """The core, compiled into a static library."""
    check_presence(variant)
    if not variant.emulator:
        check_support(variant, folder)
    isas = {"generic": [], **ISA_FLAGS.get(variant.machine, {})}
    sources = {path: [] for path in (ROOT / "src").glob("[!k]*.c")}
    sources |= {ROOT / f"src/kernels_{isa}.c": flags for isa, flags in isas.items()}
    objects = [str(folder / f"{source.stem}.o") for source in sources]

    def compile_one(source: Path, name: str) -> None:
        run([variant.compiler, *variant.flags, *sources[source], "-c", str(source), "-o", name])

    with ThreadPoolExecutor() as pool:
        list(pool.map(compile_one, sources, objects))
    library = folder / "libcylstm.a"
    run(["ar", "rcs", str(library), *objects])
    return library


def build_program(variant: Variant, program: str, library: Path, folder: Path) -> list[str]:
    """The command that runs a program of tests/c, compiled as a variant says."""
    source, binary = f"tests/c/{program}.c", str(folder / program)
    libraries = [str(library), "-lm", "-lpthread"]
    run([variant.compiler, *variant.flags, source, *libraries, "-o", binary])
    return [*filter(None, [variant.emulator]), binary]


@pytest.fixture(scope="module")
def output_of(library_of, tmp_path_factory) -> Callable[..., str]:
    """What a program prints, compiled as a variant says and run once."""

    @functools.cache
    def output(variant: Variant, program: str, *arguments: str, under: tuple[str, ...] = ()) -> str:
        library, folder = library_of(variant), tmp_path_factory.mktemp(program)
        command = build_program(variant, program, library, folder)
        suppressions = folder / "suppressions"
        suppressions.write_text(SUPPRESSIONS)
        options = {"LSAN_OPTIONS": f"suppressions={suppressions}", "TSAN_OPTIONS": TSAN_OPTIONS}
        return run([*command, *arguments], env=os.environ | options)

    return output


def marks_of(variant: Variant, program: str) -> list[pytest.MarkDecorator]:
    """Races need a team: programs without one are looked at for them by the long tests."""
    alone = variant.sanitizers == "thread" and program not in PROGRAMS_OF_TEAMS
    return [pytest.mark.long] if alone else []


@pytest.mark.parametrize(
    ("variant", "program"),
    [
        pytest.param(variant, program, marks=marks_of(variant, program))
        for variant in (*SANITIZED, OPTIMISED, NEON)
        for program in variant.programs
    ],
    ids=str,
)
def test_program(output_of, variant, program):
    print(output_of(variant, program))


@pytest.mark.long
@pytest.mark.parametrize("program", TO_SANITIZE)
def test_program_under_valgrind(library_of, tmp_path, program):
    """It sees what the sanitizers do not: numbers that are used before they are set."""
    if not shutil.which("valgrind"):
        pytest.skip("valgrind is not installed")
    command = build_program(OPTIMISED, program, library_of(OPTIMISED), tmp_path)
    suppressions = tmp_path / "suppressions"
    suppressions.write_text(VALGRIND_SUPPRESSIONS)
    few = os.environ | {"CYLSTM_FEW_TRIALS": "1"}
    print(run([*VALGRIND, f"--suppressions={suppressions}", *command], env=few))


@pytest.mark.parametrize("program", PROGRAMS_OF_BITS)
def test_bits_on_neon_are_those_on_this_processor(output_of, program):
    outputs = output_of(NEON, program) + output_of(OPTIMISED, program)
    isas, named = set(), {}
    for isa, what, bits in re.findall(r"^bits (\S+) (\S+) (\S+)$", outputs, re.MULTILINE):
        isas.add(isa)
        named.setdefault(what, {})[isa] = bits
    assert "neon" in isas
    assert not {what: by_isa for what, by_isa in named.items() if len(set(by_isa.values())) > 1}
    assert all(by_isa.keys() == isas for by_isa in named.values())


@pytest.mark.long
def test_activations_of_all_floats(output_of):
    """How far off sigmoid and tanh are, and whether all sets with FMA agree: two minutes."""
    print(output_of(OPTIMISED, "test_activation", "1"))


@pytest.mark.parametrize("module", ["_core", "_blas"])
def test_clang_compiles_the_modules(module, tmp_path):
    """As on macOS: gcc lets pass some of what Cython writes that clang does not."""
    pytest.importorskip("Cython", reason="Cython is not installed")
    if not shutil.which("clang"):
        pytest.skip("clang is not installed")
    code = str(tmp_path / f"{module}.c")
    cython = [sys.executable, "-m", "cython", "-3", f"cylstm/{module}.pyx", "-o", code]
    subprocess.run(cython, check=True, cwd=ROOT)
    headers = sysconfig.get_path("include")
    includes = [f"-I{folder}" for folder in ("src", "cylstm", np.get_include(), headers)]
    compile_it = ["clang", "-std=c11", "-fsyntax-only", *includes, code]
    done = subprocess.run(compile_it, check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
