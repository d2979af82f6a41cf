"""What cylstm was built and runs with: all that a report of an error needs of the machine."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import sysconfig
from importlib import metadata
from typing import Any

from . import _core
from .threads import find_limits, get_num_threads

PACKAGES = ("numpy", "scipy", "threadpoolctl", "safetensors")
# Of the variables that say how this library, or one that it calls, shall run.
PREFIXES = ("CYLSTM_", "OMP_", "GOMP_", "KMP_", "OPENBLAS_", "MKL_", "BLIS_", "VECLIB_")


def show_config() -> dict[str, Any]:
    """Print how cylstm was built and what it runs with, and return it too.

    Put what it prints into a report of an error. SciPy is imported for it.

    Returns
    -------
    dict
        Of plain values, as JSON has them:

        - "version", "compiler": of the C core;
        - "python", "platform", "packages": what it runs on and with;
        - "isa": the instruction set whose kernels are in use; "isas": all that there are here;
        - "openmp": the runtime that the core calls, its file and its threads; "others": those of
          other packages in this process; or "none";
        - "threads": `get_num_threads`; "limits": each limit on their number that was found;
        - "environment": the variables that are set and have a say in this;
        - "blas": which one does the large products and its threads, or why none does.

    Examples
    --------
    >>> import cylstm
    >>> config = cylstm.show_config()  # doctest: +ELLIPSIS
    version:      ...
    >>> config["threads"] == cylstm.get_num_threads()
    True
    """
    build = _core.build_info()
    config = {
        "version": build["version"],
        "compiler": build["compiler"],
        "python": _python(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "isa": build["isa"],
        "isas": build["isas"],
        "blas": _blas_info(),
        "openmp": _openmp_info(build["openmp"]),
        "threads": get_num_threads(),
        "limits": find_limits(),
        "environment": _variables(),
    }
    for name, value in config.items():
        print(f"{name + ':':14}{_in_words(value)}")
    return config


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_in_words(part)}" for name, part in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_in_words, value)) or "none"
    return str(value)


def _python() -> str:
    words = [f"{platform.python_implementation()} {platform.python_version()}"]
    if sys.version_info >= (3, 13) and sysconfig.get_config_var("Py_GIL_DISABLED"):
        words.append("free-threaded")
        words += ["with the GIL"] if sys._is_gil_enabled() else []
    return ", ".join(words)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def _variables() -> dict[str, str]:
    return {name: os.environ[name] for name in sorted(os.environ) if name.startswith(PREFIXES)}


def _blas_info() -> dict[str, Any] | str:
    """What SciPy's BLAS says of itself, or why large products do without it."""
    try:
        from . import _blas
    except Exception as error:  # SciPy is missing, broken, or its functions are foreign
        return f"none, cylstm's own kernels instead ({type(error).__name__}: {error})"
    return _blas.info()


# --- OpenMP --------------------------------------------------------------------------------------


def _openmp_info(built_for: str) -> dict[str, Any] | str:
    """What the core was built for, the runtime it calls, and others in this process."""
    if built_for == "none":
        return built_for
    ours, others = _openmp_runtimes()
    return {"specification": built_for, **ours} | ({"others": others} if others else {})


def _openmp_runtimes() -> tuple[dict[str, Any], list[str]]:
    """The one whose functions the core is bound to, empty where it cannot be told; files of others.

    Which one that is depends on what was loaded first: another package's may serve the core too.
    """
    try:
        from threadpoolctl import ThreadpoolController
    except Exception:  # missing or broken; `_blas_info` says so
        return {}, []
    ours, others = {}, []
    for library in ThreadpoolController().lib_controllers:
        if library.user_api != "openmp":
            continue
        if _address(library.dynlib) == _core.openmp_address():
            ours = {"runtime": library.filepath, "threads": library.num_threads}
        else:
            others.append(library.filepath)
    return ours, others


def _address(library: ctypes.CDLL) -> int | None:
    """Where the function that tells runtimes apart stands in one of them."""
    return ctypes.cast(library.omp_get_max_threads, ctypes.c_void_p).value
