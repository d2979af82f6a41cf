"""What a table and a model are, said in a few lines."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

import cylstm
from cylstm.arrays import quote
from cylstm.tables import (
    TEST,
    TRAINING,
    VALIDATION,
    Column,
    Notation,
    Table,
    TimeAxis,
    Timeline,
)
from cylstm.tables.columns import FALLING

from .console import count, number, one_line, say
from .doubts import doubts
from .problem import Problem
from .recipe import Recipe


def describe_network(network: cylstm.SequenceModel | cylstm.LSTM | cylstm.RNN) -> str:
    """The size of a model or layer, in a phrase."""
    config = network.config
    cell = config.get("cell", type(network).__name__).upper()
    weights = sum(array.size for array in network.parameters.values())
    layers, units = count(config["num_layers"], "layer"), count(config["hidden_size"], "unit")
    samples = config.get("fold", 1)
    fold = f", {samples} samples in a step" if samples > 1 else ""
    return f"{cell}, {layers} of {units}{fold}, {count(weights, 'parameter')}"


def describe_recipe(recipe: Recipe) -> None:
    """Print what a model predicts and from what."""
    say("task", _task(recipe))
    say("inputs", "\n".join(_inputs(recipe)))


def _task(recipe: Recipe) -> str:
    window = f"from {count(recipe.window, 'row')}"
    if recipe.task != "forecast":
        return f"{recipe.task} of {one_line(recipe.target)} {window} up to its own"
    season = f", season of {count(recipe.season, 'row')}" if recipe.season else ""
    ahead = f"{count(recipe.horizon, 'row')} ahead"
    return f"forecast of {one_line(recipe.target)}, {ahead} {window}{season}"


def _inputs(recipe: Recipe) -> list[str]:
    """A line for each kind of input."""
    numbers = [column.name for column in recipe.columns if column.categories is None]
    lines = [f"{one_line(recipe.target)}: its past"] if recipe.task == "forecast" else []
    if numbers:
        lines.append(f"{count(len(numbers), 'number')}: {', '.join(map(one_line, numbers))}")
    if recipe.future:
        lines.append(f"known for the rows to come: {', '.join(map(one_line, recipe.future))}")
    if recipe.network_share is not None:
        mean = 100 * sum(recipe.network_share) / len(recipe.network_share)
        lines.append(f"linear path, and {mean:.0f} % of the network's correction")
    for column in recipe.columns:
        if column.categories is not None:
            size = count(len(column.categories), "category", "categories")
            lines.append(f"{size}: {one_line(column.name)}")
    if recipe.calendar:
        lines.append(f"calendar: {', '.join(column.name for column in recipe.calendar)}")
    return lines


def describe_data(problem: Problem, parts: NDArray[np.int64], ignored: dict[str, str]) -> None:
    """Print what is done with a table in training.

    `parts` are those of `Timeline.parts`, `ignored` the columns left out and why.
    """
    table, recipe, timeline = problem.table, problem.recipe, problem.timeline
    series = f"{count(len(timeline.names), 'series', 'series')}, " if recipe.group else ""
    rows = count(len(table) - timeline.found.filled, "row")
    say("data", f"{table.path}: {rows}, {series}ordered {_order(recipe, timeline)}")
    if empty := table.source.empty_rows:
        say("ignored", f"{count(empty, 'row')} at the end without any value")
    for line in _notations(table, recipe):
        say("numbers", line)
    if recipe.time:
        _describe_time(recipe.time, timeline)
    if short := _short_series(problem, parts):
        few = count(short, "series", "series")
        say("warning", f"{few} with too few training rows for the window: not learned")
    sizes = {part: f"{np.count_nonzero(parts == part):,}" for part in range(3)}
    say(
        "split",
        f"{sizes[TRAINING]} rows for training, {sizes[VALIDATION]} to choose the epoch, "
        f"{sizes[TEST]} held out",
    )
    describe_recipe(recipe)
    for name, reason in ignored.items():
        label = "warning" if reason.startswith(FALLING) and not recipe.time else "ignored"
        say(label, f"{one_line(name)}: {reason}")
    filled = timeline.found.filled
    for line in (
        _missing_target(table, recipe, filled),
        *(_missing(table, column, filled) for column in recipe.columns),
    ):
        if line:
            say("missing", line)
    for line in doubts(table, recipe, timeline):
        say("warning", line)


def _notations(table: Table, recipe: Recipe) -> list[str]:
    """For each notation other than that of programs, the columns that show it and an example."""
    columns: dict[Notation, list[str]] = {}
    examples = {}
    for name, (cell, value) in table.examples(list(recipe.notations)).items():
        if not _reads(cell, value):
            columns.setdefault(table.notation(name), []).append(name)
            examples[name] = f"{quote(cell)} is read as {value:.12g}"
    return [
        f"{', '.join(map(one_line, names))}: {examples[names[0]]}" for names in columns.values()
    ]


def _reads(cell: str, value: float) -> bool:
    """Whether Python reads a cell as the same number, but for the rounding of its last digits."""
    try:
        return math.isclose(float(cell), value, rel_tol=1e-12)
    except ValueError:
        return np.isnan(value)


def _order(recipe: Recipe, timeline: Timeline) -> str:
    if recipe.time is None:
        return "as in the file"
    order = timeline.found.file_order
    in_file = "" if order == "oldest first" else f" (the file is {order})"
    return f"by {recipe.time}{in_file}"


def _describe_time(time: TimeAxis, timeline: Timeline) -> None:
    """Print what was found out about a table's times."""
    found = timeline.found
    notation = (
        str(time.notation) if timeline.instants is None else time.explain(timeline.instants[-1])
    )
    say("time", f"{time}, {notation}" + (f"\n({found.reason})" if found.reason else ""))
    if found.duplicates:
        say("warning", f"{count(found.duplicates, 'row')} equal to another in every cell: left out")
    if found.repeats:
        repeats = f"{count(found.repeats, 'row')} with the time of the row before"
        say("warning", f"{repeats}; --group tells series apart")
    if time.frequency:
        say("frequency", str(time.frequency))
    if found.filled:
        filled = f"{count(found.filled, 'row')} absent, inserted as empty rows"
        say("gaps", f"{filled}; --no-fill-gaps leaves them out")
    elif found.grid and found.grid.absent:
        why = ", taken for holidays" if found.grid.frequency.pauses else ""
        absent = f"{count(found.grid.absent, 'row')} absent{why}"
        say("gaps", f"{absent}; --fill-gaps inserts empty rows")


def _short_series(problem: Problem, parts: NDArray[np.int64]) -> int:
    """How many series are too short to hold a window of a forecast and its target."""
    needed = problem.recipe.window + problem.recipe.horizon
    sizes = [np.count_nonzero(parts[places] == TRAINING) for _, places in problem.timeline.series]
    return int(np.less(sizes, needed).sum()) if problem.recipe.task == "forecast" else 0


def _missing_target(table: Table, recipe: Recipe, filled: int) -> str:
    """What is done with rows whose target is missing; empty if only inserted rows lack it."""
    missing = int(table.missing(recipe.target).sum()) - filled
    carried = "; the model sees the value before instead" if recipe.task == "forecast" else ""
    rows = f"{one_line(recipe.target)}: {count(missing, 'row')} neither learned nor judged{carried}"
    return rows if missing else ""


def _missing(table: Table, column: Column, filled: int) -> str:
    """What stands in for missing cells of an input; empty if only inserted rows have any."""
    missing = int(table.missing(column.name).sum()) - filled
    if not missing:
        return ""
    cells = f"{one_line(column.name)}: {count(missing, 'cell')}"
    if column.categories is not None:
        return f"{cells}, which belong to no category"
    mean = number(column.fill)
    return f"{cells}, replaced by the value before, at the start by the training mean ({mean})"
