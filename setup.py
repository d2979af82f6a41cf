"""The build: the C core as static libraries, one per instruction set; two Cython modules over them.

And, of the same objects, the C library for programs without Python. Everything else is in
pyproject.toml.
"""

from __future__ import annotations

import platform
import re
import shutil
import sys
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from setuptools._distutils.ccompiler import CCompiler as Compiler

MSVC = sys.platform == "win32"
MACOS = sys.platform == "darwin"
MACHINE = platform.machine().lower()

if MSVC:
    # No contraction, as below: compiler.h, too. C11's atomics from Visual Studio 17.5 on. No /GL,
    # which setuptools asks for: such objects are for the very same compiler alone. OpenMP 2.0 is
    # enough, and what has more (/openmp:llvm) has a runtime that may not be handed on.
    BASE = ["/O2", "/std:c11", "/experimental:c11atomics", "/fp:precise"]
    CORE_ONLY = ["/GL-"]
    OPENMP, LINK, MODULE_LINK = ["/openmp"], [], []
else:
    # No contraction: the bits must not depend on a compiler's mood. No errno: sqrt may then be a
    # vector instruction. No debug information: it would be most of a wheel.
    BASE = ["-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden", "-g0"]
    CORE_ONLY = ["-DCYLSTM_SHARED"]  # the functions of cylstm.h are visible in the shared library
    # The clang of macOS compiles OpenMP's pragmas and brings no runtime: CPPFLAGS and LDFLAGS say
    # where one is, such as Homebrew's libomp.
    OPENMP = ["-Xpreprocessor", "-fopenmp"] if MACOS else ["-fopenmp"]
    LINK = ["-lomp", "-lm"] if MACOS else ["-fopenmp", "-lm"]
    # The modules keep those functions to themselves: a program that has another cylstm and embeds
    # Python must not lend them its own.
    MODULE_LINK = [*LINK, "-Wl,-exported_symbol,_PyInit_*" if MACOS else "-Wl,--exclude-libs,ALL"]

ISA_FLAGS = {"generic": []}
if MACHINE in {"x86_64", "amd64"}:
    ISA_FLAGS["avx2"] = ["/arch:AVX2"] if MSVC else ["-mavx2", "-mfma"]
    ISA_FLAGS["avx512"] = ["/arch:AVX512"] if MSVC else ["-mavx512f", "-mfma"]
elif MACHINE in {"aarch64", "arm64"}:
    ISA_FLAGS["neon"] = []

CORE = [
    "cpu",
    "dropout",
    "guard",
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
    "system",
    "weights",
]


def static_library(name: str, sources: list[str], flags: list[str]) -> tuple[str, dict]:
    paths = [f"src/{source}.c" for source in sources]
    return name, {
        "sources": paths,
        "obj_deps": {"": glob("src/*.h")},
        "include_dirs": ["src"],
        "cflags": BASE + CORE_ONLY + flags,
    }


libraries = [static_library("cylstm_core", CORE, OPENMP)]
for isa, flags in ISA_FLAGS.items():
    libraries.append(static_library(f"cylstm_{isa}", [f"kernels_{isa}"], flags))


# ---- the C library, beside the modules in the package ----


def c_library_names(minor: str) -> tuple[str, str]:
    """The static library, without what its name begins and ends with, and the shared one's file."""
    if MSVC:
        return "cylstm_static", "cylstm.dll"  # cylstm.lib is what tells linkers of the latter
    return "cylstm", "libcylstm.dylib" if MACOS else f"libcylstm.so.{minor}"


def shared_link_flags(lib: Path, name: str, minor: str, header: str) -> list[str]:
    """What the shared library is linked with, beside its objects."""
    if MSVC:
        functions = re.findall(r"^CYLSTM_API [^;(]*?(\w+)\(", header, re.MULTILINE)
        return [f"/IMPLIB:{lib / 'cylstm.lib'}", *(f"/EXPORT:{function}" for function in functions)]
    if MACOS:
        return [*LINK, f"-Wl,-install_name,@rpath/{name},-compatibility_version,{minor},-x"]
    return [*LINK, f"-Wl,-soname,{name},--no-undefined,--strip-all"]


def version() -> str:
    """The version of all there is: the header's."""
    return re.search(r'CYLSTM_VERSION "(.*)"', Path("src/cylstm.h").read_text())[1]


def make_c_library(compiler: Compiler, objects: list[str], package: Path) -> None:
    """Put headers, libraries and what build tools find them by into include/ and lib/."""
    header = Path("src/cylstm.h").read_text()
    minor = ".".join(version().split(".")[:2])
    static, shared = c_library_names(minor)
    include, lib = package / "include", package / "lib"
    compiler.create_static_lib(objects, static, str(lib))
    flags = shared_link_flags(lib, shared, minor, header)
    link_shared_library(compiler, objects, lib / shared, flags)
    values = {
        "CMAKE_INSTALL_FULL_INCLUDEDIR": "${pcfiledir}/../../include",
        "CMAKE_INSTALL_FULL_LIBDIR": "${pcfiledir}/..",
        "PROJECT_VERSION": version(),
        "link_flags": "" if MSVC else "-Wl,-rpath,${libdir}",  # no program looks there by itself
        "private_flags": " ".join(LINK),
        "minor": minor,
        "shared": shared,
        "static": compiler.library_filename(static),
    }
    fill_in("cylstm.pc", values, lib / "pkgconfig")
    fill_in("cylstm-config.cmake", values, lib / "cmake/cylstm")
    fill_in("cylstm-config-version.cmake", values, lib / "cmake/cylstm")
    include.mkdir(exist_ok=True)
    shutil.copy("src/cylstm.h", include)
    shutil.copy("cylstm/cylstm_import.h", include)


def link_shared_library(
    compiler: Compiler, objects: list[str], path: Path, flags: list[str]
) -> None:
    if MACOS:  # what setuptools links is for loading, not for linking with
        words = compiler.linker_so
        compiler.linker_so = ["-dynamiclib" if word == "-bundle" else word for word in words]
    compiler.link_shared_object(objects, str(path), extra_postargs=flags)
    if not (MSVC or MACOS):
        # Programs ask for the file whose name says what may replace it; -lcylstm looks for another
        # one, which elsewhere is a link. There are none in a wheel, but linkers read this, too.
        path.with_name("libcylstm.so").write_text(f"INPUT({path.name})\n")


def fill_in(template: str, values: dict[str, str], folder: Path) -> None:
    """Write a file of src/ with @NAME@ replaced by values."""
    text = Path("src", f"{template}.in").read_text()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / template).write_text(re.sub(r"@(\w+)@", lambda match: values[match[1]], text))


def build() -> None:
    import numpy
    from Cython.Build import cythonize
    from setuptools import Extension, setup
    from setuptools.command.build_clib import build_clib

    class build_core(build_clib):
        editable_mode = False  # set by setuptools where the package stays in its source tree

        def run(self) -> None:
            super().run()
            sources = [path for _, library in libraries for path in library["sources"]]
            objects = self.compiler.object_filenames(sources, output_dir=self.build_temp)
            build_lib = self.get_finalized_command("build").build_lib
            make_c_library(
                self.compiler, objects, Path("" if self.editable_mode else build_lib, "cylstm")
            )

    def extension(name: str) -> Extension:
        return Extension(
            f"cylstm.{name}",
            [f"cylstm/{name}.pyx"],
            depends=[*glob("src/*"), "cylstm/cylstm_import.h"],
            include_dirs=["src", "cylstm", numpy.get_include()],
            define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
            extra_compile_args=BASE,
            extra_link_args=MODULE_LINK,
        )

    setup(
        version=version(),
        cmdclass={"build_clib": build_core},
        libraries=libraries,
        ext_modules=cythonize(
            [extension("_core"), extension("_blas")], compiler_directives={"language_level": 3}
        ),
    )


if __name__ == "__main__":  # benchmarks read the flags above, without the packages that build
    build()
