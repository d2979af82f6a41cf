"""The grid: every cell, on every library, in turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.agreement import agreeing_tasks
from benchmarks.bounds import bound_runs, bound_seconds, gemm_rate
from benchmarks.cells import Cell, Work
from benchmarks.measure import Timing, sampler, time_in_turns
from benchmarks.peers import OURS
from benchmarks.processes import libraries
from benchmarks.tasks import cell_task


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


def measure_cell(cell: Cell, work: Work, names: Sequence[str], threads: int, rounds: int) -> Row:
    """Build, compare and time the named libraries on one cell."""
    bounds = {name: sampler(run) for name, run in bound_runs(cell, threads).items()}
    make = partial(cell_task, cell=cell, work=work, threads=threads)
    with libraries(names) as peers:
        tasks, notes = agreeing_tasks(peers, lambda library: library.build(make))
        timings = time_in_turns({name: t.sample for name, t in tasks.items()} | bounds, rounds)
    bound, gemm = bound_seconds(cell, work, timings), gemm_rate(timings)
    return Row(cell, work, {name: timings[name] for name in tasks}, notes, bound, gemm)
