"""One run of the benchmarks: its parts, what they print and what they leave in the JSON file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from benchmarks import report
from benchmarks.agreement import agreeing_tasks
from benchmarks.cells import INFERENCE, TRAINING, TRAINING_DX, Cell, Work
from benchmarks.characters import CHARACTERS
from benchmarks.footprint import measure_footprint, streaming_peak
from benchmarks.forecast import print_forecasts
from benchmarks.grid import Row, measure_cell
from benchmarks.load import TEAMS, measure_load
from benchmarks.long_series import print_accuracies
from benchmarks.machine import describe
from benchmarks.measure import time_in_turns
from benchmarks.native import NotBuiltError
from benchmarks.peers import OURS
from benchmarks.processes import find_libraries, libraries
from benchmarks.results import Results
from benchmarks.step import StepRow, measure_steps
from benchmarks.tables import print_tables
from benchmarks.tasks import characters_task
from benchmarks.thresholds import CHOICES, measure_choice

WORKS = {"inference": [INFERENCE], "training": [TRAINING, TRAINING_DX]}


def run(
    parts: Sequence[str],
    cells: list[Cell],
    names: list[str],
    threads: int,
    rounds: int,
    results: Results,
) -> bool:
    """Measure and print; every row goes to the results as soon as it is there.

    Returns
    -------
    bool
        Whether no library failed or disagreed.
    """
    present, absent = find_libraries([OURS, *names])
    machine = describe(threads)
    results.put("machine", machine)
    results.put("absent", absent)
    print(report.preamble(machine, absent), flush=True)
    good = True
    works = [work for part in parts for work in WORKS.get(part, [])]
    if works:
        print(f"\n{report.LEGEND}")
    for work in works:
        good &= run_cells(cells, work, present, threads, rounds, results)
    if "demo" in parts:
        good &= run_demo(present, threads, rounds, results)
    if "step" in parts:
        good &= run_step(rounds, results)
    if "load" in parts:
        run_load(cells, threads, rounds, results)
    if "plan" in parts:
        run_plan(threads, rounds, results)
    if "footprint" in parts:
        run_footprint(rounds, results)
    if "forecast" in parts:
        run_table("forecast", print_forecasts, results)
    if "long-series" in parts:
        run_table("long-series", print_accuracies, results)
    if "tables" in parts:
        run_table("tables", partial(print_tables, rounds), results)
    return good


def run_table(name: str, print_rows: Callable[[], list[dict[str, Any]]], results: Results) -> None:
    """Print a table of cylstm beside other packages, which may be absent."""
    print()
    try:
        results.put(name, {"rows": print_rows()})
    except ImportError as error:
        print(f"{name}: {error}")
        results.put(name, {"absent": str(error)})


def run_cells(
    cells: list[Cell],
    work: Work,
    names: list[str],
    threads: int,
    rounds: int,
    results: Results,
) -> bool:
    """Measure and print one table; streams do not train."""
    print(report.header(work.name, names), flush=True)
    rows: list[Row] = []
    for cell in cells:
        if not (work.training and cell.streams):
            row = measure_cell(cell, work, names, threads, rounds)
            rows.append(row)
            results.put(work.name, report.rows_as_dict(rows))
            print("\n".join([report.line(row, names), *report.complaints(row.notes)]), flush=True)
    print(report.summary(rows), flush=True)
    return not any(report.complaints(row.notes) for row in rows)


def run_demo(names: list[str], threads: int, rounds: int, results: Results) -> bool:
    """Train the character model; print characters per second."""
    make = partial(characters_task, threads=threads)
    with libraries(names) as peers:
        tasks, notes = agreeing_tasks(peers, lambda library: library.build(make))
        timings = time_in_turns({name: task.sample for name, task in tasks.items()}, rounds)
    speeds = {name: CHARACTERS / timing.median for name, timing in timings.items()}
    print(report.demo_lines(speeds, notes), flush=True)
    measured = {
        name: asdict(timing) | {"characters_per_second": speeds[name]}
        for name, timing in timings.items()
    }
    results.put("demo", {"characters_per_call": CHARACTERS, "results": measured, "notes": notes})
    return not report.complaints(notes)


def run_step(rounds: int, results: Results) -> bool:
    """Step in C, in Eigen and from Python; print a table, or in a line why there is none."""
    print(report.step_header(), flush=True)
    rows: list[StepRow] = []
    try:
        for row in measure_steps(rounds):
            rows.append(row)
            results.put("step", {"rows": [report.step_as_dict(each) for each in rows]})
            print("\n".join([report.step_line(row), *report.complaints(row.notes)]), flush=True)
    except NotBuiltError as error:
        results.put("step", {"absent": str(error)})
        print(f"not measured: {error}", flush=True)
    return not any(report.complaints(row.notes) for row in rows)


def run_load(cells: list[Cell], threads: int, rounds: int, results: Results) -> None:
    """One thread beside two, alone and beside busy processes; print a table."""
    print(report.load_header(), flush=True)
    if threads < max(TEAMS):
        results.put("load", {"absent": "one thread"})
        print("not measured: it takes two threads", flush=True)
        return
    rows = []
    for cell in cells:
        if cell.streams <= 1:  # where many stream, each uses one thread in any case
            rows.append(measure_load(cell, rounds))
            results.put("load", {"rows": [report.load_as_dict(row) for row in rows]})
            print(report.load_line(rows[-1]), flush=True)


def run_plan(threads: int, rounds: int, results: Results) -> None:
    """Measure what the plan's choices bring on either side of its thresholds; print a table."""
    print(report.plan_header(), flush=True)
    measured = []
    for choice in CHOICES:
        points = measure_choice(choice, threads, rounds)
        measured.append(report.plan_as_dict(choice, points))
        results.put("plan", measured)
        print(report.plan_lines(choice, points), flush=True)


def run_footprint(rounds: int, results: Results) -> None:
    """Measure import time, size and memory; print a table."""
    footprints = measure_footprint(rounds)
    print(report.footprint_lines(footprints), flush=True)
    results.put("footprint", {name: asdict(found) for name, found in footprints.items()})
    peak = streaming_peak()
    print(report.streaming_line(peak), flush=True)
    results.put("streaming_peak_bytes", peak)
