"""How many threads the core may use."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from . import _core
from .arrays import MAX_THREADS, as_size

VARIABLE = "CYLSTM_NUM_THREADS"


def set_num_threads(num_threads: int) -> None:
    """Set how many threads a call may use, itself included.

    Parameters
    ----------
    num_threads : int
        1 to 1024, for the whole process, from the next call on. The result does not depend on it.
        May be called while other threads compute.
    """
    _core.set_num_threads(as_size(num_threads, "num_threads", maximum=MAX_THREADS))


def get_num_threads() -> int:
    """How many threads a call may use.

    At first that is the environment's CYLSTM_NUM_THREADS where it is set, else the least of
    OMP_NUM_THREADS, the CPUs that the process may run on and the CPU limit of its cgroup.

    Examples
    --------
    >>> import cylstm
    >>> cylstm.get_num_threads() >= 1
    True
    """
    return _core.get_num_threads()


# --- the default ---------------------------------------------------------------------------------


def set_default() -> None:
    """Set the number of threads that a process starts with."""
    limits = find_limits()
    chosen = limits[VARIABLE] if VARIABLE in limits else min(limits.values())
    _core.set_num_threads(min(chosen, MAX_THREADS))


def find_limits(root: Path = Path("/")) -> dict[str, int]:
    """Every limit on the number of threads that the system or the user has set, by its name.

    Parameters
    ----------
    root : Path
        Where the files of the system are.
    """
    found = {
        VARIABLE: _from_environment(VARIABLE),
        "OMP_NUM_THREADS": _from_environment("OMP_NUM_THREADS"),
        "CPUs": _count_cpus(),
        "cgroup": _cgroup_limit(root),
    }
    return {name: limit for name, limit in found.items() if limit is not None}


def _from_environment(name: str) -> int | None:
    """A number of threads; of OpenMP's list for nested regions, the first."""
    text = os.environ.get(name, "").partition(",")[0].strip()
    if not text:
        return None
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    warnings.warn(
        f"{name}: expected a number of threads, got {text!r}, which is ignored",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


def _count_cpus() -> int:
    """CPUs that this process may run on.

    OpenMP knows them where the system does not say any more: with OMP_PROC_BIND or OMP_PLACES its
    runtime binds the main thread to one of them when it is loaded.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    return max(bound, _core.count_processors())


# --- the cgroup's CPU limit ----------------------------------------------------------------------


def _cgroup_limit(root: Path) -> int | None:
    """CPUs that the process's cgroups let it use at a time, rounded up; None: no limit.

    A group's limit holds for the groups in it too, so the least on the way up counts.
    """
    quotas = [quota for folder in _cgroup_folders(root) if (quota := _quota(folder)) is not None]
    return math.ceil(min(quotas)) if quotas else None


def _cgroup_folders(root: Path) -> Iterator[Path]:
    """The process's groups that can limit CPU time, each with the groups that it is in.

    In a container the group's own folder may not be there: then its mount's root is the group.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mounts = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = mounts / "cpu" if controllers else mounts  # version 1, or version 2
        group = mount / path.lstrip("/")
        yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(mount))


def _quota(folder: Path) -> float | None:
    """CPUs that one group allows: version 2 says it in one file, version 1 in two."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            text = " ".join((folder / name).read_text() for name in names)
            quota, period = map(int, text.split())
        except (OSError, ValueError):  # not there, or "max"
            continue
        if quota > 0:
            return quota / period
    return None
