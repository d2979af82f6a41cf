"""What a library is given to do, whichever it is. Its process imports this, so it is light."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.cells import Cell, Work
from benchmarks.characters import make_characters
from benchmarks.peers.base import Peer, Stepper, Task
from benchmarks.problem import Problem, make_problem


def characters_task(peer: Peer, threads: int) -> Task:
    """Training of the character model."""
    return peer.characters(make_characters(), threads)


def cell_task(peer: Peer, cell: Cell, work: Work, threads: int) -> Task:
    """The library's task for this kind of work."""
    problem = make_problem(cell)
    if cell.streams:
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
