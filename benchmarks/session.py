"""One run of the benchmarks: its parts, what they print and what they leave for the JSON file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks import report
from benchmarks.agreement import agreeing_tasks
from benchmarks.cells import INFERENCE, TRAINING, TRAINING_DX, Cell, Work
from benchmarks.characters import CHARACTERS, make_characters
from benchmarks.footprint import measure_footprint
from benchmarks.grid import Row, measure_cell
from benchmarks.machine import describe
from benchmarks.measure import time_in_turns
from benchmarks.peers import OURS, find_peers
from benchmarks.peers.base import Peer

WORKS = {"inference": [INFERENCE], "training": [TRAINING, TRAINING_DX]}


def run(
    parts: Sequence[str], cells: list[Cell], names: list[str], threads: int, rounds: int
) -> tuple[dict[str, Any], bool]:
    """Measure and print.

    Returns
    -------
    document : dict
        Everything measured, for JSON.
    good : bool
        Whether no library failed or disagreed.
    """
    peers, absent = find_peers([OURS, *names])
    document: dict[str, Any] = {"machine": describe(threads), "absent": absent}
    print(report.preamble(document["machine"], absent), flush=True)
    good = True
    works = [work for part in parts for work in WORKS.get(part, [])]
    if works:
        print(f"\n{report.LEGEND}")
    for work in works:
        rows = run_cells(cells, work, peers, threads, rounds)
        document[work.name] = report.rows_as_dict(rows)
        good &= not any(report.complaints(row.notes) for row in rows)
    if "demo" in parts:
        document["demo"] = run_demo(peers, threads, rounds)
        good &= not report.complaints(document["demo"]["notes"])
    if "footprint" in parts:
        document["footprint"] = run_footprint(rounds)
    return document, good


def run_cells(
    cells: list[Cell], work: Work, peers: dict[str, Peer], threads: int, rounds: int
) -> list[Row]:
    """Measure and print one table, a line as soon as it is there; streams do not train."""
    names = list(peers)
    print(report.header(work.name, names), flush=True)
    rows = []
    for cell in cells:
        if not (work.training and cell.streams):
            row = measure_cell(cell, work, peers, threads, rounds)
            rows.append(row)
            print("\n".join([report.line(row, names), *report.complaints(row.notes)]), flush=True)
    print(report.summary(rows), flush=True)
    return rows


def run_demo(peers: dict[str, Peer], threads: int, rounds: int) -> dict[str, Any]:
    """Train the character model; print characters per second."""
    problem = make_characters()
    tasks, notes = agreeing_tasks(peers, lambda peer: peer.characters(problem, threads))
    timings = time_in_turns({name: task.run for name, task in tasks.items()}, rounds)
    speeds = {name: CHARACTERS / timing.median for name, timing in timings.items()}
    print(report.demo_lines(speeds, notes), flush=True)
    results = {
        name: asdict(timing) | {"characters_per_second": speeds[name]}
        for name, timing in timings.items()
    }
    return {"characters_per_call": CHARACTERS, "results": results, "notes": notes}


def run_footprint(rounds: int) -> dict[str, Any]:
    """Measure import time and size; print a table."""
    footprints = measure_footprint(rounds)
    print(report.footprint_lines(footprints), flush=True)
    return {name: asdict(footprint) for name, footprint in footprints.items()}
