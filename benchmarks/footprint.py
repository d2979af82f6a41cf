"""What a library costs beside its computing: time to import, size on disk, memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path

import numpy as np

LIBRARIES = ("numpy", "cylstm", "torch", "onnxruntime", "openvino", "jax")
STREAMED_STEPS = 10_000
IMPORTING = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
# A service that loads a model and streams: its memory is looked at from inside, at the end, since
# what the system says of a child that has ended may be its parent's.
STREAMING = f"""
import os, sys, tempfile
import numpy as np
import cylstm
with tempfile.TemporaryDirectory() as folder:
    file = os.path.join(folder, "lstm.safetensors")
    cylstm.LSTM(64, 128).save(file)
    lstm = cylstm.load(file)
stream, x = lstm.stream(), np.zeros((1, 64), np.float32)
for _ in range({STREAMED_STEPS}):
    stream.step(x)
with open("/proc/self/status") as status:
    [peak] = [line for line in status if line.startswith("VmHWM:")]
print(peak.split()[1])
"""


@dataclass(frozen=True)
class Footprint:
    """Of one installed library.

    Attributes
    ----------
    import_seconds : float
        Median, each import in a new interpreter.
    megabytes, megabytes_with_dependencies : float
        Installed files, in 10^6 bytes.
    """

    import_seconds: float
    megabytes: float
    megabytes_with_dependencies: float


def measure_footprint(rounds: int) -> dict[str, Footprint]:
    """Measure the libraries that can be imported, in alternating rounds."""
    # The first import of each finds no file in a cache, maybe none compiled: it counts for nothing.
    libraries = [name for name in LIBRARIES if import_seconds(name) is not None]
    seconds = np.array([[import_seconds(name) for name in libraries] for _ in range(rounds)])
    medians = np.median(seconds, axis=0)
    return {
        name: Footprint(float(time), megabytes([name]), megabytes(dependencies(name)))
        for name, time in zip(libraries, medians, strict=True)
    }


def import_seconds(module: str) -> float | None:
    """Time of an import in an interpreter of its own; None where it fails."""
    command = [sys.executable, "-c", IMPORTING.format(module)]
    # As a user has it: with modules that were compiled once, as pip compiles what it installs.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    return float(done.stdout) if done.returncode == 0 else None


def streaming_peak() -> int | None:
    """Most bytes that a process had which loaded an LSTM (64, 128) and streamed 10,000 steps.

    Python and NumPy are in it. None where the system does not say.
    """
    command = [sys.executable, "-c", STREAMING]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return int(done.stdout) * 1024 if done.returncode == 0 else None


def megabytes(names: Iterable[str]) -> float:
    """Size of the files of installed distributions; those that are not installed count nothing."""
    total = 0
    for name in names:
        try:
            files = distribution(name).files or []
        except PackageNotFoundError:
            continue
        paths = [Path(str(file.locate())) for file in files]
        total += sum(path.stat().st_size for path in paths if path.is_file())
    return total / 1e6


def dependencies(name: str) -> set[str]:
    """A distribution and everything it requires, directly or not, without its extras."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += required(current)
    return found


def required(name: str) -> list[str]:
    """Names of what a distribution requires; empty if it is not installed."""
    try:
        lines = requires(name) or []
    except PackageNotFoundError:
        return []
    plain = [line for line in lines if "extra ==" not in line]
    return [re.split(r"[^\w.-]", line, maxsplit=1)[0].lower() for line in plain]
