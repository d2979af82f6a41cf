"""The outcome as tables to read and as JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from statistics import geometric_mean, median
from typing import Any

from benchmarks.footprint import LIBRARIES, Footprint
from benchmarks.grid import Row
from benchmarks.load import BUSY, LoadRow
from benchmarks.peers import OURS
from benchmarks.step import CORE, PYTHON, StepRow
from benchmarks.thresholds import Choice, Point
from cylstm import _core

LEGEND = """\
Times are medians in µs per step, * the best peer; ratio: the best peer's time over cylstm's;
bound: the least time by the machine's speed at a 2048 x 2048 sgemm and, for B1, at reading the
weights from a cache, both timed in the same rounds."""

STEP_LEGEND = """\
A step of one sequence on one thread in µs. core and Eigen (the quicker of its two ways): the median
of loops in C; what 99 % of single steps take at most; the worst, a reading of the clock in each.
Python: by stream.step; ratio: Eigen's median over the core's; beyond: Python's less the core's."""

LOAD_LEGEND = f"""\
Inference in µs per step by one thread and by two: medians on the machine as it is, and means beside
{BUSY} busy processes; ratio: two threads' time over one's."""


def preamble(machine: Mapping[str, Any], absent: Mapping[str, str]) -> str:
    """What is measured on what, and who is missing."""
    versions = "  ".join(f"{name} {version}" for name, version in machine["versions"].items())
    first = (
        f"{machine['cpu']}; cores: {machine['cores']}; threads: {machine['threads']}; "
        f"load: {machine['load_average']}; {machine['date']}"
    )
    return "\n".join([first, versions, *(f"{name} {why}" for name, why in absent.items())])


def header(title: str, names: list[str]) -> str:
    """Names of the columns of `line`."""
    columns = "".join(f"{name:>13}" for name in names)
    return f"\n{title:34}{columns}{'GFLOP/s':>10}{'ratio':>8}{'bound':>9}{'of bound':>10}"


def line(row: Row, names: list[str]) -> str:
    """One row of the table."""
    columns = "".join(f"{entry(row, name):>13}" for name in names)
    ours = row.timings.get(OURS)
    rate = f"{row.cell.flops(row.work) / ours.median / 1e9:.1f}" if ours else "-"
    ratio = f"{row.ratio:.2f}" if row.ratio else "-"
    share = f"{row.share_of_bound:.0%}" if ours else "-"
    bound = number(row.microseconds(row.bound))
    return f"{row.cell.name:34}{columns}{rate:>10}{ratio:>8}{bound:>9}{share:>10}"


def entry(row: Row, name: str) -> str:
    """One library's µs per step, or the first word of why there is no time."""
    if name not in row.timings:
        return row.notes[name].partition(":")[0] + " "
    star = "*" if name == row.best_peer else " "
    return f"{number(row.microseconds(row.timings[name].median))}{star}"


def number(value: float) -> str:
    """Four digits, or as many as there are before the point."""
    return f"{value:.4g}" if value < 1000 else f"{value:.0f}"


def complaints(notes: Mapping[str, str]) -> list[str]:
    """Which libraries failed or disagreed and how, a line each."""
    return [f"    {name} {note}" for name, note in notes.items() if note != "-"]


def summary(rows: list[Row]) -> str:
    """The mean over the grid, and the bound's sgemm over the run."""
    mean, count = mean_ratio(rows)
    gemm = median(row.gemm for row in rows) / 1e9
    ratio = f"{mean:.2f}" if mean else "-"
    return f"geometric mean of the ratios of {count} grid cells: {ratio};  sgemm {gemm:.0f} GFLOP/s"


def mean_ratio(rows: list[Row]) -> tuple[float | None, int]:
    """Geometric mean of the ratios of the grid's cells (None without any), and their number."""
    ratios = [row.ratio for row in rows if row.cell.group == "grid" and row.ratio is not None]
    return (geometric_mean(ratios) if ratios else None), len(ratios)


def rows_as_dict(rows: list[Row]) -> dict[str, Any]:
    """A table for JSON."""
    mean, count = mean_ratio(rows)
    return {
        "geometric_mean_ratio": mean,
        "geometric_mean_cells": count,
        "rows": [row_as_dict(row) for row in rows],
    }


def row_as_dict(row: Row) -> dict[str, Any]:
    """A row for JSON: the quartiles in seconds a call, the median in µs a step as well."""
    flops = row.cell.flops(row.work)
    results = {
        name: asdict(timing)
        | {
            "us_per_step": row.microseconds(timing.median),
            "gflops": flops / timing.median / 1e9,
        }
        for name, timing in row.timings.items()
    }
    return {
        "name": row.cell.name,
        **asdict(row.cell),
        "steps_per_call": row.cell.steps_per_call,
        "flops_per_call": flops,
        "results": results,
        "notes": row.notes,
        "best_peer": row.best_peer,
        "ratio": row.ratio,
        "bound_us_per_step": row.microseconds(row.bound),
        "share_of_bound": row.share_of_bound,
        "sgemm_gflops": row.gemm / 1e9,
    }


def demo_lines(speeds: Mapping[str, float], notes: Mapping[str, str]) -> str:
    """Characters per second and cylstm's ratio to each peer."""
    lines = [f"\n{'character model, training':34}{'characters/s':>14}{'ratio':>8}"]
    for name, speed in speeds.items():
        ratio = f"{speeds[OURS] / speed:.2f}" if OURS in speeds else "-"
        lines.append(f"{name:34}{speed:>14,.0f}{ratio:>8}")
    return "\n".join(lines + complaints(notes))


def plan_header() -> str:
    """Names of the columns of `plan_lines`."""
    return (
        "\nWhat the plan's choices bring: time without over time with, by size in the unit of the "
        "threshold;\nafter a pause: of single calls, when threads are asleep.\n"
        f"{'threshold':20}{'what is done above it':34}{'size':>14}{'gain':>8}{'after a pause':>16}"
    )


def plan_lines(choice: Choice, points: list[Point]) -> str:
    """The gains of one choice, the threshold's own place among the sizes marked."""
    now = _core.thresholds()[choice.threshold]
    lines = [f"{choice.threshold:20}{choice.question:34}{f'now {now:,}':>14}"]
    for point in points:
        paused = "" if point.gain_after_pause is None else f"{point.gain_after_pause:.2f}"
        lines.append(f"{'':54}{point.size:>14,.0f}{point.gain:>8.2f}{paused:>16}")
    return "\n".join(lines)


def plan_as_dict(choice: Choice, points: list[Point]) -> dict[str, Any]:
    """One choice for JSON."""
    return {
        "threshold": choice.threshold,
        "question": choice.question,
        "now": _core.thresholds()[choice.threshold],
        "points": [asdict(point) for point in points],
    }


def footprint_lines(footprints: Mapping[str, Footprint]) -> str:
    """Import time, also beyond NumPy's, and size of every library."""
    columns = f"{'import ms':>12}{'beyond numpy':>14}{'MB':>8}{'MB with what it needs':>24}"
    base = footprints["numpy"].import_seconds
    lines = [f"\n{'footprint':34}{columns}"]
    lines += [
        f"{name:34}{f.import_seconds * 1e3:>12.0f}{(f.import_seconds - base) * 1e3:>14.0f}"
        f"{f.megabytes:>8.0f}{f.megabytes_with_dependencies:>24.0f}"
        for name, f in footprints.items()
    ]
    lines += [f"{name:34}{'absent':>12}" for name in LIBRARIES if name not in footprints]
    return "\n".join(lines)


def streaming_line(peak: int | None) -> str:
    """The most memory of a process that streams."""
    shown = "not known here" if peak is None else f"{peak / 1e6:.1f} MB"
    return f"cylstm streaming 10,000 steps of I64 H128, most memory with Python and NumPy: {shown}"


def step_header() -> str:
    """What the part is, and the names of the columns of `step_line`."""
    columns = "".join(f"{name:>10}{'99 %':>9}{'worst':>9}" for name in (CORE, "Eigen"))
    return f"\n{STEP_LEGEND}\n{'step':14}{columns}{PYTHON:>10}{'ratio':>8}{'beyond':>9}"


def step_line(row: StepRow) -> str:
    """One size."""
    columns = "".join(
        f"{median:>10}{percentile:>9}{worst:>9}"
        for median, percentile, worst in (
            step_entries(row, name) for name in (CORE, row.best_eigen)
        )
    )
    python = step_entries(row, PYTHON)[0]
    ratio = f"{row.ratio:.2f}" if row.ratio else "-"
    beyond = "-" if row.beyond_core is None else number(row.beyond_core * 1e6)
    return f"{row.name:14}{columns}{python:>10}{ratio:>8}{beyond:>9}"


def step_entries(row: StepRow, name: str | None) -> tuple[str, str, str]:
    """One's median, 99th percentile and worst in µs, as far as they were measured."""
    timing, latency = row.timings.get(name or ""), row.latencies.get(name or "")
    return (
        number(timing.median * 1e6) if timing else "-",
        number(latency.percentile_99 * 1e6) if latency else "-",
        number(latency.worst * 1e6) if latency else "-",
    )


def step_as_dict(row: StepRow) -> dict[str, Any]:
    """One size for JSON, in seconds a step."""
    return {"name": row.name, **asdict(row), "ratio": row.ratio, "beyond_core": row.beyond_core}


def load_header() -> str:
    """What the part is, and the names of the columns of `load_line`."""
    columns = f"{'one':>10}{'two':>10}{'ratio':>8}{'busy one':>12}{'busy two':>10}{'ratio':>8}"
    return f"\n{LOAD_LEGEND}\n{'load':34}{columns}"


def load_line(row: LoadRow) -> str:
    """One cell."""
    per_step = 1e6 / row.cell.steps_per_call
    one, two = (number(row.idle[team].median * per_step) for team in (1, 2))
    busy_one, busy_two = (number(row.busy[team] * per_step) for team in (1, 2))
    return (
        f"{row.cell.name:34}{one:>10}{two:>10}{row.idle_ratio:>8.2f}"
        f"{busy_one:>12}{busy_two:>10}{row.busy_ratio:>8.2f}"
    )


def load_as_dict(row: LoadRow) -> dict[str, Any]:
    """One cell for JSON, in seconds a call."""
    ratios = {"idle_ratio": row.idle_ratio, "busy_ratio": row.busy_ratio}
    return {"name": row.cell.name, **asdict(row), **ratios, "busy_processes": BUSY}
