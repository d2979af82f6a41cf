"""`cylstm config`: the flags that programs in C are compiled and linked with."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

import cylstm

EPILOG = """\
examples
  cc program.c $(cylstm config --cflags --libs)
  cc program.c $(cylstm config --cflags --static --libs)
  cmake -S . -B build "-Dcylstm_DIR=$(cylstm config --cmakedir)"
  PKG_CONFIG_PATH="$(cylstm config --pkgconfigdir)" pkg-config --cflags --libs cylstm

Where the paths have blanks, the flags are quoted:
  eval "cc program.c $(cylstm config --cflags --libs)"
"""


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "config",
        help="print the flags that C programs are compiled with",
        description="Print how programs in C use the library that comes with this installation.",
        epilog=EPILOG,
    )
    parser.set_defaults(run=run, wanted=[])
    for option, text in (
        ("--cflags", "flags to compile with"),
        ("--libs", "flags to link with"),
        ("--includedir", "the folder of cylstm.h"),
        ("--libdir", "the folder of the libraries"),
        ("--cmakedir", "the folder of CMake's package, for cylstm_DIR"),
        ("--pkgconfigdir", "the folder of cylstm.pc, for PKG_CONFIG_PATH"),
        ("--version", "the library's version"),
    ):
        parser.add_argument(
            option, dest="wanted", action="append_const", const=option[2:], help=text
        )
    parser.add_argument(
        "--static", action="store_true", help="--libs: the static library, and what it needs"
    )


def run(args: argparse.Namespace) -> int:
    """Print; the exit status."""
    if not args.wanted:
        raise ValueError("nothing asked for (see cylstm config --help)")
    answers = _answers(args.static)
    print(*(answers[name] for name in args.wanted))
    return 0


def _answers(static: bool) -> dict[str, str]:
    """Flags are quoted as words for a shell; a folder is as it is, for "$(cylstm config ...)"."""
    include, lib = cylstm.get_include(), Path(cylstm.get_library_dir())
    return {
        "cflags": shlex.join([f"-I{include}"]),
        "libs": shlex.join(_libs(lib, static)),
        "includedir": include,
        "libdir": str(lib),
        "cmakedir": str(lib / "cmake" / "cylstm"),
        "pkgconfigdir": str(lib / "pkgconfig"),
        "version": cylstm.__version__,
    }


def _libs(lib: Path, static: bool) -> list[str]:
    if sys.platform == "win32":
        return [str(lib / ("cylstm_static.lib" if static else "cylstm.lib"))]
    if static:  # by its file, since -l takes the shared one where both are
        openmp = "-lomp" if sys.platform == "darwin" else "-fopenmp"  # as setup.py links it
        return [str(lib / "libcylstm.a"), openmp, "-lm"]
    return [f"-L{lib}", "-lcylstm", f"-Wl,-rpath,{lib}"]
