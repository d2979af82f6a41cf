"""The machine of a run: its threads are pinned here and described here."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("cylstm", "numpy", "scipy", "torch", "onnxruntime", "openvino", "jax")
STEERING = ("OMP_", "OPENBLAS_", "MKL_", "KMP_", "GOMP_", "XLA_", "MALLOC_", "CYLSTM_")


def pin_threads(threads: int | None) -> int:
    """Give every library the same cores; call it before any of them is imported.

    The process may run on `threads` CPUs only, where the system can say so, and the variables that
    BLAS and OpenMP libraries read when they start say the same.

    Parameters
    ----------
    threads : int or None
        None: all that the process may use.

    Returns
    -------
    int
        The number of threads.

    Raises
    ------
    ValueError
        If there are not as many CPUs.
    """
    cpus = available_cpus()
    threads = len(cpus) if threads is None else threads
    if not 1 <= threads <= len(cpus):
        raise ValueError(f"threads: {threads} asked for, 1 to {len(cpus)} CPUs are there")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus[:threads])
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(threads)
    return threads


def available_cpus() -> list[int]:
    """The CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def describe(threads: int) -> dict[str, Any]:
    """Everything about the machine and the software that bears on the figures."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: v for name in PACKAGES if (v := installed_version(name))},
        "blas": blas_libraries(),
        "environment": {k: v for k, v in sorted(os.environ.items()) if k.startswith(STEERING)},
    }


def cpu_name() -> str:
    """The CPU's name as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def installed_version(name: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def blas_libraries() -> list[str]:
    """The BLAS libraries loaded so far: file, version, kernels, threads."""
    try:
        from threadpoolctl import threadpool_info
    except ModuleNotFoundError:
        return []
    keys = ("prefix", "version", "architecture", "num_threads")
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return [" ".join(str(pool.get(key)) for key in keys) for pool in pools]
