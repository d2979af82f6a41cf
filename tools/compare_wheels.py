"""Time a streaming step of two wheels of cylstm against each other.

    python tools/compare_wheels.py ONE.whl OTHER.whl [ROUNDS]

Each is unpacked and imported in a process of its own; these step a layer of 64 inputs and 64 units
in turns. Printed are both medians and the median of the ratios of neighbours, with its quartiles;
of processor time, so that other processes count for little.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

STEPS = 5_000
STEPPING = f"""
import time
import numpy as np
import cylstm

stream, x = cylstm.LSTM(64, 64, seed=0).stream(), np.zeros((1, 64), np.float32)
while True:
    input()
    start = time.thread_time()
    for _ in range({STEPS}):
        stream.step(x)
    print((time.thread_time() - start) / {STEPS}, flush=True)
"""


def start(wheel: str, folder: str) -> subprocess.Popen[str]:
    """A process that steps with the wheel's package each time it reads a line."""
    path = Path(folder, Path(wheel).stem)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(path)
    return subprocess.Popen(
        [sys.executable, "-c", STEPPING],
        cwd=folder,
        env={"PYTHONPATH": str(path), "CYLSTM_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def seconds(process: subprocess.Popen[str]) -> float:
    """One sample, of one step."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main(one: str, other: str, rounds: str = "301") -> None:
    """Print the comparison."""
    with tempfile.TemporaryDirectory() as folder:
        processes = [start(wheel, folder) for wheel in (one, other)]
        samples = np.array([[seconds(p) for p in processes] for _ in range(int(rounds) + 1)])[1:]
        for process in processes:
            process.kill()
    for wheel, median in zip((one, other), np.median(samples, axis=0), strict=True):
        print(f"{Path(wheel).name}: {median * 1e6:.3f} us a step")
    low, middle, high = np.quantile(samples[:, 1] / samples[:, 0], (0.25, 0.5, 0.75))
    print(f"ratio {middle:.3f} (quartiles {low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main(*sys.argv[1:])
