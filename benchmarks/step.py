"""One streaming step in C beside the same cell in Eigen, and what a call from Python adds to it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.agreement import agreeing_tasks
from benchmarks.cells import Cell
from benchmarks.measure import Timing, time_in_turns
from benchmarks.native import CStream, build_library
from benchmarks.peers.base import Task
from benchmarks.peers.cylstm import make_lstm
from benchmarks.problem import Problem, make_problem
from cylstm._core import build_info

SIZES = ((1, 16), (1, 40), (64, 64), (64, 128), (128, 256))  # I, H
CORE, PYTHON = "core", "Python"
EIGEN = {"Eigen": 2, "Eigen [W U]": 1}  # in how many products
FLOATS = 25_000  # of x and y in a timed call: they stay in the second cache
COMPARED_STEPS = 100


@dataclass(frozen=True)
class StepRow:
    """What was measured of one size.

    Attributes
    ----------
    inputs, hidden : int
        I, H.
    timings : dict of str to Timing
        One step of `CORE`, of each of `EIGEN`, and of `PYTHON`: one `stream.step`.
    notes : dict of str to str
        Of those that were not timed: why.
    """

    inputs: int
    hidden: int
    timings: dict[str, Timing]
    notes: dict[str, str]

    @property
    def name(self) -> str:
        """Size in words, such as ``"I64 H128"``."""
        return f"I{self.inputs} H{self.hidden}"

    @property
    def ratio(self) -> float | None:
        """How many times quicker than Eigen at its best the core is; None where one is missing."""
        theirs = [self.timings[name].median for name in EIGEN if name in self.timings]
        return min(theirs) / self.timings[CORE].median if theirs and CORE in self.timings else None

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
    calls = time_in_turns({name: task.run for name, task in tasks.items()}, rounds)
    timings = {name: timing.of_one(steps) for name, timing in calls.items()}
    return StepRow(inputs, hidden, timings, notes)


def builders(library: ctypes.CDLL, problem: Problem) -> dict[str, Callable[[], Task]]:
    """What steps: the core first, with which the others have to agree."""
    kernels = build_info()["isa"].encode()
    eigen = {name: partial(c_task, library, problem, "eigen", how) for name, how in EIGEN.items()}
    return {
        CORE: partial(c_task, library, problem, "core", kernels),
        **eigen,
        PYTHON: partial(python_task, problem),
    }


def c_task(library: ctypes.CDLL, problem: Problem, kind: str, how: bytes | int) -> Task:
    """All steps, by a loop in C."""
    cell = problem.cell
    stream = CStream(library, kind, cell.inputs, cell.hidden, problem.weights, how)
    x, y = problem.x[:, 0].copy(), np.empty((cell.steps, cell.hidden), np.float32)

    def outputs() -> dict[str, np.ndarray]:
        stream.run(x[:COMPARED_STEPS], y)
        return {"steps": y[:COMPARED_STEPS].copy()}

    return Task(lambda: stream.run(x, y), outputs)


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
