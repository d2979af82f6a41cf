"""One streaming step in C beside the same cell in Eigen, and what a call from Python adds to it."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from benchmarks.agreement import agreeing_tasks
from benchmarks.cells import Cell
from benchmarks.measure import Timing, sampler, time_in_turns
from benchmarks.native import CStream, address, build_library
from benchmarks.peers.base import Task
from benchmarks.peers.cylstm import make_lstm
from benchmarks.problem import Problem, make_problem
from cylstm._core import build_info

SIZES = ((1, 16), (1, 40), (64, 64), (64, 128), (128, 256))  # I, H
CORE, PYTHON = "core", "Python"
EIGEN = {"Eigen": 2, "Eigen [W U]": 1}  # in how many products
FLOATS = 25_000  # of x and y in a timed call: they stay in the second cache
COMPARED_STEPS = 100
LATENCY_STEPS = 100_000  # at least so many are timed one by one


@dataclass(frozen=True)
class StepTask(Task):
    """A task in C that also times its steps one by one: `each` gives the seconds of all."""

    each: Callable[[], NDArray[np.float64]]


@dataclass(frozen=True)
class Latency:
    """Seconds of single steps, a reading of the clock in each: what 99 of 100 take, and the worst.

    Examples
    --------
    >>> Latency.of(np.arange(101.0))
    Latency(percentile_99=99.0, worst=100.0, steps=101)
    """

    percentile_99: float
    worst: float
    steps: int

    @classmethod
    def of(cls, seconds: NDArray[np.float64]) -> Latency:
        return cls(float(np.percentile(seconds, 99)), float(seconds.max()), len(seconds))


@dataclass(frozen=True)
class StepRow:
    """What was measured of one size.

    Attributes
    ----------
    inputs, hidden : int
        I, H.
    timings : dict of str to Timing
        One step of `CORE`, of each of `EIGEN`, and of `PYTHON`: one `stream.step`.
    latencies : dict of str to Latency
        Of those in C.
    notes : dict of str to str
        Of those that were not timed: why.
    """

    inputs: int
    hidden: int
    timings: dict[str, Timing]
    latencies: dict[str, Latency]
    notes: dict[str, str]

    @property
    def name(self) -> str:
        """Size in words, such as ``"I64 H128"``."""
        return f"I{self.inputs} H{self.hidden}"

    @property
    def best_eigen(self) -> str | None:
        """Eigen's quicker way."""
        timed = [name for name in EIGEN if name in self.timings]
        return min(timed, key=lambda name: self.timings[name].median, default=None)

    @property
    def ratio(self) -> float | None:
        """How many times quicker than Eigen at its best the core is; None where one is missing."""
        if self.best_eigen is None or CORE not in self.timings:
            return None
        return self.timings[self.best_eigen].median / self.timings[CORE].median

    @property
    def beyond_core(self) -> float | None:
        """Seconds that the call from Python takes beyond the step in C."""
        if not {CORE, PYTHON} <= self.timings.keys():
            return None
        return self.timings[PYTHON].median - self.timings[CORE].median


def measure_steps(rounds: int) -> Iterator[StepRow]:
    """Build the programs, then measure size by size.

    Raises
    ------
    NotBuiltError
        Before the first row.
    """
    with TemporaryDirectory() as folder:
        library = build_library(SIZES, Path(folder))
        for inputs, hidden in SIZES:
            yield measure_step(library, inputs, hidden, rounds)


def measure_step(library: ctypes.CDLL, inputs: int, hidden: int, rounds: int) -> StepRow:
    """Compare all that step, then time those that agree in turns, on one thread."""
    steps = max(COMPARED_STEPS, FLOATS // (inputs + hidden))
    problem = make_problem(Cell("step", 1, steps, inputs, hidden))
    tasks, notes = agreeing_tasks(builders(library, problem), lambda build: build())
    calls = time_in_turns({name: sampler(task.run) for name, task in tasks.items()}, rounds)
    timings = {name: timing.of_one(steps) for name, timing in calls.items()}
    return StepRow(inputs, hidden, timings, measure_latencies(tasks, steps, rounds), notes)


def measure_latencies(tasks: Mapping[str, Task], steps: int, rounds: int) -> dict[str, Latency]:
    """Time single steps in turns; the first pass of each turn is for the caches."""
    in_c = {name: task.each for name, task in tasks.items() if isinstance(task, StepTask)}
    seconds: dict[str, list[NDArray[np.float64]]] = {name: [] for name in in_c}
    passes = math.ceil(LATENCY_STEPS / (rounds * steps))
    for _ in range(rounds):
        for name, each in in_c.items():
            seconds[name] += [each() for _ in range(1 + passes)][1:]
    return {name: Latency.of(np.concatenate(parts)) for name, parts in seconds.items()}


def builders(library: ctypes.CDLL, problem: Problem) -> dict[str, Callable[[], Task]]:
    """What steps: the core first, with which the others have to agree."""
    eigen = {
        name: lambda products=products: c_task(problem, eigen_stream(library, problem, products))
        for name, products in EIGEN.items()
    }
    return {
        CORE: lambda: c_task(problem, core_stream(library, problem)),
        **eigen,
        PYTHON: partial(python_task, problem),
    }


def core_stream(library: ctypes.CDLL, problem: Problem) -> CStream:
    """The layer, saved by Python and loaded by C, with the kernels that Python has."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "layer.safetensors")
        make_lstm(problem, 1).save(path)
        return CStream(library, "core", str(path).encode(), build_info()["isa"].encode())


def eigen_stream(library: ctypes.CDLL, problem: Problem, products: int) -> CStream:
    """The same weights in Eigen, which copies them."""
    sizes = ctypes.c_int64(problem.cell.inputs), ctypes.c_int64(problem.cell.hidden)
    parameters = np.concatenate([array.ravel() for array in problem.weights.values()])
    return CStream(library, "eigen", *sizes, address(parameters), products)


def c_task(problem: Problem, stream: CStream) -> StepTask:
    """All steps, by a loop in C."""
    x = problem.x[:, 0].copy()
    y = np.empty((problem.cell.steps, problem.cell.hidden), np.float32)

    def outputs() -> dict[str, np.ndarray]:
        stream.run(x[:COMPARED_STEPS], y)
        return {"steps": y[:COMPARED_STEPS].copy()}

    return StepTask(lambda: stream.run(x, y), outputs, lambda: stream.time_each(x, y))


def python_task(problem: Problem) -> Task:
    """All steps, each a call of `stream.step` with an array that returns a new one."""
    stream = make_lstm(problem, 1).stream()
    rows = list(problem.x)

    def run() -> None:
        for x_t in rows:
            stream.step(x_t)

    def outputs() -> dict[str, np.ndarray]:
        return {"steps": np.concatenate([stream.step(x_t) for x_t in rows[:COMPARED_STEPS]])}

    return Task(run, outputs)
