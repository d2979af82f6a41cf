"""The C tests: compiled with all warnings and with sanitizers, by each compiler there is, and run.

How to do the same without Python stands at the head of tests/c/check.h and of each test.
"""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLAGS = [
    *("-std=c11", "-O1", "-g1", "-ffp-contract=off", "-fopenmp"),
    *("-Wall", "-Wextra", "-Werror", "-Isrc"),
]
ISA_FLAGS = {
    "x86_64": {"avx2": ["-mavx2", "-mfma"], "avx512": ["-mavx512f", "-mfma"]},
    "aarch64": {"neon": []},
}
PROGRAMS = tuple(sorted(path.stem for path in (ROOT / "tests/c").glob("test_*.c")))
PROGRAMS_OF_TEAMS = ("test_linear", "test_network", "test_parallel")
SECONDS = 300
# LLVM's OpenMP keeps some memory until the process ends. The thread sanitizer knows OpenMP's
# barriers by libarcher, which must not be told of what happens inside libraries it does not see.
SUPPRESSIONS = "leak:libomp\n"
TSAN_OPTIONS = "ignore_noninstrumented_modules=1"


class Variant(NamedTuple):
    """One way to compile the tests, and which of them."""

    compiler: str
    sanitizers: str
    programs: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.compiler}-{self.sanitizers}"

    @property
    def flags(self) -> list[str]:
        return [*FLAGS, f"-fsanitize={self.sanitizers}", "-fno-sanitize-recover=all"]


VARIANTS = [
    variant
    for variant in (
        Variant("gcc", "address,undefined", PROGRAMS),
        Variant("clang", "address,undefined", PROGRAMS),
        Variant("clang", "thread", PROGRAMS_OF_TEAMS),
    )
    if shutil.which(variant.compiler)
]


def run(command: list[str], **options) -> str:
    """What a command prints; the test fails where it does."""
    done = subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, **options
    )
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


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
    check_support(variant, folder)
    isas = {"generic": [], **ISA_FLAGS.get(platform.machine(), {})}
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


@pytest.fixture(scope="module")
def library_of(tmp_path_factory) -> Callable[[Variant], Path]:
    """The core as a variant has it, compiled once."""
    return functools.cache(
        lambda variant: make_library(variant, tmp_path_factory.mktemp(str(variant)))
    )


@pytest.mark.parametrize(
    ("variant", "program"),
    [(variant, program) for variant in VARIANTS for program in variant.programs],
    ids=str,
)
def test_program(library_of, tmp_path, variant, program):
    source, binary = f"tests/c/{program}.c", str(tmp_path / program)
    library = str(library_of(variant))
    run([variant.compiler, *variant.flags, source, library, "-lm", "-lpthread", "-o", binary])
    suppressions = tmp_path / "suppressions"
    suppressions.write_text(SUPPRESSIONS)
    options = {"LSAN_OPTIONS": f"suppressions={suppressions}", "TSAN_OPTIONS": TSAN_OPTIONS}
    print(run([binary], env=os.environ | options))
