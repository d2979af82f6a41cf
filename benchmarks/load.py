"""What a second thread is worth: on an idle machine, and where others want the cores too."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean

import cylstm
from benchmarks.cells import INFERENCE, Cell
from benchmarks.measure import Sampler, Timing, sampler, samples_in_turns, summarise
from benchmarks.peers.cylstm import Cylstm
from benchmarks.tasks import cell_task

BUSY = 4  # processes
TEAMS = (1, 2)  # threads of a call
CALM_SECONDS = 1.5  # after which a process forgets that it met a crowd, and has teams again
BUSY_SECONDS = 0.2  # a sample: several turns of every process on its core
# It computes until the one that started it is gone, however that ended.
SPIN = """
import os
print(flush=True)
while os.getppid() == {parent}:
    for _ in range(1_000_000): pass
"""


@dataclass(frozen=True)
class LoadRow:
    """Inference of one cell by teams of one and two threads.

    Attributes
    ----------
    cell : Cell
    idle : dict of int to Timing
        By number of threads: a call, on the machine as it is.
    busy : dict of int to float
        Mean seconds of a call beside busy processes.
    """

    cell: Cell
    idle: dict[int, Timing]
    busy: dict[int, float]

    @property
    def idle_ratio(self) -> float:
        """Two threads' time over one's: at most 1.05 is asked for."""
        return self.idle[2].median / self.idle[1].median

    @property
    def busy_ratio(self) -> float:
        """The same of the means beside busy processes: at most 1.5 is asked for."""
        return self.busy[2] / self.busy[1]


def measure_load(cell: Cell, rounds: int) -> LoadRow:
    """Time one thread and two in turns, first alone, then beside `BUSY` processes."""
    teams = team_samplers(cell)
    time.sleep(CALM_SECONDS)
    idle = samples_in_turns(teams, rounds)
    with busy_processes(BUSY):
        busy = samples_in_turns(teams, rounds, BUSY_SECONDS)
    return LoadRow(
        cell,
        {team: summarise(samples) for team, samples in idle.items()},
        {team: fmean(samples) for team, samples in busy.items()},
    )


def team_samplers(cell: Cell) -> dict[int, Sampler]:
    """The cell's call, by how many threads it may use."""
    runs = {team: cell_task(Cylstm(), cell, INFERENCE, team).run for team in TEAMS}
    return {team: sampler(run_by(team, run)) for team, run in runs.items()}


def run_by(team: int, run: Callable[[], object]) -> Callable[[], object]:
    """A call that finds `team` threads allowed, whoever ran before."""

    def run_by_team() -> None:
        cylstm.set_num_threads(team)
        run()

    return run_by_team


@contextmanager
def busy_processes(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many processes that compute all the time, on the CPUs of this one."""
    command = [sys.executable, "-I", "-S", "-c", SPIN.format(parent=os.getpid())]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(count)]
    try:
        for process in processes:
            if process.stdout is not None:
                process.stdout.readline()  # it has started
        yield processes
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.communicate()
