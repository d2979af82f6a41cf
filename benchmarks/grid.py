"""The grid: every cell, on every library, in turns."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from benchmarks.agreement import agreeing_tasks
from benchmarks.bounds import bound_runs, bound_seconds, gemm_rate
from benchmarks.cells import Cell, Work
from benchmarks.measure import Timing, time_in_turns
from benchmarks.peers import OURS
from benchmarks.peers.base import Peer, Stepper, Task
from benchmarks.problem import Problem, make_problem


@dataclass(frozen=True)
class Row:
    """What was measured of one cell.

    Attributes
    ----------
    cell : Cell
    work : Work
    timings : dict of str to Timing
        By library: one call.
    notes : dict of str to str
        By library that was not timed: why.
    bound : float
        Seconds that a call takes at the least (`benchmarks.bounds`).
    gemm : float
        Operations per second of the large sgemm timed in the same rounds.
    """

    cell: Cell
    work: Work
    timings: dict[str, Timing]
    notes: dict[str, str]
    bound: float
    gemm: float

    @property
    def best_peer(self) -> str | None:
        """The quickest library that is not ours."""
        peers = self.timings.keys() - {OURS}
        return min(peers, key=lambda name: self.timings[name].median, default=None)

    @property
    def ratio(self) -> float | None:
        """How many times quicker than the best peer we are; None where one of them is missing."""
        if OURS not in self.timings or self.best_peer is None:
            return None
        return self.timings[self.best_peer].median / self.timings[OURS].median

    @property
    def share_of_bound(self) -> float | None:
        """How near we are to the bound, 1 being there; None where we are missing."""
        return self.bound / self.timings[OURS].median if OURS in self.timings else None

    def microseconds(self, seconds: float) -> float:
        """Time of a call in microseconds a step."""
        return seconds * 1e6 / self.cell.steps_per_call


def measure_cell(cell: Cell, work: Work, peers: dict[str, Peer], threads: int, rounds: int) -> Row:
    """Build, compare and time all libraries on one cell."""
    problem = make_problem(cell)
    tasks, notes = agreeing_tasks(peers, lambda peer: build(peer, problem, work, threads))
    runs = {name: task.run for name, task in tasks.items()} | bound_runs(cell, threads)
    timings = time_in_turns(runs, rounds)
    bound, gemm = bound_seconds(cell, work, timings), gemm_rate(timings)
    return Row(cell, work, {name: timings[name] for name in tasks}, notes, bound, gemm)


def build(peer: Peer, problem: Problem, work: Work, threads: int) -> Task:
    """The library's task for this kind of work."""
    if problem.cell.streams:
        return streaming(peer, problem, threads)
    if work.training:
        return peer.training(problem, threads, work.need_dx)
    return peer.inference(problem, threads)


def streaming(peer: Peer, problem: Problem, threads: int) -> Task:
    """One Python thread for each stream, each with its own state, NumPy in and NumPy out.

    Where several stream, a call uses one thread: the cores are busy with the other streams.
    """
    streams = problem.cell.streams
    inputs = list(problem.x)
    steppers = [peer.stream(problem, threads if streams == 1 else 1) for _ in range(streams)]
    pool = ThreadPoolExecutor(streams)

    def follow(step: Stepper) -> None:
        for x_t in inputs:
            step(x_t)

    def outputs() -> dict[str, np.ndarray]:
        return {"y": np.stack([steppers[0](x_t).copy() for x_t in inputs])}

    if streams == 1:
        return Task(lambda: follow(steppers[0]), outputs)
    return Task(lambda: list(pool.map(follow, steppers)), outputs)
