"""The build: the C core as static libraries, one per instruction set, under two Cython modules. The rest: pyproject.toml."""

import platform
import sys

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

MSVC = sys.platform == "win32"
MACHINE = platform.machine().lower()

# contraction off: the bits must not depend on a compiler's mood; no errno: sqrt may then be a vector instruction
BASE = ["/O2", "/std:c11"] if MSVC else ["-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden"]
OPENMP = ["/openmp"] if MSVC else ["-fopenmp"]
ISA_FLAGS = {"generic": []}
if MACHINE in {"x86_64", "amd64"}:
    ISA_FLAGS |= {
        "avx2": ["/arch:AVX2"] if MSVC else ["-mavx2", "-mfma"],
        "avx512": ["/arch:AVX512"] if MSVC else ["-mavx512f", "-mfma"],
    }
elif MACHINE in {"aarch64", "arm64"}:
    ISA_FLAGS |= {"neon": []}
CORE = [
    "cpu", "dropout", "layout", "linear", "loss", "network", "optim", "parallel", "plan", "pooling", "recurrent",
    "sequences", "weights",
]  # fmt: skip


def static_library(name: str, sources: list[str], flags: list[str]) -> tuple[str, dict]:
    return name, {"sources": [f"src/{source}.c" for source in sources], "include_dirs": ["src"], "cflags": BASE + flags}


kernels = [static_library(f"cylstm_{isa}", [f"kernels_{isa}"], flags) for isa, flags in ISA_FLAGS.items()]
core = static_library("cylstm_core", CORE, OPENMP)
modules = [
    Extension(
        f"cylstm.{name}",
        [f"cylstm/{name}.pyx"],
        include_dirs=["src", numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=BASE,
        extra_link_args=[] if MSVC else OPENMP,
    )
    for name in ("_core", "_blas")
]

setup(libraries=[core, *kernels], ext_modules=cythonize(modules, compiler_directives={"language_level": 3}))
