"""The programs in benchmarks/c, compiled with the core into one library: streams to step in C."""

from __future__ import annotations

import ctypes
import runpy
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
SOURCES = Path("benchmarks", "c")
EIGEN_FOLDERS = ("/usr/include/eigen3", "/usr/local/include/eigen3", "/opt/homebrew/include/eigen3")
EIGEN_FLAGS = ["-std=c++17", "-O3", "-march=native", "-DNDEBUG", "-w"]

Floats = NDArray[np.float32]


class NotBuiltError(Exception):
    """What keeps the programs from being compiled, in a line."""


class CStream:
    """An LSTM that C steps, one sequence and one layer: made, run and freed by functions of a kind.

    Parameters
    ----------
    library : ctypes.CDLL
        Of `build_library`.
    kind : {"core", "eigen"}
    *arguments
        What the kind's ``make`` takes, as ctypes passes it.
    """

    def __init__(self, library: ctypes.CDLL, kind: str, *arguments: Any) -> None:
        make = getattr(library, f"{kind}_make")
        make.restype = ctypes.c_void_p
        self._run, self._free = getattr(library, f"{kind}_run"), getattr(library, f"{kind}_free")
        self._time_each = library.time_each
        self._made = ctypes.c_void_p(make(*arguments))
        if not self._made:
            raise ValueError(f"no {kind} stream of {arguments}")

    def __del__(self) -> None:
        self._free(self._made)

    def run(self, x: Floats, y: Floats) -> None:
        """Step over contiguous x (steps, I), and write y (steps, H)."""
        self._run(self._made, address(x), ctypes.c_int64(len(x)), address(y))

    def time_each(self, x: Floats, y: Floats) -> NDArray[np.float64]:
        """The same, step by step, and the seconds that each takes, (steps,)."""
        steps, inputs, hidden = (ctypes.c_int64(n) for n in (*x.shape, y.shape[1]))
        seconds = np.empty(len(x))
        arrays = address(x), steps, address(y), address(seconds)
        self._time_each(self._run, self._made, inputs, hidden, *arrays)
        return seconds


def address(array: NDArray[Any]) -> ctypes.c_void_p:
    """Where the array's numbers begin, for C."""
    return ctypes.c_void_p(array.ctypes.data)


def build_library(sizes: Sequence[tuple[int, int]], folder: Path) -> ctypes.CDLL:
    """Compile the core as the package has it and Eigen's cell for each (I, H), and load them.

    Raises
    ------
    NotBuiltError
        Where g++ or Eigen is absent, or something does not compile.
    """
    compiler, eigen = shutil.which("g++"), find_eigen()
    if compiler is None:
        raise NotBuiltError("g++ is absent")
    if eigen is None:
        raise NotBuiltError(f"Eigen is absent (libeigen3-dev): not in {', '.join(EIGEN_FOLDERS)}")
    compiled = "".join(f"SIZE({inputs}, {hidden})" for inputs, hidden in sizes)
    flags = core_sources() | {
        SOURCES / "core_step.c": ["-std=c11", "-O3", "-Isrc"],
        SOURCES / "latency.c": ["-std=c11", "-O3"],
        SOURCES / "eigen_step.cpp": [*EIGEN_FLAGS, f"-I{eigen}", f"-DSIZES={compiled}"],
    }
    objects = [str(folder / f"{source.stem}.o") for source in flags]

    for source, name in zip(flags, objects, strict=True):
        language = ["-x", "c" if source.suffix == ".c" else "c++"]
        run([compiler, *language, *flags[source], "-fPIC", "-c", str(source), "-o", name])
    library = str(folder / "steps.so")
    run([compiler, "-shared", "-fopenmp", *objects, "-o", library])
    return ctypes.CDLL(library)


def find_eigen() -> str | None:
    """The folder that holds Eigen's headers."""
    return next((name for name in EIGEN_FOLDERS if Path(name, "Eigen", "Core").exists()), None)


def core_sources() -> dict[Path, list[str]]:
    """The core's sources, each with the flags that setup.py compiles it with."""
    try:
        libraries = runpy.run_path(str(ROOT / "setup.py"))["libraries"]
    except ImportError as error:
        raise NotBuiltError(f"setup.py cannot be read: {error}") from None
    return {
        Path(source): library["cflags"] for _, library in libraries for source in library["sources"]
    }


def run(command: list[str]) -> None:
    """Run a compiler in the root of the tree."""
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        reason = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr)
        raise NotBuiltError(f"g++ failed: {reason}")
