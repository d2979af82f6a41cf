"""The build: the C core as static libraries, one per instruction set, under two Cython modules.

Everything else is in pyproject.toml.
"""

import platform
import sys
from glob import glob

MSVC = sys.platform == "win32"
MACHINE = platform.machine().lower()

if MSVC:
    BASE, OPENMP, LINK = ["/O2", "/std:c11"], ["/openmp"], []
else:
    # No contraction: the bits must not depend on a compiler's mood. No errno: sqrt may then be a
    # vector instruction.
    BASE = ["-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden"]
    OPENMP = LINK = ["-fopenmp"]

ISA_FLAGS = {"generic": []}
if MACHINE in {"x86_64", "amd64"}:
    ISA_FLAGS["avx2"] = ["/arch:AVX2"] if MSVC else ["-mavx2", "-mfma"]
    ISA_FLAGS["avx512"] = ["/arch:AVX512"] if MSVC else ["-mavx512f", "-mfma"]
elif MACHINE in {"aarch64", "arm64"}:
    ISA_FLAGS["neon"] = []

CORE = [
    "cpu",
    "dropout",
    "layout",
    "linear",
    "loss",
    "memory",
    "message",
    "model",
    "network",
    "optim",
    "parallel",
    "plan",
    "pooling",
    "recurrent",
    "rows",
    "safetensors",
    "sequences",
    "state",
    "weights",
]


def static_library(name: str, sources: list[str], flags: list[str]) -> tuple[str, dict]:
    paths = [f"src/{source}.c" for source in sources]
    return name, {
        "sources": paths,
        "obj_deps": {"": glob("src/*.h")},
        "include_dirs": ["src"],
        "cflags": BASE + flags,
    }


libraries = [static_library("cylstm_core", CORE, OPENMP)]
for isa, flags in ISA_FLAGS.items():
    libraries.append(static_library(f"cylstm_{isa}", [f"kernels_{isa}"], flags))


def build() -> None:
    import numpy
    from Cython.Build import cythonize
    from setuptools import Extension, setup

    def extension(name: str) -> Extension:
        return Extension(
            f"cylstm.{name}",
            [f"cylstm/{name}.pyx"],
            depends=glob("src/*"),
            include_dirs=["src", numpy.get_include()],
            define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
            extra_compile_args=BASE,
            extra_link_args=LINK,
        )

    setup(
        libraries=libraries,
        ext_modules=cythonize(
            [extension("_core"), extension("_blas")], compiler_directives={"language_level": 3}
        ),
    )


if __name__ == "__main__":  # benchmarks read the flags above, without the packages that build
    build()
