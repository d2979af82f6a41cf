"""What the machine can do: the speed of a large sgemm and of reading weights from a cache."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.linalg.blas import sgemm

from benchmarks.cells import Cell, Work
from benchmarks.measure import Timing

GEMM_SIZE = 2048
GEMM_FLOPS = 2 * GEMM_SIZE**3
READS = 512  # how often one timed call reads all weights


def bound_runs(cell: Cell, threads: int) -> dict[str, Callable[[], object]]:
    """What to time beside the libraries: ``"sgemm"`` and, for a batch of one, ``"read"``."""
    runs: dict[str, Callable[[], object]] = {"sgemm": gemm_run()}
    if cell.batch == 1:
        runs["read"] = read_run(cell.weight_bytes // threads, threads)
    return runs


def gemm_run() -> Callable[[], object]:
    """A sgemm of 2048 x 2048 matrices by SciPy's BLAS, on as many threads as it was given."""
    rng = np.random.default_rng(0)
    a, b = (
        np.asfortranarray(rng.standard_normal((GEMM_SIZE, GEMM_SIZE), np.float32)) for _ in range(2)
    )
    c = np.zeros_like(a)
    return lambda: sgemm(1.0, a, b, c=c, overwrite_c=True)


def read_run(size: int, threads: int) -> Callable[[], object]:
    """Each thread reads `size` bytes of its own, `READS` times.

    The maximum of int32 is NumPy's quickest way to read memory: a vector load and little else.
    A view with stride 0 makes one call read the same bytes many times.
    """
    shape = (READS, size // 4)
    views = [
        np.lib.stride_tricks.as_strided(np.zeros(shape[1], np.int32), shape, (0, 4))
        for _ in range(threads)
    ]
    pool = ThreadPoolExecutor(threads)
    return lambda: list(pool.map(lambda view: np.maximum.reduce(view, axis=1), views))


def gemm_rate(timings: dict[str, Timing]) -> float:
    """Operations per second of the sgemm."""
    return GEMM_FLOPS / timings["sgemm"].median


def bound_seconds(cell: Cell, work: Work, timings: dict[str, Timing]) -> float:
    """The least time a call can take: of its products at sgemm's speed, or of reading the weights.

    Weights are read at every step where the batch is one (a larger batch shares what is read),
    forward and, in training, backward.
    """
    compute = cell.flops(work) / gemm_rate(timings)
    if "read" not in timings:
        return compute
    reads = cell.steps_per_call * (2 if work.training else 1)
    return max(compute, reads * timings["read"].median / READS)
